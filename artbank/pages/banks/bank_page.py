"""The page of one bank."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any
from urllib.parse import quote

from artbank.bank.history import History
from artbank.catalog.bank_files import PREVIEW
from artbank.pages.banks.entries import BankDetails, Entry
from artbank.pages.banks.lineage import trace_lineage
from artbank.pages.charts import Chart, line_chart
from artbank.pages.publishing import assets
from artbank.pages.rendering import render
from artbank.records.bank_records import BankRecord
from artbank.report.bank_card import LORA, describe_content
from artbank.report.markdown import visible

STYLES = ("style.css", "status.css", "bank.css")

_MAX_POINTS = 400  # per line
_GAUGE_PX = 460.0
_GAUGE_MARGIN_PX = 46.0


@dataclass(frozen=True)
class Gauge:
    """Positions of a score between its floor and its ceiling, in px of a drawing 460 px wide."""

    floor: float
    score: float
    ceiling: float


def render_bank(
    store_uri: str, entry: Entry, versions: Sequence[Entry], details: Mapping[str, BankDetails], root: str
) -> str:
    """Return a bank's page as HTML.

    Args:
        store_uri: URI of the store, for the commands.
        entry: The bank.
        versions: All banks of its collection, by version.
        details: Albums and histories, by bank id.
        root: Relative path from the page to the site's root: one `../` per folder.
    """
    bank_details = details.get(entry.record.bank_id, BankDetails())
    record = entry.record
    return render(
        "bank.html",
        assets=asset_links(STYLES, root),
        heading=f"{record.title}, version {record.version}",
        home=f"{root}index.html",
        entry=entry,
        bank=record,
        album=bank_details.album,
        files_root=entry.files_root,
        preview=f"{entry.files_root}{PREVIEW}" if PREVIEW in entry.etags else None,
        lineage=trace_lineage(entry, versions, details),
        link=lambda other: f"{root}{quote(other.key())}",
        losses=bank_details.history and draw_losses(bank_details.history, entry),
        best=bank_details.history and bank_details.history.best,
        ended=bank_details.history and describe_end(bank_details.history, entry),
        gauge=place_scores(entry),
        commands=list_commands(store_uri, entry),
        recipe=[(name, _setting(value)) for name, value in sorted(record.read_recipe().items())],
        provenance=list_provenance(entry),
    )


def asset_links(names: Sequence[str], root: str) -> list[str]:
    """Return the relative paths from a page to shared files."""
    return [f"{root}{name}" for name in assets(*names)]


def draw_losses(history: History, entry: Entry) -> list[Chart]:
    """Draw the validation loss, and the mean training loss between two validations.

    Each has its own axis, since the training loss of random batches varies far more.
    """
    held_out = dict(_thin(history.validation))
    between = zip([0, *held_out], held_out, strict=False)
    learned = {end: fmean(losses) for start, end in between if (losses := history.train[start:end])}
    best = history.best[0]
    last = len(history.train)
    marks = {"best": best} | ({"stopped early": last} if _is_early(history, entry) and last != best else {})
    gist = f"from {_loss(history.validation[0][1])} to {_loss(history.best[1])} at step {best:,}, the lowest"
    charts = [_draw_line(held_out, "Loss on held-out artworks", gist, marks)]
    if learned:
        first = list(learned.values())[0]
        final = list(learned.values())[-1]
        gist = f"from {_loss(first)} to {_loss(final)} at step {last:,}, the last; means between two validations"
        charts.append(_draw_line(learned, "Loss on artworks it learns from", gist, {}))
    return charts


def describe_end(history: History, entry: Entry) -> str:
    """Return one sentence on how the training ended."""
    steps = len(history.train)
    most = entry.record.read_recipe().get("max_steps")
    if not isinstance(most, int):
        return f"It took {steps:,} steps."
    if _is_early(history, entry):
        why = f"{history.num_since_best()} validations were no better"
        return f"It stopped early, after {steps:,} of at most {most:,} steps: {why}."
    return f"It took all of its {steps:,} steps."


def place_scores(entry: Entry) -> Gauge | None:
    """Return the gauge of a bank's score; None without a score, a floor or a ceiling."""
    bank = entry.record
    if bank.clip_style is None or bank.clip_style_floor is None or bank.clip_style_ceiling is None:
        return None
    low = min(bank.clip_style, bank.clip_style_floor)
    high = max(bank.clip_style, bank.clip_style_ceiling, low + 1e-6)
    width = _GAUGE_PX - 2 * _GAUGE_MARGIN_PX
    values = (bank.clip_style_floor, bank.clip_style, bank.clip_style_ceiling)
    return Gauge(*(round(_GAUGE_MARGIN_PX + width * (value - low) / (high - low), 1) for value in values))


def list_commands(store_uri: str, entry: Entry) -> list[tuple[str, str]]:
    """Return uses of a bank: a description and a command each, one option per line."""
    bank = shlex.quote(entry.record.name)
    name = shlex.quote(entry.record.collection)
    on = [] if entry.record.base_model == "mini" else [f"--base-model {shlex.quote(entry.record.base_model)}"]
    store = f"--store {shlex.quote(store_uri)}"
    stylize = "artbank stylize PHOTOS OUTPUT"
    commands = [("Draw a folder of photos in this style", [stylize, store, f"--style {bank}", *on])]
    if entry.status == "default":
        what = f"The same, with whatever version {entry.record.title} stands for"
        commands.append((what, [stylize, store, f"--style {name}", *on]))
    else:
        commands.append(("Let the collection's name stand for this version", [f"artbank banks promote {bank}", store]))
    if entry.status != "retired":
        commands.append(("Take this version out", [f"artbank banks retire {bank}", store]))
    file = shlex.quote(f"{entry.record.collection}.safetensors")
    commands.append(("For diffusers, ComfyUI and A1111", [f"artbank export {bank} {file}", store]))
    return [(what, " \\\n    ".join(map(visible, parts))) for what, parts in commands]


def list_provenance(entry: Entry) -> list[tuple[str, Any]]:
    """Return the provenance of a bank as pairs of term and text."""
    bank = entry.record
    return [
        ("id of the collection", bank.collection),
        ("bank id", bank.bank_id),
        ("trained at", bank.created_at.isoformat(timespec="seconds")),
        ("gallery", bank.gallery_uri or None),
        ("fingerprint of the artworks", bank.fingerprint),
        ("base model", bank.base_model),
        ("SHA-256 of the base model", bank.base_model_hash),
        ("weights", bank.weights_uri),
        ("SHA-256 of the weights", bank.weights_sha256),
        _content(bank),
        ("scorer", bank.scorer),
        ("device", bank.device),
        ("attempt", None if not bank.attempt else str(bank.attempt)),
        ("version of artbank", bank.code_version),
    ]


def _content(bank: BankRecord) -> tuple[str, str]:
    if bank.kind == LORA:
        return "content", describe_content(bank)
    return "vectors", f"{bank.num_tokens} of {bank.widths} numbers, shaped by {bank.attention}"


def _draw_line(losses: Mapping[int, float], title: str, gist: str, marks: Mapping[str, float]) -> Chart:
    line = {"loss": (list(losses), list(losses.values()))}
    chart = line_chart(line, title=title, x_label="step", y_label="", marks=marks, is_from_zero=False)
    rows = tuple((f"{step:,}", _loss(loss)) for step, loss in losses.items())
    return replace(chart, summary=f"{title}: {gist}.", head=("step", "loss"), rows=rows)


def _is_early(history: History, entry: Entry) -> bool:
    most = entry.record.read_recipe().get("max_steps")
    return isinstance(most, int) and len(history.train) < most


def _thin(validation: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    stride = -(-len(validation) // _MAX_POINTS)
    return [*validation[::stride], *([] if (len(validation) - 1) % stride == 0 else validation[-1:])]


def _setting(value: object) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}"
