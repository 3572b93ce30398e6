"""The tensors of a LoRA bank: their names, their checks and their layout for other programs; loads no PyTorch.

A bank's file names its tensors as diffusers and PEFT do: `unet.LAYER.lora_A.weight` is down [r, in] and
`unet.LAYER.lora_B.weight` is up [out, r]. Alpha is the rank, so that the change is up @ down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from artbank.runtime.readable_text import drop_invisible

Values = TypeVar("Values")
Floats = NDArray[np.float32]

MOST_WORD = 40
"""Bytes of the longest word of a style; each is one token at most, and a prompt has 77."""

_DOWN = ".lora_A.weight"
_UP = ".lora_B.weight"
_LAYER = re.compile(r"(?:down_blocks|mid_block|up_blocks)[a-z0-9_.]{1,120}\.attn[12]\.to_(?:q|k|v|out\.0)")
_MOST_LAYERS = 2048  # SDXL has 560
_MOST_WIDTH = 16_384
_DEFAULT_WORD = "style"


def style_word(name: str) -> str:
    """Return the word for a style by the name of its collection: in lower case, without signs of prompts."""
    plain = "".join(character for character in drop_invisible(name) if character not in "<>{}()[]:|,")
    spaced = " ".join(plain.lower().split())
    word = spaced.encode()[:MOST_WORD].decode(errors="ignore").strip()
    return word if any(map(str.isalnum, word)) else _DEFAULT_WORD


def to_tensors(layers: Mapping[str, tuple[Values, Values]]) -> dict[str, Values]:
    """Return down and up of each layer by the names of their tensors."""
    tensors: dict[str, Values] = {}
    for layer, (down, up) in layers.items():
        tensors |= {f"unet.{layer}{_DOWN}": down, f"unet.{layer}{_UP}": up}
    return tensors


def from_tensors(tensors: Mapping[str, Values]) -> dict[str, tuple[Values, Values]]:
    """Return down and up of each layer; undoes `to_tensors`.

    Raises:
        ValueError: A tensor has no plain name of an attention layer, or has no counterpart.
    """
    layers: dict[str, tuple[Values, Values]] = {}
    for name in sorted(tensors):
        layer = name.removeprefix("unet.").removesuffix(_DOWN).removesuffix(_UP)
        if name not in (f"unet.{layer}{_DOWN}", f"unet.{layer}{_UP}") or not _LAYER.fullmatch(layer):
            raise ValueError(f"expected factors of attention layers, found {name[:120]!r}")
        if f"unet.{layer}{_DOWN}" not in tensors or f"unet.{layer}{_UP}" not in tensors:
            raise ValueError(f"expected {_DOWN} and {_UP} of each layer, found one of them of {layer}")
        layers[layer] = (tensors[f"unet.{layer}{_DOWN}"], tensors[f"unet.{layer}{_UP}"])
    if not 0 < len(layers) <= _MOST_LAYERS:
        raise ValueError(f"expected 1 to {_MOST_LAYERS:,} layers, found {len(layers):,}")
    return layers


def check_layers(tensors: Mapping[str, Floats], rank: int) -> None:
    """Check names and shapes of all tensors of a LoRA bank.

    Raises:
        ValueError: One has another name, or another rank than the recipe's, or is too wide.
    """
    for layer, (down, up) in from_tensors(tensors).items():
        if down.ndim != 2 or up.ndim != 2 or len(down) != rank or up.shape[1] != rank:
            raise ValueError(f"expected rank {rank} by its recipe, found {down.shape} and {up.shape} for {layer}")
        if not (0 < down.shape[1] <= _MOST_WIDTH and 0 < len(up) <= _MOST_WIDTH):
            raise ValueError(
                f"expected widths of 1 to {_MOST_WIDTH:,}, found {down.shape[1]} and {len(up)} for {layer}"
            )


def check_word(word: str) -> str:
    """Return the word of a style from a file.

    Raises:
        ValueError: It is no word that `style_word` returns.
    """
    if not word or word != style_word(word):
        raise ValueError(f"expected a plain word in lower case of 1 to {MOST_WORD} bytes, found {word[:80]!r}")
    return word


def to_kohya(tensors: Mapping[str, Floats], rank: int) -> dict[str, Floats]:
    """Return the tensors as kohya's scripts name them, which diffusers, A1111 and ComfyUI load."""
    named: dict[str, Floats] = {}
    for layer, (down, up) in from_tensors(tensors).items():
        prefix = f"lora_unet_{layer.replace('.', '_')}"
        alpha = np.array(rank, np.float32)
        named |= {f"{prefix}.lora_down.weight": down, f"{prefix}.lora_up.weight": up, f"{prefix}.alpha": alpha}
    return named
