"""Load networks that see images, with transformers: those that score pictures, and those that estimate depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoImageProcessor

from artbank.diffusion.loading import no_progress_bars
from artbank.diffusion.model_files import ModelKind, find_variant
from artbank.errors import ArtbankError, BaseModelError
from artbank.runtime.counts import number_are

LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Options of every loader of transformers: no request to the hub, and no code from beside the weights."""

_LONGEST = 300  # characters of a library's message


@no_progress_bars()
def load_image_network(kind: ModelKind, folder: Path, network: Any, device: torch.device) -> tuple[Any, Any]:
    """Load a frozen network in float32, and the image processor of transformers, from a checked folder.

    Args:
        kind: The kind of model.
        folder: The model.
        network: The class that loads it.
        device: Device of the network.

    Raises:
        BaseModelError: A part is missing or damaged, or this is another kind of model.
    """
    options: dict[str, Any] = {**LOCAL, "dtype": torch.float32, "output_loading_info": True}
    with explained_damage(kind, folder):
        # Only settings are read. The other backend imports torchvision, which may not be installed.
        processor = AutoImageProcessor.from_pretrained(folder, **LOCAL, backend="pil")
        variant = find_variant(kind, folder)
        loaded, info = network.from_pretrained(folder, variant=variant, use_safetensors=True, **options)
    if missing := sorted(info["missing_keys"]):
        raise BaseModelError(
            f"{kind.name} folder {folder}: {number_are(len(missing), 'tensor')} missing in its weights, such as "
            f"{', '.join(missing[:3])}; fetch it again"
        )
    return loaded.eval().requires_grad_(False).to(device), processor


@contextmanager
def explained_damage(kind: ModelKind, folder: Path) -> Iterator[None]:
    """Turn what a loader raises into a `BaseModelError` of one line that names the folder."""
    try:
        yield
    except (ArtbankError, MemoryError):
        raise
    except Exception as error:  # on damaged files and odd settings the libraries raise exceptions of every kind
        text = " ".join(str(error).split())[:_LONGEST]
        raise BaseModelError(f"{kind.name} folder {folder} cannot be read: {text}; fetch it again") from error
