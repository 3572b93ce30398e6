"""Arguments of another type than expected: each is an error of artbank that says what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import artbank
from artbank.errors import ConfigError
from tests.unit.api.conftest import DRAWING

if TYPE_CHECKING:
    from artbank.api.trained_bank import TrainedBank

NO_PATH = "; pass a path or a URI, as text or as a pathlib.Path"


@pytest.mark.parametrize(("wrong", "found"), [(None, "NoneType"), (3, "int"), (b"store", "bytes")])
@pytest.mark.parametrize(
    ("take", "expected"),
    [
        (lambda wrong, _: artbank.open_store(wrong), "the place of a store"),
        (lambda wrong, _: artbank.load_bank(wrong), "the file of a bank"),
        (lambda wrong, bank: bank.save(wrong), "the file of a bank"),
        (lambda wrong, bank: bank.register(wrong), "the place of a store"),
        (lambda wrong, bank: artbank.train(bank.record.gallery_uri, store=wrong or 0), "the place of a store"),
        (lambda wrong, bank: bank.stylize("photo.jpg", root=wrong or 0), "a folder as root"),
    ],
)
def test_what_is_no_path_is_told(
    bank: TrainedBank,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    take: Callable[[Any, TrainedBank], object],
    expected: str,
    wrong: object,
    found: str,
) -> None:
    monkeypatch.chdir(photo.parent)
    with pytest.raises(ConfigError) as told:
        take(wrong, bank)
    assert str(told.value) in {
        f"expected {expected}, found {found}{NO_PATH}",
        f"expected {expected}, found int{NO_PATH}",
    }


@pytest.mark.parametrize("wrong", [0, None, ("novak", 1), b"novak", ""])
def test_what_is_no_name_of_a_bank_is_told(bank: TrainedBank, tmp_path: Path, wrong: Any) -> None:
    bank.register(tmp_path / "store")
    store = artbank.open_store(tmp_path / "store")
    found = "an empty name" if wrong == "" else type(wrong).__name__
    with pytest.raises(ConfigError, match=rf"expected the name of a bank, such as 'monet' or 'monet@2', found {found}"):
        store[wrong]
    assert wrong not in store
    with pytest.raises(
        ConfigError, match=r"novak:0.7\+novak@1:0.3 is a mix; read it with store.mix\('novak:0.7\+novak"
    ):
        store["novak:0.7+novak@1:0.3"]


def test_an_image_without_a_pixel_and_a_path_without_a_letter_are_no_photos(bank: TrainedBank) -> None:
    with pytest.raises(ConfigError, match="expected a photo, found an image of 0 x 5 px"):
        bank.stylize(Image.new("RGB", (0, 5)), **DRAWING)
    for photos in ("", [""]):
        with pytest.raises(ConfigError, match="expected a photo, found an empty path; name a file"):
            bank.stylize(photos, **DRAWING)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2"])
def test_a_batch_has_a_whole_number_of_photos(bank: TrainedBank, photo: Path, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=f"batch_size={wrong!r}: expected a whole number from 1 on, or None"):
        bank.stylize(photo, batch_size=wrong, **DRAWING)
    with pytest.raises(ConfigError, match="batch_size="):
        bank.stylize_each([photo], batch_size=wrong, **DRAWING)
