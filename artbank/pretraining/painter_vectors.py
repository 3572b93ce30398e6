"""Vectors of the corpus's painters, which stand in prompts as a bank's do while the UNet is pretrained.

Shape legend: B batch, K vectors of a bank, D text width (192).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artbank.bank.trainable_bank import INITIAL_SIZE
from artbank.diffusion.prompt_encoder import PromptEncoder

_MOST_VECTORS = 8
_ALL_VECTORS = 0.7  # share of steps with `_MOST_VECTORS`; the others have fewer
_SPREAD = 0.25  # of the painters' vectors at the start, in the text encoder's unit
_RATE = 16.0  # of the vectors' learning, relative to the UNet's: Adam's steps are as long in all parameters
_NOISE = 0.05  # added to the vectors of a step, so that a neighbourhood of each has its manner


class PainterVectors(nn.Module):
    """A vector for each painter of the corpus, which the UNet learns to follow as it will follow a bank's."""

    def __init__(self, num_painters: int, prompts: PromptEncoder):
        """Start all near the vector that a new bank starts from, at random places around it."""
        super().__init__()
        self.unit = prompts.layer_rms
        word = prompts.embed_words("painting").mean(0).cpu()  # [D]
        start = word * (INITIAL_SIZE * self.unit / word.square().mean().sqrt())
        chance = torch.randn(num_painters, len(start), generator=torch.Generator().manual_seed(0))
        self.shares = nn.Parameter((start + _SPREAD * self.unit * chance) / _RATE)  # [painters, D]

    @property
    def vectors(self) -> Tensor:
        """The vector of each painter, [painters, D], in the vocabulary's scale."""
        return _RATE * self.shares

    def forward(self, painters: Tensor, generator: torch.Generator) -> Tensor:
        """Return the vectors of a bank, [B, K, D], for each of some painters [B]: K times the painter's, with noise."""
        few = torch.rand((), generator=generator) >= _ALL_VECTORS
        number = int(torch.randint(1, _MOST_VECTORS, (), generator=generator)) if few else _MOST_VECTORS
        vectors = self.vectors[painters.to(self.shares.device), None].expand(-1, number, -1)
        common = torch.randn(len(painters), 1, vectors.shape[-1], generator=generator)
        single = torch.randn(vectors.shape, generator=generator)
        return vectors + (_NOISE * self.unit * (common + single)).to(vectors.device, vectors.dtype)
