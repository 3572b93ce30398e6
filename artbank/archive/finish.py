"""What a run over an archive came to: its tables, its summary, its contact sheet and its page.

<output>/results.parquet, metadata.parquet      the present, see `results`
<output>/runs/<run_id>/summary.json, summary.md, contact-sheet.jpg
<output>/report/index.html                     all that is there, for people, see `pages.outcome`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.archive.plan import StylizePlan
from artbank.archive.styles import StyleChoice
from artbank.catalog.bank_files import load_reference
from artbank.config import StylizeConfig
from artbank.errors import ImageError
from artbank.images.codec import decode
from artbank.pages.outcome.page import COLUMNS, RunFacts, StyleFacts, write_outcome
from artbank.records import BankRecord
from artbank.report.contact_sheets import contact_sheet
from artbank.report.costs import cost_facts
from artbank.report.summaries import SUMMARY_COLUMNS, results_summary, summary_markdown
from artbank.results import layout, pending, tables
from artbank.results.containers import read_pictures
from artbank.results.manifest import Manifest
from artbank.runs.alarms import Alarm, StyleGains, find_alarms, mix_gains
from artbank.runs.outcome import Outcome, RunCost
from artbank.store.objects import Store

_Bounds = tuple[float | None, float | None]
_SHEET_ROWS = 16
_TOLD = tuple(dict.fromkeys((*SUMMARY_COLUMNS, *COLUMNS, "recipe_id", "clip_style_floor", "created_at")))
"""Columns of the results that the outcome follows from."""


def finish_archive(config: StylizeConfig, plan: StylizePlan, photos: pa.Table, cost: RunCost | None = None) -> Outcome:
    """Bring the tables of the output up to the parts, and write the run's summary, contact sheet and page.

    A run that had nothing to do writes nothing, but for tables and a page that no longer fit the archive.

    Args:
        config: The run's.
        plan: From `archives.plan_archive`.
        photos: The listing that came with it.
        cost: What the run took, if it had anything to do.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    output, store = Store.open(config.output_uri), Store.open(config.store_uri)
    pending.delete_settled_marks(output)
    output.delete_leftovers(("", layout.PARTS, layout.MANIFESTS))
    rows = tables.update_tables_and_vacuum(output, photos, columns=_TOLD)
    asked = rows.filter(
        pc.is_in(rows["recipe_id"], value_set=pa.array([s.recipe_id for s in plan.styles], pa.string()))
    )
    bounds = {choice.name: _bounds(store, choice, asked) for choice in plan.styles}
    summary = results_summary(asked, bounds)
    alarms = _find_alarms(config, plan, asked, bounds) if plan.run_id else []
    whole = summary if len(asked) == len(rows) else results_summary(rows, bounds)
    page = write_outcome(output, Store.open(config.archive_uri), rows, whole, _run_facts(config, plan, bounds))
    places = {"pictures": output.uri, "page": output.uri_of(page), "results": output.uri_of(layout.RESULTS)}
    sheet, report, facts = (layout.run_key(plan.run_id, n) for n in ("contact-sheet.jpg", "summary.md", "summary.json"))
    if plan.run_id:
        places |= {"contact sheet": output.uri_of(sheet), "summary": output.uri_of(report)}
        output.write(sheet, _draw_sheet(config, plan, asked))
    summary["alarms"] = [asdict(alarm) for alarm in alarms]
    text = summary_markdown(summary, title=f"Stylized {config.archive_uri}", places=places, cost=cost)
    if plan.run_id:
        told = {"config": config.model_dump(mode="json"), "new": plan.num_tasks, "places": places, **summary}
        told |= {"run": cost_facts(cost)} if cost else {}
        output.write(report, text.encode())
        output.write(facts, json.dumps(told, indent=1).encode())
    counts = summary["counts"]
    styles = tuple(_line(entry) for entry in summary["styles"])
    return Outcome(counts["done"], counts["failed"], plan.num_tasks, places, text, alarms, cost, styles)


def _line(entry: dict[str, Any]) -> tuple[str, int, int, float | None, float | None, float | None]:
    """Return what an outcome says of a style; see `Outcome.styles`."""
    score = entry["scores"]["clip_style"]
    seconds = entry["seconds_per_photo"]
    return entry["style"], entry["done"], entry["failed"], seconds, score["mean"], score["gain"]


def _find_alarms(
    config: StylizeConfig, plan: StylizePlan, rows: pa.Table, bounds: Mapping[str, tuple[float | None, float | None]]
) -> list[Alarm]:
    """Judge the pictures of this run alone: what was told of once is not told of after every later one."""
    output = Store.open(config.output_uri)
    after = Manifest.open(output, plan.run_id).after
    made = rows if after is None else rows.filter(pc.field("created_at") > pa.scalar(after, rows["created_at"].type))
    if not len(made):
        return []
    return find_alarms(
        config.alarms,
        num_photos=pc.count_distinct(made["key"]).as_py(),
        num_pictures=len(made),
        num_failed=made.filter(pc.field("status") == "failed").num_rows,
        styles=[_gains(choice, made, *bounds[choice.name]) for choice in plan.styles],
    )


def _gains(choice: StyleChoice, rows: pa.Table, floor: float | None, ceiling: float | None) -> StyleGains:
    expected = mix_gains([(bank.clip_style_gain, weight) for bank, weight in choice.banks])
    if floor is None or ceiling is None or ceiling <= floor:
        return StyleGains(choice.name, [], expected)
    done = rows.filter((pc.field("style") == choice.name) & pc.is_finite(pc.field("clip_style")))
    return StyleGains(choice.name, ((done["clip_style"].to_numpy() - floor) / (ceiling - floor)).tolist(), expected)


def _bounds(store: Store, choice: StyleChoice, rows: pa.Table) -> _Bounds:
    """Return floor and ceiling of a style's `clip_style`: its photos untouched, and its held-out artworks."""
    floor = pc.mean(rows.filter(pc.equal(rows["style"], choice.name))["clip_style_floor"]).as_py()
    ceilings = [(load_reference(store, bank).ceiling, weight) for bank, weight in choice.banks]
    return floor, None if None in dict(ceilings) else sum((c or 0.0) * weight for c, weight in ceilings)


def _run_facts(config: StylizeConfig, plan: StylizePlan, bounds: Mapping[str, _Bounds]) -> RunFacts:
    recipe, archive = config.recipe, Store.open(config.archive_uri).uri
    facts = (
        ("Photos", archive),
        ("Banks", Store.open(config.store_uri).uri),
        ("Base model", f"{config.base_model}, {plan.base_model_hash[:12]}"),
        ("Preset", recipe.preset),
        ("Strength", f"{recipe.strength:g}"),
        ("Solver", f"{recipe.solver}, {recipe.steps} steps"),
        ("Guidance", f"{recipe.guidance:g}"),
        ("Inversion", recipe.inversion),
        ("Prompt", recipe.prompt),
        ("Colour", recipe.colour),
        ("Size", recipe.size),
        ("Seed", f"{recipe.seed}"),
    )
    styles = [
        StyleFacts(choice.name, " + ".join(_name_bank(*part) for part in choice.banks), *bounds[choice.name])
        for choice in plan.styles
    ]
    heading = archive.rstrip("/").rpartition("/")[2] or archive
    return RunFacts(heading, plan.run_id, facts, styles, config.max_pixels)


def _name_bank(bank: BankRecord, weight: float) -> str:
    share = "" if weight == 1 else f" at {weight:.0%}"
    return f"{bank.collection}, version {bank.version}{share}"


def _draw_sheet(config: StylizeConfig, plan: StylizePlan, rows: pa.Table) -> bytes:
    """Draw photos spread evenly over the archive, each beside its pictures."""
    archive, output = Store.open(config.archive_uri), Store.open(config.output_uri)
    done = rows.filter(pc.equal(rows["status"], "done")).select(["key", "style", "file_name"])
    names = pc.unique(done["key"])
    keys = names.take(np.arange(0, len(names), max(-(-len(names) // _SHEET_ROWS), 1))).to_pylist()
    shown = done.filter(pc.is_in(done["key"], value_set=pa.array(keys, pa.string()))).to_pylist()
    photos, pictures = archive.read_many(keys), read_pictures(output, shown)
    lines = []
    for key in keys:
        cells = [("photo", _open(photos[key], config))]
        for choice in plan.styles:
            data = pictures.get((key, choice.name))
            cells.append((choice.name, None if data is None else _open(data, config)))
        lines.append((key, cells))
    return contact_sheet(lines)


def _open(data: bytes | Exception, config: StylizeConfig) -> np.ndarray | None:
    if isinstance(data, Exception):
        return None
    try:
        return decode(data, max_pixels=config.max_pixels).rgb
    except ImageError:
        return None
