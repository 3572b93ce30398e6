"""What an output holds: one listing, and all manifests, parts and configs read, whatever state they are in."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from artbank.records import Result
from artbank.results import layout, ledger, pending
from artbank.results.manifest import Manifest
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema, read_table

logger = logging.getLogger(__name__)

PAIR = ["key", "style"]
REPAIR = "repair-"
"""How the ids of parts begin that void rows; they have no manifest."""

_COLUMNS = (
    *("key", "size", "etag", "style", "recipe_id", "status", "failure"),
    *("file_name", "file_size", "file_sha256", "created_at"),
)
_REQUIRED = ("key", "style", "recipe_id", "status", "created_at")
_TEXT = pa.string()
_ASKED = pa.schema([("key", _TEXT), ("size", pa.int64()), ("etag", _TEXT), ("shard", _TEXT), ("style", _TEXT)])
_ROWS = cast_to_schema(Result.SCHEMA.empty_table(), Result.SCHEMA, _COLUMNS).schema.append(pa.field("shard", _TEXT))
_NAMES_ONLY = pa.schema([("shard", _TEXT), ("key", _TEXT), ("style", _TEXT), ("count", pa.int64())])
_READ_AT_ONCE = 512
_OWN_FILES = r"^(results|manifests|runs|report)/|^(results|metadata)\.parquet$"


@dataclass(frozen=True)
class Holdings:
    """What an output holds.

    Attributes:
        output: Where.
        files: Key and size of all that is there, but for hidden files.
        asked: What readable manifests ask for: `shard`, `key`, `size`, `etag` and `style`.
        recipes: Recipe ids by style, of each readable manifest.
        rows: The rows of all parts that can be read, and `shard`, the id that is their part's name.
        bad_manifests: Ids of the others, and what is wrong with them.
        bad_parts: Ids of parts that are not what their shard's worker wrote, and what is wrong with them.
    """

    output: Store
    files: pa.Table
    asked: pa.Table
    recipes: dict[str, dict[str, str]]
    rows: pa.Table
    bad_manifests: dict[str, str]
    bad_parts: dict[str, str]

    @property
    def pictures(self) -> pa.Table:
        """The files that are neither tables, parts, manifests nor of a run."""
        return self.files.filter(~pc.match_substring_regex(pc.field("key"), _OWN_FILES))

    @cached_property
    def parts(self) -> set[str]:
        """Ids of all shards that have a part, good or bad."""
        return set(names_in(self.files, "results/part-", ".parquet"))

    @cached_property
    def marks(self) -> set[str]:
        """Ids of the shards that are noted as begun."""
        return set(names_in(self.files, "results/_begun-", ""))

    @cached_property
    def current(self) -> pa.Table:
        """The row written last of each photo and style, bad parts left out; sorted by both."""
        good = self.rows.filter(~is_in("shard", self.bad_parts)) if self.bad_parts else self.rows
        return ledger.latest_rows(good).sort_by([(name, "ascending") for name in PAIR])

    @cached_property
    def configs(self) -> dict[str, StylizeConfig]:
        """What runs were asked to do, by manifest, those last that have the newest rows."""
        found: dict[str, StylizeConfig] = {}
        for name in (layout.CONFIG, "summary.json"):
            runs = [run for run in names_in(self.files, "runs/", f"/{name}") if run not in found]
            for run, data in _read_all(self.output, {run: layout.run_key(run, name) for run in runs}):
                if isinstance(data, bytes) and (config := _parse_config(run, data)):
                    found[run] = config
        return dict(sorted(found.items(), key=lambda item: (self.age(item[0]), item[0])))

    @cached_property
    def photos(self) -> pa.Table | None:
        """The archive of the newest run as it is listed now; None where it is not known, or nothing is there."""
        return self.list_photos()

    def list_photos(self) -> pa.Table | None:
        """List the same archive anew."""
        if not self.configs:
            return None
        uri = list(self.configs.values())[-1].archive_uri
        try:
            found = pending.list_archive(Store.open(uri))
        except Exception as error:  # whatever keeps us from it, the output can be looked at without
            logger.warning("the archive %s cannot be listed: %s", uri, error)
            return None
        return found if len(found) else None

    def age(self, manifest_id: str) -> int:
        """Return a number that is larger for a manifest with newer rows; 0 for one without any."""
        return self._newest.get(manifest_id, 0)

    @cached_property
    def _newest(self) -> dict[str, int]:
        of = pc.replace_substring_regex(self.rows["shard"], r"-\d+$", "")
        times = pa.table({"run": of, "at": self.rows["created_at"].cast(pa.int64())}).group_by("run")
        return {row["run"]: row["at_max"] for row in times.aggregate([("at", "max")]).to_pylist()}


def take_stock(output: Store) -> Holdings:
    """Read all that an output says of itself; nothing that is damaged stops it.

    Raises:
        OSError: The store failed.
    """
    files = pending.list_archive(output).select(["key", "size"])
    asked, recipes, bad_manifests = _read_manifests(output, names_in(files, "manifests/", ".parquet"))
    rows, bad_parts = _read_parts(output, names_in(files, "results/part-", ".parquet"))
    bad_parts |= _find_wrong(asked, rows)
    return Holdings(output, files, asked, recipes, rows, bad_manifests, bad_parts)


def names_in(files: pa.Table, start: str, end: str) -> list[str]:
    """Return what stands between a start and an end in the keys that have both, sorted."""
    wanted = pc.starts_with(pc.field("key"), start) & pc.ends_with(pc.field("key"), end)
    keys = sorted(files.filter(wanted)["key"].to_pylist())
    return [key[len(start) : len(key) - len(end)] for key in keys]


def is_in(column: str, names: Iterable[str]) -> pc.Expression:
    """Return the expression that a column's value is one of some texts."""
    return pc.field(column).isin(pa.array(list(names), _TEXT))


def _read_manifests(output: Store, ids: Sequence[str]) -> tuple[pa.Table, dict[str, dict[str, str]], dict[str, str]]:
    asked, recipes, bad = [_ASKED.empty_table()], {}, {}
    for name, data in _read_all(output, {name: layout.manifest_key(name) for name in ids}):
        try:
            manifest = Manifest(output, name, _bytes(data))
            asked.append(manifest.asked().select(_ASKED.names).cast(_ASKED))
            recipes[name] = manifest.recipes
        except (ResultsError, pa.ArrowException, KeyError, ValueError) as error:
            bad[name] = str(error)
    return pa.concat_tables(asked).combine_chunks(), recipes, bad


def _read_parts(output: Store, ids: Sequence[str]) -> tuple[pa.Table, dict[str, str]]:
    tables, bad = [_ROWS.empty_table()], {}
    for name, data in _read_all(output, {name: layout.part_key(name) for name in ids}):
        try:
            table = read_table(_bytes(data), Result.SCHEMA, _COLUMNS)
        except (pa.ArrowException, OSError) as error:
            bad[name] = f"cannot be read: {' '.join(str(error).split())}"
            continue
        if lacking := [column for column in _REQUIRED if table[column].null_count]:
            bad[name] = f"has no {', '.join(lacking)} in some rows"
            continue
        tables.append(table.append_column("shard", pa.repeat(pa.scalar(name, _TEXT), len(table))).cast(_ROWS))
    return pa.concat_tables(tables).combine_chunks(), bad


def _find_wrong(asked: pa.Table, rows: pa.Table) -> dict[str, str]:
    """Return the parts whose photos and styles are not exactly those of their row group."""
    there, known = pc.field("shard").isin(pc.unique(rows["shard"])), pc.field("shard").isin(pc.unique(asked["shard"]))
    sides = [(asked.filter(there), 1), (rows.filter(known), -1)]
    counted = [
        side.select(_NAMES_ONLY.names[:3])
        .append_column("count", pa.repeat(pa.scalar(sign), len(side)))
        .cast(_NAMES_ONLY)
        for side, sign in sides
    ]
    sums = pa.concat_tables(counted).group_by(_NAMES_ONLY.names[:3]).aggregate([("count", "sum")])
    wrong = sums.filter(pc.field("count_sum") != 0).group_by("shard").aggregate([("key", "count")])
    text = "is not what its shard came to: {} photos and styles are lacking or not the shard's"
    return {row["shard"]: text.format(row["key_count"]) for row in wrong.to_pylist()}


def _read_all(output: Store, keys: dict[str, str]) -> Iterator[tuple[str, bytes | Exception]]:
    """Read objects by name, so many at once; passes over those that were deleted meanwhile."""
    names = list(keys)
    for start in range(0, len(names), _READ_AT_ONCE):
        some = names[start : start + _READ_AT_ONCE]
        found = output.read_many([keys[name] for name in some])
        yield from ((name, found[keys[name]]) for name in some if not isinstance(found[keys[name]], FileNotFoundError))


def _bytes(data: bytes | Exception) -> bytes:
    if isinstance(data, Exception):
        raise data
    return data


def _parse_config(run: str, data: bytes) -> StylizeConfig | None:
    try:
        values = json.loads(data)
        return StylizeConfig.model_validate(values.get("config", values))
    except (ValueError, AttributeError, ValidationError) as error:
        logger.warning("what run %s was asked to do cannot be read: %s", run, error)
        return None
