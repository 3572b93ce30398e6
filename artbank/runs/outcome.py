"""Forecasts, costs and outcomes of runs.

Device seconds are the time in which the model of one worker draws or trains.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from artbank.errors import Failure, ResultsError
from artbank.parameters.train_config import FEWEST_ARTWORKS
from artbank.runs.alarms import Alarm
from artbank.store.skipped import SkippedKind


@dataclass(frozen=True)
class Pace:
    """The speed of earlier work of the same kind.

    Attributes:
        seconds: Device seconds of one picture, or of one step of one bank.
        device: Kind of the device: cuda, mps or cpu.
        basis: The earlier work, for people.
    """

    seconds: float
    device: str
    basis: str


@dataclass(frozen=True)
class Tally:
    """Counts of the pictures of some shards.

    Attributes:
        done: Pictures that exist.
        failed: Pictures that could not be made.
        kept: Those of `done` that existed before: their photos were touched but have the same content.
        seconds: Device seconds spent on the pictures that are done and not kept.
    """

    done: int = 0
    failed: int = 0
    kept: int = 0
    seconds: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        """Return the sums of both."""
        return Tally(
            self.done + other.done, self.failed + other.failed, self.kept + other.kept, self.seconds + other.seconds
        )


@dataclass(frozen=True)
class RunCost:
    """The time and the work of one run over an archive.

    Attributes:
        tally: Sum over the shards that the run worked on.
        num_photos: Photos in these shards.
        wall_seconds: From the first shard that was submitted to the last one that finished.
        num_workers: Workers that drew; None if unknown, as on a work pool.
        forecast_seconds: The forecast of `tally.seconds`; None if there was none.
    """

    tally: Tally
    num_photos: int
    wall_seconds: float
    num_workers: int | None
    forecast_seconds: float | None

    @property
    def seconds_a_photo(self) -> float | None:
        """Device seconds of one photo, in all its styles."""
        return self.tally.seconds / self.num_photos if self.num_photos else None

    @property
    def utilisation(self) -> float | None:
        """Share of the workers' time in which their models drew, 0..1; the rest is loading, scoring and waiting."""
        if not self.num_workers or not self.wall_seconds:
            return None
        return self.tally.seconds / (self.wall_seconds * self.num_workers)


@dataclass(frozen=True)
class TrainForecast:
    """The forecast of a run of trainings: its work, and the seconds that one worker would take.

    The seconds count steps and validations. Encoding the artworks and drawing samples come on top.

    Attributes:
        collections: Ids of the collections to train, each with its number of artworks.
        current: Ids of the collections whose bank is up to date.
        num_steps: Steps of all banks together: the fewest, the most likely, and the most. Collections with too few
            artworks take none.
        seconds: Seconds for these steps, in the same order; None if the pace is unknown.
        pace: Pace of a step of one bank that `seconds` is based on.
        text: The whole forecast as Markdown.
        num_skipped: Files of the gallery that are neither artworks nor captions, or cannot be listed.
        skipped: The same files by kind.
        display_names: Names of all these collections by id.
        refused: The reasons to refuse collections, by id: too many of their artworks are missing.
    """

    collections: tuple[tuple[str, int], ...]
    current: tuple[str, ...]
    num_steps: tuple[int, int, int]
    seconds: tuple[float, float, float] | None
    pace: Pace | None
    text: str
    num_skipped: int
    skipped: tuple[SkippedKind, ...]
    display_names: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def num_too_small(self) -> int:
        """The number of these collections that will fail, because they have too few artworks to train on."""
        return sum(is_too_small(num_artworks) for _, num_artworks in self.collections)


def is_too_small(num_artworks: int) -> bool:
    """Return whether a collection has too few artworks to train on."""
    return num_artworks < FEWEST_ARTWORKS


@dataclass(frozen=True)
class TrainSummary:
    """The result of a run of trainings.

    Attributes:
        trained: Version of each newly trained bank, by id of the collection.
        current: Collections whose bank was up to date, or was trained by another run meanwhile.
        seconds: Device seconds of each newly trained bank, by collection: its share of the steps and validations.
        display_names: Names of all these collections by id.
        num_skipped: Files of the gallery that are neither artworks nor captions, or cannot be listed.
        skipped: The same files by kind.
        failed: The errors of collections without a new bank, by id: they failed, or lost too many artworks.
    """

    trained: dict[str, int]
    current: tuple[str, ...]
    seconds: dict[str, float]
    display_names: Mapping[str, str]
    num_skipped: int
    skipped: tuple[SkippedKind, ...]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class StylizeForecast:
    """The forecast of a run over an archive.

    Attributes:
        num_photos: Photos in the archive.
        num_tasks: Photos that the run would work on.
        num_pictures: Pictures that it would draw.
        num_shards: Shards that it would cut the work into.
        seconds_a_picture: Forecast for one picture; None if the pace is unknown.
        seconds: Forecast for all pictures on one worker.
        first_shards: Number of photos, first and last key of each of the first few shards.
        text: The whole forecast as Markdown.
        num_evaluations: Evaluations of the UNet for all pictures, each drawn once.
        pace: Pace that `seconds` is based on.
        num_skipped: Files of the archive that are no photos or cannot be listed.
        skipped: The same files by kind.
        num_to_delete: Pictures of removed photos that it would delete, with `delete_removed`.
        num_cached_evaluations: Those among `num_evaluations` that reuse features, see `StylizeRecipe.reuse`.
        num_further_evaluations: Further ones, at most, for pictures that do not reach the recipe's `keep_structure` or
            `reach_style` and are drawn again.
        num_replaced: Pictures of another recipe, bank or base model that the new ones would replace.
    """

    num_photos: int
    num_tasks: int
    num_pictures: int
    num_shards: int
    seconds_a_picture: float | None
    seconds: float | None
    first_shards: list[tuple[int, str, str]]
    text: str
    num_evaluations: int
    pace: Pace | None
    num_skipped: int
    skipped: tuple[SkippedKind, ...]
    num_further_evaluations: int
    num_cached_evaluations: int
    num_to_delete: int = 0
    num_replaced: int = 0


@dataclass(frozen=True)
class FailedKind:
    """The pictures of one kind of failure.

    Attributes:
        kind: A key of `errors.FAILURES`.
        count: Pictures.
        names: Keys of the first photos, each once, by name.
    """

    kind: Failure
    count: int
    names: tuple[str, ...]


class StyleTotals(NamedTuple):
    """The pictures of one style in an output, from all runs with its recipe.

    Attributes:
        name: The style's folder.
        num_done: Pictures that exist.
        num_failed: Pictures that could not be made.
        seconds_per_picture: Mean device seconds; None without pictures.
        clip_style: Mean `clip_style`; None without scores.
        gain: Gain of that mean, see `alarms`; None if floor or ceiling is unknown.
    """

    name: str
    num_done: int
    num_failed: int
    seconds_per_picture: float | None
    clip_style: float | None
    gain: float | None


@dataclass(frozen=True)
class Outcome:
    """The state of an output after a run over an archive.

    Attributes:
        num_done: Pictures of the run's styles that exist, whichever run drew them.
        num_failed: Pictures that could not be made; `results.parquet` has the reasons.
        num_new: Photos that this run worked on.
        places: URIs, by what is there.
        text: The report as Markdown.
        alarms: Problems with this run's pictures that a person should look at.
        cost: What this run took; None if it had nothing to do.
        styles: Totals of each style.
        num_skipped: Files of the archive that are no photos or cannot be listed; they have no rows.
        skipped: The same files by kind.
        num_deleted: Pictures of removed photos that this run deleted, with `delete_removed`.
        failures: The pictures that could not be made, by kind, the most frequent first.
    """

    num_done: int
    num_failed: int
    num_new: int
    places: dict[str, str]
    text: str
    alarms: list[Alarm] = field(default_factory=list)
    cost: RunCost | None = None
    styles: tuple[StyleTotals, ...] = ()
    num_skipped: int = 0
    skipped: tuple[SkippedKind, ...] = ()
    num_deleted: int = 0
    failures: tuple[FailedKind, ...] = ()

    def check_made(self, output_uri: str) -> None:
        """Check that at least one photo became a picture, unless there was none.

        Raises:
            ResultsError: All of them failed.
        """
        if self.num_failed and not self.num_done:
            raise ResultsError(
                f"expected pictures, found none: all {self.num_failed:,} failed; {output_uri} says why, in "
                "results.parquet and report/index.html; mend the cause, then run it again with --retry-failed"
            )


def outdated_pages_text(store_uri: str, reason: str) -> str:
    """Return the warning of a run that could not update the pages of the banks: it has not failed by that."""
    return f"the pages are not up to date ({reason}); `artbank site {shlex.quote(store_uri)}` writes them"
