"""Listings of archives: what is no photo, what may not be read, and how a changed photo is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artbank.results import archive_listing, ledger, pending, tables
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles
from tests.support.rows import result
from tests.support.unprivileged import as_nobody


def to_do(photos: pa.Table, etag: str, **facts: object) -> list[str]:
    """Return the photos to draw where `a.jpg` has a row with an etag."""
    done = ledger.latest_rows(pa.Table.from_pylist([vars(result("a.jpg", etag=etag, **facts))], ledger.Result.SCHEMA))
    columns = done.select(pending.DONE_COLUMNS)
    return pending.find_pending(photos, columns, {"monet": "r1"}, retry_failed=False)["key"].to_pylist()


def etag_of(photos: pa.Table) -> str:
    [etag] = photos["etag"].to_pylist()
    return etag


def test_what_is_no_photo_is_counted_by_rules_that_may_be_changed(store_uri: str) -> None:
    archive = Store.open(store_uri)
    no_photos = ("2019/@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_XL.jpg", "2019/IMG_1.xmp", "IMG_1.MOV", "Thumbs.db")
    archive.write_many(dict.fromkeys(("2019/IMG_1.jpg", "IMG_1.NEF", *no_photos), b"1"))
    skipped = SkippedFiles()
    photos = archive_listing.list_archive(archive, skipped=skipped)
    assert photos["key"].to_pylist() == ["2019/IMG_1.jpg", "IMG_1.NEF"]
    assert [(kind.kind, kind.count, kind.names) for kind in skipped.kinds()] == [("no_photo", 4, no_photos)]
    changed = archive_listing.list_archive(archive, ["*.nef", "!@eadir/"])
    assert changed["key"].to_pylist() == ["2019/@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_XL.jpg", "2019/IMG_1.jpg"]


def test_files_that_may_hold_photos_inside_are_counted_apart_unless_a_rule_was_asked_to_skip_them(
    store_uri: str,
) -> None:
    archive = Store.open(store_uri)
    packed = ("2019.zip", "2020/IMG.TAR", "2021.tar.gz", "2022.7z")
    archive.write_many(dict.fromkeys(("a.jpg", "a.xmp", "log.gz", "@eaDir/b.zip", *packed), b"1"))
    skipped = SkippedFiles()
    assert archive_listing.list_archive(archive, skipped=skipped)["key"].to_pylist() == ["a.jpg"]
    assert [(kind.kind, kind.names) for kind in skipped.kinds()] == [
        ("container", packed),
        ("no_photo", ("@eaDir/b.zip", "a.xmp", "log.gz")),
    ]
    asked = SkippedFiles()
    archive_listing.list_archive(archive, ["*.zip", "2020/"], skipped=asked)
    assert asked.kinds()[0].names == ("2021.tar.gz", "2022.7z")


def test_rows_of_a_folder_that_may_not_be_read_any_more_stay_in_the_tables(shared_path: Path, tmp_path: Path) -> None:
    archive, output = Store.open(str(shared_path)), Store.open(str(tmp_path))
    archive.write_many(dict.fromkeys(("a/1.jpg", "a b/2.jpg", "gone.jpg"), b"1"))
    ledger.commit(output, "m-00000", [result(key) for key in ("a/1.jpg", "a b/2.jpg", "gone.jpg")])
    archive.delete_many(["gone.jpg", "a b/2.jpg"])
    (shared_path / "a").chmod(0o700 if os.geteuid() == 0 else 0)
    with as_nobody():
        photos = archive_listing.list_archive(archive)
    tables.update_tables_and_vacuum(output, photos)
    assert pq.read_table(tmp_path / "results.parquet")["key"].to_pylist() == ["a/1.jpg"]
    before = output.list()
    tables.update_tables_and_vacuum(output, photos)
    assert output.list() == before


def replaced_in_place(path: Path) -> None:
    path.write_bytes(b"two")


def replaced_by_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"two")
    other.replace(path)


@pytest.mark.parametrize("replace", [replaced_in_place, replaced_by_another])
def test_another_content_of_the_same_size_and_time_is_noticed(tmp_path: Path, replace: Callable[[Path], None]) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    archive, facts = Store.open(str(tmp_path)), path.stat()
    before = archive_listing.list_archive(archive)
    assert to_do(before, etag_of(before)) == []
    replace(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    after = archive_listing.list_archive(archive)
    assert to_do(after, etag_of(before)) == ["a.jpg"]


def test_rows_of_older_versions_hold_until_size_or_time_change(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    archive, facts = Store.open(str(tmp_path)), (tmp_path / "a.jpg").stat()
    older = f"{facts.st_size}-{facts.st_mtime_ns}"
    photos = archive_listing.list_archive(archive)
    assert etag_of(photos) == f"{older}-{facts.st_ctime_ns}"
    assert to_do(photos, older) == []
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    assert to_do(archive_listing.list_archive(archive), older) == ["a.jpg"]


def test_a_checksum_is_compared_with_that_of_the_row(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    archive = Store.open(str(tmp_path))
    photos = archive_listing.list_archive(archive, checksum=True)
    assert to_do(photos, "3-1-1", sha256=etag_of(photos)) == []  # whatever its times were
    assert to_do(photos, "3-1-1", sha256="0" * 64) == ["a.jpg"]


def test_in_a_store_with_etags_a_checksum_reads_nothing(s3_store: str) -> None:
    archive = Store.open(s3_store)
    archive.write("a.jpg", b"one")
    assert archive_listing.list_archive(archive, checksum=True).equals(archive_listing.list_archive(archive))


@pytest.mark.parametrize(
    ("failure", "is_tried_again"),
    [("store_error", True), ("removed", True), ("damaged", True), ("out_of_memory", True), ("unreadable", False)],
)
def test_what_store_or_machine_caused_is_tried_again_and_what_the_file_is_lasts(
    tmp_path: Path, failure: str, is_tried_again: bool
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    photos = archive_listing.list_archive(Store.open(str(tmp_path)))
    failed = {"status": "failed", "failure": failure, "sha256": None}
    assert to_do(photos, etag_of(photos), **failed) == ["a.jpg"] * is_tried_again
