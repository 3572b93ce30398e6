"""The place of an output: whether runs have written there, how far they came, and what its tables do not name."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ConfigError
from artbank.results import known_parts, layout, ledger
from artbank.results.containers import are_images
from artbank.store.objects import Store
from artbank.store.places import check_there

_EXPECTED = "the output of `artbank stylize`"
_FOLDERS = (layout.PARTS, layout.MANIFESTS, layout.RUNS)
_OWN_FILES = r"^(results|manifests|runs|report)/|^(results|metadata)\.parquet$|^README\.md$"
_PAIR = ["key", "style"]


def holds_results(place: Store) -> bool:
    """Return whether a run over an archive has written to a place, also if it has not ended.

    Raises:
        NotADirectoryError: A file has the name of the place.
        OSError: The store failed.
    """
    return any(place.child(folder).has_objects() for folder in _FOLDERS) or place.exists(layout.RESULTS)


def check_is_output(output: Store) -> None:
    """Check that a run has written to a place, which may be misspelt or not mounted.

    Raises:
        ConfigError: Nothing is there, or no results of a run.
        OSError: The store failed.
    """
    check_there(output, _EXPECTED)
    if not holds_results(output):
        raise ConfigError(f"expected {_EXPECTED} in {output.uri}, found no results of a run there; correct its name")


def select_pictures(files: pa.Table) -> pa.Table:
    """Return all files of an output but tables, parts, manifests, the dataset's card, and those of runs and pages.

    Args:
        files: With the column `key`.
    """
    return files.filter(~pc.match_substring_regex(pc.field("key"), _OWN_FILES))


def is_outdated(output: Store) -> bool:
    """Return whether there are rows that `results.parquet` was not made from, because a run has not ended.

    Raises:
        OSError: The store failed.
    """
    return known_parts.has_new_parts(output, ledger.list_parts(output))


def find_unnamed(output: Store, rows: pa.Table) -> tuple[list[str], list[tuple[str, str]]]:
    """Find the pictures that an output holds and `results.parquet` does not name.

    Their photos are no longer in the archive; a file may also be of a photo that was drawn again in another format.

    Args:
        output: One whose tables are not outdated.
        rows: `results.parquet`, at least `key`, `style`, `status` and `file_name`.

    Returns:
        The names of pictures in files of their own, and key and style of pictures in containers, sorted.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    files = select_pictures(
        pa.table({"key": [stored.key for stored in output.list()]}, pa.schema([("key", pa.string())]))
    )
    named = pa.table({"key": rows["file_name"].drop_null()})
    loose = files.filter(are_images(files["key"])).join(named, "key", join_type="left anti")
    ledger_rows = ledger.latest_rows(ledger.read_ledger(output, [*_PAIR, "status", "file_name", "created_at"]))
    packed = ledger_rows.filter(pc.field("status") == "done").filter(
        pc.field("file_name").isin(files["key"].combine_chunks())
    )
    packed = packed.filter(pc.invert(are_images(packed["file_name"])))
    removed = packed.join(rows.select(_PAIR), _PAIR, join_type="left anti")
    pairs = zip(removed["key"].to_pylist(), removed["style"].to_pylist(), strict=True)
    return sorted(loose["key"].to_pylist()), sorted(pairs)
