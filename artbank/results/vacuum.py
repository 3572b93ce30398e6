"""Containers without what was done anew: who reads all of a style's containers sees every picture once.

    <output>/results/_trimmed.json      size and number of pictures of the containers that were looked into

When rows of other shards take their place, pictures are taken out of a container, and one of which nothing is left is
deleted. Which these are follows from the ledger; the note of what was done spares them from being read again.
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
from artbank.results.snapshots import Inventory
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

_SHARD = re.compile(r"[0-9a-f]{16}-\d{5,}")
_TRIMMED = "_trimmed.json"


def name_members(ledger: pa.Table, is_current: np.ndarray) -> pa.Table:
    """Return what containers were ever said to hold, as `file_name` and `key`, and whether a `current` row says so.

    Args:
        ledger: With `key`, `status` and `file_name`.
        is_current: Which of its rows are.
    """
    rows = ledger.select(["file_name", "key", "status"]).append_column("current", pa.array(is_current))
    rows = rows.filter(pc.invert(are_images(rows["file_name"]))).filter(pc.field("status") == "done")
    named = rows.group_by(["file_name", "key"], use_threads=False).aggregate([("current", "any")])
    return named.rename_columns(["file_name", "key", "current"])


def drop_stale(output: Store, parts: Store, members: pa.Table, inventory: Inventory) -> None:
    """Take out of the containers what no current row names there; delete those of which nothing is left.

    Every picture of a current row is there before, after and meanwhile. A container is read only where rows say that
    something is to be taken out, and once: what it came to is noted.

    Args:
        output: Where the containers are.
        parts: The folder of the parts.
        members: From `name_members`.
        inventory: The parts that it follows from.

    Raises:
        OSError: The store failed.
    """
    if not len(members):
        return
    sizes, counts = _list_containers(output, members), _count_members(members)
    loose = [name for name in sizes if name not in counts]
    begun = _find_shards(parts) if loose else set()  # listed after the containers: who writes one has left a mark
    unused = [name for name in loose if _shard_of(name) not in begun]
    unused += [name for name in sizes if name in counts and not counts[name][1]]
    output.delete_many(unused)
    touched = {
        name: (sizes[name], now)
        for name, (ever, now) in counts.items()
        if name in sizes and now and (ever != now or f"part-{_shard_of(name)}.parquet" not in inventory.etags)
    }
    if touched:
        _trim(output, parts, members, touched)


def _trim(output: Store, parts: Store, members: pa.Table, touched: Mapping[str, tuple[int, int]]) -> None:
    """Write containers anew that hold more than their rows say, by their sizes and numbers of pictures."""
    known = _read_trimmed(parts)
    trimmed = {name: facts for name, facts in touched.items() if known.get(name) == [*facts]}
    for name, keys in _wanted_keys(members, touched.keys() - trimmed.keys()).items():
        try:
            samples = unpack(name, output.read(name))
        except (FileNotFoundError, ImageError) as error:
            logger.warning("%s cannot be read, see to it by `artbank verify`: %s", output.uri_of(name), error)
            continue
        kept = [sample for sample in samples if sample.key in keys]
        size = touched[name][0]
        if len(kept) < len(samples):
            data = pack(name, kept)
            output.write(name, data)
            size = len(data)
        if len(kept) == len(keys):
            trimmed[name] = (size, len(kept))
    if (facts := {name: [*trimmed[name]] for name in sorted(trimmed)}) != known:
        parts.write(_TRIMMED, json.dumps(facts).encode())


def _count_members(members: pa.Table) -> dict[str, tuple[int, int]]:
    """Return how many pictures each container was ever said to hold, and how many it is by current rows."""
    counted = members.group_by("file_name").aggregate([("key", "count"), ("current", "sum")]).to_pylist()
    return {row["file_name"]: (row["key_count"], row["current_sum"]) for row in counted}


def _wanted_keys(members: pa.Table, names: Collection[str]) -> dict[str, set[str]]:
    chosen = members.filter(pc.field("current") & pc.field("file_name").isin(pa.array(list(names), pa.string())))
    keys: dict[str, set[str]] = {}
    for row in chosen.to_pylist():
        keys.setdefault(row["file_name"], set()).add(row["key"])
    return keys


def _list_containers(output: Store, members: pa.Table) -> dict[str, int]:
    """Return the sizes of the containers that are there, in the folders of the styles that have some."""
    styles = {name.partition("/")[0] for name in pc.unique(members["file_name"]).to_pylist()}
    listed = [stored for style in sorted(styles) for stored in output.scan(style)]
    return {found.key: found.size for found in listed if found.key.count("/") == 1 and _is_ours(found.key)}


def _is_ours(key: str) -> bool:
    return is_container(key) and _SHARD.fullmatch(_shard_of(key)) is not None


def _shard_of(name: str) -> str:
    return PurePosixPath(name).stem


def _find_shards(parts: Store) -> set[str]:
    """Return the ids of all shards that have a part or a mark."""
    return {shard for stored in parts.scan() for shard in _SHARD.findall(stored.key)}


def _read_trimmed(parts: Store) -> dict[str, list[int]]:
    try:
        return json.loads(parts.read(_TRIMMED))
    except (FileNotFoundError, ValueError):  # what it says is found out again
        return {}
