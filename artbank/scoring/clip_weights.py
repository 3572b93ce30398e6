"""The files of a CLIP model: where they are, whether all are there, and their hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from artbank.diffusion.model_limits import check_header, check_settings, read_text
from artbank.diffusion.weights import MINI, check_indices
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS

HUB_PATTERNS = ["*.json", "*.txt", "*.safetensors"]
"""Patterns of the files that are fetched from a repository on the hub: never pickles, never code."""

_PARTS: dict[str, tuple[str, ...]] = {
    "config.json": ("config.json",),
    "weights as safetensors": ("model*.safetensors",),
    "preprocessor_config.json": ("preprocessor_config.json", "processor_config.json"),
    "tokenizer.json or vocab.json": ("tokenizer.json", "vocab.json"),
}


def fetch_clip(source: str, *, local_files_only: bool = False) -> Path:
    """Return the folder of a CLIP, unchecked; fetches it from the hub if it is not here.

    Args:
        source: `mini` for the embedded one, a local folder, or a hub id `owner/name` or `owner/name@revision`.
        local_files_only: Never ask the hub.

    Raises:
        BaseModelError: There is no such model.
    """
    if source == MINI:
        return WEIGHTS / "clip"
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    name, _, revision = source.partition("@")
    if not is_hub_id(name):
        raise BaseModelError(f"scorer {source!r} is no folder; expected 'mini', a folder or a hub id owner/name")
    return _download_from_hub(name, revision or None, local_files_only=local_files_only)


def is_hub_id(name: str) -> bool:
    """Tell whether a name has the form of a hub id, `owner/name`."""
    return "://" not in name and name.count("/") == 1 and not name.startswith((".", "/", "~"))


def check_clip(folder: Path) -> None:
    """Check that a folder has every part of a CLIP, with weights as safetensors.

    Raises:
        BaseModelError: Names the parts that are missing, or the kind of model that is there instead.
    """
    check_indices(folder)
    missing = [part for part, names in _PARTS.items() if not any(any(folder.glob(name)) for name in names)]
    if missing:
        advice = "fetch it again"
        if any(folder.glob("*.bin")):
            advice = "its weights are pickles, which are never loaded: convert them to safetensors"
        raise BaseModelError(f"scorer folder {folder}: expected a CLIPModel, found no {', '.join(missing)}; {advice}")
    try:
        check_settings(folder / "config.json")
        kind = json.loads(read_text(folder / "config.json")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise BaseModelError(
            f"scorer folder {folder}: its config.json cannot be read: {error}; fetch it again"
        ) from error
    if kind != "clip":  # transformers would fill the shape of another model with noise, and only warn
        raise BaseModelError(f"scorer folder {folder}: expected a model of type 'clip', found {kind!r}; pass a CLIP")
    for path in folder.glob("model*.safetensors"):
        check_header(path)


def hash_clip(folder: Path) -> str:
    """Return the SHA-256, hex, over all files that shape a score: weights, settings, tokenizer."""
    total = hashlib.sha256()
    paths = {path for pattern in HUB_PATTERNS for path in folder.glob(pattern)}
    for path in sorted(paths):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name} {digest}\n".encode())
    return total.hexdigest()


def _download_from_hub(name: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    options: Any = {"allow_patterns": HUB_PATTERNS, "local_files_only": local_files_only}
    try:
        return Path(snapshot_download(name, revision=revision, **options))
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"scorer {name!r} is no folder here, and the hub cannot be reached; pass a folder or 'mini'"
        ) from error
    except HfHubHTTPError as error:
        raise BaseModelError(
            f"the hub has no scorer {name!r} at revision {revision or 'main'}; correct the id or the revision"
        ) from error
