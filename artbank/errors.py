"""The tree of errors that artbank raises.

    ArtbankError                deterministic: a retry fails in the same way, so nothing retries it
    ├── ConfigError             a parameter is wrong, or two parameters contradict each other
    ├── ImageError              one image cannot be used; its result row has `failure` and `reason`
    ├── CollectionError         a collection cannot be trained on
    ├── BaseModelError          a base model, LoRA or ControlNet is incomplete, damaged, or has another hash
    ├── BankError               a bank is missing, damaged, or was trained on another base model
    ├── CatalogError            the catalog has no such collection or version, or a row that cannot be read
    ├── TrainingError           a training cannot continue: a loss is not finite, or a checkpoint is of another run
    ├── TrainBanksError         some collections of a run failed; names them
    ├── ComparisonError         outputs cannot be compared, or votes do not belong to a comparison
    ├── ResultsError            some shards failed, or a part or a manifest cannot be read; names them
    └── ServerError             the Prefect server does not answer, or the private one cannot be started

`StopRequested` is not among them: nothing is wrong, and the next run continues. Errors of the store (`OSError` and the
errors of its client) pass through unchanged; `store.transient_errors` tells which of them are worth a retry, and
`store.explanations` says for people what to do about them.
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
"""Why a photo has no picture, as a word for counting; `reason` in its result row explains it to people."""

FAILURES: dict[Failure, str] = {
    "unreadable": "The file is damaged, or is not an image.",
    "unsupported": "The image has a format or a depth that artbank does not read.",
    "too_large": "The image has more pixels or bytes, or costs more to decode, than the limits allow.",
    "too_small": "A side of the image has too few pixels.",
    "removed": "The file was listed, and then was not there. If it is listed again, the next run tries it again.",
    "timed_out": "Decoding took longer than the limit.",
    "crashed": "A worker process crashed on it.",
    "out_of_memory": "The photo does not fit into memory, even in a batch of one. The next run tries it again.",
    "not_finite": "The model returned values that are not finite, or a black picture, in float32 too.",
    "store_error": "The store failed to read it, or delivered another number of bytes than it had listed.",
    "damaged": "Its picture existed once and is now missing or changed.",
}
"""Meaning of each failure, for the documentation."""


class ArtbankError(Exception):
    """Base class of the errors that artbank raises."""


class ConfigError(ArtbankError, ValueError):
    """A parameter is wrong, or two parameters contradict each other."""


class ImageError(ArtbankError):
    """One image cannot be used."""

    def __init__(self, reason: str, failure: Failure = "unreadable"):
        """Describe the failure.

        Args:
            reason: A sentence for the owner of the file.
            failure: A word for counting.
        """
        super().__init__(reason)
        self.reason = reason
        self.failure: Failure = failure


class CollectionError(ArtbankError):
    """A collection cannot be trained on."""


class BaseModelError(ArtbankError):
    """A base model, LoRA or ControlNet is incomplete, damaged, or does not have the expected hash."""


class BankError(ArtbankError):
    """A bank is missing, damaged, or was trained on another base model."""


class CatalogError(ArtbankError):
    """The catalog has no such collection or version, or a row that cannot be read."""


class TrainingError(ArtbankError):
    """A training cannot continue."""


class TrainBanksError(ArtbankError):
    """Some collections of a run failed.

    Attributes:
        result: What the run did, or would do, with the other collections; None if nothing is known of it.
    """

    def __init__(self, message: str, result: object = None):
        """Take the line for people, and the result."""
        super().__init__(message)
        self.result = result


class ComparisonError(ArtbankError):
    """Outputs cannot be compared, or votes do not belong to a comparison."""


class ResultsError(ArtbankError):
    """Some shards of a run failed, or a part or a manifest cannot be read.

    Attributes:
        result: What the run did, or would do, with the other shards; None if nothing is known of it.
    """

    def __init__(self, message: str, result: object = None):
        """Take the line for people, and the result."""
        super().__init__(message)
        self.result = result


class ServerError(ArtbankError):
    """The Prefect server does not answer, or the private one cannot be started."""


class StopRequested(Exception):
    """The process was asked to stop; it releases its work, which the next run does."""

    def __init__(self, text: str = "the process was asked to stop; run again to continue"):
        """Say who asked, if that is known.

        Args:
            text: For the log.
        """
        super().__init__(text)
