"""Return whether a place is an output: whether a run has written results there, however far it came."""

from __future__ import annotations

from artbank.results import layout
from artbank.store.objects import Store

_FOLDERS = (layout.PARTS, layout.MANIFESTS, layout.RUNS)


def holds_results(place: Store) -> bool:
    """Return whether a run over an archive has written to a place, also if it has not ended.

    Raises:
        NotADirectoryError: A file has the name of the place.
        OSError: The store failed.
    """
    return any(place.child(folder).has_objects() for folder in _FOLDERS) or place.exists(layout.RESULTS)
