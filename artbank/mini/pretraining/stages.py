"""Batches and loss of each pretraining stage.

Shape legend: n pictures in the corpus, B batch, S side of a picture, px, L tokens of a caption (77), D text width
(192); images -1..1, latents [B, 4, h, w] scaled to unit spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from artbank.mini.drawing.scenes import SUBJECTS
from artbank.mini.pretraining.corpus import Corpus
from artbank.mini.pretraining.judge import Judge, judge_loss
from artbank.mini.pretraining.networks import NATIVE_PX, build_scheduler

SCALING_FACTOR = 0.18215  # Stable Diffusion's: code that forgets it fails on the miniature as it would on the original
_CAPTION_DROPOUT = 0.1
_BRIEF = 0.3  # share of captions without the detail, so that short prompts are known too
_MAX_SNR = 5.0


def crop_images(
    images: Sequence[np.ndarray],
    picks: Tensor,
    size: int | tuple[int, int],
    generator: torch.Generator,
    *,
    window: tuple[int, int] | None = None,
) -> Tensor:
    """Cut random crops -1..1, mirrored half the time, from pictures uint8, each [S, S, 3].

    Args:
        images: The pictures, all of one size.
        picks: Numbers of the pictures to crop, [B].
        size: Side, or height and width, of the crops, px.
        generator: Draws places and mirroring.
        window: Height and width that a crop covers in the picture, px; `size` by default, else the crop is resized.

    Returns:
        [B, 3, height, width] float32.
    """
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = window or (height, width)
    side = images[0].shape[0]
    tops = torch.randint(side - rows + 1, (len(picks),), generator=generator).tolist()
    lefts = torch.randint(side - columns + 1, (len(picks),), generator=generator).tolist()
    mirrored = (torch.rand(len(picks), generator=generator) < 0.5).tolist()
    crops = []
    for pick, top, left, flip in zip(picks.tolist(), tops, lefts, mirrored, strict=True):
        crop = images[pick][top : top + rows, left : left + columns]
        if (rows, columns) != (height, width):
            crop = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=cv2.INTER_AREA)
        crops.append(crop[:, ::-1] if flip else crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _near_whole(images: Sequence[np.ndarray], picks: Tensor, generator: torch.Generator) -> Tensor:
    """Cut one size of window for the batch, from 3/4 of a side to whole pictures, and resize it to the native size."""
    side = images[0].shape[0]
    window = int(torch.randint(3 * side // 4, side + 1, (), generator=generator))
    return crop_images(images, picks, NATIVE_PX, generator, window=(window, window))


class VaeStage:
    """Reconstruction with a small KL term, sometimes at a reduced scale.

    Decoding a shrunken latent to the shrunken picture keeps the latent space smooth, which the denoiser learns faster.
    Source: EQ-VAE, Kouzelis et al., 2025, section 3 (scaling only).
    """

    def __init__(self, vae: AutoencoderKL, corpus: Corpus, batch_size: int):
        self.vae = vae
        self.corpus = corpus
        self.batch_size = batch_size
        self.modules = [vae]

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch: 64 px crops for most of the run, whole pictures at its end."""
        side, size = (64, self.batch_size) if progress < 0.85 else (NATIVE_PX, max(self.batch_size // 4, 1))
        picks = torch.randint(len(self.corpus), (size,), generator=generator)
        images = crop_images(self.corpus.images, picks, side, generator)
        if torch.rand((), generator=generator) < 0.5:
            images = images.transpose(2, 3)
        device = self.vae.device
        dtype = self.vae.dtype
        target = images.to(device).contiguous()
        posterior = self.vae.encode(target.to(dtype)).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device, dtype)
        latents = posterior.mean + posterior.std * noise
        draw = torch.rand((), generator=generator).item()
        if draw < 0.25:
            factor = (0.5, 0.75)[draw < 0.12]
            latents = F.interpolate(latents.float(), scale_factor=factor, mode="bilinear", antialias=True).to(dtype)
            target = F.interpolate(target, scale_factor=factor, mode="bilinear", antialias=True)
        error = self.vae.decode(latents).sample.float() - target
        kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return error.abs().mean() + 2 * (error**2).mean() + 1e-4 * kl


@torch.no_grad()
def normalize_latents(vae: AutoencoderKL, corpus: Corpus, *, num_pictures: int = 512) -> None:
    """Fold the latents' mean and spread into the 1x1 convolutions around them, so that `SCALING_FACTOR` holds.

    Afterwards each latent channel has mean 0 and standard deviation 1 / SCALING_FACTOR over the corpus.
    """
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(len(corpus), (num_pictures,), generator=generator)
    batches = picks.split(32)
    means = torch.cat([vae.encode(_whole(corpus, p).to(vae.device, vae.dtype)).latent_dist.mean for p in batches])
    flat = means.double().transpose(0, 1).flatten(1)  # [4, B h w]
    shift = flat.mean(1).float()
    gain = (1 / (SCALING_FACTOR * flat.std(1))).float()
    before = vae.quant_conv
    after = vae.post_quant_conv
    channels = len(gain)
    after.bias += (after.weight[:, :, 0, 0].float() @ shift).to(vae.dtype)
    after.weight /= gain.to(vae.dtype)[None, :, None, None]
    before.weight[:channels] *= gain.to(vae.dtype)[:, None, None, None]
    before.bias[:channels] = ((before.bias[:channels].float() - shift) * gain).to(vae.dtype)
    before.bias[channels:] += (2 * gain.log()).to(vae.dtype)
    vae.register_to_config(scaling_factor=SCALING_FACTOR)


def _whole(corpus: Corpus, picks: Tensor) -> Tensor:
    pictures = np.stack([corpus.images[pick] for pick in picks.tolist()])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


class ClipStage:
    """Contrastive learning of pictures and captions (Radford et al., 2021); equal captions are not negatives."""

    def __init__(self, clip: CLIPModel, tokenizer: CLIPTokenizer, corpus: Corpus, batch_size: int):
        self.clip = clip
        self.corpus = corpus
        self.batch_size = batch_size
        self.modules = [clip]
        captions = [fact["caption"] for fact in corpus.facts]
        self.ids = tokenizer(captions, padding="longest", truncation=True, return_tensors="pt").input_ids  # [n, <= 77]
        numbers = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
        self.caption_numbers = torch.tensor([numbers[caption] for caption in captions])

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the symmetric InfoNCE loss of one batch."""
        picks = torch.randint(len(self.corpus), (self.batch_size,), generator=generator)
        images = _near_whole(self.corpus.images, picks, generator)
        device = self.clip.device
        output = self.clip(input_ids=self.ids[picks].to(device), pixel_values=images.to(device, self.clip.dtype))
        numbers = self.caption_numbers[picks]
        same = (numbers[:, None] == numbers[None, :]).float().to(device)
        target = same / same.sum(1, keepdim=True)
        logits = output.logits_per_image.float()  # [B, B]
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class JudgeStage:
    """Supervised learning of the independent classifier."""

    def __init__(self, judge: Judge, corpus: Corpus, batch_size: int):
        self.judge = judge
        self.corpus = corpus
        self.batch_size = batch_size
        self.modules = [judge]
        self.subjects = torch.tensor([SUBJECTS.index(fact["subject"]) for fact in corpus.facts])
        self.manners = torch.tensor([judge.manners.index(fact["painter"]) for fact in corpus.facts])

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch of crops."""
        picks = torch.randint(len(self.corpus), (self.batch_size,), generator=generator)
        images = _near_whole(self.corpus.images, picks, generator)
        weight = next(self.judge.parameters())
        device = weight.device
        return judge_loss(
            self.judge, images.to(device, weight.dtype), self.subjects[picks].to(device), self.manners[picks].to(device)
        )


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
