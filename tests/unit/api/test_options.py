"""The API offers what `artbank stylize` does: mixes, LoRA files, scoring models, candidates, captions, progress."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import artbank
from artbank.api.photo_captions import add_file_captions
from artbank.api.photo_inputs import find_photo, find_photos
from artbank.api.trained_bank import TrainedBank
from artbank.diffusion.base_model import BaseModel
from artbank.errors import ConfigError
from artbank.images.codec import decode
from artbank.store.objects import Store
from tests.support.lora_files import draw_factors, list_layers, save_diffusers
from tests.support.scoring_models import save_dinov2
from tests.support.shards import work
from tests.support.small_inputs import STYLIZE, add_collection, draw_photo, stylizing, train_all, training
from tests.unit.api.conftest import DRAWING

MIX = "novak:0.7+adler:0.3"
CAPTIONS = {"a.png": "a lake", "deep/b.png": "a harbour", "c.png": None}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos; one has a caption beside it, one in a table, one none."""
    store = Store.open(str(tmp_path / "photos"))
    store.write_many({key: draw_photo(number, ".png") for number, key in enumerate(CAPTIONS)})
    store.write_many({"a.txt": b"a lake", "metadata.csv": b"file_name,text\ndeep/b.png,a harbour\n"})
    return tmp_path / "photos"


def test_a_mix_with_all_models_draws_what_a_run_draws(base: BaseModel, photos: Path, tmp_path: Path) -> None:
    for name in ("novak", "adler"):
        add_collection(Store.open(str(tmp_path / "gallery")), name)
    train_all(training(str(tmp_path / "gallery"), str(tmp_path / "store")))
    lora = f"{save_diffusers(tmp_path / 'ink.safetensors', draw_factors(list_layers(base.unet)))}:0.8"
    structure_model = str(save_dinov2(tmp_path / "dino"))
    recipe = STYLIZE.model_copy(update={"candidates": 2, "photo_captions": True})
    models = {"loras": (lora,), "structure_model": structure_model}
    config = stylizing(str(photos), str(tmp_path / "output"), str(tmp_path / "store"), MIX, recipe=recipe, **models)
    rows = work(config)

    store = artbank.open_store(tmp_path / "store")
    mixed, drawing = store.mix(MIX), {**DRAWING, "candidates": 2, "photo_captions": True}
    found = mixed.stylize([photos], lora=lora, structure_model=structure_model, **drawing)
    assert {picture.key for picture in found} == rows.keys() == CAPTIONS.keys()
    for picture in found:
        row = rows[picture.key]
        drawn = decode((tmp_path / "output" / mixed.name / picture.key).read_bytes(), max_pixels=10**6).rgb
        assert np.abs(drawn.astype(int) - picture.array).max() <= 2
        assert (picture.style, picture.caption) == (row.style, CAPTIONS[picture.key])
        assert picture.more_scores and picture.more_scores.structure_model == row.structure_model
        assert picture.more_scores.dino_structure == pytest.approx(row.dino_structure, abs=0.01)
        assert picture.candidates == pytest.approx(row.candidates, abs=0.01) and len(picture.candidates) == 2

    same = artbank.mix({store["novak"]: 7, store["adler"]: 3})
    [one, other] = (style.stylize(photos / "c.png", **DRAWING).array for style in (mixed, same))
    assert np.array_equal(one, other) and "novak@1 70%" in repr(same)
    assert not np.array_equal(one, store["novak"].stylize(photos / "c.png", **DRAWING).array)


@pytest.mark.parametrize("wrong", [{}, {0: 0.0}, {0: 1.0, 1: -1.0}, {0: float("inf")}, {0: float("nan")}])
def test_a_mix_has_banks_with_weights(bank: TrainedBank, wrong: dict[int, float]) -> None:
    banks = [bank, TrainedBank(bank.record, bank.files, bank.config)]
    with pytest.raises(ConfigError, match="expected banks with weights above 0"):
        artbank.mix({banks[number]: weight for number, weight in wrong.items()})


def test_what_is_no_bank_with_a_weight_is_told_how_to_mix(bank: TrainedBank) -> None:
    wrong: list[Any] = [[bank], {"novak": 1.0}, {bank: "much"}, bank]
    for banks in wrong:
        with pytest.raises(ConfigError, match=r"expected banks with weights .*store.mix\("):
            artbank.mix(banks)


def test_models_that_are_wrong_are_named_as_the_api_names_them(bank: TrainedBank, photo: Path) -> None:
    for settings, words in [
        ({"lora": "ink.pt"}, r"lora=\('ink.pt',\): expected FILE.safetensors"),
        ({"control": ["pose=x"]}, r"control=\['pose=x'\]: expected KIND=SOURCE"),
        ({"structure_modell": "x"}, r"did you mean structure_model\?"),
    ]:
        with pytest.raises(ConfigError, match=words):
            bank.stylize(photo, **settings, **DRAWING)


def test_captions_of_files_are_found_for_single_photos_too(photos: Path) -> None:
    def captions(*found: object) -> list[str | None]:
        return [photo.caption for photo in add_file_captions(list(found), 10**6)]  # pyright: ignore[reportArgumentType]

    assert captions(*find_photos([photos])) == ["a lake", None, "a harbour"]  # in the order of the keys
    assert captions(find_photo(photos / "a.png"), find_photo(np.zeros((9, 9, 3), np.uint8))) == ["a lake", None]
    assert captions(find_photo(photos / "deep/b.png")) == [None]
    assert captions(find_photo(photos / "deep/b.png", root=photos)) == ["a harbour"]
    assert captions(find_photo(f"{(photos / 'a.png').as_uri()}")) == ["a lake"]


def test_a_bar_is_shown_to_people_unless_they_turn_it_off(
    bank: TrainedBank, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(progress: bool | None, *, is_terminal: bool) -> str:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            bank.stylize([photo, photo], progress=progress, **DRAWING)
        return stream.getvalue()

    assert shown(None, is_terminal=False) == shown(False, is_terminal=True) == ""
    assert all("2/2" in text for text in (shown(None, is_terminal=True), shown(True, is_terminal=False)))
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # pyright: ignore[reportArgumentType]
    assert "2/2" in shown(None, is_terminal=False)
