"""Broken and hostile captions cost no artwork: each file gives texts, or a finding that names it."""

from __future__ import annotations

import io
import json
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artbank.gallery.collections import list_collections, read_artworks
from artbank.store.objects import Store
from tests.support import image_files
from tests.support.fuzz import damaged, fuzzed

ROWS = [{"file_name": "0.png", "caption": "lilies at dusk"}, {"file_name": "1.png", "caption": "a bridge"}]
_numbers = count()


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


SEEDS = {
    "0.txt": [b"lilies at dusk"],
    "metadata.csv": [b"file_name,caption\n0.png,lilies at dusk\n"],
    "metadata.jsonl": ["\n".join(map(json.dumps, ROWS)).encode()],
    "metadata.parquet": [parquet(pa.Table.from_pylist(ROWS)), parquet(pa.table({"file_name": [7], "text": [[1]]}))],
}


def check(name: str, body: bytes) -> None:
    gallery = Store.open(f"memory://captions-{next(_numbers)}")
    gallery.write_many({"monet/0.png": image_files.save(image_files.draw(), "PNG"), f"monet/{name}": body})
    [artwork], findings = read_artworks(gallery, list_collections(gallery)[0], max_pixels=10**6)
    assert artwork.caption is None or (artwork.caption == " ".join(artwork.caption.split()) and artwork.caption)
    assert len(artwork.caption or "") <= 500
    assert {finding.kind for finding in findings} <= {"captions"}


@pytest.mark.parametrize("name", SEEDS)
@fuzzed(50)
@given(data=st.data())
def test_damaged_captions_cost_no_artwork(name: str, data: st.DataObject) -> None:
    check(name, data.draw(damaged(SEEDS[name])))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("metadata.jsonl", b"[" * 200_000),
        ("metadata.jsonl", b'{"file_name": "0.png", "caption": ' + b"9" * 10_000 + b"}"),
        ("metadata.jsonl", b'{"file_name": "../../../etc/passwd", "caption": "a secret"}'),
        ("metadata.csv", b"file_name,caption\n" + b'0.png,"' + b"x" * 1_000_000),
        ("metadata.parquet", parquet(pa.table({"file_name": pa.nulls(1_000_001, pa.string())}))),
        ("metadata.parquet", parquet(pa.table({"caption": ["without a name"]}))),
        ("metadata.parquet", b"PAR1" + bytes(100) + b"\xff\xff\xff\x7fPAR1"),
    ],
    ids=range(7),
)
def test_hostile_captions_cost_no_artwork(name: str, body: bytes) -> None:
    check(name, body)
