"""An archive that was stylized."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import State

from artbank.config import StylizeConfig
from tests.support.small_inputs import listing, stylizing

PHOTOS = ("a.jpg", "roll 1/b.png", "roll 1/été/c.webp")
BROKEN = "roll 1/torn.jpg"


@dataclass(frozen=True)
class Archive:
    """Photos, the output of a run over them, and the store of its banks."""

    root: Path
    store: str
    state: State[Any] | None = None

    @property
    def photos(self) -> Path:
        return self.root / "photos"

    @property
    def output(self) -> Path:
        return self.root / "output"

    def config(self, *styles: str, **values: Any) -> StylizeConfig:
        return stylizing(str(self.photos), str(self.output), self.store, *(styles or ("novak",)), **values)

    def rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the current rows by photo and style; each pair has exactly one."""
        rows = pq.read_table(self.output / "results.parquet").to_pylist()
        assert len({(row["key"], row["style"]) for row in rows}) == len(rows)
        return {(row["key"], row["style"]): row for row in rows}

    def pictures(self, style: str = "novak") -> dict[str, tuple[int, int]]:
        return listing(self.output / style)
