"""The versions of a collection, and the changes between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artbank.catalog.album import count_changes
from artbank.pages.banks.entries import BankDetails, Entry
from artbank.report.markdown import plain

_MAX_SHOWN = 50
_MAX_CHANGES = 8  # of a recipe


@dataclass(frozen=True)
class Version:
    """A version of a collection, and its changes since the version before, as text."""

    entry: Entry
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """The versions of a collection on a bank's page.

    Attributes:
        previous: The version before; None for the first.
        next: The version after; None for the last.
        default: The version that the collection's name stands for; None if all are retired.
        versions: The newest versions and the bank itself, newest first.
        num_left_out: Versions that are not shown.
    """

    previous: Entry | None
    next: Entry | None
    default: Entry | None
    versions: tuple[Version, ...]
    num_left_out: int


def trace_lineage(entry: Entry, versions: Sequence[Entry], details: Mapping[str, BankDetails]) -> Lineage:
    """Return the lineage of a bank.

    Args:
        entry: The bank.
        versions: All banks of its collection, by version.
        details: Albums and histories, by bank id.
    """
    place = versions.index(entry)
    before = [None, *versions[:-1]]
    shown = {*range(len(versions))[-_MAX_SHOWN:], place}
    newest_first = sorted(shown, reverse=True)
    listed = tuple(Version(versions[i], list_changes(before[i], versions[i], details)) for i in newest_first)
    return Lineage(
        before[place],
        versions[place + 1] if place + 1 < len(versions) else None,
        next((version for version in versions if version.status == "default"), None),
        listed,
        len(versions) - len(listed),
    )


def list_changes(before: Entry | None, after: Entry, details: Mapping[str, BankDetails]) -> tuple[str, ...]:
    """Return the known changes between two versions, as text."""
    if before is None:
        return ("the first version",)
    changes = [*_artworks(before, after, details), *_recipe(before, after)]
    if before.record.base_model_hash != after.record.base_model_hash:
        changes.append(f"base model {_model(before)} → {_model(after)}")
    return tuple(changes) or ("trained anew; artworks, recipe and base model are the same",)


def _artworks(before: Entry, after: Entry, details: Mapping[str, BankDetails]) -> list[str]:
    if before.record.fingerprint == after.record.fingerprint:
        return []
    contents = [_contents(details.get(entry.record.bank_id)) for entry in (before, after)]
    if contents[0] is None or contents[1] is None:
        return [f"other artworks or captions ({before.record.num_artworks} before, {after.record.num_artworks} now)"]
    counts = zip(count_changes(contents[0], contents[1]), ("added", "removed", "changed"), strict=True)
    counts_text = ", ".join(f"{count} {word}" for count, word in counts if count)
    return [f"artworks: {counts_text}" if counts_text else "captions"]


def _contents(details: BankDetails | None) -> Mapping[str, str] | None:
    return details.album.contents if details and details.album else None


def _recipe(before: Entry, after: Entry) -> list[str]:
    old = before.record.read_recipe()
    new = after.record.read_recipe()
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    texts = [f"{plain(name)} {_value(old.get(name))} → {_value(new.get(name))}" for name in changed[:_MAX_CHANGES]]
    return texts + ([f"and {len(changed) - len(texts)} more of its recipe"] if len(changed) > len(texts) else [])


def _value(value: object) -> str:
    return "none" if value is None else plain(value)


def _model(entry: Entry) -> str:
    return f"{plain(entry.record.base_model)} ({plain(entry.record.base_model_hash)[:8]})"
