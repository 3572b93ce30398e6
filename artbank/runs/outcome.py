"""Accounts of runs: what one would do, what it took, and what it came to.

Seconds are those of a device: of the thread of one worker's model, while it draws or trains.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from artbank.runs.alarms import Alarm


@dataclass(frozen=True)
class Pace:
    """Seconds that a device takes for one picture, or one step: measured before, and where."""

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
    """What one run took.

    Attributes:
        tally: Of the shards that it worked on.
        num_photos: Photos of these.
        wall_seconds: From the first shard that was submitted to the last one that was done.
        num_workers: Workers that drew; None where that is not known, as on a work pool.
        forecast_seconds: What was forecast of `tally.seconds`; None where nothing was.
    """

    tally: Tally
    num_photos: int
    wall_seconds: float
    num_workers: int | None = None
    forecast_seconds: float | None = None

    @property
    def seconds_a_photo(self) -> float | None:
        """Seconds of devices for one photo, in all its styles."""
        return self.tally.seconds / self.num_photos if self.num_photos else None

    @property
    def utilisation(self) -> float | None:
        """Share of the workers' time in which their models drew, 0..1; the rest is loading, scoring and waiting."""
        if not self.num_workers or not self.wall_seconds:
            return None
        return self.tally.seconds / (self.wall_seconds * self.num_workers)


@dataclass(frozen=True)
class TrainForecast:
    """What a run of trainings would do, and how long one worker would take for it, in seconds.

    What counts are steps and validations; reading and encoding the artworks and drawing samples come on top.

    Attributes:
        collections: Those that would be trained, with the number of their artworks.
        current: Those whose bank is up to date.
        num_steps: Of all banks together: the fewest, the most likely, and the most.
        seconds: Likewise; None where nothing is known.
        pace: What the forecast goes by: seconds of a step of one bank.
        text: All of it, Markdown.
    """

    collections: tuple[tuple[str, int], ...]
    current: tuple[str, ...]
    num_steps: tuple[int, int, int]
    seconds: tuple[float, float, float] | None
    pace: Pace | None
    text: str


@dataclass(frozen=True)
class StylizeForecast:
    """What a run over an archive would do.

    Attributes:
        num_photos: Photos in the archive.
        num_tasks: Photos that the run would work on.
        num_pictures: Pictures that these lack.
        num_shards: Shards that they would be cut into.
        seconds_a_picture: What one may take, see `pace`; None where nothing is known.
        seconds: That, times the pictures that lack: on one worker.
        first_shards: Number of photos, first and last key of the first few shards.
        text: All of it, Markdown.
        num_evaluations: Of the UNet, for all these pictures.
        pace: What the forecast goes by.
    """

    num_photos: int
    num_tasks: int
    num_pictures: int
    num_shards: int
    seconds_a_picture: float | None
    seconds: float | None
    first_shards: list[tuple[int, str, str]]
    text: str
    num_evaluations: int = 0
    pace: Pace | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run over an archive came to.

    Attributes:
        num_done: Pictures that are there, by photo and style, whichever run made them.
        num_failed: Those that could not be made; `results.parquet` has the reasons.
        num_new: Photos that this run worked on.
        places: URIs by what is there.
        text: The report, Markdown.
        alarms: What of this run's pictures a person should look at.
        cost: What this run took; None where it had nothing to do.
        styles: Name, done, failed, seconds a picture, mean `clip_style` and its gain, of each style.
    """

    num_done: int
    num_failed: int
    num_new: int
    places: dict[str, str]
    text: str
    alarms: list[Alarm] = field(default_factory=list)
    cost: RunCost | None = None
    styles: tuple[tuple[str, int, int, float | None, float | None, float | None], ...] = ()
