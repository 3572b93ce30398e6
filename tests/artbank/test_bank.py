from __future__ import annotations

import dataclasses

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artbank.bank import SCHEMA, Bank
from artbank.config import BankRecipe
from artbank.diffusion import BaseModel
from artbank.errors import BankError

VECTORS = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
BANK = Bank("0" * 16, "monet", "mini", "b" * 64, "f" * 64, BankRecipe(num_tokens=2), VECTORS, {}, {"steps": 3})
DATA = BANK.to_bytes()


def test_a_bank_comes_back_as_it_was_written() -> None:
    found = Bank.from_bytes(DATA)
    assert torch.equal(found.vectors, BANK.vectors)
    assert dataclasses.replace(found, vectors=BANK.vectors) == BANK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vectors": torch.full((2, 16), float("nan"))}, "not finite"),
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
        (b"", "no bank file"),
        (b"\xff" * 64, "no bank file"),
        (safetensors.torch.save({"vectors": VECTORS}), f"expected schema {SCHEMA}"),
        (safetensors.torch.save({"vectors": VECTORS}, metadata={"schema": SCHEMA}), "lacks bank_id"),
        (DATA[:-8], "damaged"),
    ],
)
def test_a_file_that_is_no_whole_bank_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(BankError, match=said):
        Bank.from_bytes(data)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(DATA) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_byte_gives_a_bank_or_a_bank_error_and_nothing_else(at: int, value: int, cut: bool) -> None:
    data = DATA[:at] if cut else DATA[:at] + bytes([value]) + DATA[at + 1 :]
    try:
        assert Bank.from_bytes(data).vectors.isfinite().all()
    except BankError as error:
        assert str(error)


def test_a_bank_of_another_base_model_is_refused_with_both_named() -> None:
    base = BaseModel.load("mini", device="cpu")
    with pytest.raises(BankError, match=r"trained on mini \(bbbbbbbbbbbb\), this run uses mini"):
        BANK.check_fits(base)
