"""All text encoders of a base model together: a prompt as its UNet takes it.

Shape legend: B prompts, L tokens of a prompt (77), E encoders of widths D_e, D their sum, P width of a pooled vector;
S styles of K vectors.

An encoded prompt is one tensor, so that mixing, weighting and gradients act on all of it. For Stable Diffusion 1.x and
2.x it is the encoder's last states, [L, D]. For SDXL it is [L + 1, D]: the states before the last layer of both
encoders side by side, and in a last row the pooled vector, filled up with zeros.

Source: SDXL, Podell et al., ICLR 2024, section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from artbank.diffusion.family import Family
from artbank.diffusion.prompt_encoder import PromptEncoder


class TextEncoders:
    """The text encoders of a base model, in the order of its family."""

    def __init__(self, encoders: Sequence[PromptEncoder], family: Family):
        """Join encoders, one for each text encoder of the family."""
        self.encoders = tuple(encoders)
        self._family = family
        self._widths = [encoder.width for encoder in encoders]

    def encode(
        self, prompts: Sequence[str], vectors: Tensor | None = None, style_numbers: Sequence[int] | None = None
    ) -> Tensor:
        """Encode prompts; `{style}` in a prompt is replaced by the rows of `vectors`, to which gradients flow.

        Args:
            prompts: B texts. A text that is too long loses words at its end, never the style.
            vectors: [K, D] in the vocabulary's scale, or [S, K, D] for S styles; None if no prompt has `{style}`.
            style_numbers: The style of each prompt, 0..S-1; 0 for all by default.

        Returns:
            [B, L, D], with a pooled vector [B, L + 1, D], in the encoders' precision.

        Raises:
            ConfigError: A prompt has `{style}` twice, or has it without vectors.
        """
        if not self._family.takes_pooled_text:
            return self.encoders[0].encode(prompts, vectors, style_numbers)
        parts = [None] * len(self.encoders) if vectors is None else vectors.split(self._widths, dim=-1)
        pairs = [
            encoder.encode_for_sdxl(prompts, part, style_numbers)
            for encoder, part in zip(self.encoders, parts, strict=True)
        ]
        _, pooled = pairs[-1]
        assert pooled is not None, "the last text encoder of SDXL has a projection"
        return join_pooled(torch.cat([states for states, _ in pairs], dim=-1), pooled)

    def encode_negative(self, encoded: Tensor, prompt: str) -> Tensor:
        """Return what guidance steers away from: an encoded negative prompt [B, L', D], or zeros for none with SDXL.

        SDXL was trained without a prompt on zeros, Stable Diffusion 1.x and 2.x on an empty text.
        """
        return torch.zeros_like(encoded) if self._family.takes_pooled_text and not prompt else encoded


def join_pooled(states: Tensor, pooled: Tensor) -> Tensor:
    """Put pooled vectors [B, P] behind the states [B, L, D] of prompts; returns [B, L + 1, D]."""
    row = F.pad(pooled, (0, states.shape[-1] - pooled.shape[-1]))
    return torch.cat([states, row[:, None]], dim=1)


def split_pooled(prompts: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Undo `join_pooled`: return the states [B, L, D] and the pooled vectors [B, P] of width P."""
    return prompts[:, :-1], prompts[:, -1, :width]
