from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artbank.bank.attention import build_attention
from artbank.bank.bank import Bank
from artbank.bank.bank_file import SCHEMA
from artbank.bank.trainable_bank import TrainableBank
from artbank.catalog.bank_files import file_key, load_bank
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BankError
from artbank.recipes import BankRecipe
from artbank.store.objects import Store
from tests.support.rows import bank_record

VECTORS = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
BANK = Bank("0" * 16, "monet", "mini", "b" * 64, "f" * 64, BankRecipe(num_tokens=2), VECTORS, metrics={"steps": 3})
DATA = BANK.to_bytes()


def test_a_bank_comes_back_as_it_was_written() -> None:
    found = Bank.from_bytes(DATA)
    assert torch.equal(found.vectors, BANK.vectors)
    assert dataclasses.replace(found, vectors=BANK.vectors) == BANK


def test_a_bank_for_two_text_encoders_has_a_tensor_for_each_and_comes_back() -> None:
    facts: dict[str, Any] = {"family": "sdxl", "encoders": {"clip_l": 6, "clip_g": 10}, "units": (1.5, 0.25)}
    bank = dataclasses.replace(BANK, training_state={"train.vectors": VECTORS}, **facts)
    tensors = safetensors.torch.load(bank.to_bytes())
    assert torch.equal(tensors["clip_l"], VECTORS[:, :6]) and torch.equal(tensors["clip_g"], VECTORS[:, 6:])
    found = Bank.from_bytes(bank.to_bytes())
    assert torch.equal(found.vectors, VECTORS) and list(found.training_state) == ["train.vectors"]
    same = {"vectors": bank.vectors, "training_state": bank.training_state}
    assert dataclasses.replace(found, **same) == bank


def test_a_file_of_the_first_schema_is_read() -> None:
    def to_first_schema(header: Any) -> Any:
        texts = {**header["__metadata__"], "schema": "artbank.bank/1"}
        for name in ("kind", "insert", "family", "encoders"):
            del texts[name]
        return header | {"__metadata__": texts}

    found = Bank.from_bytes(with_header(to_first_schema))
    assert torch.equal(found.vectors, VECTORS)
    assert dataclasses.replace(found, vectors=VECTORS) == BANK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vectors": torch.full((2, 16), float("nan"))}, "expected finite float32 values, found others in vectors"),
        ({"vectors": torch.zeros(16)}, "expected float32 vectors"),
        ({"vectors": VECTORS.half()}, "float16"),
        ({"vectors": torch.zeros(3, 16)}, "expected 2 vectors"),
        ({"training_state": {"train.x": torch.tensor(float("inf"))}}, "train.x"),
    ],
)
def test_a_bank_with_wrong_values_is_refused_and_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(BankError, match=said):
        Bank.from_bytes(dataclasses.replace(BANK, **change).to_bytes())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no bank file, or a damaged one: .* header of 0 bytes"),
        (b"\xff" * 64, "no bank file, or a damaged one: .* in a file of 64"),
        (safetensors.torch.save({"vectors": VECTORS}), f"expected schema {SCHEMA}"),
        (safetensors.torch.save({"vectors": VECTORS}, metadata={"schema": SCHEMA}), "has no bank_id"),
        (DATA[:-8], "damaged one: .* cut short"),
    ],
)
def test_a_file_that_is_no_whole_bank_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(BankError, match=said):
        Bank.from_bytes(data)


@settings(max_examples=300)
@given(at=st.integers(0, len(DATA) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_byte_gives_a_bank_or_a_bank_error_and_nothing_else(at: int, value: int, cut: bool) -> None:
    data = DATA[:at] if cut else DATA[:at] + bytes([value]) + DATA[at + 1 :]
    try:
        assert Bank.from_bytes(data).vectors.isfinite().all()
    except BankError as error:
        assert str(error)


def with_header(change: Callable[[Any], Any]) -> bytes:
    """Return the file with another header, or another value for the whole of it."""
    size = int.from_bytes(DATA[:8], "little")
    header = json.dumps(change(json.loads(DATA[8 : 8 + size]))).encode()
    return len(header).to_bytes(8, "little") + header + DATA[8 + size :]


def with_metadata(**values: str) -> bytes:
    return with_header(lambda header: header | {"__metadata__": header["__metadata__"] | values})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((2**63).to_bytes(8, "little") + DATA[8:], "header of 9223372036854775808 bytes"),
        (with_header(lambda header: []), "no bank file.* found a list"),
        (with_header(lambda header: header | {"__metadata__": []}), "expected metadata of texts"),
        (with_header(lambda header: header | {"__metadata__": None}), "expected metadata of texts"),
        ((200_000).to_bytes(8, "little") + b"[" * 200_000, "no bank file.* nested too deeply"),
        (with_metadata(schema="artbank.bank/9"), "expected schema artbank.bank/2, found artbank.bank/9"),
        (with_metadata(kind="lora"), "its header has no word; train the bank again"),
        (with_metadata(kind="lora", word="monet"), "bank monet: expected kind tokens.* found kind lora, .* upgrade"),
        (
            with_metadata(kind="lora", word="monet", insert="attention"),
            "expected a recipe of kind lora, found .* tokens",
        ),
        (with_metadata(kind="soft_prompt"), "found kind soft_prompt, .* upgrade artbank"),
        (with_metadata(insert="append"), "whose insert is append; upgrade artbank"),
        (with_metadata(family="flux"), "expected family sd or sdxl, found flux"),
        (with_metadata(encoders="7"), "header cannot be read"),
        (with_metadata(encoders="{}"), "names no text encoder"),
        (with_metadata(encoders='{"vectors": 17}'), r"expected float32 vectors \[N, 17\], found .*2, 16"),
        (with_metadata(encoders='{"vectors": 16, "clip_g": 4}'), r"expected float32 clip_g \[N, 4\], found None"),
        (with_metadata(recipe="{}}"), "header cannot be read"),
        (with_metadata(recipe='{"num_tokens": 99}'), "header cannot be read"),
        (with_metadata(metrics="[1, 2]"), "header cannot be read"),
        (with_metadata(metrics="7"), "header cannot be read"),
        (with_metadata(metrics="[" * 100_000), "header cannot be read"),
        (
            with_header(lambda header: header | {"vectors": {"dtype": "F32"}}),
            "damaged one: .* shape of tensor 'vectors', found None",
        ),
        (
            with_header(lambda h: h | {"vectors": h["vectors"] | {"data_offsets": [0, 2**40]}}),
            "damaged one: .* cut short or altered",
        ),
        (with_header(lambda h: h | {"vectors": h["vectors"] | {"shape": [2**40, 2**40]}}), "damaged"),
        (with_header(lambda h: h | {"vectors": h["vectors"] | {"dtype": "F4"}}), "damaged"),
    ],
    ids=range(25),
)
def test_a_header_that_lies_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(BankError, match=said):
        Bank.from_bytes(data)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float8_e4m3fn, torch.complex64, torch.bool])
def test_a_training_state_of_other_numbers_is_refused_and_named(dtype: torch.dtype) -> None:
    state = {"train.x": torch.zeros(4).to(dtype)}
    with pytest.raises(BankError, match="found others in train.x"):
        Bank.from_bytes(dataclasses.replace(BANK, training_state=state).to_bytes())


def test_equal_banks_have_equal_bytes() -> None:
    assert {BANK.to_bytes() for _ in range(20)} == {DATA}


@settings(max_examples=200)
@given(at=st.integers(0, len(DATA) - 1), mask=st.integers(1, 255), cut=st.booleans())
def test_a_registered_bank_comes_whole_out_of_its_store_or_not_at_all(at: int, mask: int, cut: bool) -> None:
    store = Store.open("memory://shelf")
    record = bank_record(BANK.bank_id, weights_sha256=hashlib.sha256(DATA).hexdigest())
    key = file_key(record)
    store.write(key, DATA)
    assert torch.equal(load_bank(store, record).vectors, VECTORS)
    store.write(key, DATA[:at] if cut else DATA[:at] + bytes([DATA[at] ^ mask]) + DATA[at + 1 :])
    with pytest.raises(BankError, match="not the file that was registered"):
        load_bank(store, record)
    store.delete_many([key])
    with pytest.raises(BankError, match="is gone from the store"):
        load_bank(store, record)


@pytest.mark.parametrize("attention", ["ssam", "self", "released", "none"])
def test_a_bank_starts_near_its_word_and_is_drawn_from_its_seed(base: BaseModel, attention: str) -> None:
    recipe = BankRecipe(num_tokens=4, attention=attention, init_word="lake", seed=3)
    bank = TrainableBank.start(recipe, base)
    other = TrainableBank.start(recipe.model_copy(update={"seed": 4}), base)
    again = TrainableBank.start(recipe, base)
    assert torch.equal(bank(), again()) and not torch.equal(bank(), other())
    word = base.prompt_encoder.embed_words("lake").mean(0)
    assert torch.cosine_similarity(bank.vectors * bank.units[0], word[None]).min() > 0.98
    assert bank.vectors.square().mean().sqrt().item() == pytest.approx(0.3, abs=0.02)
    if attention != "released":  # which is no residual, so that it starts elsewhere
        assert torch.equal(bank(), bank.vectors * bank.units[0])


def shaped_bank(base: BaseModel) -> tuple[TrainableBank, Bank]:
    """Return a bank whose attention is open, during training and as a file."""
    trained = TrainableBank.start(BankRecipe(seed=1), base)
    trained.attention.spatial_gate.data.fill_(0.5)
    state = {f"train.{name}": tensor for name, tensor in trained.state_dict().items()}
    vectors = trained().detach()
    return trained, Bank("0" * 16, "monet", base.id, base.hash, "f", BankRecipe(), vectors, state, units=trained.units)


def test_a_warm_start_takes_over_vectors_and_attention_of_equal_shapes(base: BaseModel) -> None:
    trained, bank = shaped_bank(base)
    fresh = TrainableBank.start(BankRecipe(seed=2), base)
    fresh.continue_from(Bank.from_bytes(bank.to_bytes()))
    assert torch.equal(fresh(), trained())
    assert all(torch.equal(one, fresh.state_dict()[name]) for name, one in trained.state_dict().items())


@pytest.mark.parametrize("attention", ["ssam", "self", "none"])
@pytest.mark.parametrize("units", [(), (0.02,)])
def test_a_warm_start_from_another_unit_or_attention_starts_at_the_shaped_vectors(
    base: BaseModel, attention: str, units: tuple[float, ...]
) -> None:
    _, bank = shaped_bank(base)
    for older in (dataclasses.replace(bank, units=units), dataclasses.replace(bank, training_state={})):
        fresh = TrainableBank.start(BankRecipe(attention=attention, seed=2), base)
        fresh.continue_from(Bank.from_bytes(older.to_bytes()))
        assert torch.allclose(fresh(), bank.vectors, rtol=1e-5)


def test_a_warm_start_that_is_not_possible_is_refused_and_changes_nothing(base: BaseModel) -> None:
    _, bank = shaped_bank(base)
    for recipe, expected in (
        (BankRecipe(num_tokens=3), "expected vectors"),
        (BankRecipe(attention="released"), "unit"),
    ):
        other = TrainableBank.start(recipe, base)
        before = other().detach()
        with pytest.raises(BankError, match=expected):
            other.continue_from(dataclasses.replace(bank, units=()))
        assert torch.equal(other(), before)


def test_a_bank_file_without_a_unit_is_read(base: BaseModel) -> None:
    _, bank = shaped_bank(base)
    assert Bank.from_bytes(dataclasses.replace(bank, units=()).to_bytes()).units == ()
    assert Bank.from_bytes(bank.to_bytes()).units == (base.prompt_encoder.layer_rms,)


@pytest.mark.parametrize("kind", ["ssam", "self", "released"])
def test_an_attention_treats_vectors_alike_whatever_their_order(kind: str) -> None:
    torch.manual_seed(0)
    attention = build_attention(kind, 128)
    for name, parameter in attention.named_parameters():
        if name.endswith("gate"):
            parameter.data.fill_(0.5)
    vectors, order = torch.randn(6, 128), torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(attention(vectors)[order], attention(vectors[order]), atol=1e-5)
    assert not torch.allclose(attention(vectors), vectors, atol=0.1)


@pytest.mark.parametrize("width", [64, 100, 192])
@pytest.mark.parametrize("num_tokens", [1, 32])
def test_an_attention_takes_any_width_and_number_of_vectors(width: int, num_tokens: int) -> None:
    for kind in ("ssam", "self", "released", "none"):
        found = build_attention(kind, width)(torch.randn(num_tokens, width))
        assert found.shape == (num_tokens, width) and found.isfinite().all()


def test_vectors_that_are_all_equal_keep_finite_gradients() -> None:
    attention = build_attention("ssam", 64)
    attention.spatial_gate.data.fill_(0.5)
    attention.statistical_gate.data.fill_(0.5)
    vectors = torch.ones(4, 64, requires_grad=True)
    attention(vectors).square().sum().backward()
    assert vectors.grad is not None and vectors.grad.isfinite().all()


def test_a_bank_of_another_base_model_is_refused_with_both_named(base: BaseModel) -> None:
    with pytest.raises(BankError, match=r"trained on mini \(bbbbbbbbbbbb\), this run uses mini"):
        BANK.check_fits(base)
