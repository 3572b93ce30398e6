"""Delete pictures from containers once no latest row names them.

    <output>/results/_trimmed.json      size and number of pictures of each container that was checked

A photo that is drawn again gets a row of another shard. Its old picture stays in the old shard's
container until it is deleted here, so that readers of all containers of a style see every picture
once. The ledger tells which pictures are stale; the note of what was checked spares containers from
being read again.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ImageError
from artbank.results.containers import are_images, is_container, pack, unpack
from artbank.results.layout import PARTS, mark_key, part_key, part_name
from artbank.results.snapshots import PartListing
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

_SHARD_ID = re.compile(r"[0-9a-f]{16}-\d{5,}")
_CHECKED = "_trimmed.json"


def list_members(ledger: pa.Table, is_latest: np.ndarray) -> pa.Table:
    """Return the pictures that any row puts into a container: `file_name`, `key`, and whether a latest row does.

    Args:
        ledger: With `key`, `status` and `file_name`.
        is_latest: Bool for each row of it, from `ledger.is_latest`.

    Returns:
        Columns `file_name`, `key` and `current`, one row for each picture.
    """
    rows = ledger.select(["file_name", "key", "status"]).append_column("current", pa.array(is_latest))
    rows = rows.filter(pc.invert(are_images(rows["file_name"]))).filter(pc.field("status") == "done")
    members = rows.group_by(["file_name", "key"], use_threads=False).aggregate([("current", "any")])
    return members.rename_columns(["file_name", "key", "current"])


def delete_stale_members(output: Store, members: pa.Table, listing: PartListing) -> None:
    """Delete from containers the pictures that no latest row puts there, and containers that would be empty.

    Pictures of latest rows are readable before, during and after. A container is read only if the
    ledger says that something must be deleted from it, and only once.

    Args:
        output: Where the results are. Its `results.parquet` must no longer name what is deleted
            here.
        members: From `list_members`.
        listing: The parts that `members` follow from.

    Raises:
        OSError: The store failed.
    """
    if not len(members):
        return
    parts = output.child(PARTS)
    sizes = _list_containers(output, members)
    counts = _count_members(members)
    unknown = [name for name in sizes if name not in counts]
    # Shards are listed after the containers: whoever writes a container has left a mark before.
    started = _find_shards(parts) if unknown else set()
    unused = [name for name in unknown if _shard_of(name) not in started and not _is_known(output, _shard_of(name))]
    unused += [name for name in sizes if name in counts and not counts[name][1]]
    output.delete_many(unused)
    suspects = {
        name: (sizes[name], current)
        for name, (ever, current) in counts.items()
        if name in sizes and current and (ever != current or part_name(_shard_of(name)) not in listing.etags)
    }
    if suspects:
        _rewrite(output, parts, members, suspects)


def _rewrite(output: Store, parts: Store, members: pa.Table, suspects: Mapping[str, tuple[int, int]]) -> None:
    """Rewrite those containers that hold pictures of no latest row.

    Args:
        output: Where they are.
        parts: The folder of the parts, which has the note of containers that were checked.
        members: From `list_members`.
        suspects: Size and number of current pictures of each container that may hold more.
    """
    noted = _read_checked(parts)
    checked = {name: facts for name, facts in suspects.items() if noted.get(name) == [*facts]}
    for name, keys in _current_keys(members, suspects.keys() - checked.keys()).items():
        try:
            pictures = unpack(name, output.read(name))
        except (FileNotFoundError, ImageError) as error:
            logger.warning("%s cannot be read; run `artbank verify`: %s", output.uri_of(name), error)
            continue
        kept = [picture for picture in pictures if picture.key in keys]
        size = suspects[name][0]
        if len(kept) < len(pictures):
            data = pack(name, kept)
            output.write(name, data)
            size = len(data)
        if len(kept) == len(keys):
            checked[name] = (size, len(kept))
    facts = {name: [*checked[name]] for name in sorted(checked)}
    if facts != noted:
        parts.write(_CHECKED, json.dumps(facts).encode())


def _count_members(members: pa.Table) -> dict[str, tuple[int, int]]:
    """Return for each container how many pictures any row puts into it, and how many a latest row does."""
    counted = members.group_by("file_name").aggregate([("key", "count"), ("current", "sum")]).to_pylist()
    return {row["file_name"]: (row["key_count"], row["current_sum"]) for row in counted}


def _current_keys(members: pa.Table, names: Collection[str]) -> dict[str, set[str]]:
    """Return the keys of the current pictures of each of some containers."""
    chosen = members.filter(pc.field("current") & pc.field("file_name").isin(pa.array(list(names), pa.string())))
    keys: dict[str, set[str]] = {}
    for row in chosen.to_pylist():
        keys.setdefault(row["file_name"], set()).add(row["key"])
    return keys


def _list_containers(output: Store, members: pa.Table) -> dict[str, int]:
    """Return the size of each container that exists, in the folders of all styles that have members."""
    styles = {name.partition("/")[0] for name in pc.unique(members["file_name"]).to_pylist()}
    listed = [stored for style in sorted(styles) for stored in output.scan(style)]
    return {stored.key: stored.size for stored in listed if stored.key.count("/") == 1 and _is_ours(stored.key)}


def _is_ours(key: str) -> bool:
    return is_container(key) and _SHARD_ID.fullmatch(_shard_of(key)) is not None


def _shard_of(name: str) -> str:
    return PurePosixPath(name).stem


def _find_shards(parts: Store) -> set[str]:
    """Return the ids of all shards that have a part or a mark."""
    return {shard_id for stored in parts.scan() for shard_id in _SHARD_ID.findall(stored.key)}


def _is_known(output: Store, shard_id: str) -> bool:
    """Return whether a shard has a mark or a part.

    A folder that changes while it is listed may show neither the mark, which is deleted, nor the part, which is created
    just before. So each is asked for, the mark first.
    """
    return output.exists(mark_key(shard_id)) or output.exists(part_key(shard_id))


def _read_checked(parts: Store) -> dict[str, list[int]]:
    try:
        checked = json.loads(parts.read_small(_CHECKED))
    except (FileNotFoundError, ValueError, RecursionError):  # then the containers are checked again
        return {}
    return checked if isinstance(checked, dict) else {}
