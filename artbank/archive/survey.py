"""The state of an archive and its output before a run: photos, rows, and the work that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from artbank.archive import inputs
from artbank.archive.replaced_photos import check_not_replaced
from artbank.archive.stores import RunStores
from artbank.archive.styles import StyleChoice, resolve_styles
from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.diffusion.control_files import fetch_controls
from artbank.diffusion.device_kind import device_kind
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.lora_files import fetch_loras
from artbank.diffusion.weights import hash_base_model
from artbank.parameters.control_specs import UsedControl
from artbank.parameters.lora_specs import MergedLora
from artbank.results import known_parts, ledger, pending
from artbank.results.attempts import Mark
from artbank.results.missing_photos import check_photos
from artbank.results.pending import UnfinishedShard
from artbank.results.snapshots import PartListing
from artbank.runs.forecast import estimate_picture_pace
from artbank.runs.outcome import Pace
from artbank.store.etags import StoredObject
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles, SkippedKind


@dataclass(frozen=True)
class Survey:
    """The state of archive and output before a run.

    Attributes:
        styles: The styles, resolved to banks.
        base_model_hash: Hash of the base model.
        photos: The whole listing of the archive: key, size, etag.
        done: The rows that the output has already, from `pending.read_done`.
        tasks: The work that is left: rows of `PhotoTask`.
        parts: The parts that `done` was read from.
        marks: The marks of unfinished shards, by shard id.
        latest: Newest time in the results, from `pending.find_latest`.
        pace: Forecast for one picture; None if unknown.
        skipped: The files of the archive that are no photos or cannot be listed.
        loras: The LoRAs that are merged into the base model.
        controls: The ControlNets.
    """

    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    photos: pa.Table
    done: pa.Table
    tasks: pa.Table
    parts: PartListing
    marks: Mapping[str, Mark]
    latest: datetime | None
    pace: Pace | None
    skipped: tuple[SkippedKind, ...]
    loras: tuple[MergedLora, ...]
    controls: tuple[UsedControl, ...]

    @property
    def num_pictures(self) -> int:
        """Pictures to draw."""
        return pc.sum(pc.list_value_length(self.tasks["styles"])).as_py() or 0

    @property
    def num_replaced(self) -> int:
        """Pictures of another recipe, bank or base model that the new ones replace."""
        drawn = self.done.filter(pc.field("status") == "done")
        drawn = drawn.filter(pc.is_in(drawn["key"], value_set=self.tasks["key"]))
        return sum(
            drawn.filter((pc.field("style") == style) & (pc.field("recipe_id") != recipe_id)).num_rows
            for style, recipe_id in self.recipes.items()
        )

    @property
    def recipes(self) -> dict[str, str]:
        """The recipe id of each style."""
        return {style.name: style.recipe_id for style in self.styles}


@dataclass(frozen=True)
class _Models:
    """The models of a run, by what determines its pictures."""

    base_model_hash: str
    loras: tuple[MergedLora, ...]
    controls: tuple[UsedControl, ...]


@dataclass(frozen=True)
class _OutputState:
    """The content of an output: its unfinished shards, its parts, and the rows that count as done."""

    unfinished: Sequence[UnfinishedShard]
    parts: PartListing
    done: pa.Table


def survey_archive(config: StylizeConfig, stores: RunStores) -> Survey:
    """List the archive and subtract what the output already has. Writes nothing.

    Args:
        config: The configuration of the run.
        stores: Its stores.

    Raises:
        CatalogError: A style is not in the catalog.
        ConfigError: A style is malformed or was trained on another base model; nothing is in the archive or the store;
            archive, output and store overlap; too many photos of the last run are missing, or the archive is another
            one with photos of the same names.
        BaseModelError: The base model, a LoRA or a ControlNet was not found.
        OSError: The store failed.
    """
    inputs.check_places(stores)
    models = _fetch_models(config)
    catalog = Catalog(stores.banks)
    styles = resolve_styles(
        catalog, config.styles, config.recipe, models.base_model_hash, models.loras, models.controls
    )
    inputs.check_outside_galleries(stores.output, styles)
    recipes = {style.name: style.recipe_id for style in styles}
    skipped = SkippedFiles()
    caption_files: list[StoredObject] = []
    photos = inputs.list_photos(config, stores, skipped, caption_files if config.recipe.photo_captions else None)
    max_missing_share = 1.0 if config.allow_missing else config.max_missing_share
    state = _read_output(config, stores.output, max_missing_share)
    known_keys = pending.list_known(state.done, state.unfinished)
    check_photos(stores.archive, stores.output, photos, known_keys, rules=config.skip, max_share=max_missing_share)
    selected = inputs.select_photos(config, photos)
    captioned = inputs.read_captions(config, stores, selected, photos, caption_files, skipped)
    tasks = _find_tasks(config, captioned, state, recipes, photos)
    check_not_replaced(
        stores.archive,
        stores.output,
        tasks,
        state.done,
        state.parts,
        styles=list(recipes),
        max_share=max_missing_share,
    )
    return Survey(
        styles=styles,
        base_model_hash=models.base_model_hash,
        photos=photos,
        done=state.done,
        tasks=tasks.slice(0, config.limit),
        parts=state.parts,
        marks={shard.id: shard.mark for shard in state.unfinished},
        latest=pending.find_latest(state.done, state.unfinished),
        pace=_find_pace(config, catalog, models.base_model_hash, state.done, list(recipes.values())),
        skipped=skipped.kinds(),
        loras=models.loras,
        controls=models.controls,
    )


def _fetch_models(config: StylizeConfig) -> _Models:
    base_model = fetch_base_model(config.base_model, config.revision, is_offline=config.offline)
    base_model_hash = hash_base_model(base_model)
    loras = tuple(file.merged for file in fetch_loras(config.loras))
    control_folders = fetch_controls(config.control_specs, config.depth_model, is_offline=config.offline)
    return _Models(base_model_hash, loras, tuple(folder.used for folder in control_folders))


def _read_output(config: StylizeConfig, output: Store, max_missing_share: float) -> _OutputState:
    """Read the rows and marks of an output, after a check that no more of its parts are missing than may be."""
    unfinished = pending.read_unfinished(output)
    parts = ledger.list_parts(output)
    known_parts.check_parts(output, parts, max_missing_share)
    done = pending.read_done(output, unfinished, keep_failed=config.retry_failed, listing=parts)
    return _OutputState(unfinished, parts, done)


def _find_tasks(
    config: StylizeConfig, selected: pa.Table, state: _OutputState, recipes: Mapping[str, str], photos: pa.Table
) -> pa.Table:
    """Subtract the done rows of an output from the selected photos, in all styles; see `pending.find_pending`."""
    return pending.find_pending(
        selected,
        state.done,
        recipes,
        retry_failed=config.retry_failed,
        failures=config.failures,
        strikes=pending.count_strikes(state.unfinished),
        archive=photos,
    )


def _find_pace(
    config: StylizeConfig, catalog: Catalog, base_model_hash: str, done: pa.Table, recipe_ids: Sequence[str]
) -> Pace | None:
    """Return the forecast for one picture; None if nothing comparable was drawn before.

    It comes from pictures of the same recipe in this output, or else from the catalog, or else from this output's
    pictures of other recipes. Those come last, because they may have taken many more UNet evaluations, or fewer.
    """
    drawn = done.filter(pc.field("status") == "done")
    device = device_kind(config)
    same_recipe = drawn.filter(pc.field("recipe_id").isin(list(recipe_ids)))
    if len(same_recipe):
        seconds = pc.mean(same_recipe["seconds"]).as_py()
        return Pace(seconds, device or "", "the pictures of this recipe in the output")
    if pace := estimate_picture_pace(catalog.banks(), config.recipe, base_model_hash, device):
        return pace
    mean_seconds = pc.mean(drawn["seconds"]).as_py()
    if not mean_seconds:
        return None
    return Pace(mean_seconds, device or "", "the pictures of other recipes in the output")
