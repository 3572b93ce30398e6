"""Collections that are trained together: their groups, and what one that fails or is killed costs the others."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from artbank.bank.train_state import TrainState
from artbank.catalog.catalog import Catalog
from artbank.errors import TrainBanksError
from artbank.gallery import train
from artbank.gallery.collections import Collection, read_artworks
from artbank.gallery.plan import plan_training
from artbank.records.bank_records import BankRecord
from artbank.runs.group_training import cut_groups
from artbank.store.objects import Store
from artbank_prefect.flows.train_banks import train_banks
from tests.support.bank_stores import vectors, versions
from tests.support.flow_runs import id_of, run, task_runs
from tests.support.small_inputs import add_collection, training

_CORE = """
import sys
from artbank.config import TrainConfig
from artbank.gallery.plan import plan_training
from artbank.gallery.train import train_collections

config = TrainConfig.model_validate_json(sys.argv[1])
train_collections(config, plan_training(config).jobs)
"""


@pytest.mark.parametrize(
    ("names", "most", "workers", "sizes"),
    [
        ("abcdefghi", 4, 1, [3, 3, 3]),
        ("abcde", 4, 1, [2, 3]),
        ("abcde", 64, 1, [5]),
        ("abcde", 64, 2, [2, 3]),
        ("abc", 4, 8, [1, 1, 1]),
        ("abcd", 1, 2, [1, 1, 1, 1]),
        ("a", 4, 1, [1]),
    ],
)
def test_collections_are_cut_into_even_groups_and_no_worker_goes_without(
    names: str, most: int, workers: int, sizes: list[int]
) -> None:
    groups = cut_groups(names, most, workers)
    assert [len(group) for group in groups.values()] == sizes
    assert "".join("".join(group) for group in groups.values()) == names


def test_the_name_of_a_large_group_is_short() -> None:
    assert list(cut_groups(["a", "b", "c", "d", "e"], 5, 1)) == ["a, b, c and 2 more"]


def test_a_group_that_fails_as_a_whole_is_trained_one_by_one_and_the_cause_is_named(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(gallery: Store, collection: Collection, **limits: Any) -> Any:
        if collection.name == "novak":
            raise RuntimeError("a defect of ours")
        return read_artworks(gallery, collection, **limits)

    monkeypatch.setattr(train, "read_artworks", read)
    state = run(train_banks, training(trained.gallery, str(tmp_path)))
    with pytest.raises(TrainBanksError, match=r"1 of 2 collections failed: novak \(RuntimeError: a defect of ours\)"):
        state.result()
    assert versions(str(tmp_path)) == [("ferrante", 1, None)]
    assert [one.name for one in task_runs(id_of(state), at_least=6)][-3:] == [
        "train-ferrante",
        "train-ferrante, novak",
        "train-novak",
    ]


def test_an_artwork_above_the_limit_of_bytes_is_left_out_and_named(tmp_path: Path) -> None:
    gallery, store = str(tmp_path / "gallery"), str(tmp_path / "store")
    add_collection(Store.open(gallery), "novak", count=3)
    Path(gallery, "novak", "huge.tif").write_bytes(bytes(3_000_000))
    assert run(train_banks, training(gallery, store, max_megabytes=2)).result().trained == {"novak": 1}
    [bank] = Catalog(Store.open(store)).banks()
    assert bank.num_artworks == 3
    assert any(
        "novak/huge.tif is not read (its file has 3 MB, more than the limit of 2 MB)" in w for w in bank.warnings
    )


@pytest.mark.faults
def test_a_training_that_was_killed_ends_in_the_same_vectors(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(place.root / "other store")
    config = training(place.gallery, store, collections=("novak",), checkpoint_every=1)
    with subprocess.Popen([sys.executable, "-c", _CORE, config.model_dump_json()], stderr=subprocess.DEVNULL) as child:
        while child.poll() is None and not any(Path(store).glob("checkpoints/novak/*.safetensors")):
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert versions(store) == []
    resumed, restore = [], TrainState.restore

    def spy(self: TrainState, data: bytes) -> None:
        restore(self, data)
        resumed.append(self.step)

    monkeypatch.setattr(TrainState, "restore", spy)
    assert run(train_banks, config).result().trained == {"novak": 1}
    assert len(resumed) == 1 and resumed[0] in (1, 2, 3)
    undisturbed = training(place.gallery, str(place.root / "a third"), collections=("novak",))
    assert run(train_banks, undisturbed).is_completed()
    assert torch.equal(vectors(store, "novak"), vectors(undisturbed.store_uri, "novak"))
    assert not any(Path(store).glob("checkpoints/novak/*"))


def test_a_retry_of_a_group_registers_what_is_not_registered_and_resumes_it(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = training(trained.gallery, str(tmp_path), checkpoint_every=2)
    jobs, resumed, registered = plan_training(config).jobs, [], []
    restore, register = TrainState.restore, train.register_bank

    def fail_once(*args: Any) -> BankRecord:
        if len(registered) == 1:
            registered.append(None)
            raise OSError("hung up")
        registered.append(register(*args))
        return registered[-1]

    def spy(self: TrainState, data: bytes) -> None:
        restore(self, data)
        resumed.append((self.bank_id, self.step))

    monkeypatch.setattr(train, "register_bank", fail_once)
    monkeypatch.setattr(TrainState, "restore", spy)
    with pytest.raises(OSError, match="hung up"):
        train.train_collections(config, jobs)
    ends = train.train_collections(config, jobs)
    assert ends == {"ferrante": registered[0], "novak": registered[2]}
    assert resumed == [(jobs[1].bank_id, 2)]
    assert versions(str(tmp_path)) == [("ferrante", 1, None), ("novak", 1, None)]
    assert torch.allclose(vectors(str(tmp_path), "novak"), vectors(trained.store, "novak"), atol=5e-4)
    assert not any(tmp_path.glob("checkpoints/*/*"))


def test_banks_of_a_group_are_those_of_collections_that_are_trained_one_by_one(trained: Any, tmp_path: Path) -> None:
    state = run(train_banks, training(trained.gallery, str(tmp_path), banks_at_once=1))
    assert [one.name for one in task_runs(id_of(state), at_least=5)][-2:] == ["train-ferrante", "train-novak"]
    for name in ("ferrante", "novak"):
        assert torch.allclose(vectors(str(tmp_path), name), vectors(trained.store, name), atol=5e-4)


def test_a_damaged_checkpoint_fails_its_collection_and_spares_its_group(trained: Any, tmp_path: Path) -> None:
    config = training(trained.gallery, str(tmp_path))
    job = plan_training(config).jobs[1]
    Store.open(str(tmp_path)).write(f"checkpoints/novak/{job.bank_id}.safetensors", b"torn")
    state = run(train_banks, config)
    with pytest.raises(TrainBanksError, match=r"1 of 2 collections failed: novak \(TrainingError: the checkpoint"):
        state.result()
    assert versions(str(tmp_path)) == [("ferrante", 1, None)]
