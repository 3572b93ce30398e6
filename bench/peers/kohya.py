"""kohya sd-scripts' textual inversion, re-created from its described behaviour.

Latents are cached once, so that no VAE and no file is in the loop; fused attention; bfloat16 on CUDA (float32 on CPU).
The embedding table is in float32, and AdamW has all of it; its other rows are restored after each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.peers.counting import Expected
from bench.peers.diffusers_ti import Placeholder
from bench.peers.kit import Contender, Kit, denoising_loss, read_square, to_batch

_RATE = 5e-4


class Script:
    """The script's loop."""

    def __init__(self, kit: Kit, *, batch: int, steps: int):
        """Cache the latents; `steps` is the number in a unit of work."""
        self.kit = kit
        self.batch = batch
        self.steps = steps
        self.done = 0
        self.parts = kit.parts(kit.bf16).own_text_encoder()
        self.parts.text_encoder.float()
        self.placeholder = Placeholder(self.parts, _RATE)
        self.latents = self._cache()

    @torch.no_grad()
    def _cache(self) -> Tensor:
        kit = self.kit
        latents = []
        for path in kit.artworks:
            latents.append(self.parts.encode(to_batch([read_square(path, kit.side_px)], kit.device, kit.bf16)))
        return torch.cat(latents)

    def work(self) -> Sequence[float]:
        """Take the steps of a unit; returns one loss per sample."""
        return [loss for _ in range(self.steps) for loss in [self._step()] * self.batch]

    def _step(self) -> float:
        picks = (torch.arange(self.batch) + self.done * self.batch) % len(self.latents)
        self.done += 1
        with torch.autocast("cuda", torch.bfloat16, enabled=self.kit.device.type == "cuda"):
            encoder: Any = self.parts.text_encoder
            prompts = encoder(self.placeholder.prompts(["a painting in the style of"] * self.batch)).last_hidden_state
            loss = denoising_loss(self.parts, self.latents[picks.to(self.kit.device)], prompts.to(self.kit.bf16))
        return self.placeholder.step(loss)


def training(kit: Kit, *, batch: int, steps: int) -> Contender:
    """Return the script as a contender."""
    loop = Script(kit, batch=batch, steps=steps)
    expected = Expected(unet=1, unet_batch=batch, dtype=kit.bf16, text=1, trained=loop.placeholder.table.numel())
    name = f"kohya sd-scripts, cached latents, batch {batch}"
    return Contender(name, loop.work, loop.parts.watched, expected, batch, loop.placeholder.optimizer)
