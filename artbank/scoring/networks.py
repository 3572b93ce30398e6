"""Load the network and the image preprocessing of a model that scores pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, PreTrainedModel

from artbank.diffusion.image_networks import explained_damage, load_image_network
from artbank.diffusion.model_files import ModelKind, check_model, fetch_model, hash_model, name_model
from artbank.diffusion.tensors import copy_to_host
from artbank.scoring.clip_preprocess import ClipPreprocessor

BATCH_SIZE = 32
"""Pictures that a model looks at together."""


def locate(kind: ModelKind, source: str, *, is_offline: bool) -> tuple[Path, str]:
    """Return the folder of a model, fetched if it is not here, and the name of its id.

    Raises:
        BaseModelError: There is no such model.
        OSError: The store or the hub failed.
    """
    folder = fetch_model(kind, source, is_offline=is_offline)
    return folder, name_model(kind, source, folder)


def model_id(kind: ModelKind, name: str, folder: Path) -> str:
    """Return the id of a model, `NAME@` and 12 digits of its hash: scores of two ids cannot be compared."""
    return f"{name}@{hash_model(kind, folder)[:12]}"


def load_network(
    kind: ModelKind, folder: Path, network: type[PreTrainedModel] | type[AutoModel], device: torch.device
) -> tuple[Any, ClipPreprocessor]:
    """Check the folder of a model, then load its network as `load_image_network` does, and its preprocessing.

    Raises:
        BaseModelError: A part is missing or damaged, or this is another kind of model.
    """
    check_model(kind, folder)
    loaded, processor = load_image_network(kind, folder, network, device)
    with explained_damage(kind, folder):
        return loaded, ClipPreprocessor.from_processor(processor)


def preprocessing_device(device: torch.device) -> torch.device:
    """Return where pictures for a network are preprocessed: some devices other than CUDA have no resize filters."""
    return device if device.type == "cuda" else torch.device("cpu")


def to_unit_rows(batches: Sequence[Tensor], width: int) -> Tensor:
    """Return embeddings that were queued on a device as unit vectors, float32 [n, C] on CPU; the host waits once.

    Args:
        batches: The embeddings of some pictures each, [., C]; none at all for n = 0.
        width: C.
    """
    arrays = copy_to_host(batches) if batches else []
    return normalize(torch.cat([torch.empty(0, width), *map(torch.from_numpy, arrays)]), dim=1)


class _Tf32:
    """The setting of the process, which several threads may want at a time: the first sets it, the last restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_inside = 0
        self._before: Any = None

    def enter(self) -> None:
        """Let the matrix products be in TF32."""
        settings: Any = torch.backends.cuda.matmul
        # PyTorch before 2.9 has only the older name; later ones warn of a mix of both
        name, value = ("fp32_precision", "tf32") if hasattr(settings, "fp32_precision") else ("allow_tf32", True)
        with self._lock:
            if self._num_inside == 0:
                self._before = (name, getattr(settings, name))
                setattr(settings, name, value)
            self._num_inside += 1

    def leave(self) -> None:
        """Restore the setting if no other block needs it."""
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0:
                setattr(torch.backends.cuda.matmul, *self._before)


_TF32 = _Tf32()


@contextmanager
def tf32_products(device: torch.device) -> Iterator[None]:
    """Let a CUDA device compute the float32 matrix products of the block in TF32, which its tensor cores take.

    It moves the cosine of a ViT-L/14 by at most 1.2e-4. Other devices have no such mode. The setting holds for all that
    the process starts in the block: what else runs there in float32 on CUDA, in another thread, is as exact as TF32.
    Where blocks of several threads overlap, it holds until the last one ends.
    """
    if not _has_tf32(device):
        yield
        return
    _TF32.enter()
    try:
        yield
    finally:
        _TF32.leave()


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda"  # cards without tensor cores ignore the setting
