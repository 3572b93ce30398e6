"""Repair what a verification found: draw exactly that again, with the configs of the runs that drew it first.

Before anything else, every missing or damaged picture and every lost row gets a row with the
failure `damaged`, so that nothing counts as done that is not. If the repair then stops halfway, an
ordinary run of that style draws the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import sliced

from artbank.config import StylizeConfig
from artbank.errors import ConfigError, ResultsError
from artbank.records.photo_records import Result
from artbank.results import known_parts, layout, ledger, pending, tables
from artbank.results.manifest import manifest_of
from artbank.results.recorded_runs import is_foreign_runner
from artbank.results.verification.inventory import PAIR, REPAIR
from artbank.results.verification.verify import Report
from artbank.runtime.hashing import short_hash
from artbank.runtime.style_names import style_folder
from artbank.store.objects import Store
from artbank.store.parquet import read_table

_ROWS_AT_ONCE = 4096  # rows of one part
_MISSING = "its picture was missing when the output was verified"
_DAMAGED = "its picture was damaged when the output was verified"
_LOST = "no part had its row when the output was verified"
_EXACTLY = {
    **{"retry_failed": True, "failures": ("damaged",)},
    **{"include": (), "exclude": (), "limit": None, "dry_run": False, "allow_missing": False},
}
_CLEARED = dict.fromkeys(
    (*("file_name", "file_size", "file_sha256", "width_px", "height_px", "seed", "scorer", "ssim"),
     *("clip_style", "clip_style_floor", "clip_style_recoloured", "clip_text", "clip_content", "clip_direction"),
     *("dino_structure", "structure_model", "csd_style", "csd_style_floor", "style_model"),
     *("clip_texture", "clip_texture_floor"),
     *("structure", "lightness", "strength", "gain", "candidates"),
     *("kept_metadata", "photo_marks", "prompt"))
)  # fmt: skip


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
    trusted: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()


def prepare(report: Report) -> Repair:
    """Void the rows of bad pictures, then delete the files that would stop a run.

    Args:
        report: From `verify`; its inventory has what the operator says.

    Raises:
        ResultsError: A quick verification cannot tell what must be drawn again.
        ConfigError: Only the output names the places that are needed. Nothing was changed.
        OSError: The store failed.
    """
    inventory = report.inventory
    gone = known_parts.find_gone(inventory.output, ledger.list_parts(inventory.output))
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
    _void(report, configs)
    bad_parts = (key.rpartition("/")[2] for key in _files_of(report, "bad_part"))
    known_parts.forget_parts(inventory.output, [*gone, *bad_parts])
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
            tables.update_tables_and_vacuum(output, photos)
        except ConfigError as error:
            left.append(f"the tables stay as they are: {error}")
    elif _files_of(report, "stale_table") and not repair.configs:  # a run writes them
        archive = report.inventory.unnamed_archive
        known = f"only the output names the archive, {archive}: pass --photos or --trust-output"
        unknown = "the archive is unknown: pass --photos, or run stylize again"
        left.append(f"the tables do not follow from the parts, and {known if archive else unknown}")
    left += [f"style {name}: its runs left no config; pass one with --parameters" for name in repair.unknown]
    return left


def find_undone(report: Report, repair: Repair) -> tuple[list[str], list[str]]:
    """Return the pictures that should have been drawn again and were not, one sentence each.

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
    left = [f"{row['key']} in {row['style']}: {_reason(row)}" for row in kept.to_pylist()]
    text = "its photo is no longer in the archive, so its row stays failed and is in no table"
    return sorted(left), sorted(f"{row['key']} in {row['style']}: {text}" for row in removed)


def _reason(row: dict[str, str]) -> str:
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


def _void(report: Report, configs: dict[tuple[str, str], StylizeConfig]) -> None:
    """Commit a row with the failure `damaged` for each bad or lost picture; an earlier repair's part stays."""
    now = datetime.now(UTC)
    batches = [rows for rows in (*_void_faults(report, now), *_void_lost(report, configs, now)) if rows]
    names = [f"{row.key}\n{row.style}" for batch in batches for row in batch]
    content = "\n\n".join([*names, *sorted(report.inventory.parts)])
    repair_id = f"{REPAIR}{short_hash(content)}"
    for number, rows in enumerate(batches):
        ledger.commit(report.inventory.output, f"{repair_id}-{number:05d}", rows)


def _void_faults(report: Report, now: datetime) -> Iterator[list[Result]]:
    faults = report.faults.sort_by([("shard", "ascending"), *((name, "ascending") for name in PAIR)])
    for some in sliced(faults, _ROWS_AT_ONCE):
        missing = set(some.filter(pc.field("kind") == "missing_picture")["file_name"].to_pylist())
        yield [_void_row(row, row.file_name in missing, now) for row in _read_rows(report.inventory.output, some)]


def _void_row(row: Result, is_missing: bool, now: datetime) -> Result:
    reason = f"{_MISSING if is_missing else _DAMAGED}: {row.file_name}"
    at = max(now, row.created_at + timedelta(microseconds=1))  # it must be the latest row, whatever any clock says
    failed = {"status": "failed", "failure": "damaged", "reason": reason, "created_at": at}
    return replace(row, **_CLEARED, flags=[], **_exactly(row.mark, row.metadata), **failed)


def _exactly(mark: str | None, metadata: str | None) -> dict[str, Any]:
    """Return the columns of a voided row that let a run draw its picture with the same mark and metadata.

    Older versions wrote neither, and their rows do not say so.
    """
    return {"mark": mark or "none", "metadata": metadata or "none"}


def _read_rows(output: Store, some: pa.Table) -> list[Result]:
    """Read all columns of some rows, by key and style.

    Args:
        output: Where the parts are.
        some: The rows, with `shard`, `key`, `style` and `created_at`.
    """
    keys = [layout.part_key(shard_id) for shard_id in pc.unique(some["shard"]).to_pylist()]
    wanted = {(row["key"], row["style"], row["created_at"]) for row in some.to_pylist()}
    found: list[Result] = []
    for data in output.read_many(keys).values():
        if isinstance(data, Exception):
            raise data
        rows = read_table(data, Result.SCHEMA).filter(pc.field("key").isin(some["key"].combine_chunks()))
        found += [row for row in Result.from_table(rows) if (row.key, row.style, row.created_at) in wanted]
    return sorted(found, key=lambda row: (row.key, row.style))


def _void_lost(report: Report, configs: dict[tuple[str, str], StylizeConfig], now: datetime) -> Iterator[list[Result]]:
    for some in sliced(report.lost, _ROWS_AT_ONCE):
        known = [(row, configs.get((row["style"], row["recipe_id"]))) for row in some.to_pylist()]
        own = report.inventory.configs
        yield [
            _lost_row(row, config, own.get(manifest_of(str(row["shard"])), config), now)
            for row, config in known
            if config is not None
        ]


def _lost_row(row: dict[str, object], config: StylizeConfig, own: StylizeConfig, now: datetime) -> Result:
    """Return the voided row of lost work; its `own` run tells mark and metadata, which other runs may have changed."""
    facts = {name: row[name] for name in ("key", "size", "etag", "style", "recipe_id")}
    recipe = {"base_model": config.base_model, "base_model_hash": "", "recipe": config.recipe.model_dump_json()}
    failed = {"sha256": None, "status": "failed", "failure": "damaged", "reason": _LOST, "bank_ids": []}
    exactly = _exactly(own.recipe.mark, own.recipe.metadata)
    return Result(**facts, **recipe, **failed, **exactly, seconds=0.0, created_at=now)  # pyright: ignore[reportArgumentType]


def _delete_obstacles(report: Report) -> None:
    """Delete damaged parts and manifests, which no run could read, and marks without meaning."""
    kinds = ("bad_part", "damaged_manifest", "settled_mark", "stray_mark")
    report.inventory.output.delete_many(name for kind in kinds for name in _files_of(report, kind))


def _files_of(report: Report, kind: str) -> list[str]:
    return report.findings.filter(pc.field("kind") == kind)["file_name"].to_pylist()
