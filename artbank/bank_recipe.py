"""The recipe of a bank: all settings that determine it, besides the artworks and the base model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from artbank.parameter_groups import TRAIN_GROUPS
from artbank.recipe_model import Recipe

Attention = Literal["ssam", "self", "released", "none"]


class BankRecipe(Recipe):
    """Settings that determine a bank, besides the artworks and the base model."""

    VERSION = 2
    GROUPS = TRAIN_GROUPS

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
            "layer. The attention's gates take a third of it, its matrices a fiftieth."
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
