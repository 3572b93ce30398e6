"""diffusers' StableDiffusionImg2ImgPipeline as its users run it, re-created from their described behaviour.

    batch 1           as shipped: one photo a call, the base model's own scheduler, 50 steps, guidance 7.5, float16
    batch 16          the same call with lists
    strong user       batch 16, DPM++ 2M in 20 steps, compiled on CUDA, a thread pool that decodes and encodes files
    A1111, ComfyUI    a folder, one file at a time, batch 1, DPM++ 2M in 20 steps, guidance 7

All at strength 0.7, photos stretched to the native square, the style by `load_textual_inversion`, float32 on CPU. There
is no safety checker, which makes them faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image

from artbank.runtime.prefetch import batch_by
from bench.peers.counting import Expected
from bench.peers.kit import QUALITY, STRENGTH, STYLED, Contender, Kit, read_square

Item = TypeVar("Item")
Loader = Literal["none", "serial", "threads"]
_WORD = "<bench>"


@dataclass(frozen=True)
class Usage:
    """A way to run the pipeline.

    Attributes:
        name: Its name in the tables.
        batch: Photos per call.
        steps: Steps of the whole schedule.
        guidance: Guidance scale.
        scheduler: `own` is the base model's.
        compiled: The UNet is compiled, in channels-last layout.
        loader: `serial` handles files between the calls, `threads` beside them; `none` starts from pictures.
        num_batches: Calls per unit of work.
    """

    name: str
    batch: int = 1
    steps: int = 50
    guidance: float = 7.5
    scheduler: Literal["own", "ddim", "dpm++2m"] = "own"
    compiled: bool = False
    loader: Loader = "none"
    num_batches: int = 1


class Img2Img:
    """The pipeline with the kit's bank, and the loop around it."""

    def __init__(self, kit: Kit, usage: Usage):
        """Load the pipeline, and compile it if the usage says so."""
        self.kit = kit
        self.usage = usage
        parts = kit.parts(kit.fp16).own_text_encoder()
        kinds = {"ddim": DDIMScheduler, "dpm++2m": DPMSolverMultistepScheduler, "own": _own_scheduler(kit.folder)}
        scheduler = kinds[usage.scheduler].from_pretrained(kit.folder / "scheduler", local_files_only=True)
        self.pipeline = StableDiffusionImg2ImgPipeline(
            parts.vae,
            parts.text_encoder,
            parts.tokenizer,
            parts.unet,
            scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.load_textual_inversion({_WORD: kit.bank.vectors.cpu()})
        if usage.compiled:
            self.pipeline.unet = kit.compiled
        self.parts = parts
        self.target = kit.scratch / f"pipeline-{usage.name.replace(' ', '-').replace('/', '-')}"
        self.target.mkdir(parents=True, exist_ok=True)
        self.pool = ThreadPoolExecutor() if usage.loader == "threads" else None

    @property
    def evaluations(self) -> int:
        """UNet evaluations per image: two a step with guidance; PNDM has one step more."""
        steps = int(self.usage.steps * STRENGTH + 1e-9) + isinstance(self.pipeline.scheduler, PNDMScheduler)
        return steps * (2 if self.usage.guidance > 1 else 1)

    def work(self) -> Sequence[Image.Image]:
        """Stylize the photos of a unit."""
        count = self.usage.batch * self.usage.num_batches
        paths = [self.kit.photos[i % len(self.kit.photos)] for i in range(count)]
        if self.usage.loader == "none":
            pictures = [self.kit.pictures[i % len(self.kit.pictures)] for i in range(count)]
            return [made for some in _cut(pictures, self.usage.batch) for made in self._call(some)]
        if self.pool is None:
            return [made for some in _cut(paths, self.usage.batch) for made in self._convert(some)]
        return self._overlap(self.pool, paths)

    def _call(self, pictures: Sequence[Image.Image]) -> list[Image.Image]:
        options: dict[str, Any] = {"strength": STRENGTH, "num_inference_steps": self.usage.steps}
        prompts = [f"{STYLED} {_WORD}"] * len(pictures)
        made = self.pipeline(prompts, list(pictures), guidance_scale=self.usage.guidance, **options)
        return made.images

    def _convert(self, paths: Sequence[Path]) -> list[Image.Image]:
        made = self._call([read_square(path, self.kit.side_px) for path in paths])
        for path, picture in zip(paths, made, strict=True):
            self._save(picture, path)
        return made

    def _overlap(self, pool: ThreadPoolExecutor, paths: Sequence[Path]) -> list[Image.Image]:
        """Decode two batches ahead in threads, and encode in them, too."""
        reads = (pool.submit(read_square, path, self.kit.side_px) for path in paths)
        made = []
        writes = []
        for names, some in zip(_cut(paths, self.usage.batch), _ahead(reads, self.usage.batch), strict=True):
            pictures = self._call(some)
            writes += [pool.submit(self._save, *pair) for pair in zip(pictures, names, strict=True)]
            made += pictures
        for write in writes:
            write.result()
        return made

    def _save(self, picture: Image.Image, path: Path) -> None:
        picture.save(self.target / path.name, "JPEG", quality=QUALITY)


def stylizing(kit: Kit, usage: Usage) -> Contender:
    """Return a user of the pipeline as a contender."""
    user = Img2Img(kit, usage)
    expected = Expected(
        unet=user.evaluations,
        unet_batch=usage.batch * (2 if usage.guidance > 1 else 1),
        dtype=kit.fp16,
        vae_encode=1,
        vae_decode=1,
        text=2 if usage.guidance > 1 else 1,
    )
    watched = {**user.parts.watched, "unet": user.pipeline.unet}
    close = user.pool.shutdown if user.pool else lambda: None
    return Contender(usage.name, user.work, watched, expected, usage.batch, compiles=usage.compiled, close=close)


def _ahead(reads: Iterator[Future[Image.Image]], batch: int) -> Iterator[list[Image.Image]]:
    waiting = list(islice(reads, 2 * batch))
    while waiting:
        some = waiting[:batch]
        waiting = waiting[batch:]
        pictures = [read.result() for read in some]
        waiting += islice(reads, batch)
        yield pictures


def _cut(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    return batch_by(items, lambda item: None, size)


def _own_scheduler(folder: Path) -> Any:
    text = (folder / "scheduler" / "scheduler_config.json").read_text()
    return PNDMScheduler if "PNDMScheduler" in text else DDIMScheduler
