"""Batches and loss of each pretraining stage but the UNet's.

Shape legend: n pictures in the corpus, B batch, S side of a picture, px, L tokens of a caption (77), D text width
(192); images -1..1, latents [B, 4, h, w] scaled to unit spread.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.modeling_clip import CLIPOutput

from artbank.mini.drawing.scenes import SUBJECTS
from artbank.pretraining.corpus import Corpus
from artbank.pretraining.crops import crop_images, crop_near_whole
from artbank.pretraining.judge import Judge, judge_loss
from artbank.pretraining.networks import NATIVE_PX

_PER_PAINTER = 4  # pictures of each painter whose pictures are drawn together
_PAINTER_SHARE = 2 / 3  # share of a batch that is drawn so
_PAINTER_WEIGHT = 0.5
_PAINTER_TEMPERATURE = 0.1
SCALING_FACTOR = 0.18215  # Stable Diffusion's: code that forgets it fails on the miniature as it would on the original


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
        return self._match(self._embed(picks, generator), picks)

    def _embed(self, picks: Tensor, generator: torch.Generator) -> CLIPOutput:
        images = crop_near_whole(self.corpus.images, picks, generator)
        device = self.clip.device
        return self.clip(input_ids=self.ids[picks].to(device), pixel_values=images.to(device, self.clip.dtype))

    def _match(self, output: CLIPOutput, picks: Tensor) -> Tensor:
        logits = output.logits_per_image.float()  # [B, B]
        numbers = self.caption_numbers[picks]
        same = (numbers[:, None] == numbers[None, :]).float().to(logits.device)
        target = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class VisionStage(ClipStage):
    """Contrastive learning in which the pictures of one painter come near each other, too.

    Captions name a painter in a few words among many, and half of them only describe the manner: by captions alone,
    the embedding shows more of what is painted than of how.

    Source: Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, eq. 2; a photographer counts as a painter.
    """

    def __init__(self, clip: CLIPModel, tokenizer: CLIPTokenizer, corpus: Corpus, batch_size: int):
        super().__init__(clip, tokenizer, corpus, batch_size)
        names = [fact["painter"] for fact in corpus.facts]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.painters = torch.tensor([numbers[name] for name in names])  # [n]
        self.works = [torch.nonzero(self.painters == number)[:, 0] for number in numbers.values()]

    def loss(self, generator: torch.Generator, progress: float) -> Tensor:
        """Return the loss of one batch: InfoNCE of pictures and captions, and of pictures and pictures."""
        picks = self._pick(generator)
        output = self._embed(picks, generator)
        embedded = output.image_embeds.float()  # [B, C], unit length
        painters = self.painters[picks].to(embedded.device)
        return self._match(output, picks) + _PAINTER_WEIGHT * painter_loss(embedded, painters)

    def _pick(self, generator: torch.Generator) -> Tensor:
        """Draw the pictures of a batch [B]: some painters with several works each, the rest by chance."""
        num_painters = max(int(self.batch_size * _PAINTER_SHARE) // _PER_PAINTER, 1)
        chosen = torch.randperm(len(self.works), generator=generator)[:num_painters].tolist()
        picks = [self.works[number][_draw(len(self.works[number]), _PER_PAINTER, generator)] for number in chosen]
        rest = self.batch_size - sum(map(len, picks))
        return torch.cat([*picks, _draw(len(self.corpus), rest, generator)])


def painter_loss(embedded: Tensor, painters: Tensor) -> Tensor:
    """Return how far pictures of one painter are from each other, relative to those of others.

    Args:
        embedded: Unit embeddings, [B, C].
        painters: Number of the painter of each, [B]; some painter has two pictures or more.
    """
    itself = torch.eye(len(embedded), dtype=torch.bool, device=embedded.device)
    logits = (embedded @ embedded.T / _PAINTER_TEMPERATURE).masked_fill(itself, -1e9)
    shares = F.log_softmax(logits, dim=1)  # [B, B]
    same = (painters[:, None] == painters[None, :]) & ~itself
    partners = same.sum(1)
    means = (shares * same).sum(1) / partners.clamp(min=1)
    return -means[partners > 0].mean()


def _draw(number: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(number, (count,), generator=generator)


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
        images = crop_near_whole(self.corpus.images, picks, generator)
        weight = next(self.judge.parameters())
        device = weight.device
        return judge_loss(
            self.judge, images.to(device, weight.dtype), self.subjects[picks].to(device), self.manners[picks].to(device)
        )
