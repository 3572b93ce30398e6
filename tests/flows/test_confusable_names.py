"""An archive whose names a file system may confuse, or not hold."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from artbank.archive.stores import RunStores
from artbank.archive.survey import survey_archive
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support.flow_runs import run
from tests.support.small_inputs import draw_photo, listing, stylizing

LONG = "n" * 246 + ".tif"
KEYS = [
    *("A.jpg", "a.jpg", "\u00e9.jpg", "e\u0301.jpg", "b.jpg"),
    *("Roll/1.jpg", "roll/1.jpg", "b.jpg/c.jpg"),
    *(LONG, "deep/" * 150 + "d.png"),
]


def seen_elsewhere(names: list[str]) -> set[str]:
    return {unicodedata.normalize("NFC", name).casefold() for name in names}


def test_photos_whose_names_are_alike_or_too_long_all_get_pictures(trained: Any, s3_store: str, tmp_path: Path) -> None:
    archive, output = Store.open(s3_store).child("photos"), tmp_path / "output"
    photo = draw_photo(1)
    archive.write_many(dict.fromkeys(KEYS[1:], photo))
    config = stylizing(archive.uri, str(output), trained.store, "novak")
    assert run(stylize_archive, config).result().num_done == len(KEYS) - 1
    before = listing(output / "novak")
    assert {"a.jpg", "b.jpg", "b.jpg~/c.jpg"} < before.keys()

    archive.write(KEYS[0], photo)
    outcome = run(stylize_archive, config).result()
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (len(KEYS), 0, 1)
    rows = pq.read_table(output / "results.parquet").to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(KEYS)
    names, there = [row["file_name"] for row in rows], listing(output / "novak")
    assert set(names) == {f"novak/{name}" for name in there} and before.items() < there.items()
    assert len(seen_elsewhere(names)) == len(KEYS)
    assert run(stylize_archive, config).result().num_new == 0


def test_a_photo_chosen_by_a_glob_is_told_from_those_that_were_not(trained: Any, tmp_path: Path) -> None:
    Store.open(str(tmp_path / "photos")).write_many({"A.jpg": b"1", "a.jpg": b"2"})
    config = stylizing(str(tmp_path / "photos"), str(tmp_path / "output"), trained.store, "novak", include=("a.jpg",))
    assert survey_archive(config, RunStores.open(config)).tasks.select(["key", "is_ambiguous"]).to_pylist() == [
        {"key": "a.jpg", "is_ambiguous": True}
    ]
