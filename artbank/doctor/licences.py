"""Under which licence a model is, as far as what lies beside it says so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from artbank.diffusion.weights import MINI
from artbank.doctor.checks import CheckResult

_FRONT = re.compile(r"\A---\s*\n(.*?\n)---\s*\n", re.DOTALL)
_SECTION = re.compile(r"^#+\s*licen[cs]e\s*\n+(.+?)(?:\n\s*\n|\Z)", re.IGNORECASE | re.DOTALL | re.MULTILINE)
_LONGEST = 200  # signs of a licence's name, or of what a card says of it


def find_licence(source: str, folder: Path | None, card: str = "") -> CheckResult:
    """Say what licence a model has, and where it is written.

    Args:
        source: What the model was asked for by.
        folder: Where it is; None where it is not on this machine.
        card: Its README, where there is no folder to look into.
    """
    if folder is not None:
        place = folder.parent if source == MINI else folder  # the embedded model's card is beside its weights
        card = _read(place / "README.md")
    if licence := read_licence(card):
        return CheckResult("OK", f"licence, by its card: {licence}")
    for path in sorted(folder.glob("LICEN[CS]E*")) if folder is not None else ():
        return CheckResult("OK", f"licence, by {path.name}: {_read(path).strip().splitlines()[0][:_LONGEST]}")
    is_hub_id = "://" not in source and source.count("/") == 1 and not Path(source).is_dir()
    where = f"https://huggingface.co/{source}" if is_hub_id else "where it was fetched from"
    return CheckResult("warning", "licence unknown: no card or licence file beside it", f"look at {where}")


def read_licence(card: str) -> str:
    """Return what a model card says of the licence, by its front matter or a section of that name; empty if nothing."""
    if found := _FRONT.search(card):
        try:
            facts = yaml.safe_load(found[1])
        except yaml.YAMLError:
            facts = None
        licence = facts.get("license") if isinstance(facts, dict) else None
        if isinstance(licence, str) and licence:
            return licence[:_LONGEST]
    section = _SECTION.search(card)
    return " ".join(section[1].split())[:_LONGEST] if section else ""


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""
