"""Copies of picked pictures: which rows a file of picks selects, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from artbank.errors import ConfigError
from artbank.records.photo_records import Result
from artbank.results.containers import PackedPicture, container_key, pack
from artbank.results.layout import RESULTS
from artbank.results.picked_copies import export_folder, export_zip, find_rows, read_picks
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from tests.support.rows import result

HEAD = "photo,style,decision,stars\r\n"
PACKED = container_key("ink", "r-00000", "webdataset")


@pytest.fixture
def output(tmp_path: Path) -> Store:
    """An output of three pictures in files, one of which is changed, one in a container, and a failure."""
    store = Store.open(str(tmp_path / "output"))
    names = ["=a, b.jpg", "roll/\u202eb.jpg", "changed.jpg"]
    rows = [
        result(name, "monet", file_name=f"monet/{name}", file_sha256=short_hash(name.encode(), 64)) for name in names
    ]
    store.write_many({f"monet/{name}": name.encode() for name in names})
    store.write("monet/changed.jpg", b"other")
    packed = result("c.jpg", "ink", file_name=PACKED, file_sha256=short_hash(b"c", 64))
    store.write(PACKED, pack(PACKED, [PackedPicture.from_row(packed, "c.jpg", b"c")]))
    failed = result("torn.jpg", "monet", status="failed", failure="unreadable", file_name=None)
    store.write(RESULTS, table_bytes(Result.to_table([*rows, packed, failed])))
    return store


def write(folder: Path, text: str) -> Path:
    path = folder / "picks"
    path.write_bytes(text.encode())
    return path


def test_a_table_selects_picks_or_stars(tmp_path: Path) -> None:
    table = write(tmp_path, HEAD + '"\'=a, b.jpg",monet,pick,2\r\nc.jpg,ink,,5\r\nd.jpg,ink,reject,5\r\n')
    assert read_picks(table) == [("monet", "=a, b.jpg")]
    assert read_picks(table, 4) == [("ink", "c.jpg")]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_only_ends_of_lines_divide_a_list(tmp_path: Path, ending: str) -> None:
    names = ["a\u2028b.jpg", "c\x85d.jpg"]
    assert read_picks(write(tmp_path, "".join(f"monet/{name}{ending}" for name in names))) == [
        ("monet", name) for name in names
    ]


@pytest.mark.parametrize(
    "text",
    ["../../etc/passwd\n", "monet//etc/passwd\n", "monet/a/../../b.jpg\n", "monet\n", HEAD + "../a,monet,pick,\r\n"],
)
def test_names_that_lead_out_of_a_folder_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="download the file again"):
        read_picks(write(tmp_path, text))


def test_picks_are_copied_and_what_cannot_be_is_named(tmp_path: Path, output: Store) -> None:
    picks = read_picks(
        write(tmp_path, "monet/=a, b.jpg\nink/c.jpg\nmonet/changed.jpg\nmonet/torn.jpg\nmonet/none.jpg\n")
    )
    rows, missing = find_rows(output, picks)
    assert missing == ["monet/torn.jpg has no picture: it failed", "monet/none.jpg is not in this output"]
    target = Store.open(str(tmp_path / "chosen"))
    outcome = export_folder(output, rows, target)
    assert outcome.num_written == 2 and "not as its row says" in outcome.failed[0]
    assert {stored.key: target.read(stored.key) for stored in target.list()} == {
        "monet/=a, b.jpg": b"=a, b.jpg",
        "ink/c.jpg": b"c",
    }
    with pytest.raises(ConfigError, match="outside"):
        export_folder(output, rows, output.child("chosen"))


def test_a_zip_file_has_the_same_bytes_each_time_and_no_path_out_of_it(tmp_path: Path, output: Store) -> None:
    rows, _ = find_rows(output, [("monet", "=a, b.jpg"), ("ink", "c.jpg")])
    hostile = {**rows[0], "key": "x.jpg", "file_name": "monet/..\\\\x.jpg"}
    outcomes = [export_zip(output, [*rows, hostile], tmp_path / name) for name in ("a.zip", "b.zip")]
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == ["monet/=a, b.jpg", "ink/c.jpg"]
    assert "lead out of a folder" in outcomes[0].failed[0] and not list(tmp_path.glob("*.partial"))
