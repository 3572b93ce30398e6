"""`artbank verify --store` for people and for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artbank.catalog.bank_files import BANK, REFERENCE, file_key
from artbank.catalog.catalog import Catalog
from artbank.store.objects import Store
from artbank_cli.main import main
from tests.support.rows import bank_record, register


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["artbank", "verify", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_a_store_is_checked_and_swept(tmp_path: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    store = Store.open(str(tmp_path))
    bank = register(Catalog(store), bank_record())
    checkpoint = f"checkpoints/monet/{bank.bank_id}.safetensors"
    store.write(checkpoint, b"")
    code, told, _ = call("--store", store.uri)
    assert code == 1 and told.startswith("1 bank checked: 1 problem\nunusable_bank, 1: restore its file")
    assert f"monet@1: {file_key(bank)} is gone from the store" in told and "settled_checkpoint, 1" in told
    code, told, _ = call("--store", store.uri, "--repair", "--json")
    found = json.loads(told)
    assert (code, found["num_deleted"], found["counts"]) == (1, 1, {"settled_checkpoint": 1, "unusable_bank": 1})
    assert not store.exists(checkpoint)
    store.write_many({file_key(bank, name): b"" for name in (BANK, REFERENCE)})
    assert call("--store", store.uri, "--quick")[:2] == (0, "1 bank checked by name: 0 problems\n")


def test_names_of_objects_cannot_steer_the_terminal(tmp_path: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    store = Store.open(str(tmp_path))
    register(Catalog(store), bank_record())
    store.write("banks/\u202emonet/0000000000000002/bank.safetensors", b"")
    _, told, _ = call("--store", store.uri, "--quick")
    assert r"  banks/\u202emonet/0000000000000002/bank.safetensors" in told.splitlines()
    _, told, _ = call("--store", store.uri, "--quick", "--json")
    assert told.isascii() and "\u202e" in json.loads(told)["notes"][0]["key"]


def test_what_is_checked_must_be_said(call: Callable[..., tuple[int, str, str]]) -> None:
    code, told, complaint = call()
    assert (code, told) == (2, "") and complaint.startswith("artbank: expected OUTPUT_URI or --store STORE_URI")


def test_the_store_of_the_environment_is_not_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setenv("ARTBANK_STORE", str(tmp_path))
    assert call()[0] == 2
