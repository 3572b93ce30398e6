"""Read files of a gallery as they were listed, since a bank's id vouches for all files of the listing."""

from __future__ import annotations

from collections.abc import Iterable

from artbank.errors import CollectionError
from artbank.store.explanations import explain
from artbank.store.objects import Store, StoredObject
from artbank.store.transient_errors import WrongSizeError


def read_files(gallery: Store, files: Iterable[StoredObject]) -> dict[str, bytes | Exception]:
    """Read files at once, by key; where the store fails, the error takes the place of the bytes.

    A bank without a file that was absent for a moment would count as up to date for ever, so that is an error: the next
    run lists the gallery again.

    Raises:
        CollectionError: A listed file is not there, or has another size.
    """
    contents = gallery.read_listed({stored.key: stored.size for stored in files})
    for key, data in contents.items():
        if isinstance(data, FileNotFoundError | WrongSizeError):
            raise CollectionError(
                f"{gallery.uri_of(key)} is not as it was listed ({explain(data)}): the gallery is changing, or its "
                "store failed; run it again"
            )
    return contents
