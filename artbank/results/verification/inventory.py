"""Read everything that an output says about itself: one listing, all manifests, parts and configs, damaged or not."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import chunked

from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from artbank.records.photo_records import Result
from artbank.results import archive_listing, layout, ledger
from artbank.results.manifest import Manifest
from artbank.results.missing_photos import check_photos
from artbank.results.output_place import select_pictures
from artbank.results.recorded_runs import MOST_BYTES, Operator, parse_config
from artbank.store.delivered import require
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema, read_table
from artbank.store.skipped import SkippedFiles
from artbank.store.transient_errors import WrongSizeError

logger = logging.getLogger(__name__)

PAIR = ["key", "style"]
_COLUMNS = (
    *("key", "size", "etag", "style", "recipe_id", "status", "failure"),
    *("file_name", "file_size", "file_sha256", "created_at"),
)
_REQUIRED = ("key", "style", "recipe_id", "status", "created_at")
_TEXT = pa.string()
_PLANNED = pa.schema([("key", _TEXT), ("size", pa.int64()), ("etag", _TEXT), ("shard", _TEXT), ("style", _TEXT)])
_ROWS = cast_to_schema(Result.SCHEMA.empty_table(), Result.SCHEMA, _COLUMNS).schema.append(pa.field("shard", _TEXT))
_COUNTED = pa.schema([("shard", _TEXT), ("key", _TEXT), ("style", _TEXT), ("count", pa.int64())])
_READ_AT_ONCE = 512
_PART_KEYS = (f"{layout.PARTS}/{layout.PART_PREFIX}", layout.PART_SUFFIX)


@dataclass(frozen=True)
class Inventory:
    """Everything that an output contains.

    Attributes:
        output: The output.
        files: Key and size of all files, without hidden ones.
        planned: The photos and styles of all readable manifests: `shard`, `key`, `size`, `etag` and `style`.
        recipes: Recipe ids by style, for each readable manifest.
        rows: The rows of all readable parts, with `shard`, the id in the part's name.
        bad_manifests: Ids of damaged manifests, and what is wrong with each.
        bad_parts: Ids of parts that are damaged or do not fit their manifest, and what is wrong
            with each.
        links: The first links in the output.
        operator: What the caller says about the runs of the output.
    """

    output: Store
    files: pa.Table
    planned: pa.Table
    recipes: dict[str, dict[str, str]]
    rows: pa.Table
    bad_manifests: dict[str, str]
    bad_parts: dict[str, str]
    links: tuple[str, ...] = ()
    operator: Operator = field(default_factory=Operator)

    @property
    def pictures(self) -> pa.Table:
        """All files except tables, parts, manifests, the dataset's card, and those of runs and pages."""
        return select_pictures(self.files)

    @cached_property
    def parts(self) -> set[str]:
        """Ids of all shards that have a part, good or bad."""
        return set(names_in(self.files, *_PART_KEYS))

    @cached_property
    def marks(self) -> set[str]:
        """Ids of all shards that have a start mark."""
        return set(names_in(self.files, layout.mark_key(""), ""))

    @cached_property
    def latest(self) -> pa.Table:
        """The latest row of each photo and style, without bad parts; sorted by both."""
        good = self.rows.filter(~is_in("shard", self.bad_parts)) if self.bad_parts else self.rows
        return ledger.latest_rows(good).sort_by([(name, "ascending") for name in PAIR])

    @cached_property
    def configs(self) -> dict[str, StylizeConfig]:
        """The parameters that runs recorded, by manifest id; those with the newest rows last."""
        configs: dict[str, StylizeConfig] = {}
        small_files = self.files.filter(pc.field("size") <= MOST_BYTES)
        for name in (layout.CONFIG, layout.SUMMARY):
            runs = [run for run in names_in(small_files, f"{layout.RUNS}/", f"/{name}") if run not in configs]
            for run, data in _read_all(self.output, self.files, {run: layout.run_key(run, name) for run in runs}):
                if isinstance(data, bytes) and (config := parse_config(run, data)):
                    configs[run] = config
        return dict(sorted(configs.items(), key=lambda item: (self.newest_row(item[0]), item[0])))

    @property
    def newest_config(self) -> StylizeConfig | None:
        """The parameters of the newest run, as it recorded them."""
        return next(reversed(self.configs.values()), None)

    @property
    def unnamed_archive(self) -> str | None:
        """The archive that the newest run names, if the operator neither named one nor trusts the output."""
        if self.newest_config is None or self.operator.trusts_output:
            return None
        return self.operator.name_places(self.newest_config).get("archive_uri")

    def check_photos(self, photos: pa.Table) -> None:
        """Check that the archive still lists the photos of the newest run.

        Raises:
            ConfigError: Too many are missing.
            OSError: The listing leaves out a photo that is there, or the store failed.
        """
        uri, skip = (self.operator.choose(name, self.newest_config) for name in ("archive_uri", "skip"))
        known = self.rows["key"].combine_chunks()
        share = self.operator.given.max_missing_share
        check_photos(Store.open(uri), self.output, photos, known, rules=skip, max_share=share)

    @cached_property
    def photos(self) -> pa.Table | None:
        """The archive, as listed once; see `list_photos`."""
        return self.list_photos()

    def list_photos(self) -> pa.Table | None:
        """List the archive again: the operator's, or that of the newest run if the operator trusts the output.

        Returns:
            `key`, `size` and `etag`; None if the archive is unknown, unreadable or empty.
        """
        uri, skip, checksum = (
            self.operator.choose(name, self.newest_config) for name in ("archive_uri", "skip", "checksum")
        )
        if uri is None:
            return None
        try:
            photos = archive_listing.list_archive(Store.open(uri), skip, checksum=checksum)
        except Exception as error:  # whatever the reason, most of the output can be verified without
            logger.warning("archive %s cannot be listed: %s", uri, error)
            return None
        return photos if len(photos) else None

    def newest_row(self, manifest_id: str) -> int:
        """Return the time of a manifest's newest row in µs since 1970; 0 if it has no rows."""
        return self._newest_rows.get(manifest_id, 0)

    @cached_property
    def _newest_rows(self) -> dict[str, int]:
        runs = pc.replace_substring_regex(self.rows["shard"], r"-\d+$", "")
        times = pa.table({"run": runs, "at": self.rows["created_at"].cast(pa.int64())}).group_by("run")
        return {row["run"]: row["at_max"] for row in times.aggregate([("at", "max")]).to_pylist()}


def read_inventory(output: Store, operator: Operator | None) -> Inventory:
    """Read an output; damaged files do not stop it.

    Args:
        output: The output.
        operator: What the caller says about its runs; nothing by default.

    Raises:
        OSError: The store failed.
    """
    skipped = SkippedFiles()
    files = archive_listing.list_files(output, skipped).select(["key", "size"])
    if skipped.unreadable:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), output.uri_of(skipped.unreadable[0]))
    planned, recipes, bad_manifests = _read_manifests(output, files)
    rows, bad_parts = _read_parts(output, files)
    bad_parts |= _find_mismatched(planned, rows)
    links = next((kind.names for kind in skipped.kinds() if kind.kind == "link"), ())
    facts = (files, planned, recipes, rows, bad_manifests, bad_parts, links)
    return Inventory(output, *facts, operator or Operator())


def names_in(files: pa.Table, start: str, end: str) -> list[str]:
    """Return the middle of all keys that have a given start and end, sorted."""
    wanted = pc.starts_with(pc.field("key"), start) & pc.ends_with(pc.field("key"), end)
    keys = sorted(files.filter(wanted)["key"].to_pylist())
    return [key[len(start) : len(key) - len(end)] for key in keys]


def is_in(column: str, names: Iterable[str]) -> pc.Expression:
    """Return the filter that keeps rows whose column has one of some texts."""
    return pc.field(column).isin(pa.array(list(names), _TEXT))


def _read_manifests(output: Store, files: pa.Table) -> tuple[pa.Table, dict[str, dict[str, str]], dict[str, str]]:
    ids = names_in(files, f"{layout.MANIFESTS}/", ".parquet")
    planned = [_PLANNED.empty_table()]
    recipes: dict[str, dict[str, str]] = {}
    bad: dict[str, str] = {}
    for name, data in _read_all(output, files, {name: layout.manifest_key(name) for name in ids}):
        try:
            manifest = Manifest(output, name, require(data))
            planned.append(manifest.list_pairs().select(_PLANNED.names).cast(_PLANNED))
            recipes[name] = manifest.recipes
        except (ResultsError, pa.ArrowException, KeyError, ValueError) as error:
            bad[name] = str(error)
    return pa.concat_tables(planned).combine_chunks(), recipes, bad


def _read_parts(output: Store, files: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    ids = names_in(files, *_PART_KEYS)
    tables = [_ROWS.empty_table()]
    bad: dict[str, str] = {}
    for name, data in _read_all(output, files, {name: layout.part_key(name) for name in ids}):
        try:
            table = read_table(require(data), Result.SCHEMA, _COLUMNS)
        except (pa.ArrowException, OSError) as error:
            bad[name] = f"cannot be read: {' '.join(str(error).split())}"
            continue
        if empty := [column for column in _REQUIRED if table[column].null_count]:
            bad[name] = f"has no {', '.join(empty)} in some rows"
            continue
        tables.append(table.append_column("shard", pa.repeat(pa.scalar(name, _TEXT), len(table))).cast(_ROWS))
    return pa.concat_tables(tables).combine_chunks(), bad


def _find_mismatched(planned: pa.Table, rows: pa.Table) -> dict[str, str]:
    """Return the parts whose photos and styles are not exactly those of their shard, and how many differ."""
    has_part = pc.field("shard").isin(pc.unique(rows["shard"]))
    has_manifest = pc.field("shard").isin(pc.unique(planned["shard"]))
    counted = [_with_count(planned.filter(has_part), 1), _with_count(rows.filter(has_manifest), -1)]
    sums = pa.concat_tables(counted).group_by(_COUNTED.names[:3]).aggregate([("count", "sum")])
    wrong = sums.filter(pc.field("count_sum") != 0).group_by("shard").aggregate([("key", "count")])
    text = "does not fit its manifest: {} photos and styles are missing or belong to another shard"
    return {row["shard"]: text.format(row["key_count"]) for row in wrong.to_pylist()}


def _with_count(rows: pa.Table, count: int) -> pa.Table:
    names = rows.select(_COUNTED.names[:3])
    return names.append_column("count", pa.repeat(pa.scalar(count), len(rows))).cast(_COUNTED)


def _read_all(output: Store, files: pa.Table, keys: dict[str, str]) -> Iterator[tuple[str, bytes | Exception]]:
    """Read listed objects by name, several hundred at once.

    Raises:
        OSError: An answer of the store contradicts its listing, so whether the object is damaged is not known.
    """
    listed = files.filter(is_in("key", keys.values())).to_pylist()
    sizes = {row["key"]: row["size"] for row in listed}
    for names in chunked(keys, _READ_AT_ONCE):
        contents = output.read_listed({keys[name]: sizes[keys[name]] for name in names})
        for name in names:
            data = contents[keys[name]]
            if isinstance(data, FileNotFoundError | WrongSizeError):
                raise data
            yield name, data
