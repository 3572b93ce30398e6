"""The pretraining of a ControlNet: it learns to lead the finished UNet along a photograph's lightness.

Shape legend: B batch, S side of a picture, px, H, W sides of a view, px; latents [B, 4, h, w] scaled to unit spread.

Each painting of the corpus has the photograph that it was painted from. So the ControlNet sees what a painting shows,
while the prompt says how it is painted.

Source: Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models, ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from artbank.pretraining.corpus import Corpus
from artbank.pretraining.latents import Cuts, Latents
from artbank.pretraining.unet_stage import UnetStage, View

CONTROL_VIEWS = (View(128, (96, 96), 0.5), View(128, (128, 128), 0.5))
"""Parts and whole pictures at the model's native size: lightness is followed from place to place, so few sizes do."""
CONTROL_SIDES = tuple(sorted({view.side for view in CONTROL_VIEWS}))
"""Sides of the whole pictures that the views are parts of, px."""
_VARIED = 0.75  # share of photographs in other tones
_MAX_SNR = 5.0  # with less noise errors weigh less: the noisy picture itself shows what the ControlNet would tell
_MOST_WEIGHT = 5.0  # of errors at the highest noise, where a ControlNet tells most


class ControlStage(UnetStage):
    """Stable Diffusion's objective with a ControlNet that sees the luma of each picture's photograph.

    The UNet is frozen; the painters' vectors go on learning. Most photographs are shown lighter or darker and with more
    or less contrast than they have: so the ControlNet learns where things are, and leaves it to the manner how light
    they are. Where the noise hides the picture, errors weigh up to five times as much: composition is decided there.
    """

    def __init__(
        self,
        controlnet: ControlNetModel,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        corpus: Corpus,
        latents: Latents,
        batch_size: int,
    ):
        """Open the stage.

        Args:
            controlnet: Learns; for this UNet.
            unet: Does not learn.
            text_encoder: Encodes the captions; it does not learn.
            tokenizer: Tokenizer of the text encoder.
            corpus: The pictures.
            latents: Latents of the same pictures in the same order, in all `CONTROL_SIDES`.
            batch_size: Pictures of 96 x 96 px in a step; a step of larger views has as many pixels.
        """
        super().__init__(unet, text_encoder, tokenizer, corpus.facts, latents, batch_size)
        self.controlnet = controlnet
        self.photographs = corpus.photographs
        unet.requires_grad_(False)
        self.modules = [controlnet, self.vectors]

    def _list_views(self, progress: float) -> Sequence[View]:
        return CONTROL_VIEWS

    def _predict(self, noisy: Tensor, t: Tensor, text: Tensor, cuts: Cuts, generator: torch.Generator) -> Tensor:
        """Return the noise [B, 4, h, w] that the UNet predicts with what the ControlNet adds to its planes."""
        seen = self._show(cuts, generator)
        down, middle = self.controlnet(noisy, t, text, controlnet_cond=seen, return_dict=False)
        return self.unet(
            noisy, t, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample

    def _show(self, cuts: Cuts, generator: torch.Generator) -> Tensor:
        """Return the lumas of the photographs as the ControlNet takes them, [B, 3, H, W] of 0..1."""
        views = cuts.cut_pictures([self.photographs[pick] for pick in cuts.picks.tolist()])
        lumas = np.stack([cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in views])
        seen = vary_tones(torch.from_numpy(lumas)[:, None] / 255, _VARIED, generator)
        placed = seen.to(self.unet.device, self.unet.dtype).expand(-1, 3, -1, -1)
        return placed.contiguous(memory_format=torch.channels_last)

    def _weigh(self, t: Tensor) -> Tensor:
        """Return the weight of an error of the noise at each of some timesteps [B]."""
        snr = compute_snr(self.scheduler, t)
        at_much_noise = ((1 + 1 / snr) / 2).clamp(1, _MOST_WEIGHT)  # half of the weight of an error of the velocity
        return at_much_noise * snr.clamp(max=_MAX_SNR) / snr


def vary_tones(lumas: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Show some pictures lighter or darker, and with less contrast; returns [B, 1, H, W] of 0..1.

    Args:
        lumas: [B, 1, H, W] of 0..1.
        share: Probability of each picture to be changed, 0..1. It gets a gamma of 0.5 to 2; its black becomes a grey of
            up to 0.3, its white one of at least 0.7.
        generator: On CPU.
    """
    chance, gamma, black, white = torch.rand(4, len(lumas), 1, 1, 1, generator=generator).to(lumas.device)
    black, white = 0.3 * black, 1 - 0.3 * white
    varied = black + (white - black) * lumas ** (2 ** (2 * gamma - 1))
    return torch.where(chance < share, varied, lumas)
