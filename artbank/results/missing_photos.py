"""Find photos that an archive had in the last run and no longer lists, as when a disk is not mounted.

The tables have the photos that the archive listed when they were written. Rows of photos that are not in a
new listing are removed, so a listing is checked before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ConfigError
from artbank.parameters.skip_rules import SkipRules
from artbank.records.photo_records import Result
from artbank.results.archive_listing import is_unseen
from artbank.results.known_parts import check_listing
from artbank.results.layout import RESULTS
from artbank.store.objects import Store
from artbank.store.parquet import read_table

_NUM_NAMED = 3


def check_photos(
    archive: Store, output: Store, photos: pa.Table, known: pa.Array, *, rules: Sequence[str], max_share: float
) -> None:
    """Check that an archive still lists the photos of the last run.

    Reads `results.parquet` if a known photo is missing.

    Args:
        archive: The archive.
        output: The output of the last run.
        photos: The archive as it is listed now, from `list_archive`.
        known: Keys of all photos that the output has rows of, whether they were removed before the last run or not.
        rules: Rules of `skip`; photos that they leave out now are not missing.
        max_share: Greatest share of the photos of the last run that may be missing, 0..1.

    Raises:
        ConfigError: More are missing.
        OSError: The listing leaves out a photo that is there, or the store failed.
    """
    if not len(find_missing(photos, pc.unique(known), rules)):
        return
    last = _list_last_run(output, pc.unique(known))
    missing = find_missing(photos, last, rules).to_pylist()
    if "://" in archive.uri:
        check_listing(archive, _without_respelled(photos, missing))
    if len(missing) > max_share * len(last):
        raise ConfigError(_describe(archive, photos, missing, len(last), max_share))


def find_missing(photos: pa.Table, keys: pa.Array, rules: Sequence[str]) -> pa.Array:
    """Return the keys that a listing does not have, without those that it could not see or that rules leave out.

    Args:
        photos: The archive, from `list_archive`.
        keys: Keys of photos, each once.
        rules: Rules of `skip`.
    """
    absent = keys.filter(pc.invert(pc.is_in(keys, value_set=photos["key"].combine_chunks())))
    absent = absent.filter(pa.array(~is_unseen(pa.chunked_array([absent]), photos)))
    skip = SkipRules(rules).skip
    return absent.filter(pa.array([not skip(key) for key in absent.to_pylist()], pa.bool_()))


def _list_last_run(output: Store, known: pa.Array) -> pa.Array:
    """Return the keys of the photos in `results.parquet`; all known ones if it is missing or damaged."""
    try:
        rows = read_table(output.read(RESULTS), Result.SCHEMA, ["key"])
    except (FileNotFoundError, pa.ArrowException):
        return known
    return pc.unique(rows["key"].combine_chunks())


def _without_respelled(photos: pa.Table, missing: Sequence[str]) -> list[str]:
    """Return missing keys without those that are listed in another case or normal form, which some stores equate."""

    def fold(keys: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        return pc.utf8_lower(pc.utf8_normalize(keys, form="NFC"))

    keys = pa.array(missing, pa.string())
    is_listed = pc.is_in(fold(keys), value_set=fold(photos["key"].combine_chunks()))
    return keys.filter(pc.invert(is_listed)).to_pylist()


def _describe(archive: Store, photos: pa.Table, missing: Sequence[str], num_last: int, max_share: float) -> str:
    names = f"{', '.join(missing[:_NUM_NAMED])}{', ...' if len(missing) > _NUM_NAMED else ''}"
    return (
        f"{len(missing):,} of the {num_last:,} photos of the last run are missing from archive {archive.uri}, which "
        f"lists {len(photos):,} now: {names}; expected at most {max_share:.0%} (--max-missing-share). Was it mounted "
        "whole, and is its name right? If they were removed on purpose, run `artbank stylize` with --allow-missing"
    )
