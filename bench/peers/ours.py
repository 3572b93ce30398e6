"""artbank itself, through its public functions, counted like its peers.

Training is measured with its validation: a unit of s steps at the default batch validates once, on so many held-out
views that their share of the samples is that of the defaults. Stylizing from pictures is the model alone. Stylizing from
files is a shard of a run, by the stages of the pipeline: read, decoded, drawn, scored, encoded, written, and its part of
the results committed. Peers neither score nor keep results.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from artbank import attempts, manifest, results
from artbank.archives import plan_archive
from artbank.config import BankRecipe, StylizeConfig, StylizeRecipe
from artbank.diffusion import BaseModel
from artbank.framing import Photo
from artbank.stages import ShardWork, Workshop
from artbank.storage import Store
from artbank.stylization import Style, Stylizer, count_evaluations
from artbank.training import Training
from artbank.views import Views, encode_views
from artbank.worker import load_base
from bench.peers.counting import Expected, count_trained
from bench.peers.kit import STRENGTH, Contender, Kit

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"steps": 50, "guidance": 10.0, "inversion": "stochastic", "solver": "ddim"},
    "exact": {"steps": 50, "guidance": 10.0, "inversion": "stochastic", "solver": "ddim"},
    "balanced": {"steps": 20, "guidance": 4.0, "inversion": "stochastic", "solver": "dpm++2m"},
    "fast": {"steps": 10, "guidance": 4.0, "inversion": "stochastic", "solver": "dpm++2m"},
}
"""What stands for a preset in a version of artbank that has none."""
MOST_UNITS = 12
BATCH = 8
_VALIDATED_SHARE = 0.16  # 8 views at 4 noise levels every 25 steps of 8 samples, by the defaults
_NOISE_LEVELS = 4


def preset(name: str) -> StylizeRecipe:
    """Return a preset of artbank's at the strength that all are measured at."""
    if "preset" in StylizeRecipe.model_fields:
        return StylizeRecipe.model_validate({"preset": name, "strength": STRENGTH})
    if name == "paper":
        return StylizeRecipe(paper=True)
    return StylizeRecipe.model_validate({**PRESETS[name], "strength": STRENGTH})


def plain(*, steps: int, guidance: float, solver: str) -> StylizeRecipe:
    """Return a recipe that does what an img2img pipeline does: noise, no inversion, guidance all the way."""
    facts = {"steps": steps, "guidance": guidance, "solver": solver, "inversion": "gaussian", "strength": STRENGTH}
    return StylizeRecipe.model_validate(facts)


def load(kit: Kit) -> BaseModel:
    """Return artbank's own copy of the base model, in the precision that it picks."""
    return load_base(run_config(kit))


def run_config(kit: Kit, **values: Any) -> StylizeConfig:
    """Return the configuration of a run over the kit's photos."""
    facts = {"base_model": kit.source, "device": str(kit.device), "store_uri": kit.store_uri}
    places = {"archive_uri": str(kit.scratch / "archive"), "output_uri": str(kit.scratch / "output")}
    return StylizeConfig.model_validate({**facts, **places, "styles": (kit.bank.collection,), **values})


def watch(base: BaseModel) -> dict[str, torch.nn.Module]:
    """Return the modules to count."""
    vae = {"vae_encode": base.vae.encoder, "vae_decode": base.vae.decoder}
    return {"unet": base.unet, **vae, "text": base.text_encoder}


def read_views(kit: Kit, base: BaseModel, count: int) -> Views:
    """Encode the views of some artworks, which is done once for a bank."""
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in kit.artworks[:count]]
    return encode_views(base, pictures, [None] * len(pictures), BankRecipe())


def training(kit: Kit, *, batch: int, steps: int, validates: bool) -> Contender:
    """Return a training of one bank.

    Args:
        kit: What to train on.
        batch: Samples in a step.
        steps: Of one unit of work.
        validates: Whether a unit holds its share of the validation.
    """
    base = load(kit)
    views, num_held = read_views(kit, base, 8), max(round(_VALIDATED_SHARE * steps * batch / _NOISE_LEVELS), 1)
    held = Views(views.mean[:num_held], views.std[:num_held], views.artwork[:num_held], views.captions)
    often = {"validate_every": steps if validates else 10**6, "patience": 10**6, "max_steps": 100_000}
    trainer = Training(base, views, held, BankRecipe.model_validate({"batch_size": batch, **often}), "bench")
    samples = batch * steps
    expected = Expected(
        unet=1 + (len(held) * _NOISE_LEVELS / samples if validates else 0),
        unet_batch=max(batch, len(held) if validates else 0),
        dtype=base.dtype,
        text=None,  # a text is encoded once, however many samples of a batch say it
        trained=count_trained(trainer.optimizer),
    )
    name = f"artbank, batch {batch}" + (", with its validation" if validates else "")

    def work() -> Sequence[float]:
        return [loss for _ in range(steps) for loss in [trainer.advance()] * batch]

    return Contender(name, work, watch(base), expected, batch, trainer.optimizer)


def drawing(kit: Kit, name: str, recipe: StylizeRecipe, *, batch: int, count: int) -> Contender:
    """Return the model alone, over `count` photos at their working size."""
    base = load(kit)
    stylizer = Stylizer(base, [Style(kit.bank.collection, ((kit.bank, 1.0),))], recipe)
    photos = [fit(stylizer, kit, i) for i in range(count)]

    def work() -> Sequence[Image.Image]:
        made = {one.key: one.rgb for one in stylizer.stylize(photos, batch_size=batch)}
        return [Image.fromarray(_there(made[photo.key])) for photo in photos]

    return Contender(name, work, watch(base), expect(base, recipe, batch), batch)


def fit(stylizer: Stylizer, kit: Kit, number: int) -> Photo:
    """Return a photo of the kit as the peers see it, at the working size; numbers beyond the photos start anew."""
    path, picture = kit.photos[number % len(kit.photos)], kit.pictures[number % len(kit.pictures)]
    turn = number // len(kit.photos)
    return stylizer.fit(f"{turn}/{path.name}" if turn else path.name, np.asarray(picture))


def expect(base: BaseModel, recipe: StylizeRecipe, batch: int) -> Expected:
    """Return what a recipe must be counted at."""
    batches = batch * (2 if recipe.guidance > 1 else 1)
    return Expected(count_evaluations(recipe), batches, base.dtype, vae_encode=1, vae_decode=1)


class Run:
    """A run over an archive, worked off shard by shard: one is a unit of work."""

    def __init__(self, kit: Kit, name: str, recipe: StylizeRecipe, *, batch: int, count: int):
        """Plan it: an archive of as many shards of `count` photos as there may be units."""
        archive = kit.scratch / f"archive-{count}"
        _fill(archive, kit.photos, count * MOST_UNITS)
        output = kit.scratch / f"output-{name.replace(' ', '-').replace(',', '')}"
        facts = {"archive_uri": str(archive), "output_uri": str(output), "recipe": recipe}
        self.config = run_config(kit, **facts, batch_size=batch, shard_size=count)
        self.plan, shards, _ = plan_archive(self.config)
        self.shop, self.output = Workshop(self.config, self.plan), Store.open(str(output))
        self._shards = iter(shards)

    def work(self) -> Sequence[Any]:
        """Do the next shard, from its mark to its part."""
        shard = next(self._shards)
        asked = manifest.read_shard(self.output, shard)
        attempt = attempts.begin(self.output, shard.id, {}, after=manifest.read_after(self.output, shard))
        work = ShardWork(self.shop, shard.id, attempt, lambda: False)
        rows = [row for some in work.run(asked, manifest.read_known(self.output, shard)) for row in some]
        results.commit(self.output, shard.id, rows)
        attempts.forget(self.output, [shard.id])
        if lost := [row.reason for row in rows if row.status != "done"]:
            raise RuntimeError(f"expected pictures of all photos, found {len(lost)} failures, such as {lost[0]}")
        return rows


def archive_run(kit: Kit, name: str, recipe: StylizeRecipe, *, batch: int, count: int) -> Contender:
    """Return a run from files to files, `count` photos a unit; each photo and each picture is scored."""
    run = Run(kit, name, recipe, batch=batch, count=count)
    base, expected = run.shop.stylizer.base, expect(run.shop.stylizer.base, recipe, batch)
    expected = Expected(**{**vars(expected), "clip": 2})
    watched = {**watch(base), "clip": run.shop.scorer._clip.vision_model}  # the one network that has no public name
    return Contender(name, run.work, watched, expected, batch)


def _fill(archive: Path, photos: Sequence[Path], count: int) -> None:
    archive.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        source, target = photos[number % len(photos)], archive / f"{number:05d}.jpg"
        if not target.exists():
            partial(os.link if os.stat(source).st_dev == os.stat(archive).st_dev else shutil.copyfile, source)(target)


def _there(rgb: np.ndarray | None) -> np.ndarray:
    if rgb is None:
        raise RuntimeError("expected a picture of every photo, found one without; see the log")
    return rgb
