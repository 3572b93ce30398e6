"""Planning a run over an archive: what is there, minus what is done, cut into shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from artbank.archive import inputs
from artbank.archive.stores import RunStores
from artbank.archive.style_leases import StyleLeases
from artbank.archive.styles import StyleChoice, hash_recipe, resolve_styles
from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.control_specs import UsedControl
from artbank.diffusion.control_files import fetch_controls
from artbank.diffusion.device_kind import device_kind
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.lora_files import fetch_loras
from artbank.diffusion.weights import hash_base_model
from artbank.errors import ConfigError, ResultsError
from artbank.lora_specs import MergedLora
from artbank.recipe_costs import count_cached_evaluations, count_evaluations
from artbank.report.costs import forecast_markdown
from artbank.results import attempts, known_parts, layout, ledger, pending
from artbank.results.attempts import Mark
from artbank.results.manifest import Manifest, Shard
from artbank.results.missing_photos import check_photos
from artbank.results.snapshots import PartListing
from artbank.runs.forecast import estimate_picture_pace
from artbank.runs.outcome import Pace, StylizeForecast
from artbank.store.etags import StoredObject
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles, SkippedKind, count_skipped
from artbank.stylization.further_drawings import count_further_evaluations

_SHOWN = 5  # shards in a forecast


@dataclass(frozen=True)
class StylizePlan:
    """What a run of `stylize_archive` will do. It lists no photos and no shards, so it is small for any archive.

    Attributes:
        run_id: Id of the run's manifest; empty if there is nothing to do.
        styles: The styles, resolved to banks.
        base_model_hash: Hash of the base model.
        num_photos: Photos in the archive.
        num_tasks: Photos that lack a picture in some style.
        num_shards: Shards of the run.
        num_pictures: Pictures to draw.
        pace: Forecast for one picture; None if unknown.
        is_leased: Whether workers must check the leases of the styles; see `style_leases`.
        skipped: The files of the archive that are no photos or cannot be listed; empty in plans of older versions.
        loras: The LoRAs that are merged into the base model.
        controls: The ControlNets.
    """

    run_id: str
    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    num_photos: int
    num_tasks: int
    num_shards: int
    num_pictures: int = 0
    pace: Pace | None = None
    is_leased: bool = False
    skipped: tuple[SkippedKind, ...] = ()
    loras: tuple[MergedLora, ...] = ()
    controls: tuple[UsedControl, ...] = ()


_PLAN_FORMAT = TypeAdapter(StylizePlan)


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
    def recipes(self) -> dict[str, str]:
        """The recipe id of each style."""
        return {style.name: style.recipe_id for style in self.styles}


def survey_archive(config: StylizeConfig, stores: RunStores) -> Survey:
    """List the archive and subtract what the output already has. Writes nothing.

    Args:
        config: The configuration of the run.
        stores: Its stores.

    Raises:
        CatalogError: A style is not in the catalog.
        ConfigError: A style is malformed or was trained on another base model; nothing is in the archive or the store;
            output or store and archive overlap; or too many photos of the last run are missing.
        BaseModelError: The base model, a LoRA or a ControlNet was not found.
        OSError: The store failed.
    """
    output = stores.output
    inputs.check_places(stores)
    base_hash = hash_base_model(fetch_base_model(config.base_model, config.revision, is_offline=config.offline))
    catalog = Catalog(stores.banks)
    loras = tuple(lora.merged for lora in fetch_loras(config.loras))
    controls = tuple(
        found.used for found in fetch_controls(config.control_specs, config.depth_model, is_offline=config.offline)
    )
    styles = resolve_styles(catalog, config.styles, config.recipe, base_hash, loras, controls)
    inputs.check_outside_galleries(output, styles)
    recipes = {style.name: style.recipe_id for style in styles}
    skipped = SkippedFiles()
    caption_files: list[StoredObject] = []
    listed = caption_files if config.recipe.photo_captions else None
    photos = inputs.list_photos(config, stores, skipped, listed)
    unfinished = pending.read_unfinished(output)
    parts = ledger.list_parts(output)
    max_missing_share = 1.0 if config.allow_missing else config.max_missing_share
    known_parts.check_parts(output, parts, max_missing_share)
    done = pending.read_done(output, unfinished, keep_failed=config.retry_failed, listing=parts)
    known = pending.list_known(done, unfinished)
    check_photos(stores.archive, output, photos, known, rules=config.skip, max_share=max_missing_share)
    selected = inputs.select_photos(config, photos)
    tasks = pending.find_pending(
        inputs.read_captions(config, stores, selected, photos, caption_files, skipped),
        done,
        recipes,
        retry_failed=config.retry_failed,
        failures=config.failures,
        strikes=pending.count_strikes(unfinished),
        archive=photos,
    )
    latest = pending.find_latest(done, unfinished)
    pace = _find_pace(config, catalog, base_hash, done, list(recipes.values()))
    return Survey(
        styles=styles,
        base_model_hash=base_hash,
        photos=photos,
        done=done,
        tasks=tasks.slice(0, config.limit),
        parts=parts,
        marks={shard.id: shard.mark for shard in unfinished},
        latest=latest,
        pace=pace,
        skipped=skipped.kinds(),
        loras=loras,
        controls=controls,
    )


def plan_archive(config: StylizeConfig, leases: StyleLeases | None = None) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """Survey the archive, cut the work that is left into shards, and write manifest and plan to the output.

    Args:
        config: The configuration of the run.
        leases: Acquires the leases of the run's styles if there is work; None for a caller that is alone.

    Returns:
        The plan, its shards, and the archive's listing (key, size, etag).

    Raises:
        Exception: As `survey_archive` and `StyleLeases` do.
    """
    stores = RunStores.open(config)
    output = stores.output
    found = survey_archive(config, stores)
    for style in found.styles:  # a linked folder is an error that should come before the work
        output.exists(layout.picture_key(style.name, "_"))
    if leases is not None and len(found.tasks):
        leases.acquire([style.name for style in found.styles])
        if _has_changed(output, found):
            found = survey_archive(config, stores)
    manifest = Manifest.write(
        output, found.tasks, config.shard_size, found.recipes, after=found.latest, parts=found.parts
    )
    shards = manifest.shards if manifest else []
    run_id = manifest.id if manifest else ""
    if leases is not None and run_id:
        leases.name_run(run_id)
    if run_id:
        output.create(
            layout.run_key(run_id, layout.CONFIG), _absolute(config, stores).model_dump_json(indent=1).encode()
        )
    plan = StylizePlan(
        run_id=run_id,
        styles=found.styles,
        base_model_hash=found.base_model_hash,
        num_photos=len(found.photos),
        num_tasks=len(found.tasks),
        num_shards=len(shards),
        num_pictures=found.num_pictures,
        pace=found.pace,
        is_leased=leases is not None,
        skipped=found.skipped,
        loras=found.loras,
        controls=found.controls,
    )
    if shards:  # equal runs share one plan, the first: they may differ only in what changes no picture
        output.create(plan_key(run_id), _PLAN_FORMAT.dump_json(plan, indent=1))
    return plan, shards, found.photos


def load_range(config: StylizeConfig, run_id: str, first: int, count: int) -> tuple[StylizePlan, list[Shard]]:
    """Read the plan of a run, and a range of its shards, from its output.

    Args:
        config: The configuration of the run; device, speed and places may differ.
        run_id: Id of the run.
        first: Number of the first shard, from 0.
        count: Number of shards.

    Raises:
        ConfigError: The run has fewer shards, or was planned with another recipe.
        ResultsError: The plan is missing or damaged.
        OSError: The store failed.
    """
    output = Store.open(config.output_uri)
    try:
        plan = _PLAN_FORMAT.validate_json(output.read(plan_key(run_id)))
        shards = Manifest.open(output, run_id).shards
    except FileNotFoundError as error:
        raise ResultsError(
            f"expected a planned run {run_id} in {output.uri}, found none; run stylize-archive"
        ) from error
    except ValidationError as error:
        raise ResultsError(
            f"{output.uri_of(plan_key(run_id))} should be a run's plan, but cannot be read "
            f"({error.errors()[0]['msg']}); delete it and run stylize-archive again"
        ) from error
    if first + count > len(shards):
        raise ConfigError(
            f"run {run_id} has {len(shards)} shards, but shards {first} to {first + count - 1} were asked for"
        )
    for style in plan.styles:
        planned = hash_recipe(config.recipe, plan.base_model_hash, style.banks, plan.loras, plan.controls)
        if style.recipe_id != planned:
            raise ConfigError(
                f"run {run_id} was planned with another recipe for style {style.name}; pass the recipe of the run"
            )
    return plan, shards[first : first + count]


def _has_changed(output: Store, found: Survey) -> bool:
    """Tell whether another run has written parts or marks since a survey began to read them."""
    return ledger.list_parts(output) != found.parts or attempts.find_unfinished(output) != found.marks


def plan_key(run_id: str) -> str:
    """Return the key of a run's plan."""
    return layout.run_key(run_id, "plan.json")


def forecast_archive(config: StylizeConfig) -> StylizeForecast:
    """Forecast what a run would do, and how long one worker would take. Writes nothing.

    Raises:
        Exception: As `survey_archive` does.
    """
    found = survey_archive(config, RunStores.open(config))
    num_tasks = len(found.tasks)
    num_pictures = found.num_pictures
    pace = found.pace
    starts = range(0, num_tasks, config.shard_size)
    first_shards = [found.tasks["key"].slice(start, config.shard_size) for start in starts[:_SHOWN]]
    forecast = StylizeForecast(
        num_photos=len(found.photos),
        num_tasks=num_tasks,
        num_pictures=num_pictures,
        num_shards=len(starts),
        seconds_a_picture=pace and pace.seconds,
        seconds=pace and pace.seconds * num_pictures,
        first_shards=[(len(keys), keys[0].as_py(), keys[-1].as_py()) for keys in first_shards],
        text="",
        num_evaluations=count_evaluations(config.recipe) * num_pictures,
        num_cached_evaluations=count_cached_evaluations(config.recipe) * num_pictures,
        num_further_evaluations=count_further_evaluations(config.recipe) * num_pictures,
        pace=pace,
        num_skipped=count_skipped(found.skipped),
        skipped=found.skipped,
    )
    return replace(forecast, text=forecast_markdown(forecast, title=f"To stylize {config.archive_uri}"))


def _absolute(config: StylizeConfig, stores: RunStores) -> StylizeConfig:
    """Return the config with absolute URIs, so that it holds from any working directory."""
    uris = {"archive_uri": stores.archive.uri, "output_uri": stores.output.uri, "store_uri": stores.banks.uri}
    return config.model_copy(update=uris)


def _find_pace(
    config: StylizeConfig, catalog: Catalog, base_model_hash: str, done: pa.Table, recipe_ids: Sequence[str]
) -> Pace | None:
    """Return the forecast for one picture; None if nothing comparable was drawn before.

    It comes from pictures of the same recipe in this output, or else from the catalog, or else from this output's
    pictures of other recipes. Those come last, because they may have taken many more UNet evaluations, or fewer.
    """
    made = done.filter(pc.field("status") == "done")
    device = device_kind(config)
    same_recipe = made.filter(pc.field("recipe_id").isin(list(recipe_ids)))
    if len(same_recipe):
        seconds = pc.mean(same_recipe["seconds"]).as_py()
        return Pace(seconds, device or "", "the pictures of this recipe in the output")
    if pace := estimate_picture_pace(catalog.banks(), config.recipe, base_model_hash, device):
        return pace
    mean = pc.mean(made["seconds"]).as_py()
    return mean and Pace(mean, device or "", "the pictures of other recipes in the output")
