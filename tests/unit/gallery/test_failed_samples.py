"""A sample that the model cannot draw is told, and counts in no score of its bank."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch

from artbank.catalog.album import ALBUM, Album
from artbank.catalog.bank_files import file_key, load_card
from artbank.diffusion.base_model import BaseModel
from artbank.pages.banks.build import build
from artbank.pages.banks.entries import page_key
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from tests.support.small_inputs import add_collection, train_all, training


def break_decoder(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let the autoencoder overflow in the first `most` pictures of each batch."""
    decode = BaseModel.decode_latents

    def overflow(self: BaseModel, latents: torch.Tensor) -> torch.Tensor:
        images = decode(self, latents)
        images[:most, 0, 0, 0] = float("nan")
        return images

    monkeypatch.setattr(BaseModel, "decode_latents", overflow)


def train_with_samples(folder: Path, count: int) -> tuple[Store, BankRecord]:
    store = Store.open(str(folder / "store"))
    add_collection(Store.open(str(folder / "gallery")), "novak")
    [record] = train_all(training(str(folder / "gallery"), store.uri, num_samples=count))
    return store, record


def test_a_sample_that_fails_is_in_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_decoder(monkeypatch, most=1)
    store, record = train_with_samples(tmp_path, 3)
    samples = Album.from_bytes(store.read(file_key(record, ALBUM))).samples
    assert [sample.clip_style is None for sample in samples] == [True, False, False]
    assert samples[0].clip_style_floor is None
    scores = [sample.clip_style for sample in samples if sample.clip_style is not None]
    floors = [sample.clip_style_floor for sample in samples if sample.clip_style_floor is not None]
    assert record.clip_style == pytest.approx(fmean(scores), abs=1e-6)
    assert record.clip_style_floor == pytest.approx(fmean(floors), abs=1e-6)
    assert any(text.startswith("1 of 3 sample photographs could not be drawn") for text in record.warnings)
    assert "1 of 3 sample photographs could not be drawn" in load_card(store, record)


def test_a_bank_without_any_sample_has_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_decoder(monkeypatch, most=3)
    store, record = train_with_samples(tmp_path, 2)
    found = record.clip_style, record.clip_style_floor, record.clip_style_gain
    assert found == (None, None, None)
    assert (record.clip_style_recoloured, record.gain_beyond_colours) == (None, None)
    assert any(text.startswith("2 of 2 sample photographs could not be drawn") for text in record.warnings)
    build(store)
    assert "2 of 2 sample photographs could not be drawn" in store.read(page_key(record)).decode()
