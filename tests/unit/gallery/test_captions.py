"""Captions where captioning programs put them; what is found and not understood is a finding."""

from __future__ import annotations

import json
import time
import unicodedata
from itertools import count

import pyarrow as pa
import pytest

from artbank.gallery.captions import read_captions
from artbank.gallery.collections import Collection, list_collections
from artbank.gallery.findings import Finding
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from artbank.store.table_limits import Limits
from tests.support.table_bombs import bomb

_numbers = count()


def gallery_of(files: dict[str, bytes], artworks: tuple[str, ...] = ("0.jpg", "1.png", "late/2.jpg")) -> Store:
    gallery = Store.open(f"memory://captions-elsewhere-{next(_numbers)}")
    gallery.write_many({f"monet/{name}": b"-" for name in artworks} | files)
    return gallery


def read(gallery: Store) -> tuple[dict[str, str], list[Finding]]:
    [collection] = list_collections(gallery, ["monet"])
    return read_captions(gallery, collection.captions, collection.artworks, 10**9)


def monet(gallery: Store) -> Collection:
    [collection] = list_collections(gallery, ["monet"])
    return collection


IMG2DATASET = {"caption": "a hill", "key": "0", "url": "https://example.org", "status": "success", "exif": "{}"}
FILES = {
    "monet/0.txt": b"a hill",
    "monet/0.TXT": b"a hill",
    "monet/0.caption": b" a\n hill ",
    "monet/0.jpg.txt": b"a hill",
    "monet/0.Caption": "\ufeffa hill".encode("utf-16-le"),
    "monet/0.json": json.dumps(IMG2DATASET).encode(),
    "monet/0.jpg.json": b'{"text": "a hill"}',
    "monet/0.JSON": b'"a hill"',
    "monet/metadata.csv": b"file_name,text\n0.jpg,a hill\n",
    "monet/METADATA.CSV": b"File_Name; Caption\n0.jpg;a hill\n",
    "monet/metadata.jsonl": b'{"file_name": "./0.jpg", "caption": "a hill"}\n\n',
    "monet/metadata.parquet": table_bytes(pa.table({"file_name": ["0.jpg"], "text": ["a hill"], "label": [3]})),
    "metadata.csv": b"file_name\ttext\nmonet\\0.jpg\ta hill\n",
    "metadata.jsonl": b'{"file_name": "monet/0.jpg", "text": "a hill", "other": [1]}\n',
    "metadata.parquet": table_bytes(pa.table({"file_name": ["monet/0.jpg", "klee/a.jpg"], "caption": ["a hill", "b"]})),
}


@pytest.mark.parametrize("name", FILES)
def test_a_caption_is_read_wherever_it_is(name: str) -> None:
    assert read(gallery_of({name: FILES[name]})) == ({"monet/0.jpg": "a hill"}, [])


@pytest.mark.parametrize("name", FILES)
def test_the_fingerprint_changes_with_a_caption_wherever_it_is(name: str) -> None:
    gallery = gallery_of({})
    before = monet(gallery).fingerprint
    gallery.write(name, FILES[name])
    assert monet(gallery).fingerprint != before


def test_the_nearest_file_takes_precedence() -> None:
    layers = {
        "metadata.jsonl": b'{"file_name": "monet/late/2.jpg", "text": "gallery"}\n',
        "monet/metadata.csv": b"file_name,text\nlate/2.jpg,collection\n",
        "monet/late/metadata.csv": b"file_name,text\n2.jpg,folder\n",
        "monet/late/2.json": b'{"caption": "json"}',
        "monet/late/2.caption": b"caption",
        "monet/late/2.txt": b"text",
    }
    gallery = gallery_of({})
    for name, body in layers.items():
        gallery.write(name, body)
        captions, _ = read(gallery)
        assert captions["monet/late/2.jpg"].encode() in body


def test_a_table_of_the_gallery_concerns_only_the_collections_that_it_names() -> None:
    gallery = gallery_of({"klee/a.jpg": b"-"})
    before = [collection.fingerprint for collection in list_collections(gallery)]
    gallery.write("metadata.csv", b"file_name,caption\nmonet/0.jpg,a hill\nmonet/9.jpg,a lake\n")
    klee, monet = list_collections(gallery)
    assert klee.fingerprint == before[0] and monet.fingerprint != before[1]
    captions, [finding] = read(gallery)
    assert captions == {"monet/0.jpg": "a hill"} and finding.keys == ("monet/9.jpg",)
    assert read_captions(gallery, klee.captions, klee.artworks, 10**9) == ({}, [])


def test_a_table_of_the_gallery_that_cannot_be_read_is_a_finding_of_every_collection() -> None:
    captions, [finding] = read(gallery_of({"metadata.parquet": b"PAR1 rubbish", "klee/a.jpg": b"-"}))
    assert captions == {} and finding.keys == ("metadata.parquet",)


def test_captions_for_no_folder_of_the_gallery_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    list_collections(gallery_of({"metadata.csv": b"file_name,caption\ntrain/0.jpg,a hill\n"}))
    assert "captions for files in no folder of it, such as train/0.jpg" in caplog.text


def test_names_in_either_unicode_normal_form_are_the_same() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Dürer") for form in ("NFC", "NFD"))
    files = {
        f"monet/{composed} 1.txt": b"one",
        "monet/metadata.csv": f"file_name,caption\n{decomposed} 2.jpg,two\n".encode(),
    }
    captions, findings = read(gallery_of(files, (f"{decomposed} 1.jpg", f"{composed} 2.jpg")))
    assert captions == {f"monet/{decomposed} 1.jpg": "one", f"monet/{composed} 2.jpg": "two"} and findings == []


UNKNOWN = {
    "monet/9.txt": b"a hill",
    "monet/captions.csv": b"file_name,caption\n0.jpg,a hill\n",
    "monet/metadata.json": b"[]",
    "monet/meta_cap.json": b"{}",
    "monet/0.tsv": b"a hill",
    "monet/00000.parquet": b"PAR1",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_may_hold_captions_and_does_not_fit_is_a_finding(name: str) -> None:
    captions, [finding] = read(gallery_of({name: UNKNOWN[name]}))
    assert captions == {} and (finding.kind, finding.keys) == ("captions", (name,))
    assert "cannot be matched with artworks: expected the name of an artwork" in finding.message


@pytest.mark.parametrize("name", ["monet/README.txt", "monet/license.txt", "monet/00000_stats.json", "monet/a.md"])
def test_files_that_never_hold_captions_are_no_finding(name: str) -> None:
    assert read(gallery_of({name: b"-"})) == ({}, [])


WRONG = {
    "monet/0.json": [b"{", b"[1, 2]", b"{}", b'{"title": "a hill"}', b'{"caption": ["a hill"]}', b"[" * 100_000],
    "monet/0.caption": [b"\xe9t\xe9", b"GIF89a\0\0", b"x" * (2**20 + 1)],
    "monet/metadata.csv": [
        b"file_name,label\n0.jpg,3\n",
        b"name,caption\n0.jpg,a hill\n",
        b"0.jpg,a hill\n",  # one row, and no header
        b"file_name,caption\n0.jpg," + b"a" * 2_000_000,
        b"file_name,caption\n0.jpg" + b",a" * 1_000_000,
        b'file_name,caption\n0.jpg,"a\n' + b'","b\n' * 500_000,
        bytes(64 * 2**20 + 1),
    ],
    "monet/metadata.jsonl": [b'{"file_name": "0.jpg"}\n', b"[" + b"[]," * 500_000 + b"1]"],
    "monet/metadata.parquet": [
        table_bytes(pa.table({"file_name": pa.nulls(2_000_000, pa.string())})),
        bomb("file_name"),
    ],
}
_CASES = [(name, number) for name, bodies in WRONG.items() for number in range(len(bodies))]


@pytest.mark.parametrize(("name", "number"), _CASES)
def test_what_cannot_be_read_or_is_far_too_large_is_one_finding(name: str, number: int) -> None:
    captions, [finding] = read(gallery_of({name: WRONG[name][number]}))
    assert captions == {} and (finding.kind, finding.keys) == ("captions", (name,))
    assert len(finding.message) < 300


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a hill,\nin \xe9t\xe9", "its text is not UTF-8 from line 2 on; save it as UTF-8"),
        (b"\xef\xbb\xbfin \xe9t\xe9", "its text is not UTF-8 from line 1 on; save it as UTF-8"),
        (b"\xff\xfe\x00", "its text is not whole UTF-16; save it as UTF-8"),
    ],
)
def test_a_text_in_another_encoding_is_told_in_plain_words(body: bytes, words: str) -> None:
    for name in ("monet/0.txt", "monet/0.json", "monet/metadata.csv", "monet/metadata.jsonl"):
        _, [finding] = read(gallery_of({name: body}))
        assert f"({words})" in finding.message and "codec" not in finding.message


@pytest.mark.parametrize("name", [name for name in FILES if "metadata" in name.lower()])
def test_more_rows_than_the_limit_are_a_finding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artbank.captions.caption_files._TABLE_LIMITS", Limits(num_rows=0, num_bytes=10**6))
    captions, [finding] = read(gallery_of({name: FILES[name]}))
    assert captions == {} and "expected at most 0 rows, found" in finding.message


def test_many_files_with_the_same_fault_are_one_finding() -> None:
    names = [f"{number}.jpg" for number in range(50)]
    files = {f"monet/{number}.json": b"{}" for number in range(50)}
    _, [finding] = read(gallery_of(files, tuple(names)))
    assert len(finding.keys) == 50 and "and 47 more cannot be read" in finding.message


def test_some_rows_without_caption_do_not_cost_the_others() -> None:
    body = b'{"file_name": "0.jpg"}\n{"file_name": "1.png", "text": "a lake"}\n{"file_name": "x", "text": null}\n'
    captions, [finding] = read(gallery_of({"monet/metadata.jsonl": body}))
    assert captions == {"monet/1.png": "a lake"} and finding.keys == ("monet/x",)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (
            "metadata.csv",
            b"file_name,caption\n1.png,ok\n0.jpg,a red, blue boat\n",
            "1 row (line 3 has more cells than the header; put captions with ',' between double quotes): correct or",
        ),
        ("metadata.csv", b"file_name;caption\n0.jpg;red; blue\n1.png;ok\n", "captions with ';' between double quotes"),
        ("metadata.csv", b"file_name,caption\n0.jpg," + b"a" * 200_000 + b"\n1.png,ok\n", "1 row (line 2 cannot be re"),
        ("metadata.csv", b"file_name,caption\n0.jpg," + b"a" * 2**20 + b"\n1.png,ok\n", "(line 2 is longer than 1,04"),
        (
            "metadata.csv",
            b'file_name,caption\n1.png,ok\n0.jpg,"a hill\nx,y\n',
            "line 3 begins a text with a double quo",
        ),
        ("metadata.csv", b'file_name,caption\n1.png,ok\n0.jpg,"' + b"a\n" * 2**20, "line 3 begins a text with a doubl"),
        (
            "metadata.jsonl",
            b'{"file_name": "0.jpg", "text": "' + b"a" * 2**20 + b'"}\n{"file_name": "1.png", "text": "ok"}',
            "(line 1 is longer than",
        ),
        ("metadata.jsonl", b'{"file_name": "1.png", "text": "ok"}\n{"file_na\n[3]\n', "2 rows (line 2 is no JSON: "),
        (
            "metadata.jsonl",
            b'{"file_name": 3, "text": "a"}\n{"file_name": "1.png", "text": "ok"}',
            "line 1 found a int",
        ),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_does_not_cost_the_others(name: str, body: bytes, words: str) -> None:
    captions, [finding] = read(gallery_of({f"monet/{name}": body}))
    assert captions == {"monet/1.png": "ok"} and finding.keys == (f"monet/{name}",)
    assert finding.message.startswith(f"monet/{name} is read without ") and words in finding.message


def test_of_many_bad_rows_three_are_named() -> None:
    body = b"file_name,caption\n1.png,ok\n" + b"0.jpg,a,b\n" * 9
    _, [finding] = read(gallery_of({"monet/metadata.csv": body}))
    assert "without 9 rows (line 3 has" in finding.message and ". line 5 has" in finding.message
    assert "quotes, and 6 more): correct or remove them" in finding.message


def test_a_table_whose_only_row_cannot_be_read_is_a_finding() -> None:
    captions, [finding] = read(gallery_of({"monet/metadata.csv": b'file_name,caption\n0.jpg,"a hill\n1.png,a lake\n'}))
    assert captions == {} and "cannot be read (line 2 begins a text with a double quote" in finding.message


@pytest.mark.parametrize(
    "body",
    [
        b'file_name,caption\n0.jpg,"a red, ""old"" boat"\n1.png,"The hill" by Anna\n',
        b'file_name,caption\r0.jpg,"a red, ""old"" boat"\r1.png,The hill by Anna',
        b'file_name,caption,,\r\n,,,\r\n0.jpg,"a red,\r\n""old"" boat",, ,\r\n1.png,"The hill by Anna"',
    ],
    ids=["quotes", "lines as old Macs end them", "empty cells and rows of spreadsheets"],
)
def test_a_table_that_a_spreadsheet_wrote_is_read(body: bytes) -> None:
    expected = {"monet/0.jpg": 'a red, "old" boat', "monet/1.png": "The hill by Anna"}
    assert read(gallery_of({"monet/metadata.csv": body})) == (expected, [])


ROWS = {"file_name": ["0.jpg", None, None, "1.png"], "caption": ["a hill", "a lake", None, None]}
NAMELESS = {
    "metadata.csv": b"file_name,caption\n0.jpg,a hill\n,a lake\n,\n1.png,\n",
    "metadata.jsonl": b'{"file_name": "0.jpg", "text": "a hill"}\n{"file_name": null, "text": "a lake"}\n'
    b'{"file_name": null, "text": NaN}\n{"file_name": "1.png", "text": NaN}',
    "metadata.parquet": table_bytes(pa.table(ROWS)),
}


@pytest.mark.parametrize("name", NAMELESS)
def test_a_row_without_a_file_name_does_not_cost_the_others(name: str) -> None:
    captions, [finding] = read(gallery_of({f"monet/{name}": NAMELESS[name]}))
    assert captions == {"monet/0.jpg": "a hill"}
    assert "captions for images that are not there (1 file, such as monet/(no file name))" in finding.message


def test_the_cost_of_captions_grows_no_faster_than_their_number() -> None:
    """Each text was once compared with each artwork: 2,000 took 19 s of CPU."""
    number = 4000
    files = {f"monet/{i}.txt": b"a hill by the sea" for i in range(number)}
    gallery = gallery_of(files, tuple(f"{i}.jpg" for i in range(number)))
    collection = monet(gallery)
    start = time.process_time()
    captions, _ = read_captions(gallery, collection.captions, collection.artworks, 10**9)
    assert len(captions) == number
    assert time.process_time() - start < 4
