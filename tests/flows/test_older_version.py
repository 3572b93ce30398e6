"""The current code reads, continues and verifies files of version 0.1.

`tests/data/version-0.1/README.md` says how the files were written. No test here draws a picture and compares it with
one of the files: another processor rounds differently. Recipes of banks have another `VERSION` since, so collections
are trained anew; the old banks stay usable. If the `VERSION` of pictures is raised, or the embedded model gets other
weights, the old pictures and banks are out of date by design, and these files must be replaced by files of the version
before.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from artbank.config import StylizeConfig, TrainConfig
from artbank.images.file_metadata import is_marked
from artbank_cli.main import main
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks

DATA = Path(__file__).parents[1] / "data" / "version-0.1"
CHANGED = 1767225600  # when gallery and photos were changed last, by the rows
NUM_PHOTOS = 4
STYLES = {
    "images": ("novak", "novak:0.7+ferrante:0.3"),
    "webdataset": ("novak",),
    "parquet": ("novak",),
    "stopped": ("novak",),
}
FORMATS = ("images", "webdataset", "parquet")
TRAIN = {
    "recipe": {
        **{"attention": "none", "num_tokens": 2, "max_steps": 4, "batch_size": 1},
        **{"num_crops": 1, "resolution_px": 32, "validate_every": 2},
    },
    **{"num_samples": 1, "num_milestones": 1, "checkpoint_every": 2},
}
STYLIZE = {
    "recipe": {
        **{"steps": 4, "strength": 0.5, "resolution_px": 32, "guidance": 1.0},
        **{"solver": "dpm++2m", "structure": 0.0, "colour": "free"},  # the defaults of that version
    },
    "shard_size": 2,
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the files, with the times of change that the photos had: a checkout does not keep them."""
    root = tmp_path / "old"
    shutil.copytree(DATA, root)
    for photo in (root / "photos").rglob("*.jpg"):
        os.utime(photo, (CHANGED, CHANGED))
    return root


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Run `artbank WORDS`, which must succeed, and return its output; signal handlers are restored afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*words: str | Path) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["artbank", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert not end.value.code, printed.out + printed.err
        return printed.out

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def stylize(old: Path, name: str, **values: Any) -> Any:
    facts = {"archive_uri": f"{old}/photos", "output_uri": f"{old}/{name}", "store_uri": f"{old}/store"}
    facts |= {"styles": STYLES[name], "format": name if name in FORMATS else "images", **STYLIZE, **values}
    return stylize_archive(StylizeConfig.model_validate(facts))


def train(old: Path, *collections: str, **recipe: Any) -> Any:
    facts = {"gallery_uri": f"{old}/gallery", "store_uri": f"{old}/store", "collections": collections, **TRAIN}
    facts["recipe"] = {**TRAIN["recipe"], **recipe}
    return train_banks(TrainConfig.model_validate(facts))


def drawn(output: Path) -> dict[str, bytes]:
    """Return the files below the folders of the styles: pictures, or containers of them."""
    return {str(path.relative_to(output)): path.read_bytes() for path in output.glob("novak*/**/*") if path.is_file()}


def rows(output: Path) -> list[dict[str, Any]]:
    """Return the rows of an output, without the columns of later versions."""
    names = pq.read_schema(DATA / "images/results.parquet").names
    return pq.read_table(output / "results.parquet", columns=names).to_pylist()


def add_photo(old: Path) -> str:
    shutil.copy(old / "gallery/novak/1.jpg", old / "photos/roll 2/new.jpg")
    return "roll 2/new.jpg"


def assert_well(call: Callable[..., str], output: Path) -> None:
    found = json.loads(call("verify", output, "--json"))
    assert (found["problems"], found["notes"]) == ([], [])
    assert found["num_pictures"] == sum(row["status"] == "done" for row in rows(output))


def test_the_catalog_and_the_banks_are_read(old: Path, call: Callable[..., str]) -> None:
    banks = json.loads(call("banks", "--store", old / "store", "--json"))
    assert [(bank["collection"], bank["version"], bank["status"]) for bank in banks] == [
        ("ferrante", 1, "default"),
        ("novak", 1, "default"),
    ]
    assert all(bank["num_artworks"] == 3 and bank["steps"] == 4 for bank in banks)
    assert "# novak, version 1" in call("banks", "show", "novak", "--store", old / "store")


def test_a_bank_is_exported_with_the_same_vectors(old: Path, call: Callable[..., str]) -> None:
    call("export", "novak", old / "again.safetensors", "--store", old / "store")
    before, after = (load_file(old / name) for name in ("novak.safetensors", "again.safetensors"))
    assert list(after) == list(before) == ["<novak>"]
    assert after["<novak>"].tobytes() == before["<novak>"].tobytes()


def test_a_page_of_each_bank_shows_its_album(old: Path, call: Callable[..., str]) -> None:
    call("site", old / "store")
    [page] = (old / "store/banks/novak").glob("*/index.html")
    for picture in (page.parent / "album").glob("[!c]*.webp"):
        assert f"album/{picture.name}" in page.read_text()
    assert "novak" in (old / "store/index.html").read_text()


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_wrong_with_an_output(name: str, old: Path, call: Callable[..., str]) -> None:
    assert_well(call, old / name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_over_the_same_photos_has_nothing_to_do(name: str, old: Path, call: Callable[..., str]) -> None:
    before, before_rows, runs = drawn(old / name), rows(old / name), sorted((old / name / "runs").iterdir())
    outcome = stylize(old, name)
    assert (outcome.num_new, outcome.num_failed) == (0, len(STYLES[name]))
    assert drawn(old / name) == before
    assert rows(old / name) == before_rows
    assert sorted((old / name / "runs").iterdir()) == runs
    assert_well(call, old / name)


@pytest.mark.parametrize("name", FORMATS)
def test_photos_that_were_only_touched_get_new_rows_and_keep_their_pictures(
    name: str, old: Path, call: Callable[..., str]
) -> None:
    for photo in (old / "photos").rglob("*.jpg"):
        os.utime(photo, (CHANGED + 1, CHANGED + 1))
    before, before_rows = drawn(old / name), rows(old / name)
    assert stylize(old, name).num_new == NUM_PHOTOS
    assert drawn(old / name) == before
    for row, old_row in zip(rows(old / name), before_rows, strict=True):
        renewed = ("etag", "created_at") if row["status"] == "done" else ("etag", "created_at", "seconds")
        assert row["etag"] != old_row["etag"]
        assert {k: v for k, v in row.items() if k not in renewed} == {
            k: v for k, v in old_row.items() if k not in renewed
        }
    assert_well(call, old / name)


@pytest.mark.parametrize("name", FORMATS)
def test_only_an_added_photo_is_drawn(name: str, old: Path, call: Callable[..., str]) -> None:
    before, before_rows, key = drawn(old / name), rows(old / name), add_photo(old)
    assert stylize(old, name).num_new == 1
    after = drawn(old / name)
    assert {file: after.get(file) for file in before} == before
    assert len(after) == len(before) + len(STYLES[name])
    new = [row for row in rows(old / name) if row not in before_rows]
    assert [(row["key"], row["status"]) for row in new] == [(key, "done")] * len(STYLES[name])
    assert {row["file_name"] for row in new} == after.keys() - before.keys()
    if name == "images":
        assert all(is_marked(data) == (file not in before) for file, data in after.items())
    marks = pq.read_table(old / name / "results.parquet", columns=["key", "mark"]).to_pylist()
    assert {row["key"]: row["mark"] for row in marks if row["mark"]} == {key: "iptc"}
    assert_well(call, old / name)


def test_a_run_that_was_killed_is_continued_at_its_second_shard(old: Path, call: Callable[..., str]) -> None:
    output, first = old / "stopped", {"novak/roll 1/a.jpg", "novak/roll 1/b.jpg"}
    changed = {name: (output / name).stat().st_mtime_ns for name in first}
    assert stylize(old, "stopped").num_new == 2
    assert {name: (output / name).stat().st_mtime_ns for name in first} == changed
    assert drawn(output).keys() == {*first, "novak/roll 2/c.jpg"}
    assert [row["status"] for row in rows(output)] == ["done", "done", "done", "failed"]
    assert not list((output / "results").glob("_begun-*"))


def test_a_picture_that_is_gone_is_drawn_again_by_the_parameters_of_its_run(
    old: Path, call: Callable[..., str]
) -> None:
    output, lost = old / "images", "novak/roll 1/a.jpg"
    for config in output.glob("runs/*/config.json"):
        config.write_text(config.read_text().replace("/srv/artbank-0.1/", f"{old}/"))
    before = drawn(output)
    (output / lost).unlink()
    found = json.loads(call("verify", output, "--repair", "--trust-output", "--json"))
    assert (found["counts"], found["repaired"]["left"]) == ({"missing_picture": 1}, [])
    after = drawn(output)
    assert not is_marked(after.pop(lost)), "pictures of that version had no mark"
    assert after == {name: data for name, data in before.items() if name != lost}
    assert_well(call, output)


def test_collections_are_trained_once_by_the_new_recipe_and_the_old_banks_stay(
    old: Path, call: Callable[..., str]
) -> None:
    before = {path: path.read_bytes() for path in (old / "store").rglob("bank.safetensors")}
    assert train(old, "ferrante", "novak").trained == {"ferrante": 2, "novak": 2}
    assert train(old, "ferrante", "novak").current == ("ferrante", "novak")
    after = {path: path.read_bytes() for path in (old / "store").rglob("bank.safetensors")}
    assert {path: after[path] for path in before} == before
    banks = json.loads(call("banks", "--store", old / "store", "--json"))
    told = [(bank["collection"], bank["version"], bank["previous_version"]) for bank in banks]
    assert told == [("ferrante", 1, None), ("ferrante", 2, 1), ("novak", 1, None), ("novak", 2, 1)]


def test_a_warm_start_begins_with_an_old_bank_in_its_own_unit(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "artbank"):
        assert train(old, "novak", warm_start=True).trained == {"novak": 2}
    assert "novak starts from version 1" in caplog.messages


def test_a_training_that_was_stopped_starts_anew_by_the_new_recipe(old: Path) -> None:
    assert train(old, "dunmore").trained == {"dunmore": 1}
    [history] = (old / "store/banks/dunmore").glob("*/*/history.json")
    assert len(json.loads(history.read_text())["train"]) == 4
