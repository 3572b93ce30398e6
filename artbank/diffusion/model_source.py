"""Names of models: `SOURCE`, with a pinned revision (`ID@REVISION`) and a pinned hash (`SOURCE@sha256:HEX`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artbank.errors import BaseModelError
from artbank.parameters.model_pins import split_pin

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""What the names of pickles end with, which are never loaded."""


@dataclass(frozen=True)
class ModelSource:
    """The place of a model, and its pins.

    Attributes:
        place: `mini`, a local folder, a single file, a store URI, or a hub id.
        revision: Commit, tag or branch of a hub id; None for its main branch.
        sha256: The hash that the loaded files must have, hex; None for any.
    """

    place: str
    revision: str | None
    sha256: str | None


def parse_source(text: str, revision: str | None = None, *, title: str = "base model") -> ModelSource:
    """Read the name of a model: `PLACE[@REVISION][@sha256:HEX]`, where only a hub id has a revision.

    Args:
        text: The name.
        revision: A revision that was given beside the name.
        title: What messages call the model.

    Raises:
        BaseModelError: The hash is no SHA-256, or two revisions are given.
    """
    try:
        place, digest = split_pin(text)
    except ValueError as error:
        raise BaseModelError(f"{title} {text!r}: {error}; correct it") from error
    name, _, named_revision = place.partition("@")
    if named_revision and is_hub_id(name) and not Path(place).expanduser().exists():
        if revision not in (None, named_revision):
            raise BaseModelError(f"{title} {text!r}: expected one revision, found {revision} as well; leave one out")
        place, revision = name, named_revision
    return ModelSource(place, revision, digest)


def check_pin(title: str, place: str, pinned: str | None, measure: Callable[[], str]) -> None:
    """Check that a model has the hash that it is pinned to, if it is.

    Args:
        title: What messages call the model.
        place: Where it is.
        pinned: The SHA-256 that it must have, hex; None for any.
        measure: Returns the one that it has; called only if one is pinned.

    Raises:
        BaseModelError: It has another hash.
    """
    if pinned is not None and (found := measure()) != pinned:
        raise BaseModelError(
            f"{title} {place!r}: expected the SHA-256 {pinned}, found {found}; correct the pin, or take the model that "
            "it belongs to"
        )


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a hub id, `owner/name`, and not that of a path or a file of weights."""
    is_path = name.startswith((".", "/", "~")) or name.lower().endswith((*PICKLES, ".safetensors"))
    return "://" not in name and name.count("/") == 1 and not is_path


def explain_no_model(title: str, place: str, expected: str) -> BaseModelError:
    """Return the error for a name that is no folder, store URI or hub id.

    Args:
        title: What messages call the model.
        place: The name.
        expected: What it may be.
    """
    found = "is no folder"
    if place.lower().endswith(PICKLES):
        is_there = Path(place).expanduser().is_file()
        found = "is a pickle, which is never loaded: convert it to safetensors" if is_there else "is no file"
    return BaseModelError(f"{title} {place!r} {found}; expected {expected}")
