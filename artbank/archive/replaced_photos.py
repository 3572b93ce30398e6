"""Refuse an archive whose photos would replace the pictures of another archive in the same output.

Pictures have the names of their photos, and cameras give all archives the same names. An archive may also have moved,
so the content of some photos decides whether it is another one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ConfigError
from artbank.results import layout
from artbank.results.manifest import manifest_of
from artbank.results.recorded_runs import MOST_BYTES
from artbank.results.snapshots import PartListing
from artbank.runtime.hashing import full_hash
from artbank.store.objects import Store

_NUM_READ = 16  # photos
_MOST_EDITED = 0.5  # share of the photos of an archive that may have been edited while it moved


def check_not_replaced(
    archive: Store,
    output: Store,
    tasks: pa.Table,
    done: pa.Table,
    parts: PartListing,
    *,
    styles: Sequence[str],
    max_share: float,
) -> None:
    """Check that an archive that no run has read before does not replace the pictures of another one.

    Reads some photos, and the configs of the runs, if more pictures than the share may be replaced.

    Args:
        archive: The archive.
        output: The output of the earlier runs.
        tasks: The work of the run, rows of `PhotoTask`.
        done: Rows that the output has, from `pending.read_done`.
        parts: The parts that these were read from.
        styles: Folders of the run's styles.
        max_share: Greatest share of the known photos that may have other content now, 0..1; a smaller one counts as
            a half.

    Raises:
        ConfigError: More of them have other content.
        OSError: A store failed.
    """
    drawn = done.filter(
        (pc.field("status") == "done") & pc.field("style").isin(list(styles)) & pc.field("sha256").is_valid()
    )
    max_share = max(max_share, _MOST_EDITED)
    to_replace = drawn.filter(pc.is_in(drawn["key"], value_set=tasks["key"].combine_chunks()))
    if pc.count_distinct(to_replace["key"]).as_py() <= max_share * pc.count_distinct(drawn["key"]).as_py():
        return
    step = math.ceil(len(to_replace) / _NUM_READ)
    sample = to_replace[::step].select(["key", "sha256"]).to_pylist()
    known_hashes = {row["key"]: row["sha256"] for row in sample}
    changed = _find_changed(archive, tasks, known_hashes)
    if len(changed) <= max_share * len(known_hashes):
        return
    earlier = _list_archives(output, parts)
    if earlier and not any(place.contains(archive) and archive.contains(place) for place in earlier):
        raise ConfigError(
            f"output {output.uri} has pictures of other photos with the names of those in archive {archive.uri}, such "
            f"as {changed[0]}: earlier runs read {earlier[0].uri}, and those pictures would be replaced; name another "
            "output, or run `artbank stylize` with --allow-missing if this archive took the place of that one"
        )


def _find_changed(archive: Store, tasks: pa.Table, known_hashes: Mapping[str, str]) -> list[str]:
    """Return the keys of photos whose content has another SHA-256 than is known."""
    listed = tasks.filter(pc.field("key").isin(list(known_hashes)))
    contents = archive.read_listed(dict(zip(listed["key"].to_pylist(), listed["size"].to_pylist(), strict=True)))
    return [key for key, data in contents.items() if isinstance(data, bytes) and full_hash(data) != known_hashes[key]]


def _list_archives(output: Store, parts: PartListing) -> list[Store]:
    """Return the archives of the runs that wrote some parts, as far as their configs can be read."""
    shards = (name.removeprefix(layout.PART_PREFIX).removesuffix(layout.PART_SUFFIX) for name in parts.etags)
    uris = dict.fromkeys(_read_uri(output, run) for run in sorted({manifest_of(shard) for shard in shards}))
    return list(_open(uri for uri in uris if uri))


def _read_uri(output: Store, run: str) -> str:
    try:
        uri = json.loads(output.read_small(layout.run_key(run, layout.CONFIG), MOST_BYTES))["archive_uri"]
    except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return uri if isinstance(uri, str) else ""


def _open(uris: Iterable[str]) -> Iterable[Store]:
    for uri in uris:
        try:
            yield Store.open(uri)
        except ConfigError:  # what an output says may be no place here
            continue
