"""Every error that artbank raises of its own.

    ArtbankError                deterministic: trying again gives it again, so nothing retries it
    ├── ConfigError             a parameter is wrong, or two do not go together
    ├── ImageError              one image cannot be used; `failure` and `reason` are what its result row says
    ├── CollectionError         a collection cannot be trained on
    ├── BaseModelError          a base model is missing a part, is damaged, or has another hash than asked for
    ├── BankError               a bank is missing, damaged, or was trained on another base model
    ├── CatalogError            the catalog holds no such collection or version, or a row that cannot be read
    ├── TrainingError           a training cannot go on: its loss is not finite, or its checkpoint is of another run
    ├── TrainBanksError         some collections of a run failed; names them
    └── ResultsError            shards of a run could not be finished, a part or a manifest cannot be read; names them

`StopRequested` is none of them: nothing is wrong, and whoever comes next goes on. What the store raises (`OSError` and
its client's errors) is passed on as it is; `store.transient_errors` tells what a retry may heal.
"""

from __future__ import annotations

from typing import Literal

Failure = Literal[
    "unreadable",
    "unsupported",
    "too_large",
    "too_small",
    "removed",
    "timed_out",
    "crashed",
    "out_of_memory",
    "not_finite",
    "store_error",
    "damaged",
]
"""Why there is no picture of a photo, in words that can be counted; the row's reason says it to a person."""

FAILURES: dict[Failure, str] = {
    "unreadable": "The file is damaged, or no image.",
    "unsupported": "It is an image of a format or a kind that is not taken.",
    "too_large": "It has more pixels, bytes or decoding cost than is let in.",
    "too_small": "A side has too few pixels.",
    "removed": "It was in the listing and was gone when it was to be read.",
    "timed_out": "Decoding it took longer than is allowed.",
    "crashed": "A process died of it.",
    "out_of_memory": "It does not fit into memory, even alone.",
    "not_finite": "The model gave values that are no numbers, or a black picture, in float32 too.",
    "store_error": "Its store does not give it.",
    "damaged": "Its picture was there once and is not as it was written.",
}
"""What each of them means."""


class ArtbankError(Exception):
    """Root of the errors that artbank raises of its own."""


class ConfigError(ArtbankError, ValueError):
    """A parameter is wrong, or two do not go together."""


class ImageError(ArtbankError):
    """One image cannot be used."""

    def __init__(self, reason: str, failure: Failure = "unreadable"):
        """Say why, in words for whoever owns the file, and in one that can be counted."""
        super().__init__(reason)
        self.reason = reason
        self.failure: Failure = failure


class CollectionError(ArtbankError):
    """A collection cannot be trained on."""


class BaseModelError(ArtbankError):
    """A base model is missing a part, is damaged, or has another hash than asked for."""


class BankError(ArtbankError):
    """A bank is missing, damaged, or was trained on another base model."""


class CatalogError(ArtbankError):
    """The catalog holds no such collection or version, or a row that cannot be read."""


class TrainingError(ArtbankError):
    """A training cannot go on."""


class TrainBanksError(ArtbankError):
    """Some collections of a run failed."""


class ResultsError(ArtbankError):
    """Some shards of a run could not be finished."""


class StopRequested(Exception):
    """The process is asked to end; what it was at is given back, and done by the next run."""
