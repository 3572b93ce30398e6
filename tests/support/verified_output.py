"""An output for tests of `artbank verify`: make it, damage it, and read the report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artbank.config import StylizeConfig
from tests.support.stylized_archive import Archive

KEYS = tuple(f"roll {n % 2}/{n} [x].jpg" for n in range(6))
STYLES = ("novak", "novak:0.7+ferrante:0.3")
MIX = "novak_0.7+ferrante_0.3"


class Verified(Archive):
    """Six photos in a style and a mix, of which a test changes parts and pictures."""

    def config(self, *styles: str, **values: Any) -> StylizeConfig:
        return super().config(*(styles or STYLES), **{"shard_size": 2, **values})

    def parts(self) -> list[Path]:
        return sorted((self.output / "results").glob("part-*.parquet"))

    def files(self) -> dict[str, bytes]:
        return {row["file_name"]: (self.output / row["file_name"]).read_bytes() for row in self.rows().values()}


def found(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the problems and notes of a kind."""
    return [row for row in (*told["problems"], *told["notes"]) if row["kind"] == kind]


def names(told: dict[str, Any], kind: str) -> list[str]:
    """Return the files of the problems and notes of a kind."""
    return [row["file_name"] for row in found(told, kind)]


def assert_alike(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Check that pictures are equal, but for the rounding that comes of another batch, and is seen through JPEG."""
    assert found.keys() == expected.keys()
    for name in found:
        one, other = (np.asarray(Image.open(io.BytesIO(files[name])), np.int16) for files in (found, expected))
        assert np.abs(one - other).max() <= 8, name


def flip_a_bit(path: Path) -> None:
    """Damage a file in its middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
