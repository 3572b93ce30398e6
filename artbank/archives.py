"""Planning a run over an archive: what is there, minus what is done, cut into shards."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pyarrow as pa

from artbank import manifest
from artbank.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.errors import ConfigError
from artbank.manifest import Shard
from artbank.models import hash_folder, resolve
from artbank.storage import Store
from artbank.styles import StyleChoice, resolve_styles

logger = logging.getLogger(__name__)


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


def plan_archive(config: StylizeConfig) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """List the archive, subtract what the results already hold, and cut the rest into shards.

    Returns:
        The plan, its shards, and the archive's listing (key, size, etag).

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
    photos = manifest.list_archive(archive)
    recipes = {style.name: style.recipe_id for style in styles}
    done = manifest.read_done(output)
    tasks = manifest.plan(photos, done, recipes, retry_failed=config.retry_failed)
    shards = manifest.write_manifest(output, tasks, config.shard_size, recipes)
    run_id = shards[0].id.rpartition("-")[0] if shards else ""
    logger.info("%d photos, %d to do in %d shards", len(photos), len(tasks), len(shards))
    return StylizePlan(run_id, styles, base_hash, len(photos), len(tasks), len(shards)), shards, photos
