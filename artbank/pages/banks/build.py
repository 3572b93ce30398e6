"""Which pages are to be written, and writing them.

A page is made anew where what it is made from has changed, which `site.json` tells. Who writes looks into the catalog
once more afterwards, and again until nothing is new: so the run that writes last has seen all rows, however many train
at once, and what it leaves is whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from itertools import groupby, islice

from artbank.catalog.catalog import Catalog
from artbank.pages.banks.bank_page import STYLES as BANK_STYLES
from artbank.pages.banks.bank_page import render_bank
from artbank.pages.banks.entries import Entry, page_key, read_entries, read_kept
from artbank.pages.banks.index_page import STYLES as INDEX_STYLES
from artbank.pages.banks.index_page import render_index
from artbank.pages.publishing import INDEX, assets
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

SITE = "site.json"
_FORMAT = "artbank.site/1"
_COLLECTIONS_AT_ONCE, _COPIED_AT_ONCE = 16, 64
_MOST_ROUNDS = 5  # of looking for rows that came meanwhile; whoever brings more of them writes pages too
_PICTURES = (".webp", ".jpg")


@dataclass(frozen=True)
class Built:
    """What building a site came to.

    Attributes:
        index_uri: Of the index.
        pages: URI of each bank's page, by bank id.
        num_written: Pages that were made anew, the index among them.
    """

    index_uri: str
    pages: dict[str, str]
    num_written: int


def build(store: Store, out: Store | None = None, *, anew: bool = False) -> Built:
    """Write the index of a store's banks and each bank's page, as far as they are not up to date.

    Args:
        store: Holds the banks.
        out: Gets the pages, and copies of the pictures that they show; the store itself by default.
        anew: Write every page, whatever is there.

    Raises:
        CatalogError: A row of the catalog cannot be read.
        OSError: A store failed.
    """
    catalog, out = Catalog(store), out or store
    seen, written = catalog.names(), 0
    built = _build_once(store, out, anew=anew)
    for _ in range(_MOST_ROUNDS):
        before, seen = seen, catalog.names()
        written += built.num_written
        if not built.num_written or seen == before:
            break
        built = _build_once(store, out, anew=False)
    if written:
        logger.info("pages written: %d of %d", written, len(built.pages) + 1)
    return Built(built.index_uri, built.pages, written)


def _build_once(store: Store, out: Store, *, anew: bool) -> Built:
    listed = _list(store)
    there = listed if out == store else _list(out)
    entries = read_entries(store, listed)
    wanted = {entry.key(): mark for group in _by_collection(entries) for entry, mark in _mark(store, group)}
    wanted[INDEX] = _hash([_sources(), store.uri, [_facts(entry) for entry in entries]])
    known = {} if anew else _read_known(out)
    stale = {key for key, mark in wanted.items() if known.get(key) != mark or (key != INDEX and key not in there)}
    if INDEX not in stale and not out.exists(INDEX):
        stale.add(INDEX)
    pages = {entry.record.bank_id: out.uri_of(page_key(entry.record)) for entry in entries}
    if stale:
        out.write_many(assets(*dict.fromkeys([*BANK_STYLES, *INDEX_STYLES])))
        if out != store:
            _copy_pictures(store, out, [key for key in listed if key.endswith(_PICTURES) and key not in there])
        _write_pages(store, out, entries, stale)
        if INDEX in stale:
            out.write(INDEX, render_index(store.uri, entries).encode())
        out.write(SITE, json.dumps({"format": _FORMAT, "pages": wanted}, indent=0).encode())
    return Built(out.uri_of(INDEX), pages, len(stale))


def _list(store: Store) -> dict[str, StoredObject]:
    return {stored.key: stored for stored in store.scan("banks")}


def _by_collection(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    for _, group in groupby(entries, key=lambda entry: entry.record.collection):
        yield list(group)


def _mark(store: Store, versions: Sequence[Entry]) -> Iterator[tuple[Entry, str]]:
    """Yield the versions of a collection, each with a hash of all that its page is made from."""
    shared = _hash([_sources(), store.uri, [_facts(entry) for entry in versions]])
    yield from ((entry, _hash([entry.key(), shared])) for entry in versions)


def _facts(entry: Entry) -> list[object]:
    return [asdict(entry.record), entry.status, entry.etags]


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, default=str, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _sources() -> str:
    """Return a hash of the code, templates and styles behind the pages."""
    digest = hashlib.sha256()
    for package in ("artbank.pages", "artbank.pages.banks", "artbank.report"):
        for file in sorted(_walk(package_files(package)), key=str):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _walk(folder: Traversable) -> Iterator[Traversable]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _walk(one)
        elif one.name.endswith((".py", ".html", ".css", ".js")):
            yield one


def _read_known(out: Store) -> Mapping[str, str]:
    """Return what each page was made from; nothing where that cannot be read, so that all are made anew."""
    try:
        found = json.loads(out.read(SITE))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    pages = found.get("pages") if isinstance(found, dict) and found.get("format") == _FORMAT else None
    return pages if isinstance(pages, dict) else {}


def _write_pages(store: Store, out: Store, entries: Sequence[Entry], stale: set[str]) -> None:
    groups = (group for group in _by_collection(entries) if any(entry.key() in stale for entry in group))
    while some := list(islice(groups, _COLLECTIONS_AT_ONCE)):
        kept = read_kept(store, [entry for group in some for entry in group])
        for versions in some:
            made = [entry for entry in versions if entry.key() in stale]
            out.write_many(
                {
                    entry.key(): render_bank(store.uri, entry, versions, kept, "../" * entry.key().count("/")).encode()
                    for entry in made
                }
            )


def _copy_pictures(store: Store, out: Store, keys: Sequence[str]) -> None:
    left = iter(keys)
    while some := list(islice(left, _COPIED_AT_ONCE)):
        found = store.read_many(some)
        out.write_many({key: data for key, data in found.items() if isinstance(data, bytes)})
