"""Check a model on the hub that is not on this machine, without fetching it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from artbank.doctor.checks import CheckResult, size_text
from artbank.doctor.disk_space import assess_free_space


def check_hub_model(name: str, revision: str | None, patterns: Sequence[str], seconds: float) -> Iterator[CheckResult]:
    """Report whether a model can be fetched, its size, and its licence.

    Args:
        name: Hub id.
        revision: Commit, tag or branch.
        patterns: Patterns of the files that would be fetched.
        seconds: Time limit for the hub's answer.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    model = f"{name} at revision {revision or 'main'}"
    if constants.HF_HUB_OFFLINE:
        text = f"{model} is not in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set"
        yield CheckResult("problem", text, "unset HF_HUB_OFFLINE to fetch it, or pass a folder or a store URI")
        return
    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=seconds)
    except HfHubHTTPError as error:
        text = f"the hub has no {model}, or refuses access: {error}"
        yield CheckResult("problem", text, "correct the id or the revision; a private model needs HF_TOKEN")
        return
    except Exception as error:  # its HTTP client has errors of its own, which are no OSError
        text = f"{model} is not on this machine, and {constants.ENDPOINT} cannot be reached: {error}"
        advice = "check the network, or fetch it elsewhere and pass a folder or a store URI"
        yield CheckResult("problem", text, advice)
        return
    wanted = _select_files(info, patterns)
    if not any(file.endswith(".safetensors") for file in wanted):
        text = f"{model} has no safetensors weights"
        yield CheckResult("problem", text, "use a model that has them; pickles are never loaded")
        return
    needed = sum(wanted.values())
    text = f"{model} is not on this machine yet: {size_text(needed)} are fetched when first used"
    yield assess_free_space(text, Path(constants.HF_HUB_CACHE), needed)
    licence = info.card_data.get("license") if info.card_data else None
    if licence:
        yield CheckResult("OK", f"licence, by its card: {licence}")
    else:
        text = "licence unknown: the model's card names none"
        yield CheckResult("warning", text, f"look at https://huggingface.co/{name}")


def _select_files(info: Any, patterns: Sequence[str]) -> dict[str, int]:
    """Return names and sizes, bytes, of the files of a repository that match a pattern."""
    selected = {}
    for file in info.siblings or ():
        if any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in patterns):
            selected[file.rfilename] = file.size or 0
    return selected
