"""The targets of the figures, and the table that says which of them a run met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench import codecs
from bench.rounds import Table, ratio


@dataclass(frozen=True)
class Gate:
    """A target: a ratio of two rows of a table, the slower one first."""

    what: str
    suite: str
    slower: str
    faster: str
    least: float
    on_gpu: bool = False


@dataclass(frozen=True)
class Limit:
    """A target for a figure of the run: a minimum, or a maximum if `is_most`."""

    what: str
    figure: str
    bound: float
    is_most: bool = False


CPU: tuple[Gate | Limit, ...] = (
    Gate("training against the released script with its image log", "training", "released+log", "ours", 3.3),
    Gate("training against the released script without its image log", "training", "released", "ours", 1.8),
    Gate("the same, without artbank's own validation", "training", "released", "ours-8", 1.8),
    Gate("stylizing at equal evaluations against the released script", "pictures", "released", "ours-exact", 1.25),
    Gate("`fast` against the released script", "pictures", "released", "ours-fast", 5.0),
    Gate("stylizing at equal work against a user who batches diffusers", "pictures", "strong", "ours-plain", 1.1),
)
CUDA: tuple[Gate | Limit, ...] = (
    Gate("training against the released script with its image log", "training", "released+log", "ours", 12.0),
    Gate("training against kohya on cached latents, batch 16", "training", "kohya-16", "ours-16", 1.2),
    Gate("training against diffusers' example", "training", "diffusers", "ours", 5.0),
    Limit("training's share of the measured matmul peak", "training peak share", 0.33),
    Limit("8 banks x 1000 steps x batch 4 in one job, s", "eight banks", 205.0, is_most=True),
    Gate("stylizing from 12 MP files at equal mathematics", "files", "released", "ours-exact", 7.0),
    Gate("`fast` from 12 MP files", "files", "released", "ours-fast", 25.0),
    Gate("against batched compiled diffusers, GPU alone", "pictures", "strong", "ours-plain", 1.05, on_gpu=True),
    Gate("against batched compiled diffusers, from files", "files", "strong", "ours-plain", 1.8),
    Limit("`exact`'s share of the measured matmul peak", "exact peak share", 0.40),
    Limit("share of a run in which the GPU is idle", "idle share", 0.05, is_most=True),
    Limit("CLIP scoring's share of the time", "scoring share", 0.02, is_most=True),
)

CODECS: tuple[Limit, ...] = (
    Limit("decoding photos of 6 to 24 MP at 512 px, mean CPU ms", codecs.DECODE, 90.0, is_most=True),
    Limit("least PSNR of these to a decoding of all pixels, dB", codecs.DECODE_DB, 50.0),
    Limit("encoding and scoring a picture of 512 x 767 px, CPU ms", codecs.ENCODE, 16.0, is_most=True),
    Limit("preparing an artwork of 12 MP, CPU ms", codecs.ARTWORK, 500.0, is_most=True),
)


def table_of_targets(gates: tuple[Gate | Limit, ...], suites: Mapping[str, Table], figures: Mapping[str, float]) -> str:
    """Return the targets as a Markdown table: met, missed, or not measured."""
    lines = ["| target | wanted | measured | |", "|---|---:|---:|---|"]
    return "\n".join([*lines, *(_row_of(gate, suites, figures) for gate in gates)])


def _row_of(gate: Gate | Limit, suites: Mapping[str, Table], figures: Mapping[str, float]) -> str:
    if isinstance(gate, Limit):
        value = figures.get(gate.figure)
        sign = "<=" if gate.is_most else ">="
        met = value is not None and (value <= gate.bound if gate.is_most else value >= gate.bound)
        return _row(gate.what, f"{sign} {gate.bound:g}", None if value is None else f"{value:.3g}", met)
    table = suites.get(gate.suite)
    if table is None or not {gate.slower, gate.faster} <= table.rows.keys():
        return _row(gate.what, f">= {gate.least:g}x", None, met=False)
    found = ratio(table[gate.slower], table[gate.faster], on_gpu=gate.on_gpu)
    return _row(gate.what, f">= {gate.least:g}x", str(found), met=found.median >= gate.least)


def _row(what: str, wanted: str, found: str | None, met: bool) -> str:
    verdict = "met" if met else "**missed**"
    if found is None:
        verdict = "not measured"
    return f"| {what} | {wanted} | {found or '-'} | {verdict} |"
