"""Check a model on the hub that is not on this machine, without fetching it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artbank.diffusion.hub import HubModel, is_offline_by_environment
from artbank.doctor.checks import CheckResult, size_text
from artbank.doctor.disk_space import assess_free_space


def check_hub_model(model: HubModel, seconds: float, *, is_offline: bool) -> Iterator[CheckResult]:
    """Report whether a model can be fetched, its size, and its licence.

    Args:
        model: The model.
        seconds: Time limit for the hub's answer.
        is_offline: Make no request.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    wanted_model = f"{model.name} at revision {model.revision or 'main'}"
    if is_offline or is_offline_by_environment():
        cause = "HF_HUB_OFFLINE is set" if is_offline_by_environment() else "--offline forbids to fetch it"
        text = f"{wanted_model} is not in {constants.HF_HUB_CACHE}, and {cause}"
        yield CheckResult("problem", text, "allow requests to fetch it, or pass a folder or a store URI")
        return
    for name in model.names:
        try:
            info = HfApi().model_info(name, revision=model.revision, files_metadata=True, timeout=seconds)
        except GatedRepoError as error:
            text = f"the hub asks for consent to the licence of {name}: {error}"
            yield CheckResult("problem", text, f"give it at https://huggingface.co/{name}, and set HF_TOKEN")
            return
        except HfHubHTTPError as error:
            if isinstance(error, RepositoryNotFoundError) and name != model.names[-1]:
                yield CheckResult("warning", f"the hub has no {name} any more", f"its mirror {model.names[-1]} is used")
                continue
            text = f"the hub has no {wanted_model}, or refuses access: {error}"
            yield CheckResult("problem", text, "correct the id or the revision; a private model needs HF_TOKEN")
            return
        except Exception as error:  # its HTTP client has errors of its own, which are no OSError
            text = f"{wanted_model} is not on this machine, and {constants.ENDPOINT} cannot be reached: {error}"
            advice = "check the network, or fetch it elsewhere and pass a folder or a store URI"
            yield CheckResult("problem", text, advice)
            return
        yield from _assess(model, name, info)
        return


def _assess(model: HubModel, name: str, info: Any) -> Iterator[CheckResult]:
    """Report the size of a model on the hub, and its licence."""
    from huggingface_hub import constants

    title = f"{name} at revision {model.revision or 'main'}"
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = model.select(list(sizes))
    if not any(file.endswith(".safetensors") for file in wanted):
        text = f"{title} has no safetensors weights"
        yield CheckResult("problem", text, "use a model that has them; pickles are never loaded")
        return
    needed = sum(sizes[file] for file in wanted)
    text = f"{title} is not on this machine yet: {size_text(needed)} are fetched when first used"
    yield assess_free_space(text, Path(constants.HF_HUB_CACHE), needed)
    licence = info.card_data.get("license") if info.card_data else None
    if licence:
        yield CheckResult("OK", f"licence, by its card: {licence}")
    else:
        text = "licence unknown: the model's card names none"
        yield CheckResult("warning", text, f"look at https://huggingface.co/{name}")
