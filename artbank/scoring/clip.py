"""The CLIP model that scores pictures, and where it comes from.

Shape legend: n pictures or texts, C dimensions of CLIP's space (128 for the embedded scorer, 768 for ViT-L/14);
pictures uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from artbank.config import RunConfig
from artbank.diffusion.base_model import load_base_model
from artbank.diffusion.loading import without_bars
from artbank.diffusion.weights import MINI, check_shards, fetch_base_model
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.runtime.load_once import LoadOnce
from artbank.scoring.clip_preprocess import ClipPreprocessor

_BATCH_SIZE = 32
FETCHED = ["*.json", "*.txt", "*.safetensors"]
"""What is taken of a repository on the hub, as patterns: never pickles, never code."""
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_PARTS: dict[str, tuple[str, ...]] = {
    "config.json": ("config.json",),
    "weights as safetensors": ("model*.safetensors",),
    "preprocessor_config.json": ("preprocessor_config.json", "processor_config.json"),
    "tokenizer.json or vocab.json": ("tokenizer.json", "vocab.json"),
}


class Scorer:
    """A frozen CLIP that turns pictures and texts into unit vectors whose cosines are the scores.

    It runs in float32 wherever it is: half precision moves a cosine by about 0.001, which is what two runs differ by.

    Attributes:
        id: Where it came from and of which version, e.g. `mini/clip@0a1b2c3d4e5f`; scores of two ids do not compare.
    """

    def __init__(self, folder: Path, name: str, device: torch.device):
        """Load a CLIP from a folder; `name` becomes the first part of its id.

        Raises:
            BaseModelError: The folder lacks a part, is damaged, or holds another kind of model.
        """
        check(folder)
        self.id = f"{name}@{_hash(folder)[:12]}"
        self.device = device
        try:
            # Read only: torchvision, which another backend takes, is not everywhere.
            self._preprocessor = ClipPreprocessor.from_processor(
                AutoImageProcessor.from_pretrained(folder, **_LOCAL, backend="pil")
            )
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
            clip, loaded = _load_clip(folder)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise BaseModelError(f"scorer folder {folder} cannot be read: {error}; fetch it again") from error
        if missing := sorted(loaded["missing_keys"]):
            raise BaseModelError(f"scorer folder {folder}: its weights lack {', '.join(missing[:3])}; fetch it again")
        self._clip = clip.eval().requires_grad_(False)
        self._clip.to(device)  # pyright: ignore[reportArgumentType]
        self._width = clip.visual_projection.out_features

    @classmethod
    def load(cls, source: str, device: torch.device) -> Scorer:
        """Load a scorer.

        Args:
            source: `mini` for the embedded one, a local folder, or a hub id `owner/name` or `owner/name@revision`.
            device: Where it runs.

        Raises:
            BaseModelError: There is no such model, it lacks a part, or it is no CLIP.
        """
        if source == MINI:
            return cls(WEIGHTS / "clip", "mini/clip", device)
        folder = locate(source)
        name = folder.resolve().name if Path(source).expanduser().is_dir() else source.partition("@")[0]
        return cls(folder, name, device)

    def embed_images(self, images: Sequence[np.ndarray]) -> Tensor:
        """Return unit embeddings of pictures of any sizes, float32 [n, C] on CPU; none depends on the others."""
        return self.embed_tensors([torch.tensor(image).permute(2, 0, 1) for image in images])

    @torch.no_grad()
    def embed_tensors(self, images: Sequence[Tensor]) -> Tensor:
        """Return the same of pictures uint8 [3, H, W] on any device; those on the scorer's never leave it."""
        embedded = [torch.empty(0, self._width)]
        # Not every other device has the filters.
        place = self.device if self.device.type == "cuda" else torch.device("cpu")
        for start in range(0, len(images), _BATCH_SIZE):
            seen = self._preprocessor.preprocess([image.to(place) for image in images[start : start + _BATCH_SIZE]])
            embedded.append(self._clip.get_image_features(seen.to(self.device)).pooler_output.cpu())
        return torch.nn.functional.normalize(torch.cat(embedded), dim=1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit embeddings of texts, float32 [n, C] on CPU; what is past the model's longest text is cut."""
        embedded = [torch.empty(0, self._width)]
        longest = self._clip.config.text_config.max_position_embeddings
        for start in range(0, len(texts), _BATCH_SIZE):
            batch = list(texts[start : start + _BATCH_SIZE])
            tokens = self._tokenizer(batch, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            embedded.append(self._clip.get_text_features(**tokens.to(self.device)).pooler_output.cpu())
        return torch.nn.functional.normalize(torch.cat(embedded), dim=1)


def locate(source: str, *, local_files_only: bool = False) -> Path:
    """Return the folder of a scorer, fetching it from the hub unless `local_files_only`; nothing in it is checked.

    Raises:
        BaseModelError: There is none.
    """
    if source == MINI:
        return WEIGHTS / "clip"
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    name, _, revision = source.partition("@")
    if "://" in source or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BaseModelError(f"scorer {source!r} is no folder; expected 'mini', a folder or a hub id owner/name")
    return _download(name, revision or None, local_files_only=local_files_only)


@without_bars()
def _load_clip(folder: Path) -> tuple[CLIPModel, dict[str, set[str]]]:
    return CLIPModel.from_pretrained(  # pyright: ignore[reportReturnType]
        folder, use_safetensors=True, **_LOCAL, dtype=torch.float32, output_loading_info=True
    )


def check(folder: Path) -> None:
    """Check that a folder holds every part of a CLIP, with safetensors weights.

    Raises:
        BaseModelError: Names what is missing, or what it holds instead.
    """
    check_shards(folder)
    missing = [part for part, names in _PARTS.items() if not any(any(folder.glob(name)) for name in names)]
    if missing:
        advice = "; its weights are pickles, which are never loaded" if any(folder.glob("*.bin")) else ""
        raise BaseModelError(f"scorer folder {folder} lacks {', '.join(missing)}; expected a CLIPModel{advice}")
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise BaseModelError(f"scorer folder {folder}: its config.json cannot be read: {error}") from error
    if kind != "clip":  # transformers would fill another model's shape with noise, and only warn
        raise BaseModelError(f"scorer folder {folder}: expected a model of type 'clip', found {kind!r}; pass a CLIP")


def _hash(folder: Path) -> str:
    """Return the SHA-256, hex, over all that shapes a score: weights, configurations, tokenizer."""
    total = hashlib.sha256()
    for path in sorted(path for pattern in FETCHED for path in folder.glob(pattern)):
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _download(name: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        options: Any = {"allow_patterns": FETCHED, "local_files_only": local_files_only}
        return Path(snapshot_download(name, revision=revision, **options))
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"scorer {name!r} is no folder here, and the hub cannot be reached; pass a folder or 'mini'"
        ) from error
    except HfHubHTTPError as error:
        raise BaseModelError(f"the hub has no scorer {name!r} at revision {revision or 'main'}") from error


_LARGE_CLIP = "openai/clip-vit-large-patch14"  # the CLIP of Stable Diffusion 1.x


def load_scorer(choice: RunConfig) -> Scorer:
    """Return the scorer of a run, loaded once in a process; `auto` is the CLIP beside the base model.

    Raises:
        BaseModelError: It is not there, or lacks a part.
        OSError: The store or the hub failed.
    """
    device = load_base_model(choice).device
    source = choose_scorer(
        choice, fetch_base_model(choice.base_model, choice.revision) if choice.scorer == "auto" else None
    )
    return _load_scorer(source, device)


def choose_scorer(choice: RunConfig, folder: Path | None) -> str:
    """Return what names the scorer of a run; `folder` is that of its base model, None where it is not here."""
    if choice.scorer != "auto":
        return choice.scorer
    if choice.base_model == MINI:
        return MINI
    return str(folder / "clip") if folder and (folder / "clip").is_dir() else _LARGE_CLIP


@LoadOnce
def _load_scorer(source: str, device: torch.device) -> Scorer:
    return Scorer.load(source, device)
