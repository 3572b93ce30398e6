"""The recipe of a bank: all settings that determine it, besides the artworks and the base model."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from artbank.parameters.groups import TRAIN_GROUPS
from artbank.parameters.model import Recipe

Attention = Literal["ssam", "self", "released", "none"]
BankKind = Literal["tokens", "lora"]

_OF_KIND: dict[BankKind, frozenset[str]] = {
    "tokens": frozenset({"num_tokens", "attention", "init_word"}),
    "lora": frozenset({"rank"}),
}
"""The fields that only banks of one kind have a use for."""


class BankRecipe(Recipe):
    """Settings that determine a bank, besides the artworks and the base model."""

    VERSION = 2
    GROUPS = TRAIN_GROUPS
    ADDED_LATER: ClassVar[dict[str, Any]] = {"kind": "tokens"}

    kind: BankKind = Field(
        default="tokens",
        description=(
            "`tokens`: vectors that take the place of words in the prompt. `lora`: low-rank changes of the weights of "
            "the UNet's attention layers."
        ),
    )
    rank: int = Field(
        default=16,
        ge=4,
        le=32,
        description="Rank of the change of each layer, for banks of kind `lora` only.",
    )
    num_tokens: int = Field(
        default=8,
        ge=1,
        le=32,
        description="Number of vectors in a bank; each takes the place of one token of the prompt.",
    )
    attention: Attention = Field(
        default="ssam",
        description=("Attention over the vectors during training; `none` is plain textual inversion."),
    )
    init_word: str = Field(
        default="painting",
        min_length=1,
        description="Word whose embedding initialises every vector.",
    )
    max_steps: int = Field(default=60, ge=1, le=100_000, description="Optimiser steps, at most.")
    batch_size: int = Field(default=8, ge=1, le=1024, description="Artwork crops per step.")
    learning_rate: float = Field(
        default=0.15,
        gt=0,
        le=1,
        description=(
            "AdamW's learning rate of the vectors after a warm-up of 3 steps, in units of the text encoder's first "
            "layer. The attention's gates take a third of it, its matrices a fiftieth, those of a LoRA a thirtieth."
        ),
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="AdamW's decoupled weight decay.",
    )
    num_crops: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Crops of each artwork; each is used as it is and mirrored.",
    )
    caption_dropout: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Fraction of captions replaced by the style alone.",
    )
    min_snr_gamma: float | None = Field(
        default=5.0,
        gt=0,
        description="Gamma of min-SNR loss weighting; without a value losses are unweighted.",
    )
    max_strength: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Train only on timesteps up to this fraction of the noise schedule.",
    )
    holdout: float = Field(
        default=0.15,
        ge=0,
        le=0.5,
        description="Fraction of artworks held out for validation; at least one artwork.",
    )
    validate_every: int = Field(default=10, ge=1, description="Steps between validations.")
    patience: int = Field(
        default=3,
        ge=1,
        description="Stop training after this many validations without a better loss.",
    )
    resolution_px: int | None = Field(
        default=None,
        ge=32,
        le=2048,
        description="Side of a crop in px; by default the base model's native size.",
    )
    warm_start: bool = Field(
        default=False,
        description="Start from the collection's current bank if there is one.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Seed of crops, captions, noise and initial vectors.",
    )

    @property
    def without_effect(self) -> frozenset[str]:
        """The fields that only banks of other kinds have a use for."""
        return frozenset().union(*(names for kind, names in _OF_KIND.items() if kind != self.kind))

    def to_json(self) -> str:
        """Return the recipe as banks and rows keep it; that of a token bank has the fields of older versions only."""
        return self.model_dump_json(exclude={"kind", "rank"} if self.kind == "tokens" else None)
