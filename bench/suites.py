"""The suites of contenders: training, stylizing from pictures, stylizing from files.

Names that begin with `ours` are artbank's. Stylizing uses batches of 16 on CUDA and of 4 on CPU, where 16 pictures
would take half a minute and a larger batch saves nothing. Both sides of a comparison use the same batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.peers import diffusers_ti, kohya, ours, pipelines, released
from bench.peers.kit import Contender, Kit
from bench.peers.pipelines import Usage
from bench.rounds import Table, compete

Suite = dict[str, Contender]
STRONG_STEPS, STRONG_GUIDANCE = 20, 7.5


@dataclass(frozen=True)
class Sizes:
    """Sizes of a unit of work.

    Attributes:
        batch: Batch of stylizing, for contenders that batch.
        few: Photos of a unit, for contenders that take one at a time.
        num_batches: Batches of a unit from files to files.
        steps: Training steps at batch 1; larger batches take proportionally fewer.
        large: The large batch of training.
    """

    batch: int
    few: int
    num_batches: int
    steps: int
    large: int = 16

    @classmethod
    def on(cls, device: torch.device) -> Sizes:
        """Return the sizes that suit a device."""
        return cls(16, 2, 3, 16) if device.type == "cuda" else cls(4, 1, 1, 6)


def training_suite(kit: Kit, sizes: Sizes) -> Suite:
    """Return the contenders of training."""
    steps = sizes.steps
    fewer = max(sizes.steps // sizes.large, 1)
    return {
        "ours": ours.training(kit, batch=ours.BATCH, steps=max(steps, 6), validates=True),
        "released+log": released.training(kit, logs=True, steps=steps),
        "released": released.training(kit, logs=False, steps=steps),
        "diffusers": diffusers_ti.training(kit, batch=sizes.large, steps=fewer),
        "kohya-1": kohya.training(kit, batch=1, steps=steps),
        "ours-1": ours.training(kit, batch=1, steps=steps, validates=False),
        "kohya-8": kohya.training(kit, batch=ours.BATCH, steps=2 * fewer),
        "ours-8": ours.training(kit, batch=ours.BATCH, steps=2 * fewer, validates=False),
        "kohya-16": kohya.training(kit, batch=sizes.large, steps=fewer),
        "ours-16": ours.training(kit, batch=sizes.large, steps=fewer, validates=False),
    }


def pictures_suite(kit: Kit, sizes: Sizes) -> Suite:
    """Return the contenders that stylize decoded pictures: the models alone."""
    batch = sizes.batch
    is_cuda = kit.device.type == "cuda"
    strong = Usage("diffusers batched, DPM++ 20", batch, STRONG_STEPS, STRONG_GUIDANCE, "dpm++2m", compiled=is_cuda)
    plain = ours.plain(steps=STRONG_STEPS, guidance=STRONG_GUIDANCE, solver="dpm++2m")
    suite = {
        "released": released.stylizing(kit, count=sizes.few, files=False),
        "ours-paper": ours.stylizing(kit, "artbank paper, batch 1", ours.preset("paper"), batch=1, count=sizes.few),
        "strong": pipelines.stylizing(kit, strong),
        "ours-plain": ours.stylizing(kit, f"artbank, DPM++ 20, batch {batch}", plain, batch=batch, count=batch),
    }
    presets = {f"ours-{name}": ours.preset(name) for name in ("exact", "balanced", "fast")}
    return suite | {
        key: ours.stylizing(kit, f"{_name(key)}, batch {batch}", recipe, batch=batch, count=batch)
        for key, recipe in presets.items()
    }


def _name(key: str) -> str:
    return key.replace("ours-", "artbank ")


def files_suite(kit: Kit, sizes: Sizes) -> Suite:
    """Return the contenders that stylize files into files."""
    batch = sizes.batch
    count = sizes.batch * sizes.num_batches
    is_cuda = kit.device.type == "cuda"
    many = {"batch": batch, "num_batches": sizes.num_batches}
    strong = Usage(
        "diffusers, DPM++ 20, compiled and threads" if is_cuda else "diffusers, DPM++ 20, threads",
        **many,
        steps=STRONG_STEPS,
        guidance=STRONG_GUIDANCE,
        scheduler="dpm++2m",
        compiled=is_cuda,
        loader="threads",
    )
    folder = Usage("A1111/ComfyUI folder", 1, 20, 7.0, "dpm++2m", loader="serial", num_batches=sizes.few)
    plain = ours.plain(steps=STRONG_STEPS, guidance=STRONG_GUIDANCE, solver="dpm++2m")
    recipes = {name: ours.preset(name) for name in ("exact", "balanced", "fast")} | {"DPM++ 20": plain}
    suite = {
        "released": released.stylizing(kit, count=sizes.few, files=True),
        "pipeline": pipelines.stylizing(kit, Usage("diffusers img2img, one by one", loader="serial")),
        "batched": pipelines.stylizing(kit, Usage("diffusers img2img, batched", batch, loader="serial")),
        "strong": pipelines.stylizing(kit, strong),
        "folder": pipelines.stylizing(kit, folder),
    }
    keys = {"exact": "ours-exact", "balanced": "ours-balanced", "fast": "ours-fast", "DPM++ 20": "ours-plain"}
    return suite | {
        keys[name]: ours.archive_run(kit, f"artbank {name}", recipe, batch=batch, count=count)
        for name, recipe in recipes.items()
    }


def run(make: Callable[[Kit, Sizes], Suite], kit: Kit, budget: float, rounds: int | None = None) -> Table:
    """Measure a suite within a budget, s, that includes building it; see `compete`."""
    start = time.monotonic()
    suite = make(kit, Sizes.on(kit.device))
    return compete(suite, kit.device, budget - (time.monotonic() - start), rounds)
