"""Whether an output is what its parts say: every picture, part, manifest and table is looked at, and nothing changed.

Not while a run is at work on the output: its open shards would be taken for broken off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artbank.results.layout import part_key
from artbank.results.manifest import manifest_of
from artbank.results.verification.inventory import PAIR, REPAIR, Holdings, is_in, take_stock
from artbank.results.verification.pictures import Progress, find_faults
from artbank.results.verification.tables import find_stale
from artbank.store.objects import Store

__all__ = ["NOTES", "PROBLEMS", "Report", "verify"]

PROBLEMS = {
    "missing_picture": "--repair draws it again",
    "damaged_picture": "--repair draws it again",
    "unread_picture": "see to the store, then verify again",
    "lost_row": "--repair draws it, and so does the stylize command of its run",
    "voided_row": "--repair draws it again, and so does the stylize command of its run",
    "bad_part": "--repair deletes it and draws its pictures again",
    "damaged_manifest": "--repair deletes it; whether its shards were done only their stylize command finds out",
    "stray_mark": "no run can plan while it is there; --repair without --quick deletes it",
    "open_shard": "--repair does what has no row, and so does the stylize command of its run",
    "stale_table": "--repair writes it anew, and so does any run",
}
"""The kinds of problem, and what to do about each."""

NOTES = {
    "covered_shard": "its photos have rows in its styles; a run that is still wanted goes on by its stylize command",
    "settled_mark": "its shard is done; --repair deletes it",
    "part_without_manifest": "its rows count; what they were asked for can no longer be checked",
    "removed_photo": "its photo is no longer in the archive, so nothing can be done and its row is in no table",
    "leftover": "a write was cut off here; --repair deletes it",
    "orphan": "no row names it; delete it or leave it, artbank does neither",
}
"""What is told and is no problem."""

_FINDING = pa.schema([(name, pa.string()) for name in ("kind", *PAIR, "file_name", "text")])
_NAMED_ORPHANS = 10
_OLD_SECONDS = 3600.0  # no write takes longer


@dataclass(frozen=True)
class Report:
    """What a verification found.

    Attributes:
        findings: `kind`, `key`, `style`, `file_name` and `text` of all that is worth a word.
        stock: What the output held.
        faults: The current rows whose pictures are missing or damaged, with `kind` and `text`.
        lost: What has no good row: `key`, `style`, `size`, `etag`, `recipe_id` and `shard`, each photo and style once.
        num_pictures: Pictures that should be there.
        num_orphans: Pictures that no row names; the first few of them are findings.
        quick: Whether no picture was read.
    """

    findings: pa.Table
    stock: Holdings
    faults: pa.Table
    lost: pa.Table
    num_pictures: int
    num_orphans: int
    quick: bool

    @property
    def problems(self) -> pa.Table:
        """The findings that something must be done about."""
        return self.findings.filter(is_in("kind", PROBLEMS))

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        counted = dict(zip(*self.findings["kind"].value_counts().flatten(), strict=True)) if self.findings else {}
        found = {kind.as_py(): number.as_py() for kind, number in counted.items()}
        found |= {"orphan": self.num_orphans} if self.num_orphans else {}
        return {kind: found[kind] for kind in (*PROBLEMS, *NOTES) if kind in found}


def verify(output: Store, *, quick: bool = False, progress: Progress = lambda done, total: None) -> Report:
    """Look whether every row has its picture, every shard its part, and every table the rows of the parts.

    Args:
        output: The output of runs.
        quick: Compare the names and sizes of one listing, and read no picture.
        progress: Called with how many pictures are looked at, and how many there are.

    Raises:
        OSError: The store failed.
    """
    stock = take_stock(output)
    done = stock.current.filter(pc.field("status") == "done")
    found = find_faults(output, done, stock.files, quick=quick, progress=progress)
    lost, gaps = _find_lost(stock, found)
    faults = found.join(lost.select(PAIR), PAIR, join_type="left anti")
    orphans = stock.pictures.join(_column(stock.rows["file_name"], "key"), "key", join_type="left anti")
    findings = [
        *(_name(kind, shard, text) for kind, shard, text in _look_at_shards(stock, gaps)),
        *(_name("damaged_manifest", f"manifests/{name}.parquet", text) for name, text in stock.bad_manifests.items()),
        _finding(faults),
        _finding(_explain_lost(stock, lost)),
        _finding(_find_voided(stock)),
        *(_name("stale_table", name, text) for name, text in find_stale(stock)),
        *(_name("leftover", key, "") for key in output.list_leftovers(older_than_seconds=_OLD_SECONDS)),
        *(_name("orphan", key, "") for key in sorted(orphans["key"].to_pylist())[:_NAMED_ORPHANS]),
    ]
    table = pa.concat_tables([_FINDING.empty_table(), *findings])
    order = [(name, "ascending") for name in ("kind", *PAIR, "file_name")]
    repairable = faults.filter(pc.field("kind") != "unread_picture")
    return Report(table.sort_by(order), stock, repairable, lost, len(done), len(orphans), quick)


def _find_lost(stock: Holdings, faults: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return what runs were to do and no good row tells of, and how much of that each open shard has.

    A bad part may have told of newer pictures than the good rows that are left: who has one whose picture is as it says
    is taken at its word.
    """
    current = stock.current
    vouched = current.filter(pc.field("status") == "done").join(faults.select(PAIR), PAIR, join_type="left anti")
    gone = stock.asked.filter(is_in("shard", stock.bad_parts)).join(vouched.select(PAIR), PAIR, join_type="left anti")
    undone = stock.asked.filter(~is_in("shard", stock.parts)).join(current.select(PAIR), PAIR, join_type="left anti")
    facts = [
        {"manifest": name, "style": style, "recipe_id": recipe, "age": stock.age(name)}
        for name, recipes in stock.recipes.items()
        for style, recipe in recipes.items()
    ]
    schema = pa.schema(
        [("manifest", pa.string()), ("style", pa.string()), ("recipe_id", pa.string()), ("age", pa.int64())]
    )
    lost = pa.concat_tables([undone, gone])
    lost = lost.append_column("manifest", pc.replace_substring_regex(lost["shard"], r"-\d+$", ""))
    lost = lost.join(pa.Table.from_pylist(facts, schema=schema), ["manifest", "style"])
    lost = lost.sort_by([("age", "ascending"), ("shard", "ascending")])
    kept = ["size", "etag", "recipe_id", "shard"]
    once = lost.group_by(PAIR, use_threads=False).aggregate([(name, "last") for name in kept])
    once = once.rename_columns([name.removesuffix("_last") for name in once.column_names])
    return once.sort_by([(name, "ascending") for name in PAIR]), undone


def _look_at_shards(stock: Holdings, gaps: pa.Table) -> Iterable[tuple[str, str, str]]:
    """Tell of bad parts, parts without a manifest, shards without a part, and notes of begun shards."""
    shards = set(pc.unique(stock.asked["shard"]).to_pylist())
    lacking = {row["values"]: row["counts"] for row in gaps["shard"].value_counts().to_pylist()}
    for shard, text in stock.bad_parts.items():
        yield "bad_part", part_key(shard), text
    for shard in sorted(stock.parts):
        known = manifest_of(shard) in stock.recipes.keys() | stock.bad_manifests.keys() or shard.startswith(REPAIR)
        if not known:
            yield "part_without_manifest", part_key(shard), ""
    for shard in sorted(shards - stock.parts):
        state = "begun and broken off" if shard in stock.marks else "never begun, or its part was deleted"
        text = f"{state}; {lacking[shard]} photos and styles have no row" if shard in lacking else state
        yield "open_shard" if shard in lacking else "covered_shard", part_key(shard), text
    for shard in sorted(stock.marks - (shards - stock.parts)):
        kind = "settled_mark" if shard in stock.parts else "stray_mark"
        yield kind, f"results/_begun-{shard}", "" if shard in stock.parts else "there is no such shard"


def _find_voided(stock: Holdings) -> pa.Table:
    """Return the current rows that say that a picture was found damaged, and was not drawn again since."""
    voided = stock.current.filter((pc.field("status") == "failed") & (pc.field("failure") == "damaged"))
    if len(voided) and stock.photos is not None:
        kinds = pc.if_else(pc.is_in(voided["key"], stock.photos["key"].combine_chunks()), "voided_row", "removed_photo")
    else:
        kinds = pa.array(["voided_row"] * len(voided), pa.string())
    text = "its picture was found damaged and has not been drawn again"
    return voided.append_column("kind", kinds).append_column("text", pa.array([text] * len(voided), pa.string()))


def _explain_lost(stock: Holdings, lost: pa.Table) -> pa.Table:
    spoilt = pc.is_in(lost["shard"], pa.array(list(stock.bad_parts), pa.string()))
    why = pc.if_else(spoilt, "the part with its row is unreadable or wrong: ", "no part has a row of it: ")
    text = pc.binary_join_element_wise(why, lost["shard"], "")
    columns = {"kind": pa.array(["lost_row"] * len(lost), pa.string()), "text": text}
    return pa.table({**{name: lost[name] for name in PAIR}, "file_name": pa.nulls(len(lost), pa.string()), **columns})


def _finding(rows: pa.Table) -> pa.Table:
    return rows.select(_FINDING.names).cast(_FINDING)


def _name(kind: str, file_name: str, text: str) -> pa.Table:
    return pa.Table.from_pylist([{"kind": kind, "file_name": file_name, "text": text}], schema=_FINDING)


def _column(values: pa.ChunkedArray, name: str) -> pa.Table:
    return pa.table({name: values.drop_null()})
