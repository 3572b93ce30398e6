"""Names of models: `SOURCE`, with a pinned revision (`ID@REVISION`) and a pinned hash (`SOURCE@sha256:HEX`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from artbank.errors import BaseModelError

_PIN = "@sha256:"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelSource:
    """Where a model is, and what it is pinned to.

    Attributes:
        place: `mini`, a local folder, a single file, a store URI, or a hub id.
        revision: Commit, tag or branch of a hub id; None for its main branch.
        sha256: The hash that the loaded files must have, hex; None for any.
    """

    place: str
    revision: str | None = None
    sha256: str | None = None


def parse_source(text: str, revision: str | None = None) -> ModelSource:
    """Read the name of a model: `PLACE[@REVISION][@sha256:HEX]`, where only a hub id has a revision.

    Args:
        text: The name.
        revision: A revision that was given beside the name.

    Raises:
        BaseModelError: The hash is no SHA-256, or two revisions are given.
    """
    place, mark, digest = text.rpartition(_PIN)
    if not mark:
        place, digest = text, ""
    elif not _DIGEST.fullmatch(digest):
        raise BaseModelError(f"base model {text!r}: expected 64 hex digits after {_PIN}, found {digest!r}; correct it")
    name, _, own = place.partition("@")
    if own and is_hub_id(name) and not Path(place).expanduser().exists():
        if revision not in (None, own):
            raise BaseModelError(f"base model {text!r}: expected one revision, found {revision} as well; leave one out")
        place, revision = name, own
    return ModelSource(place, revision, digest or None)


def is_hub_id(name: str) -> bool:
    """Tell whether a name has the form of a hub id, `owner/name`."""
    return "://" not in name and name.count("/") == 1 and not name.startswith((".", "/", "~"))
