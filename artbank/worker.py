"""What a worker process keeps loaded: one base model, one scorer, one pool of decoders, whatever it runs."""

from __future__ import annotations

import threading
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path

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
    source = pick_scorer(choice, resolve(choice.base_model, choice.revision) if choice.scorer == "auto" else None)
    with _LOADING:
        return _load_scorer(source, device)


def pick_scorer(choice: RunConfig, folder: Path | None) -> str:
    """Return what names the scorer of a run; `folder` is that of its base model, None where it is not here."""
    if choice.scorer != "auto":
        return choice.scorer
    if choice.base_model == MINI:
        return MINI
    return str(folder / "clip") if folder and (folder / "clip").is_dir() else _LARGE_CLIP


def load_codecs() -> Codecs:
    """Return the processes that decode and encode for this one.

    Raises:
        ConfigError: This process may have no children of its own.
    """
    with _LOADING:
        return _load_codecs()


@lru_cache(maxsize=1)
def _load_codecs() -> Codecs:
    codecs = Codecs()
    # A process that multiprocessing started, as Dask's workers are, waits for its children before anything that is
    # registered with `atexit`, and so for ever.
    Finalize(None, codecs.close, exitpriority=0)
    return codecs


@lru_cache(maxsize=1)
def _load_base(source: str, revision: str | None, device: str, dtype: str, compiling: str) -> BaseModel:
    return BaseModel.load(source, revision=revision, device=device, dtype=dtype, compiling=compiling)


@lru_cache(maxsize=1)
def _load_scorer(source: str, device: torch.device) -> Scorer:
    return Scorer.load(source, device)
