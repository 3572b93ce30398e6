"""Mistakes that people make with names and arguments are told in a line that says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.catalog.catalog import Catalog
from artbank.store.objects import Store
from tests.support.commands import call
from tests.support.rows import bank_record, register

STYLIZE = ("stylize", "photos", "new", "--store", "store", "--dry-run", "--style")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a gallery, photos, and a store of two banks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARTBANK_STORE", raising=False)
    for number, name in enumerate(("monet", "van_gogh")):
        register(Catalog(Store.open("store")), bank_record(f"{number:016x}", name))
        Store.open("gallery").write(f"{name}/1.jpg", b"-")
    Store.open("photos").write("1.jpg", b"-")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("banks", "show", "Monet", "--store", "store"), "or name one of these; did you mean monet?"),
        (("banks", "show", "van gogh", "--store", "store"), "or name one of these; did you mean van_gogh?"),
        ((*STYLIZE, "gallery/monet"), "or name one of these; did you mean monet?"),
        ((*STYLIZE, "monet,van_gogh"), "; give several names one by one, each with its own option, not with commas"),
        ((*STYLIZE, "klee"), "there is monet, van_gogh; train it, or name one of these"),
        (
            ("train", "gallery", "--store", "new", "--dry-run", "--collection", "monet, van_gogh"),
            "there is monet, van_gogh; give several names one by one, each with its own option, not with commas",
        ),
        (
            ("train", "gallery", "--store", "new", "--dry-run", "--collection", "gallery/monet"),
            "--collection gallery/monet: expected the name of a folder in the gallery, without a path",
        ),
        (
            (*STYLIZE, "monet", "--device", "gpu"),
            "--device gpu: expected auto, cpu, mps, cuda, or one GPU such as cu",
        ),
        (("stylize", "photos/*.jpg", *STYLIZE[2:], "monet"), "found nothing there; name the folder alone, without wil"),
        (("stylize", "1.jpg", "2.jpg", "3.jpg"), "name a folder in place of its files (`photos/*.jpg`)"),
        (("banks", "store"), "No such command 'store'. `artbank banks --store STORE_URI` lists the banks."),
        (("verify", "store"), "; it is a store of banks, which `artbank verify --store store` checks"),
        (("demo", "photos/1.jpg"), "expected a folder for the demo, found the file photos/1.jpg; name another"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(root: Path, words: tuple[str, ...], message: str) -> None:
    ended = call(*words)
    assert ended.code in (1, 2) and message in " ".join(ended.err.split()), ended.err


def test_an_output_in_place_of_a_store_is_told(root: Path) -> None:
    Store.open("art").write("results.parquet", b"-")
    ended = call("banks", "--store", "art")
    assert ended.code == 2 and "found no catalog there, but an output of `artbank stylize`; correct" in ended.err


def test_a_store_whose_first_training_has_not_ended_has_no_bank_yet(root: Path) -> None:
    Store.open("begun").write("checkpoints/monet/0123456789abcdef.safetensors", b"")
    assert call("banks", "--store", "begun").out.startswith("no bank is registered in ")
