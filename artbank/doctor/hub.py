"""What the hub has of a model that is not on this machine, asked without fetching it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path

from artbank.doctor.checks import CheckResult, size_text
from artbank.doctor.disk_space import judge_room


def is_offline() -> bool:
    """Tell whether the environment forbids to ask the hub."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def ask_hub(name: str, revision: str | None, patterns: Sequence[str], seconds: float) -> Iterator[CheckResult]:
    """Say whether a model can be fetched, how large it is, and under which licence.

    Args:
        name: Hub id.
        revision: Commit, tag or branch.
        patterns: Of the files that would be fetched.
        seconds: For which the hub is waited for.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    where = f"{name} at revision {revision or 'main'}"
    if is_offline():
        advice = "unset HF_HUB_OFFLINE to fetch it, or pass a folder or a store URI"
        yield CheckResult("problem", f"{where} is not in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set", advice)
        return
    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=seconds)
    except HfHubHTTPError as error:
        yield CheckResult(
            "problem", f"the hub has no {where}, or does not give it: {error}", "correct it; see HF_TOKEN"
        )
        return
    except Exception as error:  # its HTTP client's own errors, which are no OSError
        advice = "see the network, or fetch it elsewhere and pass a folder or a store URI"
        yield CheckResult(
            "problem", f"{where} is not here, and {constants.ENDPOINT} cannot be reached: {error}", advice
        )
        return
    files = {f.rfilename: f.size or 0 for f in info.siblings or ()}
    wanted = {own: size for own, size in files.items() if any(fnmatch.fnmatch(own, pattern) for pattern in patterns)}
    if not any(own.endswith(".safetensors") for own in wanted):
        yield CheckResult(
            "problem", f"{where} has no safetensors weights in it", "take a model that has; pickles are not"
        )
        return
    need = sum(wanted.values())
    text = f"{where} is not here yet: {size_text(need)} are fetched when first used"
    yield judge_room(text, Path(constants.HF_HUB_CACHE), need)
    licence = info.card_data.get("license") if info.card_data else None
    if licence:
        yield CheckResult("OK", f"licence, by its card: {licence}")
    else:
        yield CheckResult("warning", "licence unknown: its card names none", f"look at https://huggingface.co/{name}")
