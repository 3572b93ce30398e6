"""Planning a run over an archive: what is there, minus what is done, cut into shards."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from artbank import manifest
from artbank.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.errors import ConfigError
from artbank.manifest import Shard
from artbank.models import hash_folder, resolve
from artbank.records import Forecast
from artbank.report import forecast_markdown
from artbank.storage import Store
from artbank.styles import StyleChoice, resolve_styles

logger = logging.getLogger(__name__)

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
    """

    run_id: str
    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    num_photos: int
    num_tasks: int
    num_shards: int


@dataclass(frozen=True)
class Survey:
    """What a run starts from; nothing is written yet.

    Attributes:
        styles: Resolved.
        base_model_hash: Of the frozen model.
        photos: The archive's listing (key, size, etag), all of it.
        done: What the results hold already, see `manifest.read_done`.
        tasks: What is to do: rows of `PhotoTask`.
    """

    styles: tuple[StyleChoice, ...]
    base_model_hash: str
    photos: pa.Table
    done: pa.Table
    tasks: pa.Table

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
    base_hash = hash_folder(resolve(config.base_model, config.revision))
    styles = resolve_styles(Catalog(Store.open(config.store_uri)), config.styles, config.recipe, base_hash)
    photos, done = manifest.list_archive(archive), manifest.read_done(output)
    chosen = manifest.choose(photos, include=config.include, exclude=config.exclude)
    recipes = {style.name: style.recipe_id for style in styles}
    tasks = manifest.plan(chosen, done, recipes, retry_failed=config.retry_failed, archive=photos)
    return Survey(styles, base_hash, photos, done, tasks.slice(0, config.limit))


def plan_archive(config: StylizeConfig) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """Survey the archive and cut what is to do into shards, which are written down as a manifest.

    Returns:
        The plan, its shards, and the archive's listing (key, size, etag).

    Raises:
        Exception: Whatever `survey_archive` raises.
    """
    found = survey_archive(config)
    shards = manifest.write_manifest(Store.open(config.output_uri), found.tasks, config.shard_size, found.recipes)
    run_id = shards[0].id.rpartition("-")[0] if shards else ""
    num_photos, num_tasks = len(found.photos), len(found.tasks)
    logger.info("%d photos, %d to do in %d shards", num_photos, num_tasks, len(shards))
    plan = StylizePlan(run_id, found.styles, found.base_model_hash, num_photos, num_tasks, len(shards))
    return plan, shards, found.photos


def forecast_archive(config: StylizeConfig) -> Forecast:
    """Tell what a run would do and how long one worker may take for it; nothing is written.

    Raises:
        Exception: Whatever `survey_archive` raises.
    """
    found = survey_archive(config)
    tasks, size = found.tasks, config.shard_size
    keys, starts = tasks["key"], range(0, len(tasks), size)
    first = [(len(part), part[0].as_py(), part[-1].as_py()) for part in (keys.slice(s, size) for s in starts[:_SHOWN])]
    num_pictures = pc.sum(pc.list_value_length(tasks["styles"])).as_py() or 0
    each = _seconds_a_picture(found)
    forecast = Forecast(
        num_photos=len(found.photos),
        num_tasks=len(tasks),
        num_pictures=num_pictures,
        num_shards=len(starts),
        seconds_a_picture=each,
        seconds=None if each is None else each * num_pictures,
        first_shards=first,
        text="",
    )
    return replace(forecast, text=forecast_markdown(forecast, title=f"To stylize {config.archive_uri}"))


def _seconds_a_picture(found: Survey) -> float | None:
    """Return the mean over the pictures that are there, those of this run's recipes where there are any."""
    made = found.done.filter(pc.field("status") == "done")
    alike = made.filter(pc.field("recipe_id").isin(list(found.recipes.values())))
    return pc.mean((alike if len(alike) else made)["seconds"]).as_py()
