"""Two processes that register the same bank, and registered banks whose files are lost or damaged."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artbank.catalog.bank_files import REFERENCE, file_key, load_bank, load_card, load_reference
from artbank.catalog.catalog import Catalog, ReservedVersion
from artbank.config import TrainConfig
from artbank.gallery import local_run, register, samples, train
from artbank.gallery.plan import plan_training
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe
from artbank.records.bank_records import BankRecord
from artbank.report.markdown import escape
from artbank.runs.handover import open_handover
from artbank.store.backends.local import LocalBackend
from artbank.store.objects import Store
from tests.support.power_cut import Disk
from tests.support.small_inputs import add_collection, train_all, training


@pytest.fixture(scope="module", autouse=True)
def small_samples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "StylizeRecipe", lambda: StylizeRecipe(preset="fast", resolution_px=32, steps=4))
        yield


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("gallery"))
    add_collection(Store.open(uri), "novak")
    return uri


@pytest.fixture
def config(gallery: str, tmp_path: Path) -> TrainConfig:
    return training(gallery, str(tmp_path / "store"))


@pytest.fixture
def store(config: TrainConfig) -> Store:
    return Store.open(config.store_uri)


@pytest.fixture(scope="module")
def trained(gallery: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "store"
    train_all(training(gallery, str(root)))
    return root


@pytest.fixture
def first(trained: Path, store: Store) -> BankRecord:
    """The bank of a store that was trained once, promoted."""
    shutil.copytree(trained, store.uri)
    Catalog(store).promote("novak@1")
    return Catalog(store).find("novak")


@pytest.fixture
def registered_meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[BankRecord | None]:
    """Another process registers the bank after this one has checked its lease, and before it writes a file."""
    found: list[BankRecord | None] = []
    given: list[Any] = []
    register_bank, reserve_version = train.register_bank, Catalog.reserve_version

    def remember(*args: Any) -> BankRecord | None:
        given[:] = args[:6]
        return register_bank(*args)

    def wait(self: Catalog, collection: str, bank_id: str) -> ReservedVersion:
        if not found:
            found.append(None)
            found[0] = register_bank(*given)
        return reserve_version(self, collection, bank_id)

    monkeypatch.setattr(train, "register_bank", remember)
    monkeypatch.setattr(Catalog, "reserve_version", wait)
    return found


def check_sound(store: Store, bank: BankRecord) -> None:
    load_bank(store, bank)
    load_reference(store, bank)
    assert escape(bank.weights_uri) in load_card(store, bank) and store.uri_of(file_key(bank)) == bank.weights_uri


def test_the_python_of_a_card_draws_a_photo(
    first: BankRecord, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)\n```", load_card(store, first), re.DOTALL)
    assert code
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw_scene(0, width_px=40, height_px=30).image).save("photo.jpg")
    exec(code[1].replace("STORE", store.uri), {})
    assert Image.open("stylized.png").size == (171, 128), "the photo's shape, at the model's native size"


def test_a_process_that_comes_late_leaves_the_registered_bank_alone(
    config: TrainConfig, store: Store, registered_meanwhile: list[BankRecord | None]
) -> None:
    assert train_all(config) == []  # the bank of the other process is not this run's
    [bank] = Catalog(store).banks()
    assert registered_meanwhile == [bank]
    check_sound(store, bank)
    assert len({stored.key.split("/")[3] for stored in store.list("banks")}) == 1  # files that no row names are gone
    assert plan_training(config).current == ("novak",)


def test_without_conditional_writes_the_row_names_whole_files(
    config: TrainConfig,
    store: Store,
    registered_meanwhile: list[BankRecord | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overwrite(self: LocalBackend, key: str, data: bytes) -> bool:
        self.write_many({key: data})
        return True

    monkeypatch.setattr(LocalBackend, "create", overwrite)
    train_all(config)
    [bank] = Catalog(store).banks()
    assert registered_meanwhile[0] is not None
    check_sound(store, bank)


def test_a_process_whose_lease_was_lost_while_it_drew_samples_writes_nothing(
    config: TrainConfig, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    draw = register._draw

    def lose(*args: Any) -> Any:
        [lease] = store.list("checkpoints")
        assert store.create(lease.key.replace("lease-000001", "lease-000002"), b"another run")
        return draw(*args)

    monkeypatch.setattr(register, "_draw", lose)
    with caplog.at_level(logging.WARNING):
        assert train_all(config) == []
    assert "novak: another run has taken over the training" in caplog.text
    assert store.list("banks") == [] == store.list("catalog")


def delete_weights(store: Store, bank: BankRecord) -> None:
    store.delete_many([file_key(bank)])


def alter_weights(store: Store, bank: BankRecord) -> None:
    data = store.read(file_key(bank))
    store.write(file_key(bank), data[:-1] + bytes([data[-1] ^ 1]))


def cut_reference(store: Store, bank: BankRecord) -> None:
    key = file_key(bank, REFERENCE)
    store.write(key, store.read(key)[:-1])


@pytest.mark.parametrize("damage", [delete_weights, alter_weights, cut_reference])
def test_a_bank_that_cannot_be_used_counts_as_none(
    config: TrainConfig,
    store: Store,
    first: BankRecord,
    damage: Callable[[Store, BankRecord], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert plan_training(config).current == ("novak",)
    damage(store, first)
    with caplog.at_level(logging.WARNING):
        [job] = plan_training(config).jobs
    assert (job.attempt, job.damaged) == (1, ("novak@1",))
    assert f"novak@1 cannot be used and is trained anew: banks/novak/{first.bank_id}/" in caplog.text


def test_a_bank_that_cannot_be_used_is_trained_anew_and_retired(
    config: TrainConfig, store: Store, first: BankRecord
) -> None:
    catalog = Catalog(store)
    alter_weights(store, first)
    [second] = train_all(config)
    assert (second.version, catalog.find("novak")) == (2, second)
    assert catalog.table()["status"].to_pylist() == ["retired", "default"]
    plan = plan_training(config)
    assert (plan.jobs, plan.current) == ((), ("novak",))


def test_a_replaced_bank_is_retired_by_the_next_run_if_the_first_was_killed_before_that(
    config: TrainConfig, store: Store, first: BankRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(store)
    delete_weights(store, first)
    with monkeypatch.context() as patch:
        patch.setattr(train, "retire_damaged", lambda *args: None)
        train_all(config)
    assert plan_training(config.model_copy(update={"dry_run": True})).current == ("novak",)
    assert catalog.find("novak").version == 1
    for _ in range(2):
        assert plan_training(config).current == ("novak",)
        assert catalog.find("novak").version == 2
    assert len(store.list("catalog/events")) == 2


def test_a_plan_that_was_handed_over_retires_what_one_that_reads_the_gallery_does(
    config: TrainConfig, store: Store, first: BankRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = config.model_copy(update={"gallery_uri": shutil.copytree(config.gallery_uri, str(tmp_path / "gallery"))})
    delete_weights(store, first)
    with monkeypatch.context() as patch:
        patch.setattr(train, "retire_damaged", lambda *args: None)
        train_all(config)
    store.write(f"checkpoints/novak/{first.bank_id}.safetensors", b"left by a killed run")
    with open_handover():
        assert not local_run.look_ahead(config)
        assert Catalog(store).find("novak").version == 1 and len(store.list("checkpoints")) == 1
        add_collection(Store.open(config.gallery_uri), "unseen")  # the gallery is not read again
        plan = plan_training(config)
    assert (plan.jobs, plan.current) == ((), ("novak",))
    assert Catalog(store).find("novak").version == 2 and store.list("checkpoints") == []


def test_planning_deletes_the_remains_of_registered_banks_unless_it_only_forecasts(
    config: TrainConfig, store: Store, first: BankRecord
) -> None:
    store.write(f"checkpoints/novak/{first.bank_id}.safetensors", b"left by a killed run")
    plan_training(config.model_copy(update={"dry_run": True}))
    assert len(store.list("checkpoints")) == 1
    plan_training(config)
    assert store.list("checkpoints") == []


def test_a_damaged_bank_is_no_start_for_another(config: TrainConfig, store: Store, first: BankRecord) -> None:
    alter_weights(store, first)
    warm = config.model_copy(update={"recipe": config.recipe.model_copy(update={"warm_start": True, "max_steps": 2})})
    [second] = train_all(warm)
    check_sound(store, second)


def test_what_a_row_names_is_on_the_disk_before_the_row_has_its_name(
    config: TrainConfig, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, checked = Disk(tmp_path, monkeypatch), []

    def check(path: Path, data: bytes) -> None:
        if "catalog/banks" in str(path):
            files = [file for file in Path(store.uri, "banks").rglob("*") if file.is_file()]
            assert len(files) > 5 and [file for file in files if not disk.survives(file)] == []
            checked.append(path)

    disk.watch(monkeypatch, check)
    train_all(config)
    assert len(checked) == 1 and disk.survives(checked[0])
