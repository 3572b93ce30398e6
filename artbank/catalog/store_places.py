"""Check before anything is read or written that a place is a store of banks, and lies where a store may lie.

<store>/catalog/...    rows and events; what makes a place a store
        site.json      what the pages were made from; also where `artbank site --out` writes pages without banks
"""

from __future__ import annotations

from collections.abc import Iterable

from artbank.catalog.bank_files import BANK, BANKS, CHECKPOINTS
from artbank.errors import ConfigError
from artbank.records.bank_records import BankRecord
from artbank.results.output_place import holds_results
from artbank.store.objects import Store
from artbank.store.places import check_there

SITE = "site.json"
"""The file that tells what the pages of banks were made from."""

_CATALOG = "catalog"
_FOLDERS = (_CATALOG, BANKS, CHECKPOINTS)
_EXPECTED = "the store of a training"


def has_catalog(store: Store) -> bool:
    """Return whether a place is a store in which a bank was registered.

    Raises:
        NotADirectoryError: A file has its name.
        OSError: The store failed.
    """
    return store.child(_CATALOG).has_objects()


def check_has_banks(store: Store) -> None:
    """Check that a place is the store of a catalog, for whatever only reads it; trainings create one.

    Raises:
        ConfigError: There is no catalog, and no training that will make one.
        OSError: The store failed.
    """
    check_there(store, _EXPECTED)
    if has_catalog(store):
        return
    if store.exists(SITE):  # which is only written after a catalog
        raise _without_catalog(store)
    if not any(store.child(folder).has_objects() for folder in _FOLDERS):
        is_output = holds_results(store)
        found = "found no catalog there, but an output of `artbank stylize`" if is_output else "found no catalog there"
        raise ConfigError(f"expected {_EXPECTED} in {store.uri}, {found}; correct its name")


def check_may_hold_banks(store: Store) -> None:
    """Check that a place for new banks is no folder of pages that show the banks of another store, and no output.

    Raises:
        ConfigError: It is.
        OSError: The store failed.
    """
    if has_catalog(store):
        return
    if store.exists(SITE) and not _has_bank_files(store):
        raise _without_catalog(store)
    if holds_results(store):
        raise ConfigError(
            f"store {store.uri} is an output of `artbank stylize`, whose check would take banks for files that nothing "
            "needs; name another place for the store"
        )


def check_apart_from_output(store: Store, output: Store) -> None:
    """Check that a store does not lie in an output, nor an output in a folder of a store that holds banks.

    The check of each would take files of the other for what killed runs left.

    Raises:
        ConfigError: They do.
    """
    if output.contains(store):
        is_same = store.contains(output)
        how = "is also the store of the banks" if is_same else f"holds the store of the banks, {store.uri}"
        raise ConfigError(
            f"output {output.uri} {how}: `artbank verify` would take banks for files that nothing needs; "
            "name another place for the output"
        )
    for folder in _FOLDERS:
        if store.child(folder).contains(output):
            raise ConfigError(
                f"output {output.uri} lies in the folder {folder} of the store {store.uri}: `artbank verify` would "
                "take pictures for remains of a bank; name a place outside"
            )


def check_outside_galleries(target: Store, word: str, banks: Iterable[BankRecord]) -> None:
    """Check that a place lies outside of the galleries of banks, whose next training would learn from it.

    Args:
        target: The place that is written.
        word: A word for it, for people.
        banks: The banks.

    Raises:
        ConfigError: It lies in one.
    """
    for uri in sorted({bank.gallery_uri for bank in banks}):
        if _contains(uri, target):
            raise ConfigError(
                f"{word} {target.uri} lies in the gallery {uri}: the next training would take its pictures for "
                "artworks; name a place outside"
            )


def _contains(gallery_uri: str, target: Store) -> bool:
    try:
        return Store.open(gallery_uri).contains(target)
    except ConfigError:  # what a row of the catalog says may be no place here
        return False


def _without_catalog(store: Store) -> ConfigError:
    """Return the error for a place with pages of banks and without a catalog."""
    if _has_bank_files(store):
        found = "found banks and their pages, but no catalog; restore its folder catalog, or train into it again"
    else:
        found = "found only pages of banks, as `artbank site --out` writes them; name the store that they were made of"
    return ConfigError(f"expected {_EXPECTED} in {store.uri}, {found}")


def _has_bank_files(store: Store) -> bool:
    return any(stored.key.endswith(f"/{BANK}") for stored in store.scan(BANKS))
