"""The index of all banks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from urllib.parse import quote

from artbank.pages.banks.bank_page import asset_links
from artbank.pages.banks.entries import Entry
from artbank.pages.rendering import render

STYLES = ("style.css", "status.css", "banks.css", "banks.js")


def render_index(store_uri: str, entries: Sequence[Entry]) -> str:
    """Return the index as HTML: all banks by collection, newest version first.

    Args:
        store_uri: URI of the store.
        entries: Its banks, sorted by collection and version.
    """
    shown = sorted(entries, key=_order)
    collections = {entry.record.collection for entry in entries}
    return render(
        "banks.html",
        assets=asset_links(STYLES, ""),
        heading="Banks",
        store_uri=store_uri,
        train_command=f"artbank train GALLERY_URI --store {shlex.quote(store_uri)}",
        entries=shown,
        num_collections=len(collections),
        num_defaults=sum(entry.status == "default" for entry in entries),
        num_retired=sum(entry.status == "retired" for entry in entries),
        link=lambda entry, name="index.html": quote(entry.key(name)),
    )


def _order(entry: Entry) -> tuple[str, str, int]:
    bank = entry.record
    return bank.title.casefold(), bank.collection, -bank.version
