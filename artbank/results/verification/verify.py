"""Verify that an output is what its parts say: check every picture, part, manifest and table, and change nothing.

Do not verify an output while a run writes to it: the shards that it works on would count as
unfinished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artbank.results import layout
from artbank.results.manifest import manifest_of
from artbank.results.recorded_runs import Operator
from artbank.results.verification.inventory import PAIR, Inventory, is_in, names_in, read_inventory
from artbank.results.verification.pictures import find_faults
from artbank.results.verification.tables import find_stale
from artbank.results.void import VOIDED
from artbank.store.heartbeats import find_leases
from artbank.store.objects import Store

PROBLEMS = {
    "missing_picture": "--repair draws it again",
    "damaged_picture": "--repair draws it again",
    "unread_picture": "mend the store's failure, then verify again",
    "lost_row": "--repair draws it, and so does the stylize command of its run",
    "voided_row": "--repair draws it again, and so does the stylize command of its run",
    "bad_part": "--repair deletes it and draws its pictures again",
    "damaged_manifest": "--repair deletes it; only the stylize command of its run can tell if its shards were done",
    "stray_mark": "no run can start while it exists; --repair without --quick deletes it",
    "link": "artbank reads and writes nothing through it: replace it by what it leads to",
    "open_shard": "--repair draws what has no row, and so does the stylize command of its run",
    "stale_table": "--repair writes it again, and so does any run",
}
"""The kinds of problem, and what to do about each."""

NOTES = {
    "covered_shard": "its photos have rows in its styles; if you still want that run, start its stylize command again",
    "settled_mark": "its shard is done; --repair deletes the mark",
    "part_without_manifest": "its rows count, but cannot be compared with the manifest any more",
    "unlisted_archive": "some rows are in no table; to see if they should be, pass --photos, or --trust-output",
    "removed_photo": "its photo is no longer in the archive: it cannot be drawn again, and its row is in no table",
    "held_lease": "a run writes this style, or was killed on another machine; verify again when no run works",
    "abandoned_lease": "a run was killed; the next run takes over, --repair deletes it",
    "leftover": "a write stopped halfway here; --repair deletes the file",
    "orphan": "no row names it; artbank neither uses nor deletes it",
}
"""The kinds of note: findings that are no problem."""

_FINDING = pa.schema([(name, pa.string()) for name in ("kind", *PAIR, "file_name", "text")])
_NAMED_ORPHANS = 10
_OLD_SECONDS = 3600.0  # no write takes longer


@dataclass(frozen=True)
class Report:
    """The findings of a verification.

    Attributes:
        findings: `kind`, `key`, `style`, `file_name` and `text` of each problem and note.
        inventory: Everything that the output contains.
        faults: The latest rows whose picture is missing or damaged, with `kind` and `text`.
        lost: Photos and styles without a good row: `key`, `style`, `size`, `etag`, `recipe_id` and
            `shard`, each once.
        num_pictures: Pictures that rows name.
        num_orphans: Pictures that no row names; only the first few of them are findings.
        quick: Whether only names and sizes were checked.
    """

    findings: pa.Table
    inventory: Inventory
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
        """The number of findings of each kind, problems first."""
        counts = {row["values"]: row["counts"] for row in self.findings["kind"].value_counts().to_pylist()}
        if self.num_orphans:
            counts["orphan"] = self.num_orphans
        return {kind: counts[kind] for kind in (*PROBLEMS, *NOTES) if kind in counts}


def verify(
    output: Store,
    operator: Operator | None = None,
    *,
    quick: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check that every row has its picture, every shard its part, and every table the rows of the parts.

    Args:
        output: The output of runs.
        operator: What the caller says about its runs, such as where the photos are; nothing by default.
        quick: Compare the names and sizes of one listing only; read no picture.
        progress: Called with the number of checked pictures, and of all.

    Raises:
        OSError: The store failed.
    """
    inventory = read_inventory(output, operator)
    done = inventory.latest.filter(pc.field("status") == "done")
    bad = find_faults(output, done, inventory.files, quick=quick, progress=progress)
    lost, undone = _find_lost(inventory, bad)
    faults = bad.join(lost.select(PAIR), PAIR, join_type="left anti")
    named = pa.table({"key": inventory.rows["file_name"].drop_null()})
    orphans = inventory.pictures.join(named, "key", join_type="left anti")
    findings = [
        *(_make_finding(kind, key, text) for kind, key, text in _check_shards(inventory, undone)),
        *(
            _make_finding("damaged_manifest", layout.manifest_key(name), text)
            for name, text in inventory.bad_manifests.items()
        ),
        _as_findings(faults),
        _as_findings(_describe_lost(inventory, lost)),
        _as_findings(_find_voided(inventory)),
        *(_make_finding(kind, name, text) for kind, name, text in find_stale(inventory)),
        *(_make_finding("link", key, "") for key in inventory.links),
        *(_make_finding(kind, key, "") for kind, key in _check_leases(inventory)),
        *(_make_finding("leftover", key, "") for key in output.list_leftovers(older_than_seconds=_OLD_SECONDS)),
        *(_make_finding("orphan", key, "") for key in sorted(orphans["key"].to_pylist())[:_NAMED_ORPHANS]),
    ]
    table = pa.concat_tables([_FINDING.empty_table(), *findings])
    order = [(name, "ascending") for name in ("kind", *PAIR, "file_name")]
    repairable = faults.filter(pc.field("kind") != "unread_picture")
    return Report(table.sort_by(order), inventory, repairable, lost, len(done), len(orphans), quick)


def _find_lost(inventory: Inventory, faults: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the work of manifests that no good row covers, and the share of it in shards that have no part.

    A bad part may have had newer rows than the good ones that are left. So a photo and style of a
    bad part is lost, unless a good row and its picture still agree.
    """
    latest = inventory.latest
    good = latest.filter(pc.field("status") == "done").join(faults.select(PAIR), PAIR, join_type="left anti")
    in_bad_parts = inventory.planned.filter(is_in("shard", inventory.bad_parts))
    only_in_bad_parts = in_bad_parts.join(good.select(PAIR), PAIR, join_type="left anti")
    without_part = inventory.planned.filter(~is_in("shard", inventory.parts))
    undone = without_part.join(latest.select(PAIR), PAIR, join_type="left anti")
    return _keep_newest(inventory, pa.concat_tables([undone, only_in_bad_parts])), undone


def _keep_newest(inventory: Inventory, lost: pa.Table) -> pa.Table:
    """Add `recipe_id` to lost work and keep each photo and style once, of the manifest with the newest rows."""
    facts = [
        {"manifest": name, "style": style, "recipe_id": recipe, "age": inventory.newest_row(name)}
        for name, recipes in inventory.recipes.items()
        for style, recipe in recipes.items()
    ]
    schema = pa.schema(
        [("manifest", pa.string()), ("style", pa.string()), ("recipe_id", pa.string()), ("age", pa.int64())]
    )
    lost = lost.append_column("manifest", pc.replace_substring_regex(lost["shard"], r"-\d+$", ""))
    lost = lost.join(pa.Table.from_pylist(facts, schema=schema), ["manifest", "style"])
    lost = lost.sort_by([("age", "ascending"), ("shard", "ascending")])
    facts_of_newest = [(name, "last") for name in ("size", "etag", "recipe_id", "shard")]
    newest = lost.group_by(PAIR, use_threads=False).aggregate(facts_of_newest)
    newest = newest.rename_columns([name.removesuffix("_last") for name in newest.column_names])
    return newest.sort_by([(name, "ascending") for name in PAIR])


def _check_shards(inventory: Inventory, undone: pa.Table) -> Iterable[tuple[str, str, str]]:
    """Yield kind, key and text of bad parts, parts without a manifest, shards without a part, and stale marks."""
    shards = set(pc.unique(inventory.planned["shard"]).to_pylist())
    num_undone = {row["values"]: row["counts"] for row in undone["shard"].value_counts().to_pylist()}
    for shard_id, text in inventory.bad_parts.items():
        yield "bad_part", layout.part_key(shard_id), text
    manifests = inventory.recipes.keys() | inventory.bad_manifests.keys()
    for shard_id in sorted(inventory.parts):
        if manifest_of(shard_id) not in manifests and not shard_id.startswith(VOIDED):
            yield "part_without_manifest", layout.part_key(shard_id), ""
    open_shards = shards - inventory.parts
    for shard_id in sorted(open_shards):
        state = "started and not finished" if shard_id in inventory.marks else "never started, or its part was deleted"
        if shard_id in num_undone:
            text = f"{state}; {num_undone[shard_id]} photos and styles have no row"
            yield "open_shard", layout.part_key(shard_id), text
        else:
            yield "covered_shard", layout.part_key(shard_id), state
    for shard_id in sorted(inventory.marks - open_shards):
        if shard_id in inventory.parts:
            yield "settled_mark", layout.mark_key(shard_id), ""
        else:
            yield "stray_mark", layout.mark_key(shard_id), "no manifest has such a shard"


def _check_leases(inventory: Inventory) -> Iterable[tuple[str, str]]:
    """Yield kind and key of the leases on styles."""
    if names_in(inventory.files, f"{layout.LEASES}/", ""):
        for key, is_abandoned in sorted(find_leases(inventory.output, layout.LEASES).items()):
            yield "abandoned_lease" if is_abandoned else "held_lease", key


def _find_voided(inventory: Inventory) -> pa.Table:
    """Return the latest rows that a repair voided and no run has replaced since."""
    voided = inventory.latest.filter((pc.field("status") == "failed") & (pc.field("failure") == "damaged"))
    if len(voided) and inventory.photos is not None:
        in_archive = pc.is_in(voided["key"], inventory.photos["key"].combine_chunks())
        kinds = pc.if_else(in_archive, "voided_row", "removed_photo")
    else:
        kinds = pa.array(["voided_row"] * len(voided), pa.string())
    text = "its picture was found damaged and has not been drawn again"
    return voided.append_column("kind", kinds).append_column("text", pa.array([text] * len(voided), pa.string()))


def _describe_lost(inventory: Inventory, lost: pa.Table) -> pa.Table:
    is_in_bad_part = pc.is_in(lost["shard"], pa.array(list(inventory.bad_parts), pa.string()))
    why = pc.if_else(is_in_bad_part, "the part with its row is unreadable or wrong: ", "no part has its row: ")
    columns = {
        "kind": pa.array(["lost_row"] * len(lost), pa.string()),
        **{name: lost[name] for name in PAIR},
        "file_name": pa.nulls(len(lost), pa.string()),
        "text": pc.binary_join_element_wise(why, lost["shard"], ""),
    }
    return pa.table(columns)


def _as_findings(rows: pa.Table) -> pa.Table:
    return rows.select(_FINDING.names).cast(_FINDING)


def _make_finding(kind: str, file_name: str, text: str) -> pa.Table:
    return pa.Table.from_pylist([{"kind": kind, "file_name": file_name, "text": text}], schema=_FINDING)
