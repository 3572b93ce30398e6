"""What a worker process keeps loaded: one base model, one scorer, one pool of decoders, whatever it runs."""

from __future__ import annotations

import threading
from functools import lru_cache

import torch

from artbank.codecs import Codecs
from artbank.config import RunConfig
from artbank.diffusion import BaseModel
from artbank.models import MINI, resolve
from artbank.scorer import Scorer

_LARGE_CLIP = "openai/clip-vit-large-patch14"  # the CLIP of Stable Diffusion 1.x
_LOADING = threading.Lock()


def load_base(choice: RunConfig) -> BaseModel:
    """Return the base model of a run, loaded once in a process.

    Raises:
        BaseModelError: It is not there, or lacks a part.
        ConfigError: The device is not there.
        OSError: The store or the hub failed.
    """
    with _LOADING:  # threads that ask at once must not load it twice
        return _load_base(choice.base_model, choice.revision, choice.device, choice.dtype, choice.compiling)


def load_scorer(choice: RunConfig) -> Scorer:
    """Return the scorer of a run, loaded once in a process; `auto` is the CLIP beside the base model.

    Raises:
        BaseModelError: It is not there, or lacks a part.
        OSError: The store or the hub failed.
    """
    device = load_base(choice).device
    source = choice.scorer
    if source == "auto":
        beside = resolve(choice.base_model, choice.revision) / "clip"
        source = MINI if choice.base_model == MINI else str(beside) if beside.is_dir() else _LARGE_CLIP
    with _LOADING:
        return _load_scorer(source, device)


def load_codecs() -> Codecs:
    """Return the processes that decode and encode for this one.

    Raises:
        ConfigError: This process may have no children of its own.
    """
    with _LOADING:
        return _load_codecs()


_load_codecs = lru_cache(maxsize=1)(Codecs)


@lru_cache(maxsize=1)
def _load_base(source: str, revision: str | None, device: str, dtype: str, compiling: str) -> BaseModel:
    return BaseModel.load(source, revision=revision, device=device, dtype=dtype, compiling=compiling)


@lru_cache(maxsize=1)
def _load_scorer(source: str, device: torch.device) -> Scorer:
    return Scorer.load(source, device)
