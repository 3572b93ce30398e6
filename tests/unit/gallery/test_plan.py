"""The plan of a training: what it refuses before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig, WatchConfig
from artbank.errors import ConfigError
from artbank.gallery.changes import await_changes
from artbank.gallery.plan import plan_training
from artbank.store.objects import Store
from tests.support.rows import bank_record, register
from tests.support.small_inputs import listing, training


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Two collections of eight artworks, whose content is never read, and a bank of each with other artworks."""
    for name in ("klee", "monet"):
        files = {f"{name}/{number}.png": b"1" for number in range(8)}
        Store.open(str(tmp_path / "gallery")).write_many(files)
        register(Catalog(Store.open(str(tmp_path / "store"))), bank_record(collection=name, num_artworks=8))
    return training(str(tmp_path / "gallery"), str(tmp_path / "store"))


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_collection_that_lost_many_artworks_is_refused_alone(config: TrainConfig, is_dry: bool) -> None:
    config = config.model_copy(update={"dry_run": is_dry})
    gallery = Store.open(config.gallery_uri)
    gallery.delete_many([f"monet/{number}.png" for number in range(2)])
    assert plan_training(config).refused == {}  # a quarter
    gallery.delete_many(["monet/2.png"])
    plan = plan_training(config)
    assert [job.collection.name for job in plan.jobs] == ["klee"]
    assert plan.refused.keys() == {"monet"}
    assert str(plan.refused["monet"]).startswith("3 of the 8 artworks of monet@1 are missing, expected at most 25%")
    for allowed in ({"allow_missing": True}, {"max_missing_share": 0.5}):
        assert len(plan_training(config.model_copy(update=allowed)).jobs) == 2


def test_a_training_on_a_device_that_is_not_there_is_forecast_but_not_planned(config: TrainConfig) -> None:
    config = config.model_copy(update={"device": "cuda:4096", "dry_run": True})
    assert len(plan_training(config).jobs) == 2
    with pytest.raises(ConfigError, match="device cuda:4096 is not available"):
        plan_training(config.model_copy(update={"dry_run": False}))


def watch(config: TrainConfig) -> None:
    await_changes(WatchConfig(gallery_uri=config.gallery_uri, store_uri=config.store_uri, quiet_seconds=0))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


@pytest.mark.parametrize("start", [plan_training, watch])
def test_a_collection_that_is_gone_from_its_gallery_is_told_until_its_banks_are_retired(
    config: TrainConfig, start: Callable[[TrainConfig], object], caplog: pytest.LogCaptureFixture
) -> None:
    catalog = Catalog(Store.open(config.store_uri))
    for number in (1, 2):
        register(catalog, bank_record(f"0{number}", "degas", gallery_uri=config.gallery_uri))
    register(catalog, bank_record("03", "manet", gallery_uri=config.gallery_uri))
    register(catalog, bank_record("04", "manet", gallery_uri="elsewhere"))  # it has moved
    start(config)
    assert warnings(caplog) == [
        f"gallery {config.gallery_uri} has no folder degas any more; its banks (degas@1, degas@2) stay in the store: "
        "put the folder back, or retire them if it was removed on purpose (`artbank banks retire`)"
    ]
    catalog.retire("degas@2")
    start(config)
    assert "its banks (degas@1) stay" in warnings(caplog)[0]
    catalog.retire("degas@1")
    start(config)
    assert warnings(caplog) == []


def test_a_collection_that_is_gone_concerns_no_run_that_names_others(
    config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    register(Catalog(Store.open(config.store_uri)), bank_record("01", "degas", gallery_uri=config.gallery_uri))
    plan_training(config.model_copy(update={"collections": ("monet",)}))
    assert warnings(caplog) == []


@pytest.mark.parametrize("start", [plan_training, watch])
@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("gallery_uri", "galery", "found nothing there"),
        ("gallery_uri", "empty", "found nothing there"),
        ("store_uri", "gallery/store", "store .* lies in the gallery"),
        ("store_uri", "link", "store .* lies in the gallery"),
        ("store_uri", ".", "gallery .* lies in the store"),
    ],
)
def test_a_gallery_that_is_not_there_or_overlaps_the_store_is_refused(
    config: TrainConfig, tmp_path: Path, start: Callable[[TrainConfig], object], name: str, place: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("gallery/monet")
    before = listing(tmp_path)
    with pytest.raises(ConfigError, match=message):
        start(config.model_copy(update={name: str(tmp_path / place)}))
    assert listing(tmp_path) == before


def test_the_newest_bank_of_a_collection_counts(config: TrainConfig) -> None:
    catalog = Catalog(Store.open(config.store_uri))
    register(catalog, replace(bank_record("0000000000000002"), num_artworks=40))
    assert plan_training(config).refused.keys() == {"monet"}
    register(catalog, replace(bank_record("0000000000000003"), num_artworks=9))
    assert plan_training(config).refused == {}
