"""Sizes of a base model's text encoders, for vectors that tests make up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loading torch takes seconds, which tests without a model need not wait
    from artbank.diffusion.base_model import BaseModel
    from artbank.diffusion.prompt_encoder import PromptEncoder


def text_width(base: BaseModel) -> int:
    """Return D, the width of a word's embedding for all text encoders together."""
    return sum(base.text_widths.values())


def vocabulary_rms(encoder: PromptEncoder) -> float:
    """Return the root mean square of the entries of a vocabulary."""
    return encoder.vocabulary.float().square().mean().sqrt().item()
