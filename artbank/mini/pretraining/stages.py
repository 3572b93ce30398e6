"""Batches and loss of each pretraining stage.

Shape legend: n pictures in the corpus, B batch, S side of a crop, px, L tokens of a caption (77), D text width (192);
images -1..1, latents [B, 4, h, w] scaled to unit spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from artbank.mini.drawing.scenes import SUBJECTS
from artbank.mini.pretraining.corpus import Corpus
from artbank.mini.pretraining.judge import MANNERS, Judge, judge_loss
from artbank.mini.pretraining.networks import NATIVE_PX, build_scheduler

SCALING_FACTOR = 0.18215  # Stable Diffusion's: code that forgets it fails on the miniature as it would on the original
_CAPTION_DROPOUT = 0.1
_BRIEF = 0.3  # share of captions without the detail, so that short prompts are known too
_MAX_SNR = 5.0


def crop_images(images: np.ndarray, picks: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cut random crops [B, 3, side, side], -1..1, mirrored half the time, from pictures uint8 [n, S, S, 3]."""
    span = images.shape[1] - side + 1
    corners = torch.randint(span, (len(picks), 2), generator=generator).tolist()
    mirrored = (torch.rand(len(picks), generator=generator) < 0.5).tolist()
    crops = []
    for pick, (top, left), flip in zip(picks.tolist(), corners, mirrored, strict=True):
        crop = images[pick, top : top + side, left : left + side]
        crops.append(crop[:, ::-1] if flip else crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


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
    return torch.from_numpy(corpus.images[picks.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1


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
        images = crop_images(self.corpus.images, picks, NATIVE_PX, generator)
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
        self.manners = torch.tensor([MANNERS.index(fact["painter"]) for fact in corpus.facts])

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch of crops."""
        picks = torch.randint(len(self.corpus), (self.batch_size,), generator=generator)
        images = crop_images(self.corpus.images, picks, NATIVE_PX, generator)
        weight = next(self.judge.parameters())
        device = weight.device
        return judge_loss(
            self.judge, images.to(device, weight.dtype), self.subjects[picks].to(device), self.manners[picks].to(device)
        )


class UnetStage:
    """Stable Diffusion's objective on cached latents: predict the noise at uniform t, weighted by t.

    Source: Rombach et al., CVPR 2022, eq. 2; low noise weighs less by min-SNR (Hang et al., ICCV 2023, gamma 5), high
    noise as much as an error of the velocity would (Salimans and Ho, ICLR 2022, section 4): composition is drawn there,
    and an error of the noise hardly shows it.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        latents: Tensor,
        facts: Sequence[dict[str, str]],
        batch_size: int,
        *,
        native_from: float = 0.4,
    ):
        """Open the stage; `native_from` is the share of the run, 0..1, after which whole pictures are learned."""
        self.native_from = native_from
        self.unet = unet
        self.text_encoder = text_encoder
        self.latents = latents
        self.batch_size = batch_size
        self.modules = [unet]
        self.scheduler = build_scheduler()
        texts = [*(fact["caption"] for fact in facts), *(fact["brief"] for fact in facts), ""]
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
        self.ids = ids.input_ids  # [2 n + 1, L]: captions, briefs, the empty caption

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch."""
        picks = torch.randint(len(self.latents), (self.batch_size,), generator=generator)
        clean = self._crop(picks, progress, generator)
        draw = torch.rand(len(picks), generator=generator)
        rows = torch.where(draw < _CAPTION_DROPOUT + _BRIEF, picks + len(self.latents), picks)
        rows = torch.where(draw < _CAPTION_DROPOUT, torch.tensor(len(self.ids) - 1), rows)
        ids = self.ids[rows]
        device = self.unet.device
        dtype = self.unet.dtype
        with torch.no_grad():
            text = self.text_encoder(ids.to(device)).last_hidden_state.to(dtype)  # [B, L, D]
        noise = torch.randn(clean.shape, generator=generator)
        t = self._draw_timesteps(len(picks), generator)
        noisy = self.scheduler.add_noise(clean, noise, t).to(device, dtype)
        predicted = self.unet(noisy.contiguous(memory_format=torch.channels_last), t.to(device), text).sample.float()
        error = ((predicted - noise.to(device)) ** 2).mean((1, 2, 3))  # [B]
        snr = compute_snr(self.scheduler, t)
        weight = snr.clamp(max=_MAX_SNR) / snr * (1 + 1 / snr)
        return (error * weight.to(device)).mean()

    def _draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps [count], each uniform, spread evenly over the schedule: the loss of a batch varies less.

        Source: Kingma et al., Variational Diffusion Models, NeurIPS 2021, appendix I.1.
        """
        spread = (torch.arange(count) + torch.rand((), generator=generator)) / count
        return (spread * self.scheduler.config.num_train_timesteps).long()

    def _crop(self, picks: Tensor, progress: float, generator: torch.Generator) -> Tensor:
        """Crop latents [B, 4, h, w]: 96 px first, which is cheap, then the native 128 px and other shapes."""
        full = self.latents.shape[-1]
        native = NATIVE_PX * full // 144
        draw = torch.rand((), generator=generator).item()
        height = width = 3 * native // 4 if progress < self.native_from else native
        if progress >= self.native_from and draw < 0.2:
            height, width = ((full, 3 * native // 4), (3 * native // 4, full))[draw < 0.1]
        top = int(torch.randint(full - height + 1, (), generator=generator))
        left = int(torch.randint(full - width + 1, (), generator=generator))
        return self.latents[picks, :, top : top + height, left : left + width].float()


@torch.no_grad()
def encode_corpus(vae: AutoencoderKL, corpus: Corpus, batch_size: int = 8) -> Iterator[Tensor]:
    """Yield the scaled latent means of the corpus, fp16 [<= batch_size, 4, h, w] on CPU, in order."""
    for picks in torch.arange(len(corpus)).split(batch_size):
        images = _whole(corpus, picks).to(vae.device, vae.dtype).contiguous(memory_format=torch.channels_last)
        yield (vae.encode(images).latent_dist.mean.float() * vae.config.scaling_factor).half().cpu()
