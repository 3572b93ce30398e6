"""The UNet's pretraining: Stable Diffusion's objective on pictures in many sizes.

Shape legend: n pictures in the corpus, B batch, H, W sides of a view, px, L tokens of a caption (77), D text width
(192); images -1..1, latents [B, 4, h, w] scaled to unit spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from artbank.mini.pretraining.corpus import Corpus
from artbank.mini.pretraining.crops import crop_images
from artbank.mini.pretraining.networks import build_scheduler

_CAPTION_DROPOUT = 0.1
_BRIEF = 0.3  # share of captions without the detail, so that short prompts are known too
_MAX_SNR = 5.0


@dataclass(frozen=True)
class View:
    """What the UNet sees of a picture in one step.

    Attributes:
        window: Height and width of the part of the picture, px at the corpus's `SIDE_PX`.
        size: Height and width to which it is resized, px.
        share: Share of the steps, before normalisation.
    """

    window: tuple[int, int]
    size: tuple[int, int]
    share: float


DETAILS = (View((96, 96), (96, 96), 0.8), View((192, 192), (96, 96), 0.2))
"""Small and cheap: mostly strokes at full size, sometimes a whole picture."""
ALL_SIZES = (
    View((96, 96), (96, 96), 0.40),
    View((192, 192), (96, 96), 0.06),
    View((128, 128), (128, 128), 0.12),
    View((192, 192), (128, 128), 0.16),
    View((112, 160), (112, 160), 0.04),
    View((160, 112), (160, 112), 0.04),
    View((192, 192), (192, 192), 0.18),
)
"""Details, whole pictures at 96 to 192 px and other shapes."""
_UNIT_PX = 96  # a stage's batch size is meant for square views of this side; larger views have fewer pictures


class UnetStage:
    """Stable Diffusion's objective: predict the noise at uniform t, weighted by t.

    Pictures are encoded as they are needed: a small autoencoder costs less than a look at every picture in each size.

    Source: Rombach et al., CVPR 2022, eq. 2; low noise weighs less by min-SNR (Hang et al., ICCV 2023, gamma 5), high
    noise as much as an error of the velocity would (Salimans and Ho, ICLR 2022, section 4): composition is drawn there,
    and an error of the noise hardly shows it.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        corpus: Corpus,
        batch_size: int,
        *,
        all_sizes_from: float = 0.4,
    ):
        """Open the stage.

        Args:
            unet: Learns.
            vae: Encodes the pictures; it does not learn.
            text_encoder: Encodes the captions; it does not learn.
            tokenizer: Of the text encoder.
            corpus: Pictures and captions.
            batch_size: Pictures of 96 x 96 px in a step; a step of larger views has as many pixels.
            all_sizes_from: Share of the run, 0..1, after which the views are `ALL_SIZES`; before it `DETAILS`.
        """
        self.unet = unet
        self.vae = vae
        self.text_encoder = text_encoder
        self.corpus = corpus
        self.batch_size = batch_size
        self.all_sizes_from = all_sizes_from
        self.modules = [unet]
        self.scheduler = build_scheduler()
        facts = corpus.facts
        texts = [*(fact["caption"] for fact in facts), *(fact["brief"] for fact in facts), ""]
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
        self.ids = ids.input_ids  # [2 n + 1, L]: captions, briefs, the empty caption

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch."""
        view = self._draw_view(progress, generator)
        area = view.size[0] * view.size[1]
        count = max(round(self.batch_size * _UNIT_PX**2 / area), 1)
        picks = torch.randint(len(self.corpus), (count,), generator=generator)
        images = crop_images(self.corpus.images, picks, view.size, generator, window=view.window)
        with torch.no_grad():
            clean = self._encode_images(images)
            text = self._encode_captions(picks, generator)
        noise = torch.randn(clean.shape, generator=generator)
        t = self._draw_timesteps(count, generator)
        device = self.unet.device
        dtype = self.unet.dtype
        noisy = self.scheduler.add_noise(clean, noise, t).to(device, dtype)
        predicted = self.unet(noisy.contiguous(memory_format=torch.channels_last), t.to(device), text).sample.float()
        error = ((predicted - noise.to(device)) ** 2).mean((1, 2, 3))  # [B]
        snr = compute_snr(self.scheduler, t)
        weight = snr.clamp(max=_MAX_SNR) / snr * (1 + 1 / snr)
        return (error * weight.to(device)).mean()

    def _draw_view(self, progress: float, generator: torch.Generator) -> View:
        views = DETAILS if progress < self.all_sizes_from else ALL_SIZES
        shares = torch.tensor([view.share for view in views])
        return views[int(torch.multinomial(shares, 1, generator=generator))]

    def _encode_images(self, images: Tensor) -> Tensor:
        """Return the scaled latent means [B, 4, h, w], fp32 on CPU, of images [B, 3, H, W]."""
        placed = images.to(self.vae.device, self.vae.dtype).contiguous(memory_format=torch.channels_last)
        return self.vae.encode(placed).latent_dist.mean.float().cpu() * self.vae.config.scaling_factor

    def _encode_captions(self, picks: Tensor, generator: torch.Generator) -> Tensor:
        """Return the encoded captions [B, L, D], some brief and some empty."""
        draw = torch.rand(len(picks), generator=generator)
        rows = torch.where(draw < _CAPTION_DROPOUT + _BRIEF, picks + len(self.corpus), picks)
        rows = torch.where(draw < _CAPTION_DROPOUT, torch.tensor(len(self.ids) - 1), rows)
        ids = self.ids[rows].to(self.text_encoder.device)
        return self.text_encoder(ids).last_hidden_state.to(self.unet.dtype)

    def _draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps [count], each uniform, spread evenly over the schedule: the loss of a batch varies less.

        Source: Kingma et al., Variational Diffusion Models, NeurIPS 2021, appendix I.1.
        """
        spread = (torch.arange(count) + torch.rand((), generator=generator)) / count
        return (spread * self.scheduler.config.num_train_timesteps).long()
