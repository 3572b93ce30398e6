"""The places that a run over an archive reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from artbank.config import StylizeConfig
from artbank.store.objects import Store


@dataclass(frozen=True)
class RunStores:
    """The stores of a run, opened once by whoever starts a piece of its work, and handed down.

    Attributes:
        archive: The photos; only read.
        output: Pictures, results, reports.
        banks: The catalog and the files of the banks; only read.
    """

    archive: Store
    output: Store
    banks: Store

    @classmethod
    def open(cls, config: StylizeConfig) -> Self:
        """Open the stores of a run; sends no request.

        Raises:
            ConfigError: A URI names no folder or holds credentials, or its kind is not known here.
        """
        return cls(
            archive=Store.open(config.archive_uri),
            output=Store.open(config.output_uri, is_durable=config.is_durable),
            banks=Store.open(config.store_uri),
        )
