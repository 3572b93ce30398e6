"""Planning a run over an archive: what is there, minus what is done, cut into shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from artbank.archive.styles import StyleChoice, hash_recipe, resolve_styles
from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.diffusion.devices import device_kind
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.weights import hash_base_model
from artbank.errors import ConfigError, ResultsError
from artbank.recipes import count_evaluations
from artbank.report.costs import forecast_markdown
from artbank.results import layout, pending
from artbank.results.manifest import Manifest, Shard
from artbank.runs.forecast import estimate_picture_pace
from artbank.runs.outcome import Pace, StylizeForecast
from artbank.store.objects import Store

_SHOWN = 5  # shards in a forecast


@dataclass(frozen=True)
class StylizePlan:
    """What a run of `stylize_archive` will do, but for its shards: as large for a million photos as for ten.

    Attributes:
        run_id: Names the run: its manifest, or the state of the results where nothing is to do.
        styles: Resolved.
        base_model_hash: Of the frozen model.
        num_photos: Photos in the archive.
        num_tasks: Photos that lack a style.
        num_shards: Shards that these are cut into.
        num_pictures: Pictures that lack.
        pace: What one of them may take, as far as is known.
    """

    run_id: str
    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    num_photos: int
    num_tasks: int
    num_shards: int
    num_pictures: int = 0
    pace: Pace | None = None


_PLAN_FORMAT = TypeAdapter(StylizePlan)


@dataclass(frozen=True)
class Survey:
    """What a run starts from; nothing is written yet.

    Attributes:
        styles: Resolved.
        base_model_hash: Of the frozen model.
        photos: The archive's listing (key, size, etag), all of it.
        done: What the results hold already, see `planning.read_done`.
        tasks: What is to do: rows of `PhotoTask`.
        latest: See `planning.find_latest`.
        pace: What a picture may take; None where nothing tells.
    """

    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    photos: pa.Table
    done: pa.Table
    tasks: pa.Table
    latest: datetime | None
    pace: Pace | None

    @property
    def num_pictures(self) -> int:
        """Pictures that lack."""
        return pc.sum(pc.list_value_length(self.tasks["styles"])).as_py() or 0

    @property
    def recipes(self) -> dict[str, str]:
        """The recipe id of each style."""
        return {style.name: style.recipe_id for style in self.styles}


def survey_archive(config: StylizeConfig) -> Survey:
    """List the archive and subtract what the results already hold.

    Raises:
        CatalogError: A style is not in the catalog.
        ConfigError: A style cannot be read or does not fit the base model.
        BaseModelError: The base model is not there.
        OSError: The store failed.
    """
    archive, output = Store.open(config.archive_uri), Store.open(config.output_uri)
    if f"{output.uri.rstrip('/')}/".startswith(f"{archive.uri.rstrip('/')}/"):
        raise ConfigError(
            f"output {output.uri} lies in the archive {archive.uri}: its pictures would be photos next time"
        )
    base_hash = hash_base_model(fetch_base_model(config.base_model, config.revision))
    catalog = Catalog(Store.open(config.store_uri))
    styles = resolve_styles(catalog, config.styles, config.recipe, base_hash)
    recipes = {style.name: style.recipe_id for style in styles}
    photos = pending.list_archive(archive)
    unfinished = pending.read_unfinished(output)
    done = pending.read_done(output, unfinished, keep_failed=config.retry_failed)
    tasks = pending.find_pending(
        pending.filter_by_globs(photos, include=config.include, exclude=config.exclude),
        done,
        recipes,
        retry_failed=config.retry_failed,
        failures=config.failures,
        strikes=pending.count_strikes(unfinished),
        archive=photos,
    )
    latest = pending.find_latest(done, unfinished)
    pace = _find_pace(config, catalog, base_hash, done, list(recipes.values()))
    return Survey(styles, base_hash, photos, done, tasks.slice(0, config.limit), latest, pace)


def plan_archive(config: StylizeConfig) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """Survey the archive and cut what is to do into shards; they are written down as a manifest, the plan beside it.

    Returns:
        The plan, its shards, and the archive's listing (key, size, etag).

    Raises:
        Exception: Whatever `survey_archive` raises.
    """
    found = survey_archive(config)
    output = Store.open(config.output_uri)
    manifest = Manifest.write(output, found.tasks, config.shard_size, found.recipes, after=found.latest)
    shards = manifest.shards if manifest else []
    run_id = manifest.id if manifest else ""
    if run_id:
        output.create(layout.run_key(run_id, layout.CONFIG), _absolute(config).model_dump_json(indent=1).encode())
    counts = (len(found.photos), len(found.tasks), len(shards), found.num_pictures)
    plan = StylizePlan(run_id, found.styles, found.base_model_hash, *counts, found.pace)
    if shards:  # of equal runs the first one's plan stays: what they differ in shapes no picture
        output.create(plan_key(run_id), _PLAN_FORMAT.dump_json(plan, indent=1))
    return plan, shards, found.photos


def load_range(config: StylizeConfig, run_id: str, first: int, count: int) -> tuple[StylizePlan, list[Shard]]:
    """Read the plan of a run out of its output, and a range of its shards.

    Args:
        config: The run's, but for where and how fast it works.
        run_id: See `StylizePlan`.
        first: Number of the first shard, from 0.
        count: Shards of the range.

    Raises:
        ConfigError: The run has fewer shards, or was planned with another recipe.
        ResultsError: There is no such plan, or it cannot be read.
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
        raise ConfigError(f"run {run_id} has {len(shards)} shards, {first} to {first + count - 1} are asked for")
    for style in plan.styles:
        if style.recipe_id != hash_recipe(config.recipe, plan.base_model_hash, style.banks):
            raise ConfigError(f"run {run_id} was planned with another recipe for style {style.name}; pass its own")
    return plan, shards[first : first + count]


def plan_key(run_id: str) -> str:
    """Return where the plan of a run lies."""
    return layout.run_key(run_id, "plan.json")


def forecast_archive(config: StylizeConfig) -> StylizeForecast:
    """Tell what a run would do and how long one worker may take for it; nothing is written.

    Raises:
        Exception: Whatever `survey_archive` raises.
    """
    found = survey_archive(config)
    tasks, size = found.tasks, config.shard_size
    keys, starts = tasks["key"], range(0, len(tasks), size)
    first = [(len(part), part[0].as_py(), part[-1].as_py()) for part in (keys.slice(s, size) for s in starts[:_SHOWN])]
    num_pictures, pace = found.num_pictures, found.pace
    forecast = StylizeForecast(
        num_photos=len(found.photos),
        num_tasks=len(tasks),
        num_pictures=num_pictures,
        num_shards=len(starts),
        seconds_a_picture=pace and pace.seconds,
        seconds=pace and pace.seconds * num_pictures,
        first_shards=first,
        text="",
        num_evaluations=count_evaluations(config.recipe) * num_pictures,
        pace=pace,
    )
    return replace(forecast, text=forecast_markdown(forecast, title=f"To stylize {config.archive_uri}"))


def _absolute(config: StylizeConfig) -> StylizeConfig:
    """Return the config with URIs that lead to the same places from any folder of this machine."""
    uris = {name: Store.open(getattr(config, name)).uri for name in ("archive_uri", "output_uri", "store_uri")}
    return config.model_copy(update=uris)


def _find_pace(
    config: StylizeConfig, catalog: Catalog, base_model_hash: str, done: pa.Table, recipe_ids: Sequence[str]
) -> Pace | None:
    """Return what a picture may take: the mean of this output's by the same recipe, or else what the catalog tells.

    Pictures of other recipes are asked last, for theirs may have taken many more evaluations, or fewer.
    """
    made, device = done.filter(pc.field("status") == "done"), device_kind(config)
    alike = made.filter(pc.field("recipe_id").isin(list(recipe_ids)))
    if len(alike):
        return Pace(pc.mean(alike["seconds"]).as_py(), device or "", "the pictures of this recipe that are there")
    if pace := estimate_picture_pace(catalog.banks(), config.recipe, base_model_hash, device):
        return pace
    mean = pc.mean(made["seconds"]).as_py()
    return mean and Pace(mean, device or "", "the pictures of other recipes that are there")
