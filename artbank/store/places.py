"""Check places before anything is written: a path names a file, what is read is there, no place lies in another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from artbank.errors import ConfigError
from artbank.parameters.skip_rules import is_packed
from artbank.store.explanations import explain
from artbank.store.objects import Store


def open_file(path: str | os.PathLike[str]) -> tuple[Store, str]:
    """Return the folder of a file as a store, and the file's name; the file need not be there.

    Args:
        path: Path or URI of the file.

    Raises:
        ConfigError: It is empty or the path of a folder.
    """
    whole = os.fspath(path)
    folder, separator, name = whole.rpartition("/")
    if name in ("", ".", ".."):
        raise ConfigError(f"expected the path of a file, found {whole!r}; add the name of the file")
    return Store.open(folder or separator or "."), name


def is_same_file(first: str, second: str) -> bool:
    """Return whether two paths or URIs name one file; links on a disk are followed.

    Raises:
        ConfigError: One is not the path of a file.
    """
    (folder, name), (other, other_name) = map(open_file, (first, second))
    if folder.uri_of(name) == other.uri_of(other_name):
        return True
    paths = [Path(place).expanduser() for place in (first, second)]
    return "://" not in f"{first}{second}" and all(map(Path.exists, paths)) and paths[0].samefile(paths[1])


def check_there(store: Store, expected: str) -> None:
    """Check that something is in a place that is only read: it may be misspelt, not mounted or empty.

    Args:
        store: The place.
        expected: Its content, for people.

    Raises:
        ConfigError: Nothing is there, or a file has its name.
        OSError: The store failed.
    """
    try:
        if store.has_objects():
            return
    except NotADirectoryError as error:
        raise unpack(store) if is_packed(store.uri) else ConfigError(explain(error)) from error
    raise nothing_there(store, expected)


def unpack(store: Store) -> ConfigError:
    """Return the error for a file in place of a folder that may hold what is expected."""
    return ConfigError(f"{store.uri} is a file, expected a folder; unpack it, and name the folder")


def nothing_there(store: Store, expected: str) -> ConfigError:
    """Return the error for a place where nothing is."""
    is_remote = "://" in store.uri
    to_do = "correct the bucket, the prefix or AWS_ENDPOINT_URL" if is_remote else "correct its name, or mount it"
    if any(sign in store.uri for sign in "*?"):
        to_do = "name the folder alone, without wildcards"
    return ConfigError(f"expected {expected} in {store.uri}, found nothing there; {to_do}")


def check_is_no_file(store: Store, word: str) -> None:
    """Check that no file has the name of a folder that is written; asks nothing of stores that are not on a disk.

    Args:
        store: The place.
        word: A word for it, for people.

    Raises:
        ConfigError: There is a file, or the place lies below one.
        OSError: The disk failed.
    """
    if "://" in store.uri:
        return
    try:
        store.has_objects()
    except NotADirectoryError as error:
        raise ConfigError(f"{word} {explain(error)}") from error


def check_apart(inputs: Mapping[str, Store], outputs: Mapping[str, Store]) -> None:
    """Check that no place that is written is a file or one that is read, lies in one, or contains one.

    Places on a disk are compared with links followed, and by what the file system takes as equal; places in a store by
    their prefixes.

    Args:
        inputs: What is only read, by a word for people.
        outputs: What is written.

    Raises:
        ConfigError: Two places overlap, or a file has the name of one that is written.
        OSError: A disk failed.
    """
    for word, target in outputs.items():
        check_is_no_file(target, word)
    for input_name, source in inputs.items():
        for output_name, target in outputs.items():
            if source.contains(target):
                raise ConfigError(
                    f"{output_name} {target.uri} lies in the {input_name} {source.uri}: the next run would take its "
                    "files for a part of it; name a place outside"
                )
            if target.contains(source):
                raise ConfigError(
                    f"{input_name} {source.uri} lies in the {output_name} {target.uri}, which is written to; "
                    f"name another place for the {output_name}"
                )
