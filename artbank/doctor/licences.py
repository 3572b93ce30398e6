"""Report the licence of a model."""

from __future__ import annotations

from pathlib import Path

from artbank.diffusion.licences import read_card, read_licence, read_licence_files
from artbank.diffusion.model_source import is_hub_id
from artbank.doctor.checks import CheckResult


def find_licence(source: str, folder: Path | None, card: str = "") -> CheckResult:
    """Report the licence of a model, and the file that names it.

    Args:
        source: The name the model was asked for by.
        folder: Its folder; None if it is not on this machine.
        card: Its README; used only without a folder.
    """
    if folder is not None:
        card = read_card(source, folder)
    if licence := read_licence(card):
        return CheckResult("OK", f"licence, by its card: {licence}")
    for name, licence in read_licence_files(folder):
        return CheckResult("OK", f"licence, by {name}: {licence}")
    is_on_hub = is_hub_id(source) and not Path(source).is_dir()
    place = f"https://huggingface.co/{source}" if is_on_hub else "where it was fetched from"
    return CheckResult("warning", "licence unknown: no card or licence file beside the model", f"look at {place}")
