"""The UNet's pretraining: Stable Diffusion's objective on pictures in many sizes.

Shape legend: B batch, L tokens of a caption (77), D text width (192); latents [B, 4, h, w] scaled to unit spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER, PromptEncoder
from artbank.pretraining.latents import Cuts, Latents
from artbank.pretraining.networks import build_scheduler
from artbank.pretraining.painter_vectors import PainterVectors

_CAPTION_DROPOUT = 0.1
_BRIEF = 0.3  # share of captions without the detail, so that short prompts are known too
_MAX_SNR = 20.0  # with less noise the errors weigh less
_BY_VECTORS = 0.75  # share of paintings whose prompt has a bank's vectors in place of the painter's name or words
_TEMPLATES = ("a painting", "a picture", "an artwork", "a scene", "a drawing")
_BY_TEMPLATE = 0.5  # share of those that do not say what is seen, as for galleries without captions


@dataclass(frozen=True)
class View:
    """The part of a picture that the UNet sees in one step; it may be all.

    Attributes:
        side: Side to which the whole picture is resized, px.
        size: Height and width of the part, px.
        share: Share of the steps, before normalisation.
    """

    side: int
    size: tuple[int, int]
    share: float


DETAILS = (View(192, (96, 96), 0.8), View(96, (96, 96), 0.2))
"""Small and cheap: mostly strokes at full size, sometimes a whole picture."""
ALL_SIZES = (
    View(192, (96, 96), 0.40),
    View(96, (96, 96), 0.06),
    View(192, (128, 128), 0.12),
    View(128, (128, 128), 0.16),
    View(192, (112, 160), 0.04),
    View(192, (160, 112), 0.04),
    View(192, (192, 192), 0.18),
)
"""Details, whole pictures at 96 to 192 px and other shapes."""
SIDES = tuple(sorted({view.side for view in (*DETAILS, *ALL_SIZES)}))
"""Sides of the whole pictures that the views are parts of, px."""
_UNIT_PX = 96  # a stage's batch size is meant for square views of this side; larger views have fewer pictures


class UnetStage:
    """Stable Diffusion's objective: predict the noise at uniform t.

    Source: Rombach et al., CVPR 2022, eq. 2; least noise weighs less by min-SNR (Hang et al., ICCV 2023, with gamma
    20). High noise has no extra weight: composition is drawn there, which photos give; strokes are drawn at less.

    Most paintings have prompts as banks have: vectors in place of words. A name or a few words tell a frozen text
    encoder too little of a manner; with them alone, the UNet learned to draw all manners alike.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        facts: Sequence[dict[str, str]],
        latents: Latents,
        batch_size: int,
        *,
        all_sizes_from: float = 0.4,
    ):
        """Open the stage.

        Args:
            unet: Learns.
            text_encoder: Encodes the captions; it does not learn.
            tokenizer: Tokenizer of the text encoder.
            facts: Facts of each picture of the corpus, see `corpus.Corpus`.
            latents: Latents of the same pictures in the same order, in all `SIDES`.
            batch_size: Pictures of 96 x 96 px in a step; a step of larger views has as many pixels.
            all_sizes_from: Share of the run, 0..1, after which the views are `ALL_SIZES`; before it `DETAILS`.
        """
        self.unet = unet
        self.facts = facts
        self.latents = latents
        self.batch_size = batch_size
        self.all_sizes_from = all_sizes_from
        self.scheduler = build_scheduler()
        text_encoder.requires_grad_(False)
        self.prompts = PromptEncoder(text_encoder, tokenizer)
        names = [fact["painter"] for fact in facts]
        self.painters = {name: number for number, name in enumerate(dict.fromkeys(filter(None, names)))}
        self.vectors = PainterVectors(len(self.painters), self.prompts).to(unet.device, unet.dtype)
        self.modules = [unet, self.vectors]

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch."""
        view = self._draw_view(progress, generator)
        area = view.size[0] * view.size[1]
        count = max(round(self.batch_size * _UNIT_PX**2 / area), 1)
        picks = torch.randint(len(self.facts), (count,), generator=generator)
        cuts = self.latents.draw_cuts(view.side, view.size, picks, generator)
        clean = self.latents.crop(cuts)
        text = self._encode_prompts(picks, generator)
        device = self.unet.device
        noise = torch.randn(clean.shape, generator=generator).to(device)
        t = self._draw_timesteps(count, generator)
        noisy = self.scheduler.add_noise(clean, noise, t.to(device)).to(self.unet.dtype)
        predicted = self._predict(
            noisy.contiguous(memory_format=torch.channels_last), t.to(device), text, cuts, generator
        )
        error = ((predicted.float() - noise) ** 2).mean((1, 2, 3))  # [B]
        return (error * self._weigh(t).to(device)).mean()

    def _predict(self, noisy: Tensor, t: Tensor, text: Tensor, cuts: Cuts, generator: torch.Generator) -> Tensor:
        """Return the predicted noise [B, 4, h, w]; the UNet sees nothing but the noisy latents and the text."""
        return self.unet(noisy, t, text).sample

    def _weigh(self, t: Tensor) -> Tensor:
        """Return the weight of an error of the noise at each of some timesteps [B]."""
        snr = compute_snr(self.scheduler, t)
        return snr.clamp(max=_MAX_SNR) / snr

    def _list_views(self, progress: float) -> Sequence[View]:
        return DETAILS if progress < self.all_sizes_from else ALL_SIZES

    def _draw_view(self, progress: float, generator: torch.Generator) -> View:
        views = self._list_views(progress)
        shares = torch.tensor([view.share for view in views])
        return views[int(torch.multinomial(shares, 1, generator=generator))]

    def _encode_prompts(self, picks: Tensor, generator: torch.Generator) -> Tensor:
        """Return the encoded prompts [B, L, D]: captions, some brief, some with vectors, some empty."""
        prompts = []
        painters = []
        for pick in picks.tolist():
            prompt, painter = self._write_prompt(self.facts[pick], generator)
            prompts.append(prompt)
            painters.append(painter)
        vectors = self.vectors(torch.tensor(painters), generator)
        return self.prompts.encode(prompts, vectors, range(len(prompts))).to(self.unet.dtype)

    def _write_prompt(self, facts: dict[str, str], generator: torch.Generator) -> tuple[str, int]:
        """Return the prompt of a picture, and the number of its painter, 0 for a photograph."""
        dropped, brief, by_vectors, by_template, template = torch.rand(5, generator=generator).tolist()
        painter = facts["painter"]
        text = facts["brief" if brief < _BRIEF else "caption"]
        if painter and by_vectors < _BY_VECTORS:
            seen = text.split(", ")[0]
            if by_template < _BY_TEMPLATE:
                seen = _TEMPLATES[int(template * len(_TEMPLATES))]
            text = f"{seen}, in the style of {STYLE_PLACEHOLDER}" + (f", {facts['tone']}" if facts["tone"] else "")
        return "" if dropped < _CAPTION_DROPOUT else text, self.painters.get(painter, 0)

    def _draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps [count], each uniform, spread evenly over the schedule: the loss of a batch varies less.

        Source: Kingma et al., Variational Diffusion Models, NeurIPS 2021, appendix I.1.
        """
        spread = (torch.arange(count) + torch.rand((), generator=generator)) / count
        return (spread * self.scheduler.config.num_train_timesteps).long()
