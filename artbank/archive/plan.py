"""The plan of a run over an archive: the work that is left, cut into shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from artbank.archive.stores import RunStores
from artbank.archive.style_leases import StyleLeases
from artbank.archive.styles import StyleChoice, hash_recipe
from artbank.archive.survey import Survey, survey_archive
from artbank.config import StylizeConfig
from artbank.diffusion.device_kind import check_device
from artbank.errors import ConfigError, ResultsError
from artbank.parameters.control_specs import UsedControl
from artbank.parameters.lora_specs import MergedLora
from artbank.report.costs import pictures_text, replaced_text
from artbank.results import attempts, layout, ledger
from artbank.results.manifest import Manifest, Shard
from artbank.runs.gather import format_failures
from artbank.runs.handover import take
from artbank.runs.outcome import Outcome, Pace
from artbank.runtime.counts import number_text
from artbank.store.bounded_file import OversizeError
from artbank.store.objects import Store
from artbank.store.skipped import SkippedKind


@dataclass(frozen=True)
class StylizePlan:
    """The work of a run of `stylize_archive`. It lists no photos and no shards, so it is small for any archive.

    Attributes:
        run_id: Id of the run's manifest; empty if there is nothing to do.
        styles: The styles, resolved to banks.
        base_model_hash: Hash of the base model.
        num_photos: Photos in the archive.
        num_tasks: Photos without a picture in some style.
        num_shards: Shards of the run.
        num_pictures: Pictures to draw.
        pace: Forecast for one picture; None if unknown.
        is_leased: Whether workers must check the leases of the styles; see `style_leases`.
        skipped: The files of the archive that are no photos or cannot be listed; empty in plans of older versions.
        loras: The LoRAs that are merged into the base model.
        controls: The ControlNets.
        num_replaced: Pictures of another recipe, bank or base model that the new ones replace.
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
    num_replaced: int = 0

    def describe(self) -> list[str]:
        """Return what the run will do, as lines for its log."""
        shards = number_text(self.num_shards, "shard")
        skipped = number_text(sum(kind.count for kind in self.skipped), "file")
        lines = [f"photos: {self.num_photos:,}; to stylize: {self.num_tasks:,}, in {shards}; skipped: {skipped}"]
        if self.num_shards:
            lines.append(pictures_text(self.num_pictures, self.pace))
        return [*lines, replaced_text(self.num_replaced)] if self.num_replaced else lines

    def raise_failures(self, failed: Mapping[str, Exception], outcome: Outcome) -> None:
        """Raise an error that names the shards that failed, if there are any.

        Args:
            failed: Each with its error.
            outcome: What the run did with the others.

        Raises:
            ResultsError: There are some.
        """
        if failed:
            shards = f"{len(failed)} of {self.num_shards} shards failed"
            raise ResultsError(f"{shards}: {format_failures(failed)}; run it again", outcome)


_PLAN_FORMAT = TypeAdapter(StylizePlan)


def plan_archive(config: StylizeConfig, leases: StyleLeases | None = None) -> tuple[StylizePlan, list[Shard], pa.Table]:
    """Survey the archive, cut the work that is left into shards, and write manifest and plan to the output.

    A survey that was handed over for this configuration is used; see `runs.handover`.

    Args:
        config: The configuration of the run.
        leases: Acquires the leases of the run's styles if there is work; None for a caller that is alone.

    Returns:
        The plan, its shards, and the archive's listing (key, size, etag).

    Raises:
        ConfigError: This machine has no such device.
        Exception: As `survey_archive` and `StyleLeases` do.
    """
    check_device(config)
    stores = RunStores.open(config)
    survey = take(config, Survey) or survey_archive(config, stores)
    for style in survey.styles:  # a linked folder is an error that should come before the work
        stores.output.exists(layout.picture_key(style.name, "_"))
    if leases is not None and len(survey.tasks):
        leases.acquire([style.name for style in survey.styles])
        if _has_changed(stores.output, survey):
            survey = survey_archive(config, stores)
    manifest = Manifest.write(
        stores.output, survey.tasks, config.shard_size, survey.recipes, after=survey.latest, parts=survey.parts
    )
    plan = _make_plan(survey, manifest, is_leased=leases is not None)
    if manifest is None:
        return plan, [], survey.photos
    if leases is not None:
        leases.name_run(plan.run_id)
    _record(config, stores, plan)
    return plan, manifest.shards, survey.photos


def _make_plan(survey: Survey, manifest: Manifest | None, *, is_leased: bool) -> StylizePlan:
    """Return the plan of a run; `manifest` is None if there is nothing to do."""
    return StylizePlan(
        run_id=manifest.id if manifest else "",
        styles=survey.styles,
        base_model_hash=survey.base_model_hash,
        num_photos=len(survey.photos),
        num_tasks=len(survey.tasks),
        num_shards=len(manifest.shards) if manifest else 0,
        num_pictures=survey.num_pictures,
        pace=survey.pace,
        is_leased=is_leased,
        skipped=survey.skipped,
        loras=survey.loras,
        controls=survey.controls,
        num_replaced=survey.num_replaced,
    )


def _record(config: StylizeConfig, stores: RunStores, plan: StylizePlan) -> None:
    """Write config and plan of a run to its output.

    Equal runs share those of the first: they may differ only in what changes no picture.
    """
    recorded = _absolute(config, stores).model_dump_json(indent=1)
    stores.output.create(layout.run_key(plan.run_id, layout.CONFIG), recorded.encode())
    stores.output.create(plan_key(plan.run_id), _PLAN_FORMAT.dump_json(plan, indent=1))


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
        plan = _PLAN_FORMAT.validate_json(output.read_small(plan_key(run_id)))
        shards = Manifest.open(output, run_id).shards
    except FileNotFoundError as error:
        raise ResultsError(
            f"expected a planned run {run_id} in {output.uri}, found none; run stylize-archive, or let this machine "
            "see the same folder: mount it at the same path, or keep it in a bucket"
        ) from error
    except (ValidationError, OversizeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ResultsError(
            f"{output.uri_of(plan_key(run_id))} should be a run's plan, but cannot be read "
            f"({reason}); delete it and run stylize-archive again"
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


def _has_changed(output: Store, survey: Survey) -> bool:
    """Return whether another run has written parts or marks since a survey began to read them."""
    return ledger.list_parts(output) != survey.parts or attempts.find_unfinished(output) != survey.marks


def plan_key(run_id: str) -> str:
    """Return the key of a run's plan."""
    return layout.run_key(run_id, "plan.json")


def _absolute(config: StylizeConfig, stores: RunStores) -> StylizeConfig:
    """Return the config with absolute URIs, so that it holds from any working directory."""
    uris = {"archive_uri": stores.archive.uri, "output_uri": stores.output.uri, "store_uri": stores.banks.uri}
    return config.model_copy(update=uris)
