"""Pictures as WebDataset and as Parquet, end to end, as the libraries that they are for see them."""

from __future__ import annotations

import io
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artbank.archive.plan import plan_archive
from artbank.store.objects import Store
from artbank_cli.main import main
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support.flow_runs import run
from tests.support.paths import ROOT
from tests.support.small_inputs import draw_photo, stylizing

KEYS = ("a.jpg", "roll 1/b.png", "roll 2/b.png", "été.webp", "torn.jpg")
GUIDE = ROOT / "docs/howto/datasets.md"
FOLDERS = {"webdataset": "tars", "parquet": "tables"}
SUFFIXES = {"webdataset": "tar", "parquet": "parquet"}


def photo(seed: int, key: str) -> bytes:
    return draw_photo(seed, key[key.rindex(".") :])


def see(output: Store, form: str, folder: Path) -> list[tuple[str, bytes]]:
    """Return key and pixels of all that a library finds in the containers of a style; copies them out of a bucket."""
    names = [stored.key for stored in output.list("novak") if stored.key.endswith(SUFFIXES[form])]
    copies = Store.open(str(folder / "copies"))
    copies.delete_many([stored.key for stored in copies.list()])
    copies.write_many({name: output.read(name) for name in names})
    told = {"pictures": None}
    with patch.object(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache")):
        exec(how_to_load(form).replace(f"{FOLDERS[form]}/monet", f"{copies.uri}/novak"), told)
    if form == "parquet":
        return [(one["key"], one["image"].convert("RGB").tobytes()) for one in told["pictures"] or ()]
    return [(one["json"]["key"], one["image"].tobytes()) for one in told["pictures"] or ()]


def how_to_load(form: str) -> str:
    """Return what the guide to datasets says of it, without what it prints."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    [block] = [block for block in blocks if f"{FOLDERS[form]}/monet/*.{SUFFIXES[form]}" in block]
    return "".join(line for line in block.splitlines(keepends=True) if not line.startswith("print("))


def rows(output: Store) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(pa.BufferReader(output.read("results.parquet"))).to_pylist()}


def verify(uri: str, *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["artbank", "verify", uri, *words, "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.fixture(params=["webdataset", "parquet"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def uri(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the photos and the output are: for one of the forms in a bucket."""
    return request.getfixturevalue("s3_store") if form == "parquet" else str(tmp_path)


def test_every_photo_is_seen_once_whatever_was_done_again(
    form: str, uri: str, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    root, tools = Store.open(uri), {"monkeypatch": monkeypatch, "capsys": capsys}
    photos, output = root.child("photos"), root.child("output")
    photos.write_many({key: photo(seed, key) for seed, key in enumerate(KEYS[:4])} | {"torn.jpg": b"\xff\xd8torn"})
    config = stylizing(photos.uri, output.uri, trained.store, "novak", shard_size=2, format=form)

    assert run(stylize_archive, config).result().num_done == 4
    first = dict(see(output, form, tmp_path))
    assert first.keys() == set(KEYS[:4]) and all(first.values())
    plain = config.model_copy(update={"output_uri": str(tmp_path / "plain"), "format": "images"})
    run(stylize_archive, plain)
    for key, row in rows(Store.open(plain.output_uri)).items():  # the form shapes no pixel
        assert rows(output)[key]["file_sha256"] == row["file_sha256"]
    shown = output.read_many([stored.key for stored in output.list("report/pictures")])  # 4 photos and 4 pictures
    assert [len(Image.open(io.BytesIO(data)).getcolors(10**6) or []) > 100 for data in shown.values()] == [True] * 8

    before = output.list()
    assert run(stylize_archive, config).result().num_new == 0
    assert output.list() == before

    photos.write_many({"a.jpg": photo(7, "a.jpg")})
    assert run(stylize_archive, config).result().num_new == 1
    photos.write_many({"torn.jpg": photo(8, "torn.jpg")})
    assert run(stylize_archive, config.model_copy(update={"retry_failed": True})).result().num_new == 1
    found = see(output, form, tmp_path)
    assert Counter(key for key, _ in found) == Counter(KEYS)
    assert dict(found)["a.jpg"] != first["a.jpg"]
    assert {key: dict(found)[key] for key in KEYS[1:4]} == {key: first[key] for key in KEYS[1:4]}
    code, told = verify(output.uri, **tools)
    assert (code, told["problems"], told["notes"], told["num_pictures"]) == (0, [], [], 5)

    spoilt = rows(output)["roll 2/b.png"]["file_name"]
    lost = {key for key, row in rows(output).items() if row["file_name"] == spoilt}
    output.write(spoilt, output.read(spoilt)[:-700])
    assert verify(output.uri, "--quick", **tools)[0] == 0
    code, told = verify(output.uri, **tools)
    assert (code, told["counts"]) == (1, {"damaged_picture": len(lost)})
    assert verify(output.uri, "--repair", "--trust-output", **tools)[1]["repaired"]["num_wanted"] == len(lost)
    assert verify(output.uri, **tools)[0] == 0
    assert sorted(see(output, form, tmp_path)) == sorted(found)

    output.delete_many([rows(output)["a.jpg"]["file_name"]])
    assert verify(output.uri, "--quick", **tools)[1]["counts"] == {"missing_picture": 1}
    assert verify(output.uri, "--repair", "--trust-output", "--quick", **tools)[0] == 0
    assert sorted(see(output, form, tmp_path)) == sorted(found)


def test_what_is_done_stays_in_the_form_it_has(trained: Any, tmp_path: Path) -> None:
    photos, output = Store.open(str(tmp_path / "photos")), Store.open(str(tmp_path / "output"))
    photos.write_many({key: photo(seed, key) for seed, key in enumerate(KEYS[:2])})
    config = stylizing(photos.uri, output.uri, trained.store, "novak")
    run(stylize_archive, config)
    packed = config.model_copy(update={"format": "webdataset"})
    assert plan_archive(packed)[1] == []
    photos.write_many({key: photo(seed, key) for seed, key in enumerate(KEYS[2:4])})
    assert run(stylize_archive, packed).result().num_new == 2
    assert {key for key, _ in see(output, "webdataset", tmp_path)} == set(KEYS[2:4])
    metadata = pq.read_table(pa.BufferReader(output.read("metadata.parquet")))
    assert metadata["file_name"].to_pylist() == [f"novak/{key}" for key in KEYS[:2]]
    photos.write_many({KEYS[2]: photo(9, KEYS[2])})
    assert run(stylize_archive, config).result().num_new == 1
    assert [key for key, _ in see(output, "webdataset", tmp_path)] == [KEYS[3]]
    assert rows(output)[KEYS[2]]["file_name"] == f"novak/{KEYS[2]}"
