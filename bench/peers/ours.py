"""artbank itself, through its public functions, counted as its peers are.

Training includes validation: a unit validates once, on as many held-out crops as give the share of validation that the
defaults have. Stylizing from pictures is the model alone. Stylizing from files is a shard of a run, with all stages of
the pipeline: read, decode, draw, score, encode, write, commit. The peers neither score nor keep results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from artbank.archive.plan import plan_archive
from artbank.archive.run_resources import RunResources
from artbank.archive.shard_pipeline import ShardPipeline
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import Trainer
from artbank.config import StylizeConfig
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.shared_base_model import load_base_model
from artbank.diffusion.unet import Denoiser
from artbank.images.framing import Photo
from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.results import attempts, ledger
from artbank.store.objects import Store
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from bench.peers.counting import Expected, count_trained
from bench.peers.kit import STRENGTH, Contender, Kit

MOST_UNITS = 12
BATCH = 8
_VALIDATED_SHARE = 0.4  # 8 views at 4 noise levels every 10 steps of 8 samples, by the defaults
_NOISE_LEVELS = 4


def preset(name: str) -> StylizeRecipe:
    """Return a preset of artbank's."""
    return StylizeRecipe.model_validate({"preset": name})


def plain(*, steps: int, guidance: float, solver: str) -> StylizeRecipe:
    """Return a recipe that does the same as an img2img pipeline: noise without inversion, guidance in every step."""
    facts = {"steps": steps, "guidance": guidance, "solver": solver, "inversion": "gaussian", "strength": STRENGTH}
    return StylizeRecipe.model_validate({**facts, "structure": 0.0, "colour": "free"})


class HookedDenoiser(torch.nn.Module):
    """artbank's `Denoiser` as a module, so that it can be hooked, compiled or not."""

    def __init__(self, denoiser: Denoiser):
        """Wrap a denoiser."""
        super().__init__()
        self.wrapped = [denoiser]  # in a list, so that its networks do not become this module's
        self.computes_in = denoiser.unet.dtype

    def __getattr__(self, name: str) -> Any:
        wrapped = self.__dict__.get("wrapped")
        if wrapped is not None and hasattr(wrapped[0], name):
            return getattr(wrapped[0], name)
        return super().__getattr__(name)

    def forward(self, *args: Any, **options: Any) -> torch.Tensor:
        """Predict."""
        return self.wrapped[0](*args, **options)


class HookedCall(torch.nn.Module):
    """A function as a module, so that it can be hooked; hooks inside of compiled code may not be called."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]):
        """Wrap a function of a batch."""
        super().__init__()
        self.function = function

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Call it."""
        return self.function(batch)


def load(kit: Kit, *, compiled: bool = False) -> BaseModel:
    """Return artbank's own copy of the base model, in the precision that artbank chooses.

    Args:
        kit: Names the model.
        compiled: Compile UNet and VAE at the first call of each size, as they soon are in a large archive on CUDA.
    """
    base = load_base_model(run_config(kit)) if compiled else _load_plain(kit.source, str(kit.device))
    if not isinstance(base.denoiser, HookedDenoiser):
        vars(base)["denoiser"] = HookedDenoiser(base.denoiser)
        codec: Any = base.latent_codec
        codec._encode, codec._decode = HookedCall(codec._encode), HookedCall(codec._decode)
    return base


@lru_cache(maxsize=1)
def _load_plain(source: str, device: str) -> BaseModel:
    return BaseModel.load(source, device=device, compiling="off")


def run_config(kit: Kit, **values: Any) -> StylizeConfig:
    """Return the configuration of a run over the kit's photos."""
    compiling = "on" if kit.device.type == "cuda" else "off"
    facts = {"base_model": kit.source, "device": str(kit.device), "store_uri": kit.store_uri, "compiling": compiling}
    places = {"archive_uri": str(kit.scratch / "archive"), "output_uri": str(kit.scratch / "output")}
    return StylizeConfig.model_validate({**facts, **places, "styles": (kit.bank.collection,), **values})


def watch(base: BaseModel) -> dict[str, torch.nn.Module]:
    """Return the modules to count."""
    codec: Any = base.latent_codec
    tap: Any = base.denoiser
    return {"unet": tap, "vae_encode": codec._encode, "vae_decode": codec._decode, "text": base.text_encoder}


@lru_cache(maxsize=1)
def read_dataset(kit: Kit, count: int) -> LatentDataset:
    """Encode the crops of some artworks, as is done once for a bank."""
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in kit.artworks[:count]]
    return encode_dataset(load(kit), pictures, [None] * len(pictures), BankRecipe())


def training(kit: Kit, *, batch: int, steps: int, validates: bool) -> Contender:
    """Return a training of one bank.

    Args:
        kit: Model and artworks.
        batch: Samples per step.
        steps: Steps of a unit of work.
        validates: A unit includes its share of the validation.
    """
    base = load(kit)
    views = read_dataset(kit, 8)
    num_held = max(round(_VALIDATED_SHARE * steps * batch / _NOISE_LEVELS), 1)
    first = slice(num_held)
    held = LatentDataset(views.mean[first], views.std[first], views.artwork[first], views.captions, views.sizes[first])
    often = {"validate_every": steps if validates else 10**6, "patience": 10**6, "max_steps": 100_000}
    state = TrainState(base, views, held, BankRecipe.model_validate({"batch_size": batch, **often}), "bench")
    samples = batch * steps
    expected = Expected(
        unet=1 + (len(held) * _NOISE_LEVELS / samples if validates else 0),
        unet_batch=None,  # the trainer chooses it for the device
        dtype=base.dtype,
        text=None,  # each distinct text of a batch is encoded once
        trained=count_trained(state.optimizer),
    )
    name = f"artbank, batch {batch}" + (", with its validation" if validates else "")

    def work() -> Sequence[int]:
        take_steps([state], steps)
        return range(samples)

    return Contender(name, work, watch(base), expected, batch, state.optimizer)


def take_steps(states: Sequence[TrainState], steps: int) -> None:
    """Take steps with one bank, or with several in the same batches."""
    trainer = Trainer(states)
    for _ in range(steps):
        trainer.step()
    trainer.flush_losses()


def joint_training(kit: Kit, *, banks: int, batch: int, steps: int, compiled: bool = False) -> Contender:
    """Return a training of several banks in the same batches."""
    base = load(kit, compiled=compiled)
    views = read_dataset(kit, 8)
    often = {"validate_every": 10**6, "patience": 10**6, "max_steps": 100_000}
    recipes = [BankRecipe.model_validate({"batch_size": batch, "seed": seed, **often}) for seed in range(banks)]
    states = [TrainState(base, views, views, recipe, f"bench-{recipe.seed}") for recipe in recipes]
    samples = banks * batch * steps
    trained = count_trained(states[0].optimizer)
    expected = Expected(unet=1, unet_batch=None, dtype=base.dtype, text=None, trained=trained)

    def work() -> Sequence[int]:
        take_steps(states, steps)
        return range(samples)

    name = f"artbank, {banks} banks, batch {batch} each"
    return Contender(name, work, watch(base), expected, batch, states[0].optimizer)


def stylizing(
    kit: Kit, name: str, recipe: StylizeRecipe, *, batch: int, count: int, compiled: bool | None = None
) -> Contender:
    """Return the model alone, on `count` photos at their working size."""
    compiled = kit.device.type == "cuda" and batch > 1 if compiled is None else compiled
    base = load(kit, compiled=compiled)
    stylizer = Stylizer(base, [Style(kit.bank.collection, ((kit.bank, 1.0),), kit.reference.palette)], recipe)
    photos = cycle([prepare(stylizer, kit, i) for i in range(max(count, len(kit.photos)))])
    album: dict[str, Image.Image] = {}

    def work() -> Sequence[Any]:
        made = {one.key: one.rgb for one in stylizer.stylize(islice(photos, count), batch_size=batch)}
        album.update({key: Image.fromarray(_check_drawn(rgb)) for key, rgb in made.items()})
        return list(made.values())

    return Contender(name, work, watch(base), expect(base, recipe, batch), batch, compiles=compiled, album=album)


def prepare(stylizer: Stylizer, kit: Kit, number: int) -> Photo:
    """Return a photo of the kit, at the working size; numbers after the last photo start again with the first."""
    path = kit.photos[number % len(kit.photos)]
    picture = kit.pictures[number % len(kit.pictures)]
    turn = number // len(kit.photos)
    return stylizer.prepare(f"{turn}/{path.name}" if turn else path.name, np.asarray(picture))


def expect(base: BaseModel, recipe: StylizeRecipe, batch: int) -> Expected:
    """Return the expected counts of a recipe."""
    batches = batch * (2 if recipe.guidance > 1 else 1)
    return Expected(count_evaluations(recipe), batches, base.dtype, vae_encode=1, vae_decode=1)


class Run:
    """A run over an archive, of which each shard is a unit of work."""

    def __init__(self, kit: Kit, name: str, recipe: StylizeRecipe, *, batch: int, count: int):
        """Plan a run over an archive with a shard of `count` photos for every possible unit."""
        archive = kit.scratch / f"archive-{count}"
        _fill(archive, kit.photos, count * MOST_UNITS)
        output = kit.scratch / f"output-{name.replace(' ', '-').replace(',', '')}"
        facts = {"archive_uri": str(archive), "output_uri": str(output), "recipe": recipe}
        self.config = run_config(kit, **facts, batch_size=batch, shard_size=count)
        self.plan, shards, _ = plan_archive(self.config)
        load(kit, compiled=True)
        self.resources = RunResources(self.config, self.plan)
        self.output = Store.open(str(output))
        self._shards = iter(shards)

    def work(self) -> Sequence[Any]:
        """Finish the next shard, from its start mark to its part."""
        shard = next(self._shards)
        manifest = self.resources.open_manifest(shard.manifest_id)
        asked = manifest.tasks(shard)
        attempt = attempts.start(self.output, shard.id, {}, after=manifest.after)
        work = ShardPipeline(self.resources, shard.id, attempt, lambda: False)
        rows = [one.row for batch in work.run(asked, manifest.known_rows(shard)) for one in batch]
        ledger.commit(self.output, shard.id, rows)
        attempts.delete_marks(self.output, [shard.id])
        if lost := [row.reason for row in rows if row.status != "done"]:
            raise RuntimeError(f"expected pictures of all photos, found {len(lost)} failures, such as {lost[0]}")
        return rows


def archive_run(kit: Kit, name: str, recipe: StylizeRecipe, *, batch: int, count: int) -> Contender:
    """Return a run from files to files, `count` photos a unit.

    Each photo, each picture, and each photo in the collection's colours is scored.
    """
    run = Run(kit, name, recipe, batch=batch, count=count)
    base = run.resources.drawing.stylizer.base
    expected = expect(run.resources.drawing.stylizer.base, recipe, batch)
    expected = Expected(**{**vars(expected), "clip": 3})
    clip = run.resources.drawing.scorer._clip.vision_model  # the only network without a public name
    watched = {**watch(base), "clip": clip}
    return Contender(name, run.work, watched, expected, batch)


def _fill(archive: Path, photos: Sequence[Path], count: int) -> None:
    archive.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        source = photos[number % len(photos)]
        target = archive / f"{number:05d}.jpg"
        if not target.exists():
            target.hardlink_to(source)


def _check_drawn(rgb: np.ndarray | None) -> np.ndarray:
    if rgb is None:
        raise RuntimeError("expected a picture of every photo, found one without; see the log")
    return rgb
