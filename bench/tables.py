"""The tables of the page: as shipped, equal work, quality-matched; never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.scores import score
from artbank.scoring.spread import ScoreBounds
from bench.peers.kit import STRENGTH, Kit
from bench.rounds import Row, Table, ratio


@dataclass(frozen=True)
class Line:
    """A row of a table, and artbank's row that it is compared with."""

    key: str
    against: str


SHIPPED_TRAINING = (
    Line("ours", "ours"),
    Line("released+log", "ours"),
    Line("released", "ours"),
    Line("diffusers", "ours"),
    Line("kohya-1", "ours"),
    Line("kohya-8", "ours"),
    Line("kohya-16", "ours"),
)
SHIPPED_FILES = (
    Line("ours-exact", "ours-exact"),
    Line("ours-balanced", "ours-balanced"),
    Line("ours-fast", "ours-fast"),
    Line("released", "ours-exact"),
    Line("pipeline", "ours-balanced"),
    Line("batched", "ours-balanced"),
    Line("folder", "ours-balanced"),
    Line("strong", "ours-balanced"),
)
EQUAL_TRAINING = (
    Line("released", "ours-1"),
    Line("kohya-1", "ours-1"),
    Line("kohya-8", "ours-8"),
    Line("kohya-16", "ours-16"),
    Line("diffusers", "ours-16"),
)
EQUAL_PICTURES = (Line("released", "ours-paper"), Line("released", "ours-exact"), Line("strong", "ours-plain"))
EQUAL_FILES = (Line("released", "ours-exact"), Line("strong", "ours-plain"))
MATCHED = (
    Line("released", "ours-exact"),
    Line("released", "ours-balanced"),
    Line("released", "ours-fast"),
)


def markdown(table: Table, lines: Sequence[Line], unit: str, clock: str) -> str:
    """Return a table; a ratio is the cost of a row over the cost of artbank's, round by round.

    Args:
        table: The measured costs.
        lines: Its rows; contenders that were not measured are left out.
        unit: `image` or `sample`.
        clock: Unit of the costs: `CPU-s` or `s`.
    """
    columns = ("what", f"evaluations {_each(unit)}", "batch", "dtype", f"{clock} {_each(unit)}", f"{unit}s/s")
    head = f"| {' | '.join(columns)} | compared with | ratio (range) |"
    shown = [_line(table, line) for line in lines if line.key in table.rows and line.against in table.rows]
    return "\n".join([head, "|---|---:|---:|---|---:|---:|---|---:|", *shown])


def matched(table: Table, kit: Kit, scorer: Scorer | None, clock: str) -> str:
    """Return the presets beside the released script, with the scores of both on the same photos."""
    head = (
        f"| what | evaluations | {clock} an image | ratio (range) | photos | style gain, theirs | style gain, ours "
        "| SSIM, theirs | SSIM, ours |"
    )
    shown = [head, "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for line in MATCHED:
        if line.key in table.rows and line.against in table.rows:
            theirs = table[line.key]
            own = table[line.against]
            names = sorted(theirs.album.keys() & own.album.keys())
            marks = " | ".join([str(len(names)), *_marks(theirs, own, names, kit, scorer)])
            shown.append(f"| {own.name} | {own.unet:g} | {own.seconds:.3g} | {ratio(theirs, own)} | {marks} |")
    return "\n".join(shown)


def score_row(row: Row, names: Sequence[str], kit: Kit, scorer: Scorer) -> tuple[float, float]:
    """Return the gain of `clip_style` (0 as the photos, 1 as held-out artworks) and the mean SSIM of a row."""
    by_name = {path.name: np.asarray(picture) for path, picture in zip(kit.photos, kit.pictures, strict=True)}
    scores = score(
        scorer, kit.reference, [by_name[name] for name in names], [np.asarray(row.album[name]) for name in names]
    )
    floor = fmean(s.clip_style_floor for s in scores)
    gain = ScoreBounds(floor, kit.reference.ceiling).gain(fmean(s.clip_style for s in scores))
    return gain or 0.0, fmean(s.ssim for s in scores)


def _marks(theirs: Row, own: Row, names: Sequence[str], kit: Kit, scorer: Scorer | None) -> list[str]:
    if scorer is None:
        return ["-"] * 4
    (gain, ssim), (own_gain, own_ssim) = (score_row(row, names, kit, scorer) for row in (theirs, own))
    return [f"{mark:.2f}" for mark in (gain, own_gain, ssim, own_ssim)]


def _each(unit: str) -> str:
    return f"an {unit}" if unit[0] in "aeiou" else f"a {unit}"


def _line(table: Table, line: Line) -> str:
    row = table[line.key]
    own = table[line.against]
    compared = "-" if row is own else own.name
    times = "1" if row is own else str(ratio(row, own))
    cells = f"{row.unet:.3g} | {row.batch} | {row.dtype} | {row.seconds:.3g} | {row.rate:.3g}"
    return f"| {row.name} | {cells} | {compared} | {times} |"


def evaluations_by_strength(presets: Sequence[str] = ("balanced", "fast", "exact")) -> str:
    """Return the table of UNet evaluations a picture, at each preset's own strength and at that of the peers."""
    lines = [f"| preset | its strength | evaluations | at strength {STRENGTH:g} |", "|---|---:|---:|---:|"]
    for name in presets:
        own = StylizeRecipe.model_validate({"preset": name})
        same = own.model_copy(update={"strength": STRENGTH})
        lines.append(f"| `{name}` | {own.strength:g} | {count_evaluations(own)} | {count_evaluations(same)} |")
    return "\n".join(lines)
