"""Captions of photos: where they are found, what they draw, and that a changed one draws one picture again."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from artbank.archive.photo_captions import add_captions
from artbank.archive.plan import plan_archive
from artbank.config import StylizeConfig
from artbank.images.xmp_packets import DC, localized, write_packet
from artbank.results import attempts, pending
from artbank.results.archive_listing import list_archive
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from artbank.store.skipped import SkippedFiles
from tests.support import shards
from tests.support.image_files import save
from tests.support.small_inputs import STYLIZE

RECIPE = STYLIZE.model_copy(update={"photo_captions": True})


def sidecar_xmp(text: str = "") -> bytes:
    return write_packet([localized(f"{{{DC}}}description", text)] if text else [])


def read(files: dict[str, bytes], photos: tuple[str, ...] = ("a.jpg",)) -> tuple[dict[str, str | None], dict[str, int]]:
    """Return the captions of an archive by key, and the numbers of skipped files by kind."""
    archive = Store.open("memory://photo-captions")
    archive.delete_many([stored.key for stored in archive.list()])
    archive.write_many(dict.fromkeys(photos, b"-") | files)
    listed: list[Any] = []
    skipped = SkippedFiles()
    found = list_archive(archive, skipped=skipped, captions=listed)
    found = add_captions(archive, found, found, listed, max_bytes=10**6, skipped=skipped)
    captions = dict(zip(found["key"].to_pylist(), found["caption"].to_pylist(), strict=True))
    return captions, {kind.kind: kind.count for kind in skipped.kinds()}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


SOURCES = [  # later ones take precedence
    ("metadata.parquet", table_bytes(pa.table({"file_name": ["2026/a.jpg"], "caption": ["0"], "width": [3]}))),
    ("2026/metadata.csv", b"file_name,caption\na.jpg,1\n"),
    ("2026/metadata.jsonl", b'{"file_name": "a.jpg", "text": "2"}\n'),
    ("2026/a.xmp", sidecar_xmp("3")),
    ("2026/a.jpg.json", b'{"caption": 4}'),
    ("2026/a.Caption", b"5"),
    ("2026/a.txt", "\ufeff6\r\n".encode("utf-16-le")),
]


@pytest.mark.parametrize("number", range(len(SOURCES)))
def test_of_several_captions_the_one_nearest_to_the_photo_counts(number: int) -> None:
    assert read(dict(SOURCES[: number + 1]), ("2026/a.jpg", "b.jpg")) == (
        {"2026/a.jpg": str(number), "b.jpg": None},
        {},
    )


def test_a_broken_sidecar_costs_its_own_caption_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    files = {
        "a.txt": b"\xff\xfe\x00",  # half a character of UTF-16
        "b.json": b'{"caption": ["lilies"]}',
        "c.txt": b"x" * (2**20 + 1),
        "d.txt": b"a bridge",
        "e.xmp": sidecar_xmp(),  # only edits: no caption, and nothing is wrong
        "notes.txt": b"buy film",
        "@eaDir/d.txt": b"of a thumbnail",
    }
    captions, skipped = read(files, tuple(f"{name}.jpg" for name in "abcde"))
    assert captions == {**dict.fromkeys(("a.jpg", "b.jpg", "c.jpg", "e.jpg")), "d.jpg": "a bridge"}
    assert skipped == {"caption": 3, "no_photo": 2}
    told = warnings(caplog)
    assert len(told) == 3 and all(any(key in line for line in told) for key in ("a.txt", "b.json", "c.txt"))


@pytest.mark.parametrize("name", ["captions.csv", "2026/metadata.json", "0.txt", "labels.tsv", "b.parquet"])
def test_files_of_captions_that_fit_no_photo_are_told_if_no_other_file_has_a_caption(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read({name: b"a bridge"}) == ({"a.jpg": None}, {"no_photo": 1})
    [told] = warnings(caplog)
    assert f"{name} may hold captions but cannot be matched with photos: expected the name of a photo" in told
    caplog.clear()
    assert read({name: b"a bridge", "a.txt": b"a bridge"}) == ({"a.jpg": "a bridge"}, {"no_photo": 1})
    assert warnings(caplog) == []


@pytest.mark.parametrize("name", ["README.txt", "a.pdf", "@eaDir/a.txt"])
def test_files_that_never_hold_captions_are_not_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read({name: b"-"}) == ({"a.jpg": None}, {"no_photo": 1})
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("body", "caption"),
    [
        (b"", ""),
        (b" lilies,\n\tat dusk \r\n", "lilies, at dusk"),
        (b"\x1b[31mred\x07 \xe2\x80\xaeback\xe2\x80\xac", "[31mred back"),
        (json.dumps("half a pair: \ud83c.").encode(), "half a pair: ."),
        (b"word " * 400, ("word " * 100).strip()),
    ],
)
def test_a_caption_is_one_line_of_at_most_500_printable_characters(body: bytes, caption: str) -> None:
    assert read({"a.json" if body.startswith(b'"') else "a.txt": body}) == ({"a.jpg": caption}, {})


@pytest.fixture
def archive(photos: Store) -> Store:
    """Six photos: the second has a caption beside it, the third in a table, the fourth in its Exif and in a file."""
    table = [{"file_name": "2.jpg", "caption": "a harbour"}, {"file_name": "3.jpg", "caption": "hills"}]
    files = {"1.txt": b"lilies", "metadata.jsonl": "\n".join(map(json.dumps, table)).encode(), "5.txt": b""}
    photos.write_many(files | {key: described(photos.read(key), "a bridge") for key in ("0.jpg", "3.jpg", "5.jpg")})
    return photos


def described(photo: bytes, text: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = text
    return save(Image.open(io.BytesIO(photo)), "JPEG", exif=exif.tobytes())


def asked(archive: Store, shelf: str, **values: Any) -> StylizeConfig:
    return shards.asked(archive, shelf, **{"recipe": RECIPE, **values})


def test_rows_tell_the_caption_that_drew_a_picture(archive: Store, shelf: str) -> None:
    rows = shards.work(asked(archive, shelf))
    assert {key: (row.caption, row.caption_source) for key, row in rows.items()} == {
        "0.jpg": ("a bridge", "photo"),
        "1.jpg": ("lilies", "file"),
        "2.jpg": ("a harbour", "file"),
        "3.jpg": ("hills", "file"),
        "4.jpg": (None, None),
        "5.jpg": ("", "file"),
    }


def drawn_again(config: StylizeConfig, before: dict[str, Any]) -> set[str]:
    """Return the photos with a newer row after another run, whose tasks are as many."""
    num_tasks = plan_archive(config)[0].num_tasks
    after = shards.work(config)
    changed = {key for key, row in after.items() if before.get(key) != row}
    assert num_tasks == len(changed)
    return changed


def test_a_changed_caption_draws_that_picture_again_and_no_other(archive: Store, shelf: str) -> None:
    config = asked(archive, shelf)
    rows = shards.work(config)
    pictures = shards.pictures(config)
    assert drawn_again(config, rows) == set()
    archive.write("1.txt", b" lilies\n")  # the same caption in other bytes
    assert drawn_again(config, rows) == set()
    table = [{"file_name": "2.jpg", "caption": "a port"}, {"file_name": "3.jpg", "caption": "hills"}]
    archive.write("metadata.jsonl", "\n".join(map(json.dumps, table)).encode())
    assert drawn_again(config, rows) == {"2.jpg"}
    after = shards.pictures(config)
    assert {name for name, data in after.items() if pictures[name] != data} == {"2.jpg"}
    rows = shards.work(config)
    archive.delete_many(["1.txt"])
    archive.write("4.txt", b"snow")
    assert drawn_again(config, rows) == {"1.jpg", "4.jpg"}
    rows = shards.work(config)
    archive.write("5.txt", b"\xff")  # broken: its photo has a description of its own
    assert drawn_again(config, rows) == {"5.jpg"}
    assert shards.rows(config)["5.jpg"].caption == "a bridge"


def test_a_photo_with_new_times_keeps_its_picture_if_its_caption_is_the_same(archive: Store, shelf: str) -> None:
    config = asked(archive, shelf)
    before = shards.work(config)
    for key in ("1.jpg", "2.jpg"):
        Path(archive.uri, key).touch()
    archive.write("2.txt", b"a port")
    plan, shard, _ = plan_archive(config)
    after = shards.work(config)
    assert (plan.num_tasks, len(shard)) == (2, 1)
    assert after["1.jpg"].seconds == before["1.jpg"].seconds and after["1.jpg"].etag != before["1.jpg"].etag
    assert after["2.jpg"].caption == "a port" and after["2.jpg"].file_sha256 != before["2.jpg"].file_sha256


def test_captions_change_pictures_only_where_they_are_asked_for(archive: Store, shelf: str) -> None:
    plain = shards.asked(archive, shelf, output=str(Path(archive.uri).parent / "plain"))
    rows = shards.work(plain)
    assert {row.caption for row in rows.values()} == {None} and plain.recipe.photo_captions is False
    pictures = shards.pictures(plain)
    captioned = asked(archive, shelf)
    shards.work(captioned)
    same = {name for name, data in shards.pictures(captioned).items() if data == pictures[name]}
    assert same == {"4.jpg", "5.jpg"}, "those without a caption follow the recipe's prompt"


def test_captions_are_read_only_for_the_photos_that_are_selected(archive: Store, shelf: str) -> None:
    archive.write("4.txt", b"\xff")
    rows = shards.work(asked(archive, shelf, include=("[123].jpg",)))
    assert {key: row.caption for key, row in rows.items()} == {
        "1.jpg": "lilies",
        "2.jpg": "a harbour",
        "3.jpg": "hills",
    }
    assert {kind.kind for kind in plan_archive(asked(archive, shelf, include=("[123].jpg",)))[0].skipped} == set()
    assert {kind.kind for kind in plan_archive(asked(archive, shelf))[0].skipped} == {"caption"}


def test_the_marks_of_a_shard_stay_until_its_captions_are_drawn(archive: Store, shelf: str) -> None:
    """A worker that still draws another caption may overwrite the picture, so its mark must not be deleted."""
    config = asked(archive, shelf)
    output = Store.open(config.output_uri)
    _, [first, *_], _ = plan_archive(config)
    attempts.start(output, first.id, {}, after=None)
    archive.write("1.txt", b"a pond")
    shards.work(config)
    pending.delete_settled_marks(output)
    assert set(attempts.find_unfinished(output)) == {first.id}
