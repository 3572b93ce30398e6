"""The ArtBank paper's released script, re-created from the description of what it does.

Training: float32, batch 1, 512 px by stretching, mirrored at random, VAE encoding in every step, CLIP's vision tower
and a mapper run without effect, one vector of D entries behind two attention layers and a linear one, caption `*`,
AdamW at 1e-4. Every 200 steps an image log of 600 UNet evaluations: 200 DDIM steps without guidance and 200 with it. A
unit of s steps runs s of each, exactly its share of the log; the log's decodings (under 2 % of it) are left out.

Stylizing: one image a call, stretched to the native square, two VAE encodings of the photo, both prompts encoded for
each image, stochastic inversion at t = 700 by one conditional evaluation, 35 steps of DDIM's 50-step grid with guidance
10: 71 evaluations. Autocast on CUDA, to float16, over float32 weights.

Where the description leaves a choice, the cheaper one is taken: fused attention, artworks decoded once, the mapper as
one linear layer without gradients, and no gradient checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor, nn

from artbank.bank.attention import ReleasedAttention
from artbank.stylization.inversion import draw_noise, photo_seed
from bench.peers.counting import Expected
from bench.peers.kit import (
    QUALITY,
    STRENGTH,
    STYLED,
    Contender,
    Kit,
    Parts,
    denoising_loss,
    read_square,
    to_batch,
    to_picture,
    train_only,
)

LOG_STEPS, LOG_GUIDANCE = 200, 5.0
STEPS, GUIDANCE = 50, 10.0
EVALUATIONS = 1 + 2 * round(STEPS * STRENGTH)
_STAR = "*"


class StarEncoder:
    """A text encoder in which rows of given vectors stand for the stars of a prompt."""

    def __init__(self, parts: Parts):
        """Hook a text encoder."""
        self.parts = parts
        self.vectors = torch.empty(0)
        self._star = parts.tokenizer(_STAR, add_special_tokens=False).input_ids[0]
        parts.text_encoder.get_input_embeddings().register_forward_hook(self._replace)

    def encode(self, text: str, vectors: Tensor) -> Tensor:
        """Encode a prompt [1, L, D] with as many stars as there are vectors [K, D]."""
        self.vectors = vectors
        return self.parts.text_encoder(self.parts.tokenize([text])).last_hidden_state

    def _replace(self, module: nn.Module, args: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        if not len(self.vectors):
            return embedded
        stars = (args[0] == self._star)[..., None].expand_as(embedded)
        return embedded.masked_scatter(stars, self.vectors.to(embedded))


class Training:
    """The released training loop."""

    def __init__(self, kit: Kit, *, logs: bool, steps: int):
        """Prepare it.

        Args:
            kit: Model and artworks.
            logs: Run the image log.
            steps: Steps of a unit of work.
        """
        self.kit = kit
        self.logs = logs
        self.steps = steps
        self.parts = kit.parts(torch.float32).own_text_encoder()
        self.stars = StarEncoder(self.parts)
        width = self.parts.text_encoder.config.hidden_size
        torch.manual_seed(0)
        self.vector = nn.Parameter(torch.randn(1, width, device=kit.device))
        self.attention = ReleasedAttention(width).to(kit.device)
        self.mapper = nn.Linear(kit.vision.config.hidden_size, width).to(kit.device)
        self.optimizer = train_only([self.vector, *self.attention.parameters()], 1e-4)
        self.artworks = [to_batch([read_square(p, kit.side_px)], kit.device, torch.float32) for p in kit.artworks[:8]]
        self.sampler = DDIMScheduler.from_config(self.parts.scheduler.config, clip_sample=False)
        self.sampler.set_timesteps(LOG_STEPS)
        self.done = 0

    def work(self) -> Sequence[float]:
        """Take the steps of a unit; returns their losses."""
        losses = []
        for _ in range(self.steps):
            losses.append(self._step())
            if self.logs:
                self._log_a_step()
            self.done += 1
        return losses

    def _step(self) -> float:
        image = self.artworks[self.done % len(self.artworks)]
        if torch.rand(()) < 0.5:
            image = image.flip(3)
        with torch.no_grad():
            latents = self.parts.encode(image)
            self._run_unused_vision(image)
        loss = denoising_loss(self.parts, latents, self.stars.encode(_STAR, self.attention(self.vector)))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _run_unused_vision(self, image: Tensor) -> None:
        side = self.kit.vision.config.image_size
        self.mapper(self.kit.vision(nn.functional.interpolate(image, (side, side))).pooler_output)

    @torch.no_grad()
    def _log_a_step(self) -> None:
        """Run one step of both samplings of the log: one evaluation without guidance, two with it."""
        timestep = self.sampler.timesteps[self.done % LOG_STEPS]
        styled = self.stars.encode(_STAR, self.attention(self.vector))
        latents = torch.randn(1, self.parts.unet.config.in_channels, *self._latent_sides(), device=self.kit.device)
        plain = self.parts.unet(latents, timestep, styled).sample
        latents = self.sampler.step(plain, timestep, latents).prev_sample
        both = self.parts.unet(torch.cat([latents] * 2), timestep, styled.expand(2, -1, -1)).sample
        without, within = both.chunk(2)
        self.sampler.step(without + LOG_GUIDANCE * (within - without), timestep, latents)

    def _latent_sides(self) -> tuple[int, int]:
        side = self.kit.side_px // 2 ** (len(self.parts.vae.config.block_out_channels) - 1)
        return side, side


def training(kit: Kit, *, logs: bool, steps: int) -> Contender:
    """Return the released training, with or without its image log."""
    loop = Training(kit, logs=logs, steps=steps)
    width = loop.vector.shape[1]
    trained = width + 7 * (width * width + width)
    each = {"unet": 1 + 3 * logs, "unet_batch": 1 + logs, "vae_encode": 1, "text": 1 + logs, "clip": 1}
    expected = Expected(**each, dtype=torch.float32, trained=trained)
    watched = {**loop.parts.watched, "clip": kit.vision}
    name = "released ArtBank, with its image log" if logs else "released ArtBank, without its image log"
    return Contender(name, loop.work, watched, expected, 1, loop.optimizer)


class Stylizing:
    """The released inference, image by image."""

    def __init__(self, kit: Kit):
        """Prepare it with the kit's bank."""
        self.kit = kit
        self.parts = kit.parts(torch.float32).own_text_encoder()
        self.stars = StarEncoder(self.parts)
        self.vectors = kit.bank.vectors.to(kit.device)
        self.sampler = DDIMScheduler.from_config(self.parts.scheduler.config, clip_sample=False)
        self.sampler.set_timesteps(STEPS)

    def stylize_file(self, path: Path, target: Path) -> Image.Image:
        """Stylize a file into a file."""
        made = self.stylize(read_square(path, self.kit.side_px), path.name)
        made.save(target, "JPEG", quality=QUALITY)
        return made

    @torch.no_grad()
    def stylize(self, picture: Image.Image, key: str) -> Image.Image:
        """Stylize a picture; its noise follows from its key, by artbank's rule, so that results can be compared."""
        with self._autocast():
            image = to_batch([picture], self.kit.device, torch.float32)
            clean = [self.parts.encode(image) for _ in range(2)][1].float()
            stars = " ".join([_STAR] * len(self.vectors))
            styled = self.stars.encode(f"{STYLED} {stars}", self.vectors)
            empty = self.stars.encode("", self.vectors[:0])
            latents = self._denoise(self._invert(clean, key, styled), styled, empty)
            return to_picture(self.parts.decode(latents)[0])

    def _invert(self, clean: Tensor, key: str, styled: Tensor) -> Tensor:
        first = round(STRENGTH * self.sampler.config.num_train_timesteps)
        alpha = self.sampler.alphas_cumprod[first].to(clean)
        noise = draw_noise([photo_seed(0, key)], tuple(clean.shape[1:])).to(clean)
        noised = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        predicted = self.parts.unet(noised, first, styled).sample.float()
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * predicted

    def _denoise(self, latents: Tensor, styled: Tensor, empty: Tensor) -> Tensor:
        for timestep in self.sampler.timesteps[-round(STEPS * STRENGTH) :]:
            both = self.parts.unet(torch.cat([latents] * 2), timestep, torch.cat([empty, styled])).sample.float()
            without, within = both.chunk(2)
            latents = self.sampler.step(without + GUIDANCE * (within - without), timestep, latents).prev_sample
        return latents

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.float16, enabled=self.kit.device.type == "cuda")


def stylizing(kit: Kit, *, count: int, files: bool) -> Contender:
    """Return the released inference over `count` photos, from files or from decoded pictures."""
    script = Stylizing(kit)
    album = {}
    turn = cycle(range(len(kit.photos)))
    target = kit.scratch / "released"
    target.mkdir(parents=True, exist_ok=True)

    def from_files() -> list[Image.Image]:
        paths = [kit.photos[number] for number in islice(turn, count)]
        return [script.stylize_file(path, target / path.name) for path in paths]

    def from_pictures() -> list[Image.Image]:
        numbers = list(islice(turn, count))
        made = [script.stylize(kit.pictures[number], kit.photos[number].name) for number in numbers]
        album.update({kit.photos[number].name: picture for number, picture in zip(numbers, made, strict=True)})
        return made

    expected = Expected(unet=EVALUATIONS, unet_batch=2, dtype=kit.fp16, vae_encode=2, vae_decode=1, text=2)
    work = from_files if files else from_pictures
    return Contender("released ArtBank", work, script.parts.watched, expected, 1, album=album)
