"""diffusers' textual_inversion example as shipped, re-created from its described behaviour.

Batch 16, float32, artworks decoded, resized and mirrored in the main process for every sample, VAE encoding in the
loop, a placeholder of one vector added to the vocabulary, AdamW (5e-4, weight decay 0.01) over the whole embedding
table, whose other rows are restored after each step. Its periodic validation pictures are off, as by default.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image, ImageOps
from torch import Tensor

from bench.peers.counting import Expected
from bench.peers.kit import Contender, Kit, Parts, denoising_loss, to_batch

BATCH = 16
_RATE, _DECAY = 5e-4, 1e-2


@dataclass
class Placeholder:
    """A word added to a text encoder's vocabulary, and the optimiser over the whole table."""

    parts: Parts
    rate: float
    table: Tensor = field(init=False)

    def __post_init__(self) -> None:
        encoder = self.parts.text_encoder
        self.id = encoder.get_input_embeddings().num_embeddings
        encoder.resize_token_embeddings(self.id + 1, mean_resizing=False)
        self.table = encoder.get_input_embeddings().weight.requires_grad_()
        self.before = self.table.detach().clone()
        self.optimizer = torch.optim.AdamW([self.table], lr=self.rate, weight_decay=_DECAY)

    def step(self, loss: Tensor) -> float:
        """Take a step of the optimiser, then restore every row but the placeholder's."""
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.table[: self.id] = self.before[: self.id]
        return loss.item()

    def prompts(self, texts: Sequence[str]) -> Tensor:
        """Return ids [B, L] of texts with the placeholder at their end; the tokenizer does not know it."""
        ids = self.parts.tokenize(texts)
        ends = (ids == self.parts.text_encoder.config.eos_token_id).int().argmax(1)
        ids[torch.arange(len(ids)), ends] = self.id
        return ids


class Example:
    """The example's loop."""

    def __init__(self, kit: Kit, *, batch: int, steps: int):
        """Prepare it; `steps` is the number in a unit of work."""
        self.kit = kit
        self.batch = batch
        self.steps = steps
        self.parts = kit.parts(torch.float32).own_text_encoder()
        self.placeholder = Placeholder(self.parts, _RATE)
        self.random = random.Random(0)

    def work(self) -> Sequence[float]:
        """Take the steps of a unit; returns one loss per sample."""
        return [loss for _ in range(self.steps) for loss in [self._step()] * self.batch]

    def _step(self) -> float:
        images = to_batch([self._read() for _ in range(self.batch)], self.kit.device, torch.float32)
        with torch.no_grad():
            latents = self.parts.encode(images)
        prompts = self.parts.text_encoder(self.placeholder.prompts(["a painting in the style of"] * self.batch))
        return self.placeholder.step(denoising_loss(self.parts, latents, prompts.last_hidden_state))

    def _read(self) -> Image.Image:
        side = self.kit.side_px
        with Image.open(self.random.choice(self.kit.artworks)) as image:
            picture = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        return ImageOps.mirror(picture) if self.random.random() < 0.5 else picture


def training(kit: Kit, *, batch: int = BATCH, steps: int) -> Contender:
    """Return the example as a contender."""
    loop = Example(kit, batch=batch, steps=steps)
    expected = Expected(
        unet=1, unet_batch=batch, dtype=torch.float32, vae_encode=1, text=1, trained=loop.placeholder.table.numel()
    )
    return Contender(
        "diffusers textual_inversion example",
        loop.work,
        loop.parts.watched,
        expected,
        batch,
        loop.placeholder.optimizer,
        smaller=(lambda: training(kit, batch=batch // 2, steps=steps)) if batch > 1 else None,
    )
