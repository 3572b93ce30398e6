"""The versions of a collection: which there are, and what changed from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artbank.catalog.album import count_changes
from artbank.pages.banks.entries import Entry, Kept, read_recipe
from artbank.report.markdown import plain

_MOST_SHOWN = 50
_MOST_CHANGES = 8  # of a recipe


@dataclass(frozen=True)
class Version:
    """A version in the lineage of a bank: its entry, and what changed since the one before it, in words."""

    entry: Entry
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """What a bank's page tells of the versions of its collection.

    Attributes:
        previous: The version before, None for the first one.
        next: The version after, None for the last one.
        default: What the collection's name stands for; None where every version is retired.
        versions: The newest ones, newest first, the bank itself among them.
        num_left_out: Versions that are not shown.
    """

    previous: Entry | None
    next: Entry | None
    default: Entry | None
    versions: tuple[Version, ...]
    num_left_out: int


def trace(entry: Entry, versions: Sequence[Entry], kept: Mapping[str, Kept]) -> Lineage:
    """Tell where a bank stands among the versions of its collection.

    Args:
        entry: The bank.
        versions: All of its collection, by version.
        kept: What is kept beside them, by bank id.
    """
    place = versions.index(entry)
    before = [None, *versions[:-1]]
    shown = {*range(len(versions))[-_MOST_SHOWN:], place}
    told = tuple(Version(versions[i], tell_changes(before[i], versions[i], kept)) for i in sorted(shown, reverse=True))
    return Lineage(
        before[place],
        versions[place + 1] if place + 1 < len(versions) else None,
        next((one for one in versions if one.status == "default"), None),
        told,
        len(versions) - len(told),
    )


def tell_changes(before: Entry | None, after: Entry, kept: Mapping[str, Kept]) -> tuple[str, ...]:
    """Return what changed between two versions as far as it is known, in words."""
    if before is None:
        return ("the first version",)
    told = [*_artworks(before, after, kept), *_recipe(before, after)]
    if before.record.base_model_hash != after.record.base_model_hash:
        told.append(f"base model {_model(before)} → {_model(after)}")
    return tuple(told) or ("trained anew; artworks, recipe and base model are the same",)


def _artworks(before: Entry, after: Entry, kept: Mapping[str, Kept]) -> list[str]:
    if before.record.fingerprint == after.record.fingerprint:
        return []
    contents = [_contents(kept.get(one.record.bank_id)) for one in (before, after)]
    if contents[0] is None or contents[1] is None:
        return [f"other artworks or captions ({before.record.num_artworks} before, {after.record.num_artworks} now)"]
    counts = zip(count_changes(contents[0], contents[1]), ("added", "removed", "changed"), strict=True)
    told = ", ".join(f"{count} {word}" for count, word in counts if count)
    return [f"artworks: {told}" if told else "captions"]


def _contents(kept: Kept | None) -> Mapping[str, str] | None:
    return kept.album.contents if kept and kept.album else None


def _recipe(before: Entry, after: Entry) -> list[str]:
    old, new = read_recipe(before.record), read_recipe(after.record)
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    told = [f"{plain(name)} {_value(old.get(name))} → {_value(new.get(name))}" for name in changed[:_MOST_CHANGES]]
    return told + ([f"and {len(changed) - len(told)} more of its recipe"] if len(changed) > len(told) else [])


def _value(value: object) -> str:
    return "none" if value is None else plain(value)


def _model(entry: Entry) -> str:
    return f"{plain(entry.record.base_model)} ({plain(entry.record.base_model_hash)[:8]})"
