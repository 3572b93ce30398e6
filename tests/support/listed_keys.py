"""The keys that a store lists."""

from __future__ import annotations

from artbank.store.objects import Store


def keys_of(store: Store, prefix: str = "") -> list[str]:
    """Return the keys of all objects below a folder, sorted."""
    return [stored.key for stored in store.list(prefix)]
