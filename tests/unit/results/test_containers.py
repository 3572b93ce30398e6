"""Containers, read back by the libraries that they are for; what is taken out of them, and what is left alone."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from artbank.errors import ImageError
from artbank.records.photo_records import Result
from artbank.results import containers, layout, ledger, tables
from artbank.results.containers import PackedPicture, pack, read_pictures, unpack
from artbank.results.filenames import output_name
from artbank.results.verification import pictures
from artbank.results.verification.verify import verify
from artbank.store.objects import Store
from tests.support.rows import START, result

SHARD = "0123456789abcdef-00000"
OTHER = "0123456789abcdef-00001"
NAMES = (f"monet/{SHARD}.tar", f"monet/{SHARD}.parquet")
KEYS = ("a.jpg", "roll 1/b.png", "roll 2/b.png", "été/日本 [x].webp", "scan.v2.tif", "ﬁ.JPEG")


def picture(key: str, number: int = 0) -> bytes:
    """Return a picture whose colour tells of which photo it is; PNG ones are transparent in parts."""
    sink = io.BytesIO()
    red = hashlib.sha256(key.encode()).digest()[0]
    suffix = output_name(key).lower().rpartition(".")[2]
    image_format = {"jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}.get(suffix, "PNG")
    colour = (red, number, 0, 128) if image_format == "PNG" else (red, number, 0)
    Image.new("RGBA" if image_format == "PNG" else "RGB", (8, 8), colour).save(sink, image_format, quality=100)
    return sink.getvalue()


def row_of(key: str, name: str, data: bytes, **values: Any) -> Result:
    style = name.partition("/")[0]
    file = {"file_name": name, "file_size": len(data), "file_sha256": hashlib.sha256(data).hexdigest()}
    return result(key, style, **{**file, "flags": ["near_copy"], "clip_text": None, **values})


def fill(output: Store, name: str, *keys: str, number: int = 0, minute: int = 0) -> None:
    """Do what a shard does: write its container, then its part."""
    drawn = {key: picture(key, number) for key in keys}
    rows = [row_of(key, name, data, minute=minute) for key, data in drawn.items()]
    output.write(name, pack(name, (PackedPicture.from_row(r, output_name(r.key), drawn[r.key]) for r in rows)))
    ledger.commit(output, Path(name).stem, rows)


def finish(output: Store, *keys: str) -> pa.Table:
    return tables.update_tables_and_vacuum(output, pa.table({"key": pa.array(keys or KEYS)}))


def held(output: Store, name: str) -> dict[str, bytes]:
    return {sample.key: sample.data for sample in unpack(name, output.read(name))}


def test_webdataset_reads_every_picture_with_what_is_said_of_it(output: Store) -> None:
    fill(output, NAMES[0], *KEYS)
    path = str(Path(output.uri) / NAMES[0])
    loaded = list(webdataset.WebDataset(path, shardshuffle=False).decode("pil").rename(image="jpg;png;webp"))
    assert {one["json"]["key"] for one in loaded} == set(KEYS) and len(loaded) == len(KEYS)
    expected = json.loads(json.dumps({name: vars(row_of("", NAMES[0], b""))[name] for name in containers.COLUMNS}))
    for one in loaded:
        key = one["json"]["key"]
        assert one["json"] == expected | {"key": key}
        assert np.array_equal(one["image"], Image.open(io.BytesIO(picture(key))).convert("RGB"))


def test_datasets_reads_every_picture_with_what_is_said_of_it(output: Store, tmp_path: Path) -> None:
    fill(output, NAMES[1], *KEYS)
    path = str(Path(output.uri) / NAMES[1])
    loaded = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert set(loaded.column_names) == {"image", *containers.COLUMNS}
    assert sorted(loaded["key"]) == sorted(KEYS)
    for one in loaded:
        image = Image.open(io.BytesIO(picture(one["key"])))
        assert (one["image"].mode, one["image"].tobytes()) == (image.mode, image.tobytes())
        assert (one["flags"], one["clip_text"], one["clip_style"], one["seed"]) == (["near_copy"], None, 0.5, 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_pictures_give_the_same_bytes_whatever_their_order_and_time(name: str) -> None:
    rows = [row_of(key, name, b"") for key in KEYS]
    later = [row_of(key, name, b"", minute=5, seconds=9.0) for key in reversed(KEYS)]
    packed = [
        pack(name, [PackedPicture.from_row(r, output_name(r.key), picture(r.key)) for r in some])
        for some in (rows, later)
    ]
    assert packed[0] == packed[1]
    assert pack(name, unpack(name, packed[0])) == packed[0]


def test_a_parquet_file_has_row_groups_of_bounded_rows_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_ROWS_IN_GROUP", 3)
    monkeypatch.setattr(containers, "_BYTES_IN_GROUP", 250)
    sizes = {f"{n}.jpg": size for n, size in enumerate([10, 10, 10, 10, 200, 100, 300, 5])}
    samples = [PackedPicture.from_row(row_of(key, NAMES[1], b""), key, bytes(size)) for key, size in sizes.items()]
    data = pack(NAMES[1], samples)
    found = pq.ParquetFile(pa.BufferReader(data)).metadata
    assert [found.row_group(n).num_rows for n in range(found.num_row_groups)] == [3, 2, 1, 1, 1]
    assert [len(sample.data) for sample in unpack(NAMES[1], data)] == list(sizes.values())
    assert unpack(NAMES[1], pack(NAMES[1], [])) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_container_that_is_cut_short_anywhere_is_damaged(name: str) -> None:
    data = pack(name, [PackedPicture.from_row(row_of(key, name, b""), output_name(key), picture(key)) for key in KEYS])
    for length in (0, 1, 100, 511, 512, 1024, len(data) // 2, len(data) - 1024, len(data) - 512, len(data) - 1):
        with pytest.raises(ImageError, match="its container is not as it was written"):
            unpack(name, data[:length])
    with pytest.raises(ImageError):
        unpack(name, data + b"x")


@pytest.mark.parametrize("name", NAMES)
def test_no_flipped_bit_lets_another_picture_through(name: str) -> None:
    data = pack(
        name, [PackedPicture.from_row(row_of(key, name, b""), output_name(key), picture(key)) for key in KEYS[:3]]
    )
    whole = {sample.key: sample.data for sample in unpack(name, data)}
    for place in range(0, len(data), 37):
        torn = bytearray(data)
        torn[place] ^= 4
        try:
            found = {sample.key: sample.data for sample in unpack(name, bytes(torn))}
        except ImageError:
            continue
        assert found.keys() == whole.keys()  # which is then a matter of each picture's SHA-256
        assert sum(found[key] != whole[key] for key in whole) <= 1


def test_pictures_are_read_wherever_they_are_and_each_container_once(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(output, NAMES[0], *KEYS[:3])
    fill(output, f"monet/{OTHER}.parquet", *KEYS[3:])
    output.write("monet/plain.jpg", b"plain")
    rows = [vars(row) for row in Result.from_table(ledger.read_ledger(output))]
    rows += [{"key": "plain.jpg", "style": "monet", "file_name": "monet/plain.jpg"}]
    rows += [{"key": "lost.jpg", "style": "monet", "file_name": NAMES[0]}]
    rows += [{"key": "gone.jpg", "style": "monet", "file_name": "monet/gone.tar"}]
    read: list[str] = []
    read_many = Store.read_many
    monkeypatch.setattr(Store, "read_many", lambda self, keys: read.extend(keys) or read_many(self, keys))
    found = read_pictures(output, rows)
    assert sorted(read) == sorted({row["file_name"] for row in rows})
    assert {key: found[key, "monet"] for key in KEYS} == {key: picture(key) for key in KEYS}
    assert found["plain.jpg", "monet"] == b"plain"
    assert isinstance(found["lost.jpg", "monet"], ImageError)
    assert isinstance(found["gone.jpg", "monet"], FileNotFoundError)


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_what_another_shard_made_anew_is_taken_out_once_and_nothing_else_is_read(
    store_uri: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, (first, second) = Store.open(store_uri), (f"monet/{shard}.{suffix}" for shard in (SHARD, OTHER))
    fill(output, first, *KEYS)
    finish(output)
    before = output.list()
    read: list[str] = []
    read_one = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: read.append(key) or read_one(self, key))
    fill(output, second, *KEYS[:2], number=1, minute=1)
    finish(output)
    assert held(output, first) == {key: picture(key) for key in KEYS[2:]}
    assert held(output, second) == {key: picture(key, 1) for key in KEYS[:2]}
    assert [stored for stored in output.list() if stored.key == first] != [s for s in before if s.key == first]
    read.clear()
    fill(output, f"hokusai/{OTHER[:-1]}2.{suffix}", "a.jpg", minute=2)
    finish(output)
    assert not [key for key in read if key.endswith(f"{SHARD}.{suffix}") or key.endswith(f"{OTHER}.{suffix}")]
    fill(output, f"monet/{OTHER[:-1]}3.{suffix}", *KEYS[2:], number=1, minute=3)
    finish(output)
    assert not output.exists(first) and output.exists(second)


def test_a_photo_that_failed_anew_and_one_that_was_removed(output: Store) -> None:
    fill(output, NAMES[0], *KEYS)
    failed = result(KEYS[0], minute=1, status="failed", file_name=None)
    renewed = row_of(KEYS[1], NAMES[0], picture(KEYS[1]), minute=1, etag="e2")
    ledger.commit(output, OTHER, [failed, renewed])
    finish(output, *KEYS[:2])
    assert held(output, NAMES[0]).keys() == set(KEYS[1:])  # pictures of removed photos stay, as files of their own do


def test_the_container_of_a_shard_that_never_got_its_part_is_deleted_once_nobody_is_at_it(output: Store) -> None:
    strange = ("monet/mine.tar", f"monet/sub/{OTHER}.tar", f"monet/{OTHER}.jpg")
    fill(output, NAMES[0], *KEYS)
    output.write_many({f"monet/{OTHER}.tar": b"half", **dict.fromkeys(strange, b"not ours")})
    output.write(f"results/_begun-{OTHER}", b"{}")
    finish(output)
    assert output.exists(f"monet/{OTHER}.tar")
    output.delete_many([f"results/_begun-{OTHER}"])
    ledger.commit(output, f"{OTHER[:-1]}2", [result("new.jpg", status="failed", file_name=None)])
    finish(output)
    assert not output.exists(f"monet/{OTHER}.tar") and all(map(output.exists, strange))
    assert held(output, NAMES[0]).keys() == set(KEYS)


def test_the_table_names_nothing_that_is_taken_out_and_a_finish_that_broke_off_is_gone_on_with(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(output, NAMES[0], *KEYS)
    finish(output)
    newer = f"monet/{OTHER}.tar"
    fill(output, newer, *KEYS, minute=1)

    def fail(self: Store, keys: Any) -> None:
        names = pq.read_table(pa.BufferReader(output.read(layout.RESULTS)))["file_name"].to_pylist()
        if NAMES[0] in keys:
            assert set(names) == {newer}
            raise ConnectionError("the store is gone")

    with monkeypatch.context() as broken, pytest.raises(ConnectionError):
        broken.setattr(Store, "delete_many", fail)
        finish(output)
    finish(output)
    assert not output.exists(NAMES[0]) and output.exists(newer)


def test_a_container_whose_part_was_deleted_is_looked_into(output: Store) -> None:
    fill(output, NAMES[0], *KEYS)
    ledger.commit(output, OTHER, [row_of(KEYS[1], NAMES[0], picture(KEYS[1]), minute=1, etag="e2")])
    output.delete_many([layout.part_key(SHARD)])
    finish(output)
    assert held(output, NAMES[0]).keys() == {KEYS[1]}


def test_a_damaged_container_stops_nothing_and_is_left_as_it_is(output: Store) -> None:
    fill(output, NAMES[0], *KEYS)
    output.write(NAMES[0], b"torn")
    fill(output, f"monet/{OTHER}.tar", KEYS[0], minute=1)
    assert len(finish(output)) == len(KEYS)
    assert output.read(NAMES[0]) == b"torn"


def test_a_verification_reads_each_container_once_and_names_the_one_picture_that_is_not_as_it_was(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(output, NAMES[0], *KEYS[:4])
    fill(output, f"monet/{OTHER}.parquet", *KEYS[4:])
    finish(output)
    torn = bytearray(output.read(NAMES[0]))
    torn[torn.index(picture(KEYS[1])) + 20] ^= 1
    output.write(NAMES[0], bytes(torn))
    monkeypatch.setattr(pictures, "_BYTES_AT_ONCE", 1)
    read: list[str] = []
    read_many = Store.read_many
    monkeypatch.setattr(Store, "read_many", lambda self, keys: read.extend(keys) or read_many(self, keys))
    told: list[tuple[int, int]] = []
    report = verify(output, progress=lambda done, total: told.append((done, total)))
    assert [(row["kind"], row["key"]) for row in report.problems.to_pylist()] == [("damaged_picture", KEYS[1])]
    assert told == [(4, 6), (6, 6)] and sorted(name for name in read if "monet/" in name) == [
        NAMES[0],
        f"monet/{OTHER}.parquet",
    ]


def test_readers_of_image_folders_are_told_of_images_alone(output: Store) -> None:
    fill(output, NAMES[0], *KEYS[:2])
    ledger.commit(output, OTHER, [result("plain.jpg", created_at=START)])
    finish(output, *KEYS, "plain.jpg")
    table = pq.read_table(pa.BufferReader(output.read(layout.METADATA)))
    assert table["file_name"].to_pylist() == ["monet/plain.jpg"]
