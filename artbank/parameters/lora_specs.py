"""LoRA files as options name them: FILE or FILE:WEIGHT; FILE may end in a pinned hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from artbank.parameters.model_pins import PIN, split_pin

MOST_WEIGHT = 4.0
"""The largest weight of a LoRA, also below zero; pictures dissolve far below it."""

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class LoraSpec:
    """A LoRA file and how much of it is merged into the base model.

    Attributes:
        uri: A file on this machine, or a store URI of one.
        weight: Factor of its change of the weights, -4..4 and not 0; 1 as it was trained.
        pinned: The SHA-256 that the file must have, hex; None for any.
    """

    uri: str
    weight: float
    pinned: str | None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return PurePosixPath(self.uri).name


@dataclass(frozen=True)
class MergedLora:
    """A LoRA that is merged into the base model of a run, by what determines the pictures.

    Attributes:
        name: The file's name.
        sha256: SHA-256 of the file, hex.
        weight: See `LoraSpec`.
    """

    name: str
    sha256: str
    weight: float

    @property
    def title(self) -> str:
        """Name, hash and weight, such as `ink.safetensors@0123456789ab:0.8`."""
        return f"{self.name}@{self.sha256[:12]}:{self.weight:g}"


def parse_lora(text: str) -> LoraSpec:
    """Read a LoRA's file, hash and weight, such as `models/ink.safetensors:0.8` or `ink.safetensors@sha256:HEX:0.8`.

    Raises:
        ValueError: The file is no safetensors file, the hash no SHA-256, or the weight is 0, too large or no number.
    """
    named, _, tail = text.rpartition(":")
    if not named or tail.endswith(_SUFFIX) or f"{named}:".endswith(PIN):
        named, tail = text, "1"
    uri, pinned = split_pin(named)
    if not uri.endswith(_SUFFIX):
        raise ValueError(
            f"expected FILE{_SUFFIX} or FILE{_SUFFIX}:WEIGHT, found {text}; other files, such as pickles, are never "
            "loaded: convert them to safetensors"
        )
    try:
        weight = float(tail)
    except ValueError:
        weight = float("nan")
    if not 0 < abs(weight) <= MOST_WEIGHT:
        raise ValueError(f"expected a weight of -{MOST_WEIGHT:g} to {MOST_WEIGHT:g} and not 0, found {tail} in {text}")
    return LoraSpec(uri, weight, pinned)
