"""A style: one bank, a weighted mix of several, or the prompt alone.

Shape legend: B prompts, L tokens of a prompt, D text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from artbank.bank.dataset import STYLE_ALONE
from artbank.bank.lora_bank import AnyBank, LoraBank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.lora_layers import add_low_rank, mix_layers
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
    banks: tuple[tuple[AnyBank, float], ...] = ()
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

    def adapt(self, base: BaseModel, style_weight: float) -> BaseModel:
        """Return the base model that draws this style: with the LoRAs of its banks beside its weights, if it has any.

        The base model itself stays as it is, and goes on drawing other styles.

        Args:
            base: The frozen model.
            style_weight: See `StylizeRecipe.style_weight`; it and the bank's weight are factors of a LoRA.
        """
        loras = [
            (bank.place_layers(base), weight * style_weight)
            for bank, weight in self.banks
            if isinstance(bank, LoraBank)
        ]
        return add_low_rank(base, mix_layers(loras)) if loras and style_weight else base


def encode_style(base: BaseModel, texts: Sequence[str], style: Style, neutral: Tensor, style_weight: float) -> Tensor:
    """Encode texts in a style, [B, L, D].

    The styled prompts of its banks, which read as in training, are mixed by their weights. Then the style weight leads
    from the neutral prompt (0) to that mix (1), or beyond it.

    Args:
        base: The frozen model.
        texts: What pictures show, B texts without `{style}`.
        style: Its banks.
        neutral: The same texts without a style, encoded, [B, L, D].
        style_weight: See `StylizeRecipe.style_weight`.
    """
    if not style.banks:
        return neutral
    prompts = [f"{text}, {STYLE_ALONE}" for text in texts]
    parts = [weight * bank.encode_prompts(base, prompts) for bank, weight in style.banks]
    return torch.lerp(neutral, torch.stack(parts).sum(0), style_weight)
