"""Commands whose places are not there or lie in one another: exit code 2, one line, and nothing is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from artbank.store.objects import Store
from tests.support.commands import call
from tests.support.compared_outputs import add_output, add_photos
from tests.support.rows import bank_record, register
from tests.support.small_inputs import add_collection, listing


@pytest.fixture(scope="module")
def _server(prefect_server: str) -> str:
    return prefect_server


@pytest.fixture
def root(_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a gallery, photos, two outputs, a store, and an empty folder."""
    from artbank.catalog.catalog import Catalog

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARTBANK_STORE", raising=False)
    add_photos(tmp_path)
    for name in ("art", "art2"):
        add_output(tmp_path, name, color="new")
    add_collection(Store.open("gallery"), "monet", count=3)
    register(Catalog(Store.open("store")), bank_record())
    (tmp_path / "empty").mkdir()
    for name in ("store2", "pages"):
        Store.open(name).write_many({"site.json": b"{}", "index.html": b"page", "banks/monet/0/index.html": b"page"})
    register(Catalog(Store.open("store2")), bank_record())
    register(Catalog(Store.open("both/store")), bank_record())
    Store.open("lost").write_many({"site.json": b"{}", "banks/monet/0/1/bank.safetensors": b"weights"})
    (tmp_path / "votes.json").write_text(
        json.dumps({"format": "artbank.votes/1", "comparison": "0" * 16, "voter": "a" * 32, "votes": []})
    )
    return tmp_path


STYLIZE = ("--style", "monet")


def refuse(root: Path, words: tuple[str, ...], message: str) -> None:
    before = {*listing(root), *(str(path) for path in root.rglob("*"))}
    ended = call(*words)
    assert (ended.code, ended.out, "Traceback" in ended.err) == (2, "", False), ended.err
    assert re.search(f"^artbank: {message}", ended.err.splitlines()[-1]), ended.err
    assert {*listing(root), *(str(path) for path in root.rglob("*"))} == before


@pytest.mark.parametrize("place", ["missing", "empty"])
@pytest.mark.parametrize(
    "words",
    [
        ("stylize", "PLACE", "new", "--store", "store", *STYLIZE),
        ("stylize", "PLACE", "new", "--store", "store", *STYLIZE, "--dry-run"),
        ("stylize", "photos", "new", "--store", "PLACE", *STYLIZE),
        ("train", "PLACE", "--store", "new"),
        ("train", "PLACE", "--store", "new", "--dry-run"),
        ("train", "PLACE", "--store", "new", "--collection", "monet"),
        ("verify", "PLACE"),
        ("verify", "PLACE", "--repair"),
        ("verify", "--store", "PLACE"),
        ("verify", "--store", "PLACE", "--repair"),
        ("banks", "--store", "PLACE"),
        ("banks", "show", "monet", "--store", "PLACE"),
        ("banks", "promote", "monet@1", "--store", "PLACE"),
        ("banks", "retire", "monet@1", "--store", "PLACE"),
        ("export", "monet", "new.safetensors", "--store", "PLACE"),
        ("site", "PLACE"),
        ("site", "PLACE", "--out", "new"),
        ("compare", "PLACE", "art"),
        ("compare", "art", "art2", "--photos", "PLACE"),
        ("compare", "art", "art2", "--gallery", "PLACE"),
        ("votes", "votes.json", "--comparison", "PLACE"),
    ],
    ids=lambda words: " ".join(words),
)
def test_an_input_that_is_not_there_is_told_in_one_line(root: Path, words: tuple[str, ...], place: str) -> None:
    named = tuple(place if word == "PLACE" else word for word in words)
    refuse(root, named, rf"expected .* in {root}/{place}, found nothing there; correct its name, or mount it$")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("verify", "gallery"), "expected the output of `artbank stylize` in .*gallery, found no results of a run"),
        (("site", "gallery"), "expected the store of a training in .*gallery, found no catalog there"),
        (("banks", "--store", "art"), "expected the store of a training in .*art, found no catalog there"),
        (("votes", "missing.json"), r"expected a vote file, found nothing at missing\.json"),
        (("stylize", "photos", "photos/art", "--store", "store", *STYLIZE), "output .* lies in the archive "),
        (("stylize", "photos", "link/art", "--store", "store", *STYLIZE), "output .* lies in the archive "),
        (("stylize", "photos", "link/art", "--store", "store", *STYLIZE, "--dry-run"), "output .* lies in the archive"),
        (("stylize", "photos", ".", "--store", "store", *STYLIZE), "archive .*photos lies in the output "),
        (("stylize", ".", "../new", "--store", "store", *STYLIZE), "store .*store lies in the archive "),
        (("train", "gallery", "--store", "gallery/store"), "store .* lies in the gallery "),
        (("train", "gallery", "--store", "gallery"), "store .* lies in the gallery "),
        (("train", "gallery", "--store", ".", "--dry-run"), "gallery .* lies in the store "),
        (
            ("compare", "art", "art2", "--trust-output", "--out", "photos/comparison"),
            "comparison .* lies in the archive ",
        ),
        (
            ("compare", "art", "art2", "--gallery", "gallery", "--out", "gallery/new"),
            "comparison .* lies in the gallery",
        ),
        (("compare", "art", "art2", "--out", "art2/new"), "comparison .* lies in the output "),
        *(
            (words, "expected the store of a training in .*pages, found only pages of banks, as `artbank site --out` ")
            for words in (
                ("banks", "--store", "pages"),
                ("verify", "--store", "pages", "--repair"),
                ("export", "monet", "new.safetensors", "--store", "pages"),
                ("stylize", "photos", "new", "--store", "pages", *STYLIZE),
                ("site", "pages"),
                ("train", "gallery", "--store", "pages"),
            )
        ),
        (("verify", "--store", "lost", "--repair"), "expected .*lost, found banks and their pages, but no catalog"),
        *(
            (
                words,
                r"(output|store|comparison) .*votes.json(/\w+)? is a file or lies below one, expected a folder",
            )
            for words in (
                ("stylize", "photos", "votes.json", "--store", "store", *STYLIZE),
                ("stylize", "photos", "votes.json/art", "--store", "store", *STYLIZE, "--dry-run"),
                ("stylize", "photos", "new", "--store", "votes.json", *STYLIZE),
                ("train", "gallery", "--store", "votes.json"),
                ("verify", "votes.json"),
                ("compare", "art", "art2", "--photos", "photos", "--out", "votes.json"),
            )
        ),
        (("train", "gallery", "--store", "art"), "store .*art is an output of `artbank stylize`"),
        (("stylize", "photos", "store", "--store", "store", *STYLIZE), "output .* is also the store of the banks: "),
        (("stylize", "photos", "./store", "--store", "store", *STYLIZE), "output .* is also the store of the banks: "),
        (
            ("stylize", "photos", "both", "--store", "both/store", *STYLIZE),
            "output .*both holds the store of the banks",
        ),
        (("stylize", "photos", "store/banks/art", "--store", "store", *STYLIZE), "output .* lies in the folder banks "),
        (("site", "store", "--out", "store2"), "--out .*store2 is a store itself, whose pages would be replaced"),
        (("site", "store", "--out", "gallery/pages"), "--out .* lies in the gallery "),
        (("site", "store", "--out", "store/pages"), "--out .* lies in the store "),
        (("export", "monet", "store/banks/monet.safetensors", "--store", "store"), ".* lies in the store "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_place_is_told_in_one_line(root: Path, words: tuple[str, ...], message: str) -> None:
    (root / "link").symlink_to("photos")
    refuse(root, words, message)


def test_the_doctor_finds_places_that_lie_in_one_another(root: Path) -> None:
    words = ("doctor", "--photos", "photos", "--gallery", "gallery", "--json", "--store")
    found = {
        store: [row for row in json.loads(call(*words, store).out)["verdicts"] if row["subject"] == "places"]
        for store in ("store", "gallery/store")
    }
    assert [row["level"] for row in found["store"]] == ["OK"]
    [problem] = found["gallery/store"]
    assert problem["level"] == "problem" and "lies in the gallery" in problem["text"]
    rows = json.loads(call("doctor", "--store", "art/store", "--output", "art", "--json").out)["verdicts"]
    [problem] = [row for row in rows if row["subject"] == "places"]
    assert problem["level"] == "problem" and "holds the store of the banks" in problem["text"]
