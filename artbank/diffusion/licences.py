"""The licence of a model, by the files beside its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from artbank.diffusion.weights import MINI
from artbank.mini import LICENCE, WEIGHTS

_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?\n)---\s*\n", re.DOTALL)
_SECTION = re.compile(r"^#+\s*licen[cs]e\s*\n+(.+?)(?:\n\s*\n|\Z)", re.IGNORECASE | re.DOTALL | re.MULTILINE)
_MAX_CHARACTERS = 200  # of a licence's name, or of the card's section about it


def name_licence(source: str, folder: Path | None) -> str:
    """Return the licence of a model by the files in its folder; empty if they name none, or there is none."""
    if source == MINI:
        return LICENCE
    if folder is None:
        return ""
    licences = [read_licence(read_card(source, folder)), *(licence for _, licence in read_licence_files(folder))]
    return next(filter(None, licences), "")


def read_licence(card: str) -> str:
    """Return the licence that a model card names, in its front matter or in a section; empty if it names none."""
    if front_matter := _FRONT_MATTER.search(card):
        try:
            facts = yaml.safe_load(front_matter[1])
        except yaml.YAMLError:
            facts = None
        licence = facts.get("license") if isinstance(facts, dict) else None
        if isinstance(licence, str) and licence:
            return licence[:_MAX_CHARACTERS]
    section = _SECTION.search(card)
    return " ".join(section[1].split())[:_MAX_CHARACTERS] if section else ""


def read_card(source: str, folder: Path) -> str:
    """Return the card of a model on this machine; empty if there is none."""
    card_folder = WEIGHTS.parent if source == MINI else folder  # one card for all that is embedded
    return _read(card_folder / "README.md")


def read_licence_files(folder: Path | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the first line of each licence file of a model."""
    for path in sorted(folder.glob("LICEN[CS]E*")) if folder is not None else ():
        if lines := _read(path).strip().splitlines():
            yield path.name, lines[0][:_MAX_CHARACTERS]


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""
