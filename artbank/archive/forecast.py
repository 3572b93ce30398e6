"""The forecast of a run over an archive: the work that is left, and how long it would take."""

from __future__ import annotations

from dataclasses import replace

from artbank.archive.stores import RunStores
from artbank.archive.survey import survey_archive
from artbank.config import StylizeConfig
from artbank.parameters.recipe_costs import count_cached_evaluations, count_evaluations
from artbank.report.costs import forecast_markdown
from artbank.results.removed_photos import find_removed
from artbank.runs.outcome import StylizeForecast
from artbank.store.skipped import count_skipped
from artbank.stylization.further_drawings import count_further_evaluations

_SHOWN = 5  # shards in a forecast


def forecast_archive(config: StylizeConfig) -> StylizeForecast:
    """Forecast what a run would do, and how long one worker would take. Writes nothing.

    Raises:
        Exception: As `survey_archive` does.
    """
    stores = RunStores.open(config)
    survey = survey_archive(config, stores)
    removed = find_removed(stores.output, survey.photos, config.skip) if config.delete_removed else None
    num_tasks = len(survey.tasks)
    num_pictures = survey.num_pictures
    pace = survey.pace
    starts = range(0, num_tasks, config.shard_size)
    first_shards = [survey.tasks["key"].slice(start, config.shard_size) for start in starts[:_SHOWN]]
    forecast = StylizeForecast(
        num_photos=len(survey.photos),
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
        num_skipped=count_skipped(survey.skipped),
        skipped=survey.skipped,
        num_replaced=survey.num_replaced,
        num_to_delete=removed.num_pictures if removed else 0,
    )
    return replace(forecast, text=forecast_markdown(forecast, title=f"To stylize {config.archive_uri}"))
