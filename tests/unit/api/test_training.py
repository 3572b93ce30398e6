"""Training by the API is that of a gallery, of one collection."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import artbank
from artbank.api.trained_bank import TrainedBank
from artbank.errors import CollectionError, ConfigError
from artbank.gallery import train as gallery_train
from tests.support.small_inputs import train_all, training
from tests.unit.api.conftest import TRAINING


def test_a_bank_is_that_of_a_run_over_the_gallery(bank: TrainedBank, artworks: Path, tmp_path: Path) -> None:
    [record] = train_all(training(str(artworks.parent), str(tmp_path / "store")))
    assert (bank.record.bank_id, bank.record.weights_sha256) == (record.bank_id, record.weights_sha256)
    assert artbank.open_store(tmp_path / "store")["novak"].files.keys() == bank.files.keys()
    assert (bank.name, bank.vectors.shape, bank.vectors.dtype) == ("novak@1", (2, bank.record.width), np.float32)


def test_a_bank_in_a_store_is_trained_once(
    bank: TrainedBank, artworks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(artworks, tmp_path / "novak")
    seen: list[tuple[int, int]] = []
    first = artbank.train(
        tmp_path / "novak", store=tmp_path / "store", progress=lambda *step: seen.append(step), **TRAINING
    )
    assert seen[-1] == (3, 3) and seen == sorted(seen)
    assert (tmp_path / "store/index.html").is_file()
    assert first.record.gallery_uri == str(tmp_path / "novak")  # not the folder above, where outputs may lie
    monkeypatch.setattr(gallery_train, "load_base_model", None)  # would fail if it were called
    again = artbank.train(tmp_path / "novak", store=tmp_path / "store", **TRAINING)
    assert again.record == first.record and first.record.weights_sha256 == bank.record.weights_sha256


def test_artworks_may_be_files_images_and_arrays(artworks: Path) -> None:
    path, *others = sorted(artworks.iterdir())
    image = Image.open(others[0])
    given = [path, str(artworks / "[2]*.png"), image, np.asarray(Image.open(others[2]))]
    bank = artbank.train(given, name="my novak", **TRAINING)
    assert (bank.record.num_artworks, bank.record.title, bank.record.gallery_uri) == (4, "my novak", "")
    assert bank.name.startswith("my-novak-")


def test_what_cannot_be_trained_on_is_told_in_one_line(artworks: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for wrong, words in [
        (tmp_path / "absent", "expected artworks in .*absent, found nothing there"),
        (tmp_path / "empty", "found nothing there"),
        ("/", "expected a folder with a name of its own"),
        ([], "expected artworks, found an empty list"),
        ([tmp_path / "absent.jpg"], "there is no photo .*absent.jpg"),
    ]:
        with pytest.raises((ConfigError, CollectionError), match=words):
            artbank.train(wrong, **TRAINING)
    with pytest.raises(ConfigError, match="store .* lies in the collection"):
        artbank.train(artworks, store=artworks / "store", **TRAINING)
    with pytest.raises(ConfigError, match="is for a list"):
        artbank.train(artworks, name="other", **TRAINING)
