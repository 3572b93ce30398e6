"""What shapes a bank, or a picture, and nothing else.

The digests of recipes name banks and results, so what would come out the same is not done again. Field descriptions are
Prefect's form, the command line's help and the documentation at once.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Attention = Literal["ssam", "self", "released", "none"]
Inversion = Literal["stochastic", "gaussian", "ddim"]
Solver = Literal["ddim", "dpm++2m", "unipc"]
Preset = Literal["paper", "exact", "balanced", "fast"]
Colour = Literal["free", "keep", "collection"]
OutputSize = Literal["working", "original"]
Alpha = Literal["white", "keep"]


class Model(BaseModel):
    """What all of these share: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class _Recipe(Model):
    VERSION: ClassVar[int]
    """Version of the code behind a recipe: raised when the same recipe would give another bank or other pixels."""

    def digest(self) -> str:
        """Return 16 hex digits that are equal exactly where two recipes ask for the same."""
        facts = {"version": self.VERSION, **self.model_dump(mode="json", exclude={"preset"})}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


PAPER = {"strength": 0.7, "steps": 50, "guidance": 10.0, "inversion": "stochastic", "solver": "ddim"}
"""The paper's settings. Source: ArtBank, section "Implementation details", and the authors' released settings."""

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {**PAPER, "aligned": False},
    "exact": PAPER,
    "balanced": {},
    "fast": {"steps": 10, "solver": "unipc", "guidance_to": 0.6},
}
"""What a recipe starts from, where it is not the default."""


class BankRecipe(_Recipe):
    """What shapes a bank, besides the artworks and the base model."""

    VERSION = 1

    num_tokens: int = Field(
        default=8, ge=1, le=32, description="Vectors in a bank, each the size of one word of the prompt."
    )
    attention: Attention = Field(
        default="ssam",
        description="Module that shapes the vectors while they train; `none` is plain textual inversion.",
    )
    init_word: str = Field(
        default="painting", min_length=1, description="Word whose embedding every vector starts from."
    )
    max_steps: int = Field(default=400, ge=1, le=100_000, description="Longest training, in optimiser steps.")
    batch_size: int = Field(default=8, ge=1, le=1024, description="Artwork views in one step.")
    learning_rate: float = Field(default=5e-3, gt=0, le=1, description="AdamW's rate, after a short warm-up.")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="AdamW's decoupled weight decay.")
    num_crops: int = Field(
        default=4, ge=1, le=64, description="Crops of each artwork; each is learned as is and mirrored."
    )
    caption_dropout: float = Field(
        default=0.1, ge=0, le=1, description="Share of steps whose caption is the style alone."
    )
    min_snr_gamma: float | None = Field(
        default=None, gt=0, description="Min-SNR weighting of the loss; none by default."
    )
    max_strength: float = Field(
        default=1.0, gt=0, le=1, description="Train on noise up to this share of the schedule only."
    )
    holdout: float = Field(
        default=0.15, ge=0, le=0.5, description="Share of artworks kept for validation, at least one."
    )
    validate_every: int = Field(default=25, ge=1, description="Steps between two validations.")
    patience: int = Field(default=6, ge=1, description="Validations without a better loss after which training stops.")
    resolution_px: int | None = Field(
        default=None, ge=32, le=2048, description="Side of a crop, px; the model's by default."
    )
    warm_start: bool = Field(default=False, description="Start from the collection's current bank where there is one.")
    seed: int = Field(default=0, ge=0, description="Seed of crops, captions, noise and the first values.")


class StylizeRecipe(_Recipe):
    """What shapes a stylized picture, besides the photo, the style and the base model."""

    VERSION = 2

    preset: Preset = Field(
        default="balanced",
        description="What is not given follows it: `paper` (to the letter, 71 UNet evaluations a picture), `exact` "
        "(the same, but denoising starts where noising ended), `balanced`, or `fast` (10 steps, some of them guided).",
    )
    strength: float = Field(default=0.5, gt=0, le=1, description="Share of the noise schedule redone; 0 is the photo.")
    steps: int = Field(
        default=20, ge=1, le=500, description="Solver steps of the whole schedule; `strength` of them run."
    )
    guidance: float = Field(default=4.0, ge=1, le=50, description="Classifier-free guidance scale; 1 is without.")
    guidance_from: float = Field(
        default=0.0, ge=0, le=1, description="Share of the executed steps before guidance begins."
    )
    guidance_to: float = Field(
        default=1.0, ge=0, le=1, description="Share of the executed steps after which guidance ends."
    )
    inversion: Inversion = Field(
        default="stochastic", description="How the photo is noised; stochastic keeps its structure."
    )
    solver: Solver = Field(default="dpm++2m", description="Solver of the denoising.")
    aligned: bool = Field(
        default=True, description="Noise the photo to where denoising starts; the paper's release noises it further."
    )
    style_weight: float = Field(
        default=1.0, ge=0, le=2, description="0 is the neutral prompt, 1 the style, more exaggerates."
    )
    prompt: str = Field(default="a painting", description="What is said of the picture beside its style.")
    negative_prompt: str = Field(default="", description="What guidance leads away from.")
    colour: Colour = Field(default="free", description="Colours: as they come, the photo's, or the collection's.")
    size: OutputSize = Field(default="working", description="Output at the working size, or at the photo's own pixels.")
    resolution_px: int | None = Field(default=None, ge=32, le=4096, description="Short side of the working size, px.")
    alpha: Alpha = Field(default="white", description="Transparency: laid on white, or kept in formats that have it.")
    quality: int = Field(default=92, ge=1, le=100, description="Quality of JPEG and WebP output.")
    seed: int = Field(default=0, ge=0, description="Seed of the run; each photo's own follows from it and its key.")

    @model_validator(mode="before")
    @classmethod
    def _follow_preset(cls, values: Any) -> Any:
        name = values.get("preset", "balanced") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in PRESETS:
            return values
        own = [field for field, value in PRESETS[name].items() if field in values and values[field] != value]
        if own and name == "paper":
            fixed = ", ".join(f"{field}={PRESETS[name][field]}" for field in own)
            raise ValueError(f"preset paper fixes {fixed}; leave out {', '.join(own)}, or take preset exact")
        return {**PRESETS[name], **values}

    @model_validator(mode="after")
    def _order_guidance(self) -> Self:
        if self.guidance_from > self.guidance_to:
            raise ValueError(f"guidance_from {self.guidance_from} is above guidance_to {self.guidance_to}; swap them")
        return self


def count_steps(recipe: StylizeRecipe) -> int:
    """Return the steps that a strength executes."""
    return min(max(int(recipe.steps * recipe.strength + 1e-9), 1), recipe.steps)


def is_guided(recipe: StylizeRecipe, step: int) -> bool:
    """Tell whether an executed step, 0.., is guided."""
    share = step / count_steps(recipe)
    return recipe.guidance > 1 and recipe.guidance_from <= share < recipe.guidance_to


def count_evaluations(recipe: StylizeRecipe) -> int:
    """Return the UNet evaluations that one picture takes; a guided step takes two."""
    count = count_steps(recipe)
    inversion = {"stochastic": 1, "ddim": count, "gaussian": 0}[recipe.inversion]
    return count + sum(is_guided(recipe, step) for step in range(count)) + inversion
