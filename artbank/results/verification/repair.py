"""Repair what a verification found: draw exactly that again, with the configs of the runs that drew it first.

Before anything else, their rows are voided, see `voided_rows`. If the repair then stops halfway, an
ordinary run of that style draws the rest. A repair that could draw nothing, because photos or banks
are not where they are said to be, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artbank.config import StylizeConfig
from artbank.errors import ConfigError, ResultsError
from artbank.results import known_parts, ledger, pending, tables
from artbank.results.recorded_runs import is_foreign_runner
from artbank.results.verification.inventory import PAIR
from artbank.results.verification.verify import Report
from artbank.results.verification.voided_rows import commit_voided
from artbank.runtime.style_names import style_folder

_EXACTLY = {
    **{"retry_failed": True, "failures": ("damaged",)},
    **{"include": (), "exclude": (), "limit": None, "dry_run": False, "allow_missing": False, "delete_removed": False},
}


@dataclass(frozen=True)
class Repair:
    """The pictures that a repair draws again.

    Attributes:
        configs: Configs of runs that draw these pictures and nothing else.
        wanted: `key`, `style` and `recipe_id` of each picture.
        unknown: Styles whose runs left no config; pass the config of such a run with --parameters.
        trusted: Places that only the output names, for people; they are used.
        runners: Runners that the output names; they are not used.
    """

    configs: tuple[StylizeConfig, ...]
    wanted: pa.Table
    unknown: tuple[str, ...]
    trusted: tuple[str, ...]
    runners: tuple[str, ...]


def prepare(report: Report, check: Callable[[StylizeConfig], None] | None = None) -> Repair:
    """Void the rows of bad pictures, then delete the files that would stop a run.

    Args:
        report: From `verify`; its inventory has what the operator says.
        check: Raises a ConfigError if a run with these parameters would find no photos or no banks.

    Raises:
        ResultsError: A quick verification cannot tell what must be drawn again.
        ConfigError: Only the output names the places that are needed, or no run would find photos and banks there.
            Nothing was changed.
        OSError: The store failed.
    """
    inventory = report.inventory
    deleted = known_parts.find_deleted(inventory.output, ledger.list_parts(inventory.output))
    if report.quick and (stray := _files_of(report, "stray_mark")):
        raise ResultsError(
            f"{stray[0]} is the mark of an unknown shard, whose worker may have overwritten any picture; "
            "leave out --quick, so that all pictures are read"
        )
    voided = report.findings.filter(pc.field("kind") == "voided_row").select(PAIR)
    wanted = pa.concat_tables(
        [
            report.faults.select([*PAIR, "recipe_id"]),
            report.lost.select([*PAIR, "recipe_id"]),
            inventory.latest.join(voided, PAIR, join_type="left semi").select([*PAIR, "recipe_id"]),
        ]
    )
    recorded = _find_recorded(report, wanted)
    configs, unknown = _choose_configs(report, recorded)
    if check is not None:
        _check_any(list(configs.values()), check)
    commit_voided(report, configs)
    bad_parts = (key.rpartition("/")[2] for key in _files_of(report, "bad_part"))
    known_parts.forget_parts(inventory.output, [*deleted, *bad_parts])
    _delete_obstacles(report)
    styles_of: dict[StylizeConfig, set[str]] = {}
    for (style, _), config in configs.items():
        styles_of.setdefault(config, set()).add(style)
    chosen = tuple(_restrict(config, styles) for config, styles in styles_of.items())
    used = [config for config in recorded.values() if config is not None]
    runners = {config.runner for config in used if is_foreign_runner(config)}
    return Repair(chosen, wanted, unknown, inventory.operator.describe_places(used), tuple(sorted(runners)))


def finish(report: Report, repair: Repair) -> list[str]:
    """Bring the tables up to the parts, and delete settled marks and what killed writes and runs left.

    Returns:
        What could not be repaired, one sentence each.

    Raises:
        OSError: The store failed.
    """
    output = report.inventory.output
    output.delete_many([*_files_of(report, "leftover"), *_files_of(report, "abandoned_lease")])
    photos = report.inventory.list_photos()
    left = [f"{name}: the store cannot read it" for name in _files_of(report, "unread_picture")]
    if photos is not None:
        pending.delete_settled_marks(output)
        try:
            report.inventory.check_photos(photos)
            tables.settle_tables(output, photos)
        except ConfigError as error:
            left.append(f"the tables stay as they are: {error}")
    elif _files_of(report, "stale_table") and not repair.configs:  # a run writes them
        archive = report.inventory.unnamed_archive
        known = f"only the output names the archive, {archive}: pass --photos or --trust-output"
        unknown = "the archive is unknown: pass --photos, or run stylize again"
        left.append(f"the tables do not follow from the parts, and {known if archive else unknown}")
    left += [f"style {name}: its runs left no config; pass one with --parameters" for name in repair.unknown]
    return left


def find_undone(report: Report, repair: Repair, failed_styles: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the pictures that should have been drawn again and were not, one sentence each.

    Args:
        report: From `verify`.
        repair: From `prepare`.
        failed_styles: Folders of the styles whose run failed.

    Returns:
        Those whose photo is in the archive, and those whose photo was removed.

    Raises:
        ResultsError: A part cannot be read.
    """
    columns = [*PAIR, "status", "failure", "reason", "created_at"]
    rows = ledger.latest_rows(ledger.read_ledger(report.inventory.output, columns))
    failed = rows.filter(pc.field("status") == "failed").join(repair.wanted.select(PAIR), PAIR, join_type="left semi")
    photos = report.inventory.photos
    kept = failed if photos is None else failed.filter(pc.field("key").isin(photos["key"].combine_chunks()))
    removed = failed.join(kept.select(PAIR), PAIR, join_type="left anti").select(PAIR).to_pylist()
    left = [f"{row['key']} in {row['style']}: {_reason(row, failed_styles)}" for row in kept.to_pylist()]
    text = "its photo is no longer in the archive, so its row stays failed and is in no table"
    return sorted(left), sorted(f"{row['key']} in {row['style']}: {text}" for row in removed)


def _check_any(configs: Sequence[StylizeConfig], check: Callable[[StylizeConfig], None]) -> None:
    """Check that at least one of the runs can draw; those that cannot fail by themselves, and spare the others.

    Raises:
        ConfigError: None can; the error of the first.
        OSError: A store failed.
    """
    errors = []
    for config in dict.fromkeys(configs):
        try:
            check(config)
            return
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _reason(row: dict[str, str], failed_styles: Collection[str]) -> str:
    if row["failure"] == "damaged" and row["style"] in failed_styles:
        return "the run that should draw it failed"
    if row["failure"] == "damaged":
        return "its style or base model has changed, so no run draws the same picture; an ordinary run draws a new one"
    return row["reason"]


def _find_recorded(report: Report, wanted: pa.Table) -> dict[tuple[str, str], StylizeConfig | None]:
    """Return the newest recorded parameters of each wanted style and recipe; None if there are none."""
    inventory = report.inventory
    known: dict[tuple[str, str], StylizeConfig] = {}
    for run, config in inventory.configs.items():
        known |= dict.fromkeys(inventory.recipes.get(run, {}).items(), config)
    names = wanted.group_by(["style", "recipe_id"]).aggregate([]).to_pylist()
    return {name: known.get(name) for name in sorted((row["style"], row["recipe_id"]) for row in names)}


def _choose_configs(
    report: Report, recorded: Mapping[tuple[str, str], StylizeConfig | None]
) -> tuple[dict[tuple[str, str], StylizeConfig], tuple[str, ...]]:
    """Return the parameters that draw each wanted style and recipe, and the styles without any."""
    output_uri = report.inventory.output.uri
    operator = report.inventory.operator
    needed = {name: config for name, config in recorded.items() if not operator.draws(name[0])}
    operator.check_named([config for config in needed.values() if config is not None])
    chosen: dict[tuple[str, str], StylizeConfig] = {}
    for name, config in recorded.items():
        if name not in needed:
            chosen[name] = operator.settle_given(output_uri)
        elif config is not None:
            chosen[name] = operator.settle(config)
    update = _EXACTLY | {"output_uri": output_uri}
    unknown = tuple(sorted({style for style, _ in recorded.keys() - chosen.keys()}))
    return {name: config.model_copy(update=update) for name, config in chosen.items()}, unknown


def _restrict(config: StylizeConfig, styles: set[str]) -> StylizeConfig:
    """Return the config of a run that draws the voided pictures of some styles, and nothing else."""
    return config.model_copy(update={"styles": tuple(s for s in config.styles if style_folder(s) in styles)})


def _delete_obstacles(report: Report) -> None:
    """Delete damaged parts and manifests, which no run could read, and marks without meaning."""
    kinds = ("bad_part", "damaged_manifest", "settled_mark", "stray_mark")
    report.inventory.output.delete_many(name for kind in kinds for name in _files_of(report, kind))


def _files_of(report: Report, kind: str) -> list[str]:
    return report.findings.filter(pc.field("kind") == kind)["file_name"].to_pylist()
