"""A style: one bank, a weighted mix of several, or the prompt alone.

Shape legend: L tokens of a prompt, D text width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER
from artbank.errors import ConfigError
from artbank.images.palette import Palette
from artbank.recipes import StylizeRecipe


@dataclass(frozen=True)
class Style:
    """The banks of a style; without any it is the prompt alone.

    Attributes:
        name: Folder of its pictures.
        banks: With their weights, which sum to 1.
        palette: Colours of the collection, for the colour policy `collection`.
    """

    name: str
    banks: tuple[tuple[Bank, float], ...] = ()
    palette: Palette | None = None

    def check_usable(self, base: BaseModel, recipe: StylizeRecipe) -> None:
        """Check that a base model and a recipe can use this style.

        Raises:
            BankError: A bank was trained on another base model.
            ConfigError: The recipe needs a collection's colours, and this style has none.
        """
        for bank, _ in self.banks:
            bank.check_fits(base)
        if recipe.colour == "collection" and self.palette is None:
            raise ConfigError(f"style {self.name} has no colours of a collection; pass colour=free or keep")


def encode_style(base: BaseModel, recipe: StylizeRecipe, style: Style, neutral: Tensor) -> Tensor:
    """Encode the prompt of a style, [1, L, D].

    The styled prompts of its banks are mixed by their weights. Then the recipe's style weight leads from the neutral
    prompt (0) to that mix (1), or beyond it.

    Args:
        base: The frozen model.
        recipe: Prompt and style weight.
        style: Its banks.
        neutral: The recipe's prompt without a style, encoded, [1, L, D].
    """
    if not style.banks:
        return neutral
    prompt = f"{recipe.prompt}, in the style of {STYLE_PLACEHOLDER}"
    parts = [weight * base.encode_prompts([prompt], bank.vectors) for bank, weight in style.banks]
    return torch.lerp(neutral, torch.stack(parts).sum(0), recipe.style_weight)
