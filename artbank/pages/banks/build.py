"""Write the pages of banks that are not up to date.

`site.json` holds a stamp of each page's sources; a page is written when its stamp changes. After writing,
the catalog is read again until it has no new rows. So the last of several runs has seen all rows, and its
index is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from itertools import groupby

from more_itertools import chunked

from artbank.catalog.catalog import Catalog
from artbank.catalog.store_places import SITE
from artbank.errors import ArtbankError
from artbank.pages.banks.bank_page import STYLES as BANK_STYLES
from artbank.pages.banks.bank_page import render_bank
from artbank.pages.banks.entries import Entry, page_key, read_details, read_entries
from artbank.pages.banks.index_page import STYLES as INDEX_STYLES
from artbank.pages.banks.index_page import render_index
from artbank.pages.publishing import INDEX, assets, stamp
from artbank.runtime.stages import show_stage
from artbank.store.delivered import require_all
from artbank.store.explanations import explain
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

_FORMAT = "artbank.site/1"
_COLLECTIONS_AT_ONCE = 16
_COPIED_AT_ONCE = 64
_MAX_ROUNDS = 5  # of reading the catalog again; a run that adds more rows writes pages itself
_PICTURES = (".webp", ".jpg")


@dataclass(frozen=True)
class Built:
    """The pages of a store's banks.

    Attributes:
        index_uri: URI of the index.
        pages: URI of each bank's page, by bank id.
        num_written: Pages written by this call, including the index.
    """

    index_uri: str
    pages: dict[str, str]
    num_written: int


def build(store: Store, out: Store | None = None, *, anew: bool = False) -> Built:
    """Write the index of a store's banks and the bank pages that are not up to date.

    Args:
        store: Holds the banks.
        out: Receives the pages and copies of their pictures; the store itself by default.
        anew: Write every page, even if it is up to date.

    Raises:
        CatalogError: A row of the catalog cannot be read.
        OSError: A store failed.
    """
    show_stage("writing the banks' pages")
    catalog = Catalog(store)
    out = out or store
    file_keys = catalog.file_keys()
    written = 0
    built = _build_once(store, out, anew=anew)
    for _ in range(_MAX_ROUNDS):
        before = file_keys
        file_keys = catalog.file_keys()
        written += built.num_written
        if not built.num_written or file_keys == before:
            break
        built = _build_once(store, out, anew=False)
    if written:
        logger.info("wrote %d of %d pages", written, len(built.pages) + 1)
    return Built(built.index_uri, built.pages, written)


def refresh(store: Store) -> None:
    """Update the pages of a store after its catalog has changed; a failure is logged, as the change is kept."""
    try:
        build(store)
    except (ArtbankError, OSError) as error:
        logger.warning(
            "the pages are not up to date (%s); `artbank site %s` writes them", explain(error), shlex.quote(store.uri)
        )


def _build_once(store: Store, out: Store, *, anew: bool) -> Built:
    listed = _list(store)
    existing = listed if out == store else _list(out)
    entries = read_entries(store, listed)
    wanted = {entry.key(): mark for group in _by_collection(entries) for entry, mark in _stamps(store, group)}
    wanted[INDEX] = stamp([_sources(), store.uri, [_facts(entry) for entry in entries]])
    known = {} if anew else _read_known(out)
    stale = {key for key, mark in wanted.items() if known.get(key) != mark or (key != INDEX and key not in existing)}
    if INDEX not in stale and not out.exists(INDEX):
        stale.add(INDEX)
    pages = {entry.record.bank_id: out.uri_of(page_key(entry.record)) for entry in entries}
    if stale:
        out.write_many(assets(*dict.fromkeys([*BANK_STYLES, *INDEX_STYLES])))
        if out != store:
            _copy_pictures(
                store, out, [key for key in listed if key.endswith(_PICTURES) and key not in existing], listed
            )
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


def _stamps(store: Store, versions: Sequence[Entry]) -> Iterator[tuple[Entry, str]]:
    """Yield the versions of a collection, each with the stamp of its page."""
    shared = stamp([_sources(), store.uri, [_facts(entry) for entry in versions]])
    yield from ((entry, stamp([entry.key(), shared])) for entry in versions)


def _facts(entry: Entry) -> list[object]:
    return [asdict(entry.record), entry.status, entry.etags]


@cache
def _sources() -> str:
    """Return a hash of the code, templates and styles of the pages."""
    digest = hashlib.sha256()
    for package in ("artbank.pages", "artbank.report"):
        for file in sorted(_walk(package_files(package)), key=str):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _walk(folder: Traversable) -> Iterator[Traversable]:
    for file in folder.iterdir():
        if file.is_dir():
            yield from _walk(file)
        elif file.name.endswith((".py", ".html", ".css", ".js")):
            yield file


def _read_known(out: Store) -> Mapping[str, str]:
    """Return the stamps of the existing pages; empty if they cannot be read, so that all pages are written."""
    try:
        site = json.loads(out.read_small(SITE))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    pages = site.get("pages") if isinstance(site, dict) and site.get("format") == _FORMAT else None
    return pages if isinstance(pages, dict) else {}


def _write_pages(store: Store, out: Store, entries: Sequence[Entry], stale: set[str]) -> None:
    groups = (group for group in _by_collection(entries) if any(entry.key() in stale for entry in group))
    for batch in chunked(groups, _COLLECTIONS_AT_ONCE):
        details = read_details(store, [entry for group in batch for entry in group])
        for versions in batch:
            rendered: dict[str, bytes] = {}
            for entry in versions:
                key = entry.key()
                if key in stale:
                    root = "../" * key.count("/")
                    rendered[key] = render_bank(store.uri, entry, versions, details, root).encode()
            out.write_many(rendered)


def _copy_pictures(store: Store, out: Store, keys: Sequence[str], listed: Mapping[str, StoredObject]) -> None:
    for batch in chunked(keys, _COPIED_AT_ONCE):
        out.write_many(require_all(store.read_listed({key: listed[key].size for key in batch})))
