"""Contact sheets show their pictures, and stay small whatever the pictures are."""

from __future__ import annotations

import io
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from artbank.report.contact_sheet import MOST_SHEET_BYTES, draw_contact_sheet
from artbank_prefect.tasks import artifacts


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def plain(*colour: int) -> np.ndarray:
    return np.full((40, 60, 3), colour, np.uint8)


@pytest.mark.parametrize("shape", [(600, 900), (900, 30), (1, 1)])
def test_a_sheet_of_pictures_that_cannot_be_compressed_stays_within_its_bytes(shape: tuple[int, int]) -> None:
    sheet = draw_contact_sheet([[noise(*shape)] * 3] * 4, "museum/photos in monet", ["photo", "monet", "x" * 400])
    assert len(sheet) <= MOST_SHEET_BYTES
    with Image.open(io.BytesIO(sheet)) as image:
        image.load()
        assert image.format == "JPEG" and image.width >= 300
    assert b"compositeWithTrainedAlgorithmicMedia" in sheet


def test_a_sheet_has_each_picture_in_its_column_and_leaves_a_cell_without_one_empty() -> None:
    sheet = draw_contact_sheet([[plain(200, 30, 30), plain(30, 30, 200)], [plain(200, 30, 30), None]], "title")
    pixels = np.asarray(Image.open(io.BytesIO(sheet)), int)
    height, width = pixels.shape[:2]

    def count(colour: tuple[int, int, int], rows: slice, columns: slice) -> int:
        return int((np.abs(pixels[rows, columns] - colour).max(2) < 25).sum())

    upper, lower = slice(0, height // 2), slice(height // 2, height)
    left, right = slice(0, width // 2), slice(width // 2, width)
    assert width == 960
    for rows in (upper, lower):
        assert count((200, 30, 30), rows, left) > 50_000 and not count((200, 30, 30), rows, right)
    assert count((30, 30, 200), upper, right) > 50_000
    assert count((30, 30, 200), lower, right) < 5_000  # the end of the upper one


def test_an_artifact_holds_the_sheet_itself_and_no_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(artifacts, "create_image_artifact", lambda url, **_: shown.append(url))
    sheet = draw_contact_sheet([[noise(600, 900)] * 3] * 4, "title")
    artifacts.show_contact_sheet(sheet, "Pictures")
    assert len(shown[0]) <= 128_100
    with urlopen(shown[0]) as opened:  # of the data in the URL
        assert opened.read() == sheet
    with pytest.raises(ValueError, match="at most 96,000 bytes, found 96,001"):
        artifacts.show_contact_sheet(b"x" * (MOST_SHEET_BYTES + 1), "Pictures")
    assert len(shown) == 1
