"""Finish a run over an archive: bring the tables up to the parts, then write the page and the run's summary.

<output>/results.parquet, metadata.parquet           the latest rows, see `results.tables`
<output>/report/index.html                           the page of the whole output, see `pages.outcome`
<output>/runs/<run_id>/summary.md, summary.json      the report of this run
<output>/runs/<run_id>/contact-sheet.jpg             some of its pictures, see `archive.contact_sheet`
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artbank.archive.contact_sheet import write_contact_sheet
from artbank.archive.plan import StylizePlan
from artbank.archive.stores import RunStores
from artbank.archive.style_bounds import EarlierStyle, WeightedBanks, find_bounds, find_earlier_styles
from artbank.archive.styles import StyleChoice
from artbank.config import StylizeConfig
from artbank.pages.outcome.page import COLUMNS, RunFacts, StyleFacts, write_outcome
from artbank.recipes import StylizeRecipe
from artbank.records.bank_records import BankRecord
from artbank.report.costs import cost_facts
from artbank.report.marks import MARK_TEXTS, METADATA_TEXTS
from artbank.report.summaries import SUMMARY_COLUMNS, Bounds, results_summary, summary_markdown
from artbank.results import layout, pending, tables
from artbank.results.manifest import Manifest
from artbank.results.removed_photos import NOTHING_REMOVED, delete_files, find_removed, void_removed
from artbank.runs.alarms import Alarm, StyleGains, find_alarms, mix_gains
from artbank.runs.outcome import FailedKind, Outcome, RunCost, StyleTotals
from artbank.scoring.spread import ScoreBounds
from artbank.store.heartbeats import find_leases
from artbank.store.objects import Store

_COLUMNS = tuple(dict.fromkeys((*SUMMARY_COLUMNS, *COLUMNS, "recipe_id", "bank_ids", "created_at")))
"""Columns of the results that summary, page and alarms are made from."""


def finish_archive(config: StylizeConfig, plan: StylizePlan, photos: pa.Table, cost: RunCost | None = None) -> Outcome:
    """Bring the tables and the page of the output up to date, and write the run's summary.

    Runs on other styles may end at the same time and write older tables and an older page over these. The run that
    writes last sees that parts were added meanwhile, and writes again.

    A run that had nothing to do has no summary; it still updates tables and page if they do not fit the archive.

    Args:
        config: The run's configuration.
        plan: From `plan_archive`.
        photos: The archive's listing, from `plan_archive`.
        cost: What the run took; None if it had nothing to do.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    stores = RunStores.open(config)
    _clean_up(stores.output)
    removed = find_removed(stores.output, photos, config.skip) if config.delete_removed else NOTHING_REMOVED
    void_removed(stores.output, removed)
    turns_left = tables.MOST_TURNS
    while True:
        rows = tables.update_tables_and_vacuum(stores.output, photos, columns=_COLUMNS)
        delete_files(stores.output, removed)
        asked = _rows_of_styles(rows, plan)
        bounds = {style.name: find_bounds(stores.banks, style.name, style.banks, asked) for style in plan.styles}
        earlier = find_earlier_styles(stores.banks, rows, bounds)
        summary = results_summary(asked, bounds, plan.skipped)
        page_bounds = bounds | {style.name: style.bounds for style in earlier}
        page_summary = summary if len(asked) == len(rows) else results_summary(rows, page_bounds, plan.skipped)
        facts = _describe_run(config, plan, stores, bounds, earlier)
        page_key = write_outcome(stores.output, stores.archive, rows, page_summary, facts)
        turns_left -= 1
        if not turns_left or tables.is_current(stores.output, photos, rows):
            break
    drawn = _rows_of_run(plan, stores.output, asked) if plan.run_id else asked.slice(0, 0)
    alarms = _find_alarms(config, plan, drawn, bounds)
    summary["num_with_other_metadata"] = _count_other_metadata(asked, config.recipe)
    summary["retry_command"] = facts.retry_command
    summary["num_deleted"] = removed.num_pictures
    summary["alarms"] = [asdict(alarm) for alarm in alarms]
    sheet_key = _write_contact_sheet(config, plan, stores, drawn)
    places = _find_places(stores.output, plan.run_id, page_key, sheet_key)
    text = summary_markdown(summary, title=f"Stylized {config.archive_uri}", places=places, cost=cost)
    if plan.run_id:
        _write_summary(config, plan, stores.output, text, {"places": places, **summary}, cost)
    return Outcome(
        num_done=summary["counts"]["done"],
        num_failed=summary["counts"]["failed"],
        num_new=plan.num_tasks,
        places=places,
        text=text,
        alarms=alarms,
        cost=cost,
        styles=tuple(_count_style(entry) for entry in summary["styles"]),
        num_skipped=summary["counts"]["skipped"],
        skipped=plan.skipped,
        num_deleted=removed.num_pictures,
        failures=tuple(_count_failures(entry) for entry in summary["failures"]),
    )


def _clean_up(output: Store) -> None:
    """Delete what finished and killed workers and runs leave behind: start marks, temporary files, leases."""
    pending.delete_settled_marks(output)
    output.delete_leftovers(("", layout.PARTS, layout.MANIFESTS))
    output.delete_many(key for key, is_abandoned in find_leases(output, layout.LEASES).items() if is_abandoned)


def _rows_of_styles(rows: pa.Table, plan: StylizePlan) -> pa.Table:
    """Keep the rows with the recipes of this run's styles, whichever run drew them."""
    recipe_ids = pa.array([style.recipe_id for style in plan.styles], pa.string())
    return rows.filter(pc.is_in(rows["recipe_id"], value_set=recipe_ids))


def _count_other_metadata(rows: pa.Table, recipe: StylizeRecipe) -> int:
    """Return the number of pictures with another mark, or other metadata, than the recipe asks for."""
    done = rows.filter(pc.equal(rows["status"], "done"))
    is_as_asked = pc.and_(
        pc.equal(done["mark"].fill_null("none"), recipe.mark),
        pc.equal(done["metadata"].fill_null("none"), recipe.metadata),
    )
    return len(done) - (pc.sum(is_as_asked).as_py() or 0)


def _rows_of_run(plan: StylizePlan, output: Store, rows: pa.Table) -> pa.Table:
    """Keep the rows of what this run drew."""
    after = Manifest.open(output, plan.run_id).after
    return rows if after is None else rows.filter(pc.field("created_at") > pa.scalar(after, rows["created_at"].type))


def _write_contact_sheet(config: StylizeConfig, plan: StylizePlan, stores: RunStores, drawn: pa.Table) -> str | None:
    """Write the contact sheet of this run; returns its key, None if it drew nothing that can be shown."""
    styles = [style.name for style in plan.styles]
    return write_contact_sheet(stores, plan.run_id, drawn, styles, config.title, config.max_pixels)


def _find_alarms(
    config: StylizeConfig, plan: StylizePlan, drawn: pa.Table, bounds: Mapping[str, Bounds]
) -> list[Alarm]:
    """Check only the pictures that this run drew, so that no alarm is raised again by every later run."""
    if not len(drawn):
        return []
    return find_alarms(
        config.alarms,
        num_photos=pc.count_distinct(drawn["key"]).as_py(),
        num_pictures=len(drawn),
        num_failed=drawn.filter(pc.field("status") == "failed").num_rows,
        styles=[_measure_gains(style, drawn, bounds[style.name]["clip_style"]) for style in plan.styles],
    )


def _measure_gains(style: StyleChoice, rows: pa.Table, bounds: ScoreBounds) -> StyleGains:
    """Return the gain of each picture of a style; none where floor and ceiling do not define one."""
    expected = mix_gains([(bank.clip_style_gain, weight) for bank, weight in style.banks])
    done = rows.filter((pc.field("style") == style.name) & pc.is_finite(pc.field("clip_style")))
    gains = [bounds.gain(score) for score in done["clip_style"].to_pylist()]
    return StyleGains(style.name, [gain for gain in gains if gain is not None], expected)


def _find_places(output: Store, run_id: str, page_key: str, sheet_key: str | None) -> dict[str, str]:
    places = {
        "pictures": output.uri,
        "page": output.uri_of(page_key),
        "results": output.uri_of(layout.RESULTS),
    }
    if run_id:
        places["summary"] = output.uri_of(layout.run_key(run_id, "summary.md"))
    if sheet_key:
        places["contact sheet"] = output.uri_of(sheet_key)
    return places


def _write_summary(
    config: StylizeConfig,
    plan: StylizePlan,
    output: Store,
    text: str,
    summary: Mapping[str, Any],
    cost: RunCost | None,
) -> None:
    facts = {"config": config.model_dump(mode="json"), "new": plan.num_tasks, **summary}
    if cost is not None:
        facts["run"] = cost_facts(cost)
    output.write(layout.run_key(plan.run_id, "summary.md"), text.encode())
    output.write(layout.run_key(plan.run_id, "summary.json"), json.dumps(facts, indent=1).encode())


def _count_style(entry: Mapping[str, Any]) -> StyleTotals:
    """Return the totals of one style from its entry in a `results_summary`."""
    clip_style = entry["scores"]["clip_style"]
    return StyleTotals(
        name=entry["style"],
        num_done=entry["done"],
        num_failed=entry["failed"],
        seconds_per_picture=entry["seconds_per_picture"],
        clip_style=clip_style["mean"],
        gain=clip_style["gain"],
    )


def _count_failures(entry: Mapping[str, Any]) -> FailedKind:
    """Return one kind of failure from its entry in a `results_summary`."""
    names = dict.fromkeys(row["key"] for row in entry["rows"])
    return FailedKind(entry["failure"], entry["count"], tuple(names))


def _describe_run(
    config: StylizeConfig,
    plan: StylizePlan,
    stores: RunStores,
    bounds: Mapping[str, Bounds],
    earlier: Sequence[EarlierStyle],
) -> RunFacts:
    """Return the facts that the page shows about the run."""
    archive_uri = stores.archive.uri
    recipe = config.recipe
    facts = (
        ("Photos", archive_uri),
        ("Banks", stores.banks.uri),
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
        ("Mark of new pictures", MARK_TEXTS[recipe.mark]),
        ("Kept of the photos’ metadata", METADATA_TEXTS[recipe.metadata]),
    )
    models = (("Structure model", config.structure_model), ("Style model", config.style_model))
    facts += tuple(("LoRA", lora.title) for lora in plan.loras)
    facts += tuple(("ControlNet", control.title) for control in plan.controls)
    facts += tuple((term, source) for term, source in models if source is not None)
    styles = [StyleFacts(style.name, _describe_banks(style.banks), bounds[style.name]) for style in plan.styles]
    styles += [
        StyleFacts(style.name, f"{_describe_banks(style.banks)}, of an earlier run", style.bounds) for style in earlier
    ]
    heading = archive_uri.rstrip("/").rpartition("/")[2] or archive_uri
    return RunFacts(heading, plan.run_id, facts, styles, config.max_pixels, _retry_command(stores.output, plan.run_id))


def _retry_command(output: Store, run_id: str) -> str:
    """Return the command that tries the failed photos of a run again, with all its options; empty without a run."""
    if not run_id:
        return ""
    recorded = output.uri_of(layout.run_key(run_id, layout.CONFIG))
    if "://" not in recorded:
        return f"artbank stylize --parameters {shlex.quote(recorded)} --retry-failed"
    return f"# save {recorded} as config.json first\nartbank stylize --parameters config.json --retry-failed"


def _describe_banks(banks: WeightedBanks) -> str:
    return " + ".join(_describe_bank(bank, weight) for bank, weight in banks)


def _describe_bank(bank: BankRecord, weight: float) -> str:
    share = "" if weight == 1 else f" at {weight:.0%}"
    return f"{bank.title}, version {bank.version}{share}"
