"""Broken and hostile files out of a store: each gives a sound value or the error of its kind."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from artbank.bank.bank import Bank
from artbank.bank.dataset import LatentDataset
from artbank.bank.train_state import TrainState
from artbank.catalog.bank_files import file_key, load_bank
from artbank.catalog.catalog import Catalog
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BankError, CatalogError, ResultsError, TrainingError
from artbank.images.palette import Palette
from artbank.recipes import BankRecipe
from artbank.records.bank_records import BankRecord
from artbank.records.photo_records import PhotoTask, Result
from artbank.results import attempts, layout, ledger
from artbank.results.manifest import Manifest
from artbank.scoring.spread import Ceiling
from artbank.scoring.style_reference import StyleReference
from artbank.store.objects import Store
from artbank.store.parquet import read_table, table_bytes
from tests.support.bank_training import step_one
from tests.support.fuzz import damaged, fuzzed
from tests.support.rows import bank_record, result
from tests.support.small_inputs import TRAIN

VECTORS = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
STATE = {"train.vectors": VECTORS.clone(), "train.attention.gate": torch.ones(3)}
FACTS = ("0" * 16, "monet", "mini", "b" * 64, "f" * 64, BankRecipe(num_tokens=2))
BANK = Bank(*FACTS, VECTORS, STATE, metrics={"steps": 3})
OF_TWO_ENCODERS = dataclasses.replace(BANK, family="sdxl", encoders={"clip_l": 6, "clip_g": 10})
REFERENCE_OF = StyleReference(
    "monet", "clip", VECTORS[0], VECTORS[1], Ceiling(0.9), Palette((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
)


def with_header(data: bytes, change: Callable[[Any], Any]) -> bytes:
    """Return a safetensors file with another header."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(change(json.loads(data[8 : 8 + size]))).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def lies(data: bytes) -> dict[str, bytes]:
    """Return safetensors files whose header lies about the rest."""
    names = list(safetensors.torch.load(data))

    def tell(**facts: Any) -> Callable[[Any], Any]:
        return lambda header: header | {names[-1]: header[names[-1]] | facts}

    return {
        "a header of 2^64 bytes": b"\xff" * 8 + data[8:],
        "a header of 100 MB": struct.pack("<Q", 10**8) + data[8:],
        "a header deeper than any stack": struct.pack("<Q", 200_000) + b"[" * 200_000,
        "tensors that overlap": with_header(data, lambda h: h | dict.fromkeys(names, h[names[0]])),
        "a tensor beyond the end": with_header(data, tell(data_offsets=[0, 2**60])),
        "a tensor that ends before it starts": with_header(data, tell(data_offsets=[64, 0])),
        "a tensor of 2^80 values": with_header(data, tell(shape=[2**40, 2**40])),
        "a tensor of negative size": with_header(data, tell(shape=[-1, 16])),
        "a tensor of another type": with_header(data, tell(dtype="I32")),
        "a tensor of a type that is none": with_header(data, tell(dtype="F3")),
        "numbers that are none": data[:-64] + struct.pack("<f", float("nan")) * 16,
        "an infinite number": data[:-4] + struct.pack("<f", float("inf")),
        "metadata that is a list": with_header(data, lambda h: h | {"__metadata__": [1]}),
        "no metadata": with_header(data, lambda h: {n: v for n, v in h.items() if n != "__metadata__"}),
        "metadata that are numbers": with_header(
            data, lambda h: h | {"__metadata__": dict.fromkeys(h["__metadata__"], 1)}
        ),
        "nothing": b"",
        "a pickle's start": b"\x80\x04\x95" + data,
    }


def read_soundly(data: bytes) -> None:
    bank = Bank.from_bytes(data)
    assert bank.vectors.dtype == torch.float32 and bank.vectors.isfinite().all()
    assert all(tensor.isfinite().all() for tensor in bank.training_state.values())
    assert all(isinstance(value, str) for value in (bank.collection, bank.bank_id, bank.base_model_hash))


def refer_soundly(data: bytes) -> None:
    reference = StyleReference.from_bytes(data)
    assert torch.stack([reference.mean, reference.text]).isfinite().all()
    assert all(isinstance(value, float) for value in (*reference.palette.mean, *reference.palette.std))


@fuzzed(250)
@given(damaged([BANK.to_bytes(), OF_TWO_ENCODERS.to_bytes(), REFERENCE_OF.to_bytes()]))
def test_a_damaged_bank_is_a_sound_bank_or_a_bank_error(data: bytes) -> None:
    try:
        read_soundly(data)
    except BankError as error:
        check_message(error)


@fuzzed(250)
@given(damaged([REFERENCE_OF.to_bytes(), BANK.to_bytes()]))
def test_a_damaged_reference_is_a_sound_one_or_a_bank_error(data: bytes) -> None:
    try:
        refer_soundly(data)
    except BankError as error:
        check_message(error)


@pytest.mark.parametrize("lie", lies(BANK.to_bytes()))
def test_a_bank_that_lies_is_refused(lie: str) -> None:
    with pytest.raises(BankError) as caught:
        read_soundly(lies(BANK.to_bytes())[lie])
    check_message(caught.value)


@pytest.mark.parametrize("lie", lies(REFERENCE_OF.to_bytes()))
def test_a_reference_that_lies_is_refused(lie: str) -> None:
    with pytest.raises(BankError) as caught:
        refer_soundly(lies(REFERENCE_OF.to_bytes())[lie])
    check_message(caught.value)


def check_message(error: Exception) -> None:
    assert 10 < len(str(error)) < 2000


@pytest.mark.parametrize(
    "facts",
    [
        {"ceiling": float("nan")},
        {"ceiling": 10**400},
        {"ceiling": 0.5, "ceiling_error": -0.1},
        {"palette": {"mean": [1, 2, float("inf")], "std": [1, 1, 1]}},
        {"palette": {"mean": [1, 2], "std": [1, 1, 1]}},
        {"palette": 7},
        "[" * 100_000,
    ],
    ids=range(7),
)
def test_a_reference_whose_facts_are_absurd_is_refused(facts: Any) -> None:
    def tell(header: Any) -> Any:
        known = json.loads(header["__metadata__"]["reference"])
        text = facts if isinstance(facts, str) else json.dumps(known | facts)
        return header | {"__metadata__": header["__metadata__"] | {"reference": text}}

    with pytest.raises(BankError):
        StyleReference.from_bytes(with_header(REFERENCE_OF.to_bytes(), tell))


def test_a_bank_replaced_by_another_sound_one_is_refused_before_it_is_read(tmp_path: Path) -> None:
    store, data = Store.open(str(tmp_path)), BANK.to_bytes()
    record = dataclasses.replace(bank_record(), version=3, weights_sha256=hashlib.sha256(data).hexdigest())
    key = file_key(record)
    store.write(key, data)
    assert torch.equal(load_bank(store, record).vectors, VECTORS)
    for other in (dataclasses.replace(BANK, vectors=VECTORS + 1).to_bytes(), b"rubbish"):
        store.write(key, other)
        with pytest.raises(BankError, match=rf"monet@3: {key} is not the file that was registered; restore it"):
            load_bank(store, record)


@pytest.fixture(scope="module")
def training(base: BaseModel) -> TrainState:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    views = LatentDataset(latents, torch.ones_like(latents), torch.tensor([0, 1]), (None, None), torch.zeros(2, 6))
    return TrainState(base, views, views, TRAIN, "a bank")


@pytest.fixture(scope="module")
def checkpoint(training: TrainState) -> bytes:
    step_one(training)
    return training.checkpoint()


def restore(training: TrainState, data: bytes) -> None:
    """Go back to a checkpoint; whatever is accepted can be gone on from."""
    try:
        training.restore(data)
    except TrainingError as error:
        check_message(error)
        assert "delete it to start anew" in str(error)
        return
    assert training.step == len(training.history.train) >= 0
    assert all(tensor.isfinite().all() for tensor in training.best_weights.values())
    for parameter in training.bank.parameters():
        parameter.grad = torch.zeros_like(parameter)
    training.optimizer.step()


@fuzzed(150)
@given(data=st.data())
def test_a_damaged_checkpoint_is_one_or_a_training_error(
    training: TrainState, checkpoint: bytes, data: st.DataObject
) -> None:
    restore(training, data.draw(damaged([checkpoint, BANK.to_bytes()])))


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors | {"adam.0.exp_avg": torch.zeros(3)},
        lambda tensors: tensors | {"adam.99.exp_avg": torch.zeros(3)},
        lambda tensors: tensors | {"adam.zero": torch.zeros(3)},
        lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "adam.0.step"},
        lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith("adam.0.")},
        lambda tensors: tensors | {"bank.vectors": torch.full_like(tensors["bank.vectors"], float("nan"))},
        lambda tensors: tensors | {"best.vectors": torch.zeros(1, 1)},
        lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith("best.")},
    ],
    ids=range(8),
)
def test_a_checkpoint_whose_tensors_do_not_fit_is_refused(
    training: TrainState, checkpoint: bytes, damage: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    header = json.loads(checkpoint[8 : 8 + int.from_bytes(checkpoint[:8], "little")])["__metadata__"]
    tensors = damage(safetensors.torch.load(checkpoint))
    with pytest.raises(TrainingError, match="cannot be restored"):
        training.restore(safetensors.torch.save(tensors, metadata=header))


@pytest.mark.parametrize(
    "values",
    [
        {"step": "-1"},
        {"step": "2"},
        {"step": "many"},
        {"history": "{}"},
        {"history": '{"train": [0.1], "validation": [[0, 1e999999]], "seconds": "long"}'},
        {"history": '{"train": [0.1], "validation": [[1e999999, 0]], "seconds": 1}'},
        {"history": "[" * 100_000},
    ],
    ids=range(7),
)
def test_a_checkpoint_whose_history_is_absurd_is_refused(
    training: TrainState, checkpoint: bytes, values: dict[str, str]
) -> None:
    data = with_header(checkpoint, lambda header: header | {"__metadata__": header["__metadata__"] | values})
    with pytest.raises(TrainingError, match="cannot be restored"):
        training.restore(data)


PART = table_bytes(Result.to_table([result(), result("b.jpg", reason="torn", status="failed")]))
ROW = table_bytes(BankRecord.to_table([bank_record(version=1)]))


@fuzzed(150)
@example(PART.replace(b"etag", b"\xf3tag"))
@given(damaged([PART, ROW, table_bytes(Result.to_table([]))]))
def test_a_damaged_part_is_rows_or_a_results_error(data: bytes) -> None:
    output = Store.open("memory://fuzzed-parts")
    output.write(layout.part_key("0" * 16 + "-00000"), data)
    try:
        Result.from_table(ledger.latest_rows(ledger.read_ledger(output)))
    except ResultsError as error:
        assert "part-0000000000000000-00000.parquet should be a shard's part" in str(error)


@fuzzed(150)
@given(damaged([ROW, PART]))
def test_a_damaged_row_of_the_catalog_is_a_row_or_a_catalog_error(data: bytes) -> None:
    store, record = Store.open("memory://fuzzed-rows"), bank_record()
    store.write(f"catalog/banks/collection={record.collection}/{record.bank_id}.parquet", data)
    try:
        [found] = Catalog(store).banks()
        assert (found.collection, found.bank_id) == (record.collection, record.bank_id)
    except CatalogError as error:
        assert f"{record.bank_id}.parquet should hold one row of the catalog" in str(error)


def test_text_that_is_none_is_damage() -> None:
    plain = io.BytesIO()
    pq.write_table(pa.table({"key": ["aaaaaaaa"]}), plain, compression="none", use_dictionary=False)
    data = plain.getvalue().replace(b"aaaaaaaa", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe")
    with pytest.raises(pa.ArrowInvalid, match="UTF8"):
        read_table(data, Result.SCHEMA, ["key"])


@fuzzed(50)
@given(data=st.data())
def test_a_damaged_manifest_is_refused_by_its_name(data: st.DataObject) -> None:
    output = Store.open("memory://fuzzed-manifests")
    task = {"key": "a.jpg", "size": 3, "etag": "e", "styles": ["monet"], "known_sha256": "s1"}
    tasks = pa.Table.from_pylist([task], schema=PhotoTask.SCHEMA)
    manifest = Manifest.write(output, tasks, 4, {"monet": "r1"})
    assert manifest
    key = layout.manifest_key(manifest.id)
    whole = output.read(key)
    broken = data.draw(damaged([whole]).filter(lambda found: found != whole))
    output.write(key, broken)
    with pytest.raises(ResultsError, match="is named by a hash of its bytes, but has other"):
        Manifest.open(output, manifest.id)
    with pytest.raises(ResultsError, match="is named by a hash of its bytes"):
        Manifest.write(output, tasks, 4, {"monet": "r1"})
    output.write(key, whole)


@pytest.mark.parametrize("note", [b"", b"yesterday", b"\xff\xfe", b"2026-13-01T00:00:00"])
def test_a_damaged_note_of_a_begun_shard_is_named(tmp_path: Path, note: bytes) -> None:
    output = Store.open(str(tmp_path))
    output.write("results/_begun-0000000000000000-00001", note)
    with pytest.raises(ResultsError, match="_begun-0000000000000000-00001 should be the start mark"):
        attempts.find_unfinished(output)
