"""The parts that an output is known to have, so that a wrong listing is noticed.

    <output>/results/_parts.json      names of the parts that the tables were made from last

Parts are only added, so a listing without a known part is a sign of one of two faults. If a request for the part itself
finds it, the listing is wrong, and tables made from it would lose rows. If not, somebody deleted the part.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Collection, Iterable, Sequence

from artbank.errors import ConfigError
from artbank.results.layout import KNOWN_PARTS, PARTS
from artbank.results.snapshots import PartListing
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

_NUM_CHECKED = 16  # objects that are looked for one by one


def record_parts(output: Store, names: Collection[str]) -> None:
    """Write down the parts that the tables are made from."""
    output.write(KNOWN_PARTS, json.dumps(sorted(names)).encode())


def has_new_parts(output: Store, listing: PartListing) -> bool:
    """Return whether there are parts that the tables were not made from; False if that is not known.

    Raises:
        OSError: The store failed.
    """
    known = _read_known(output)
    return bool(known) and not listing.etags.keys() <= set(known)


def forget_parts(output: Store, names: Iterable[str]) -> None:
    """Remove parts that are deleted on purpose from the known ones."""
    deleted = set(names)
    known = _read_known(output)
    if deleted.intersection(known):
        record_parts(output, set(known) - deleted)


def find_deleted(output: Store, listing: PartListing) -> list[str]:
    """Return the names of known parts that were deleted.

    Raises:
        OSError: The listing leaves out a part that is there, or the store failed.
    """
    missing = [name for name in _read_known(output) if name not in listing.etags]
    check_listing(output.child(PARTS), missing)
    return missing


def check_parts(output: Store, listing: PartListing, max_share: float) -> None:
    """Check before a run that the parts are there that the tables were made from.

    Args:
        output: The output.
        listing: From `ledger.list_parts`.
        max_share: Greatest share of the known parts that may have been deleted, 0..1.

    Raises:
        ConfigError: More were deleted.
        OSError: The listing leaves out a part that is there, or the store failed.
    """
    deleted = find_deleted(output, listing)
    if not deleted:
        return
    folder = output.uri_of(PARTS)
    num_known = len(_read_known(output))
    loss = f"{len(deleted):,} of {num_known:,} parts are missing from {folder}, such as {deleted[0]}"
    if len(deleted) > max_share * num_known:
        raise ConfigError(
            f"{loss}: the tables would lose their rows, and their photos would be drawn again; restore them, or go on "
            "with --allow-missing if they were deleted on purpose"
        )
    logger.warning("%s: their photos are drawn again", loss)


def check_listing(store: Store, missing: Sequence[str]) -> None:
    """Check by requests for some of the objects themselves that a listing leaves out none that is there.

    Args:
        store: What was listed.
        missing: Keys of objects that the listing should have had.

    Raises:
        OSError: One of them is there, or the store failed.
    """
    step = -(-len(missing) // _NUM_CHECKED) or 1
    for key in missing[::step]:
        if store.exists(key):
            raise OSError(errno.EIO, "the store's listing leaves it out, although it is there", store.uri_of(key))


def _read_known(output: Store) -> list[str]:
    try:
        names = json.loads(output.read_small(KNOWN_PARTS))
    except (FileNotFoundError, ValueError, RecursionError):  # of an older version, or damaged: the next run writes it
        return []
    return sorted(name for name in names if isinstance(name, str)) if isinstance(names, list) else []
