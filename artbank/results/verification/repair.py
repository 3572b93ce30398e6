"""Mending what a verification found: exactly that is drawn again, by runs of those configs that drew it first.

Nothing is told as done that is not: a picture that is missing or damaged, and a row that is lost, get a row that says
`damaged` before anything else happens. Whatever then breaks off, an ordinary run of that style draws them too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from artbank.config import StylizeConfig, style_folder
from artbank.errors import ResultsError
from artbank.records import Result
from artbank.results import layout, ledger, pending
from artbank.results.verification.inventory import PAIR, REPAIR
from artbank.results.verification.verify import Report
from artbank.store.objects import Store
from artbank.store.parquet import read_table

_ROWS_AT_ONCE = 4096  # rows of one part
_MISSING = "its picture was missing when the output was verified"
_DAMAGED = "its picture was not as it was written when the output was verified"
_LOST = "the row that told what became of it was lost when the output was verified"
_EXACTLY = {
    **{"retry_failed": True, "failures": ("damaged",)},
    **{"include": (), "exclude": (), "limit": None, "dry_run": False},
}
_CLEARED = dict.fromkeys(
    (*("file_name", "file_size", "file_sha256", "width_px", "height_px", "seed", "scorer", "ssim"),
     *("clip_style", "clip_style_floor", "clip_text", "clip_content", "clip_direction"))
)  # fmt: skip


@dataclass(frozen=True)
class Repair:
    """What is to be drawn again.

    Attributes:
        configs: Runs that draw it and nothing else.
        wanted: `key`, `style` and `recipe_id` of all that should be drawn again.
        unknown: Styles of which no run is known that drew them so; `parameters` of such a run are needed.
    """

    configs: tuple[StylizeConfig, ...]
    wanted: pa.Table
    unknown: tuple[str, ...]


def prepare(report: Report, given: StylizeConfig | None = None) -> Repair:
    """Void the rows that are wrong, then delete what is in the way of a run.

    Args:
        report: What was found.
        given: What to draw with instead of what the output says of its runs, for the styles that it names.

    Raises:
        ResultsError: Only reading the pictures could tell what must be drawn again.
        OSError: The store failed.
    """
    stock = report.stock
    if report.quick and (stray := _named(report, "stray_mark")):
        raise ResultsError(f"{stray[0]} says that pictures were being written, but not which; leave out --quick")
    voided = report.findings.filter(pc.field("kind") == "voided_row").select(PAIR)
    wanted = pa.concat_tables(
        [
            report.faults.select([*PAIR, "recipe_id"]),
            report.lost.select([*PAIR, "recipe_id"]),
            stock.current.join(voided, PAIR, join_type="left semi").select([*PAIR, "recipe_id"]),
        ]
    )
    configs, unknown = _choose_configs(report, wanted, given)
    _void(report, configs)
    _clear_away(report)
    runs: dict[StylizeConfig, set[str]] = {}
    for (style, _), config in configs.items():
        runs.setdefault(config, set()).add(style)
    return Repair(tuple(_only(config, styles) for config, styles in runs.items()), wanted, unknown)


def finish(report: Report, repair: Repair) -> list[str]:
    """Bring the tables up to the parts, forget begun shards that are settled, and delete what killed writes left.

    Returns:
        What could not be mended, in sentences.

    Raises:
        OSError: The store failed.
    """
    output = report.stock.output
    output.delete_many(_named(report, "leftover"))
    photos = report.stock.list_photos()
    left = [f"{name}: the store does not give it" for name in _named(report, "unread_picture")]
    if photos is not None:
        pending.settle(output)
        ledger.write_view(output, photos)
    elif _named(report, "stale_table") and not repair.configs:  # a run writes them
        left.append("the tables are not up to the parts, and the archive is not known: run stylize again")
    return [*left, *(f"style {name}: its runs left no config; give one with --parameters" for name in repair.unknown)]


def find_undone(report: Report, repair: Repair) -> tuple[list[str], list[str]]:
    """Return what should have been drawn again and was not, in sentences: for reasons that can be helped, and removed.

    Raises:
        ResultsError: A part cannot be read.
    """
    rows = ledger.latest_rows(
        ledger.read_ledger(report.stock.output, [*PAIR, "status", "failure", "reason", "created_at"])
    )
    failed = rows.filter(pc.field("status") == "failed").join(repair.wanted.select(PAIR), PAIR, join_type="left semi")
    photos = report.stock.photos
    kept = failed if photos is None else failed.filter(pc.field("key").isin(photos["key"].combine_chunks()))
    gone = failed.join(kept.select(PAIR), PAIR, join_type="left anti").select(PAIR).to_pylist()
    left = [f"{row['key']} in {row['style']}: {_reason(row)}" for row in kept.to_pylist()]
    text = "its photo is no longer in the archive, so that its row stays failed and is in no table"
    return sorted(left), sorted(f"{row['key']} in {row['style']}: {text}" for row in gone)


def _reason(row: dict[str, str]) -> str:
    if row["failure"] == "damaged":
        return "no run draws it as before: its style or base model is another now; an ordinary run draws it anew"
    return row["reason"]


def _choose_configs(
    report: Report, wanted: pa.Table, given: StylizeConfig | None
) -> tuple[dict[tuple[str, str], StylizeConfig], tuple[str, ...]]:
    """Return for each style and recipe that is wanted the newest config that drew it, and the styles without any."""
    stock = report.stock
    known: dict[tuple[str, str], StylizeConfig] = {}
    for run, config in stock.configs.items():
        known |= dict.fromkeys(stock.recipes.get(run, {}).items(), config)
    chosen: dict[tuple[str, str], StylizeConfig] = {}
    unknown = set()
    for row in wanted.group_by(["style", "recipe_id"]).aggregate([]).to_pylist():
        name = (row["style"], row["recipe_id"])
        config = given if given and name[0] in map(style_folder, given.styles) else known.get(name)
        if config is None:
            unknown.add(name[0])
        else:
            chosen[name] = config.model_copy(update=_EXACTLY | {"output_uri": stock.output.uri})
    return dict(sorted(chosen.items())), tuple(sorted(unknown))


def _only(config: StylizeConfig, styles: set[str]) -> StylizeConfig:
    """Return the config of a run that draws what is voided in some styles, and nothing else."""
    return config.model_copy(update={"styles": tuple(s for s in config.styles if style_folder(s) in styles)})


def _void(report: Report, configs: dict[tuple[str, str], StylizeConfig]) -> None:
    """Commit a row that says `damaged` for all that is wrong; where that was done before, it stands."""
    output, now = report.stock.output, datetime.now(UTC)
    batches = [rows for rows in (*_void_faults(report, now), *_void_lost(report, configs, now)) if rows]
    names = [f"{row.key}\n{row.style}" for batch in batches for row in batch]
    facts = "\n\n".join([*names, *sorted(report.stock.parts)])
    repair_id = f"{REPAIR}{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
    for number, rows in enumerate(batches):
        ledger.commit(output, f"{repair_id}-{number:05d}", rows)


def _void_faults(report: Report, now: datetime) -> Iterator[list[Result]]:
    faults = report.faults.sort_by([("shard", "ascending"), *((name, "ascending") for name in PAIR)])
    for start in range(0, len(faults), _ROWS_AT_ONCE):
        some = faults.slice(start, _ROWS_AT_ONCE)
        missing = set(some.filter(pc.field("kind") == "missing_picture")["file_name"].to_pylist())
        yield [_void_row(row, row.file_name in missing, now) for row in _read_rows(report.stock.output, some)]


def _void_row(row: Result, is_missing: bool, now: datetime) -> Result:
    reason = f"{_MISSING if is_missing else _DAMAGED}: {row.file_name}"
    at = max(now, row.created_at + timedelta(microseconds=1))  # it must be the current one, whatever clock wrote that
    return replace(row, **_CLEARED, flags=[], status="failed", failure="damaged", reason=reason, created_at=at)


def _read_rows(output: Store, some: pa.Table) -> list[Result]:
    """Read the whole rows of which some columns are given."""
    keys = [layout.part_key(shard) for shard in pc.unique(some["shard"]).to_pylist()]
    wanted = {(row["key"], row["style"], row["created_at"]) for row in some.to_pylist()}
    found: list[Result] = []
    for data in output.read_many(keys).values():
        if isinstance(data, Exception):
            raise data
        rows = read_table(data, Result.SCHEMA).filter(pc.field("key").isin(some["key"].combine_chunks()))
        found += [row for row in Result.from_table(rows) if (row.key, row.style, row.created_at) in wanted]
    return sorted(found, key=lambda row: (row.key, row.style))


def _void_lost(report: Report, configs: dict[tuple[str, str], StylizeConfig], now: datetime) -> Iterator[list[Result]]:
    for start in range(0, len(report.lost), _ROWS_AT_ONCE):
        rows = report.lost.slice(start, _ROWS_AT_ONCE).to_pylist()
        known = [(row, configs.get((row["style"], row["recipe_id"]))) for row in rows]
        yield [_lost_row(row, config, now) for row, config in known if config is not None]


def _lost_row(row: dict[str, object], config: StylizeConfig, now: datetime) -> Result:
    facts = {name: row[name] for name in ("key", "size", "etag", "style", "recipe_id")}
    recipe = {"base_model": config.base_model, "base_model_hash": "", "recipe": config.recipe.model_dump_json()}
    failed = {"sha256": None, "status": "failed", "failure": "damaged", "reason": _LOST, "bank_ids": []}
    return Result(**facts, **recipe, **failed, seconds=0.0, created_at=now)  # pyright: ignore[reportArgumentType]


def _clear_away(report: Report) -> None:
    """Delete what no run could read, and notes of begun shards that say nothing."""
    kinds = ("bad_part", "damaged_manifest", "settled_mark", "stray_mark")
    report.stock.output.delete_many(name for kind in kinds for name in _named(report, kind))


def _named(report: Report, kind: str) -> list[str]:
    return report.findings.filter(pc.field("kind") == kind)["file_name"].to_pylist()
