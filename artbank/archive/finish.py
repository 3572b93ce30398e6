"""Finish a run over an archive: bring the tables up to the parts, then write the page and the run's summary.

<output>/results.parquet, metadata.parquet           the latest rows, see `results.tables`
<output>/report/index.html                           the page of the whole output, see `pages.outcome`
<output>/runs/<run_id>/summary.md, summary.json      the report of this run
<output>/runs/<run_id>/contact-sheet.jpg             some of its pictures, see `archive.contact_sheet`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artbank.archive.contact_sheet import write_contact_sheet
from artbank.archive.plan import StylizePlan
from artbank.archive.run_facts import describe_run
from artbank.archive.stores import RunStores
from artbank.archive.style_bounds import find_bounds, find_earlier_styles
from artbank.archive.styles import StyleChoice
from artbank.config import StylizeConfig
from artbank.pages.outcome.page import COLUMNS, write_outcome
from artbank.recipes import StylizeRecipe
from artbank.report.costs import cost_facts
from artbank.report.summaries import SUMMARY_COLUMNS, Bounds, results_summary, summary_markdown
from artbank.results import layout, pending, tables
from artbank.results.manifest import Manifest
from artbank.results.removed_photos import NOTHING_REMOVED, RemovedPhotos, delete_files, find_removed, void_removed
from artbank.runs.alarms import Alarm, StyleGains, find_alarms, mix_gains
from artbank.runs.outcome import FailedKind, Outcome, RunCost, StyleTotals
from artbank.scoring.spread import ScoreBounds
from artbank.store.heartbeats import find_leases
from artbank.store.objects import Store

_COLUMNS = tuple(dict.fromkeys((*SUMMARY_COLUMNS, *COLUMNS, "recipe_id", "bank_ids", "created_at")))
"""Columns of the results that summary, page and alarms are made from."""


@dataclass(frozen=True)
class _UpdatedOutput:
    """The tables and the page of an output after a run.

    Attributes:
        rows: The latest rows of the run's styles.
        bounds: Floor and ceiling of each style, by score.
        summary: From `summaries.results_summary`, of `rows`.
        page_key: Key of the page.
        retry_command: See `pages.outcome.page.RunFacts`.
    """

    rows: pa.Table
    bounds: Mapping[str, Bounds]
    summary: Mapping[str, Any]
    page_key: str
    retry_command: str


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
    output = _update_output(config, plan, stores, photos, removed)
    drawn = _rows_of_run(plan, stores.output, output.rows) if plan.run_id else output.rows.slice(0, 0)
    alarms = _find_alarms(config, plan, drawn, output.bounds)
    summary = {
        **output.summary,
        "num_with_other_metadata": _count_other_metadata(output.rows, config.recipe),
        "retry_command": output.retry_command,
        "num_deleted": removed.num_pictures,
        "alarms": [asdict(alarm) for alarm in alarms],
    }
    sheet_key = _write_contact_sheet(config, plan, stores, drawn)
    places = _find_places(stores.output, plan.run_id, output.page_key, sheet_key)
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


def _update_output(
    config: StylizeConfig, plan: StylizePlan, stores: RunStores, photos: pa.Table, removed: RemovedPhotos
) -> _UpdatedOutput:
    """Bring tables and page up to the parts; again, a few times at most, while other runs add parts."""
    turns_left = tables.MOST_TURNS
    while True:
        all_rows = tables.update_tables_and_vacuum(stores.output, photos, columns=_COLUMNS)
        delete_files(stores.output, removed)
        rows = _rows_of_styles(all_rows, plan)
        bounds = {style.name: find_bounds(stores.banks, style.name, style.banks, rows) for style in plan.styles}
        earlier = find_earlier_styles(stores.banks, all_rows, bounds)
        summary = results_summary(rows, bounds, plan.skipped)
        page_bounds = bounds | {style.name: style.bounds for style in earlier}
        page_summary = summary if len(rows) == len(all_rows) else results_summary(all_rows, page_bounds, plan.skipped)
        facts = describe_run(config, plan, stores, bounds, earlier)
        page_key = write_outcome(stores.output, stores.archive, all_rows, page_summary, facts)
        turns_left -= 1
        if not turns_left or tables.is_current(stores.output, photos, all_rows):
            return _UpdatedOutput(rows, bounds, summary, page_key, facts.retry_command)


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
