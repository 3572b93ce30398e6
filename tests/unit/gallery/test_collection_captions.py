"""Captions of a collection: from tables and from text files beside the artworks."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artbank.gallery.collections import read_artworks
from artbank.store.objects import Store
from tests.support.patchworks import only, paint, save


def parquet(rows: list[dict[str, str]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


TABLES = {
    "metadata.csv": b"\xef\xbb\xbffile_name,caption,year\n0.png,lilies  at\tdusk,06\n1.png,,07\nlate/9.png,a bridge,\n",
    "metadata.jsonl": "\n".join(
        json.dumps({"file_name": name, "text": text})
        for name, text in (("0.png", "lilies at dusk"), ("late/9.png", "a bridge"))
    ).encode(),
    "metadata.parquet": parquet(
        [{"file_name": "0.png", "caption": "lilies at dusk"}, {"file_name": "late/9.png", "caption": "a bridge"}]
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_captions_come_from_tables(gallery: Store, name: str) -> None:
    gallery.write_many({f"monet/{name}": TABLES[name], "monet/late/9.png": save(paint(9))})
    artworks, findings = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert [artwork.caption for artwork in artworks] == ["lilies at dusk", None, None, "a bridge"]
    assert findings == []


def test_a_text_file_beside_an_artwork_wins_over_a_table(gallery: Store) -> None:
    gallery.write_many({"monet/metadata.csv": TABLES["metadata.csv"], "monet/0.txt": "\ufeffSeerosen, früh\n".encode()})
    artworks, _ = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert artworks[0].caption == "Seerosen, früh"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("metadata.csv", b"file,caption\n0.png,lilies\n"),
        ("metadata.csv", b"\xff\xfe\x00"),
        ("metadata.csv", b"file_name,caption\n0.png," + b"x" * 200_000),
        ("metadata.jsonl", b"{not json}\n"),
        ("metadata.jsonl", b"[1, 2]\n"),
        ("metadata.jsonl", b'{"file_name": 7, "caption": "lilies"}\n'),
        ("metadata.parquet", b"PAR1 rubbish"),
        ("0.txt", b"\xff\xfe\x00"),
    ],
)
def test_captions_that_cannot_be_read_are_a_finding(gallery: Store, name: str, body: bytes) -> None:
    gallery.write(f"monet/{name}", body)
    artworks, [finding] = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert len(artworks) == 3 and artworks[0].caption is None
    assert finding.kind == "captions" and finding.keys == (f"monet/{name}",)


def test_captions_of_files_that_are_not_there_are_a_finding(gallery: Store) -> None:
    gallery.write("monet/metadata.csv", b"file_name,caption\n0.png,lilies\nO1.png,a bridge\n")
    artworks, [finding] = read_artworks(gallery, only(gallery), max_pixels=10**6)
    assert artworks[0].caption == "lilies" and finding.keys == ("monet/O1.png",)
