"""Photos that the store does not deliver: each is one failed row, and the others are read."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem

from artbank.archive import photo_reader
from artbank.archive.photo_reader import DecodedPhoto, PhotoReader, RejectedPhoto
from artbank.errors import StopRequested
from artbank.images.codec_jobs import DecodeOptions
from artbank.images.pool import open_codec_pool
from artbank.records.photo_records import PhotoTask
from artbank.results import attempts, pending
from artbank.runtime import processes
from artbank.store.backends import s3_session
from artbank.store.objects import Store
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.small_inputs import draw_photo
from tests.support.steering_servers import Dripper, run_server
from tests.support.unprivileged import as_nobody

OPTIONS = DecodeOptions(max_pixels=10**6, alpha="keep", size="working", short_px=32, multiple_px=8, seconds=60.0)


def read(archive: Store, output: str | Path) -> dict[str, str | None]:
    """Read all photos of an archive; returns the reason of each that was rejected, None for the others."""
    reader = PhotoReader(archive, open_codec_pool(), OPTIONS, max_bytes=10**6, count=4)
    tasks = [PhotoTask(stored.key, stored.size, stored.etag, ["monet"], None) for stored in archive.list()]
    attempt = attempts.start(Store.open(str(output)), "m-00000", {})
    found: dict[str, str | None] = {}
    for photo in reader.read(tasks, {}, attempt):
        if isinstance(photo, RejectedPhoto):
            assert photo.error.failure in pending.PASSING_FAILURES
            found[photo.task.key] = photo.error.reason
        else:
            assert isinstance(photo, DecodedPhoto)
            found[photo.task.key] = None
    return found


def test_a_photo_that_may_not_be_read_is_rejected(shared_path: Path) -> None:
    archive = Store.open(str(shared_path))
    archive.write_many({"a.jpg": draw_photo(1), "shut.jpg": draw_photo(2)})
    (shared_path / "shut.jpg").chmod(0o600 if os.geteuid() == 0 else 0)
    with as_nobody():
        found = read(archive, shared_path / ".output")
    assert found["a.jpg"] is None and "run as a user who has it" in str(found["shut.jpg"])


@pytest.fixture
def bucket(moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]) -> str:
    uri = use_endpoint(moto_endpoint)
    Store.open(uri).write_many({"a.jpg": draw_photo(1), "b.jpg": draw_photo(2)})
    return uri


def test_a_photo_in_cold_storage_is_rejected(bucket: str, moto_endpoint: rgw.Endpoint, tmp_path: Path) -> None:
    fs = S3FileSystem(endpoint_url=moto_endpoint.url)
    fs.call_s3("put_object", Bucket=bucket.removeprefix("s3://"), Key="cold.jpg", Body=b"1", StorageClass="GLACIER")
    found = read(Store.open(bucket), tmp_path)
    assert "the object is in cold storage; restore it first" in str(found.pop("cold.jpg"))
    assert found == {"a.jpg": None, "b.jpg": None}


def test_a_photo_that_the_store_refuses_is_rejected(
    bucket: str, moto_endpoint: rgw.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_flaky(moto_endpoint) as flaky:
        flaky.denied_key = "b.jpg"
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        found = read(Store.open(bucket), tmp_path)
    assert found.pop("a.jpg") is None
    assert "the store refuses access" in str(found["b.jpg"])


def test_a_stop_does_not_wait_for_a_store_that_drips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_STOP_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(s3_session, "longest_seconds", lambda num_bytes: 1e6)  # the client never gives up
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    attempt = attempts.start(Store.open(str(tmp_path)), "m-00000", {})
    tasks = [PhotoTask(f"{n}.jpg", 100_000, "etag", ["monet"], None) for n in range(3)]
    with run_server(Dripper, length=100_000) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        reader = PhotoReader(Store.open("s3://bucket/photos"), open_codec_pool(), OPTIONS, max_bytes=10**6, count=4)
        should_stop = vars(server)["is_dripping"].is_set
        with pytest.raises(StopRequested):
            list(reader.read(tasks, {}, attempt, should_stop))
    assert not s3_session._reads


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, b""), "is not any more"),
        ((200, b""), "bytes are listed, 0 were delivered"),
        ((200, b"<html>502 Bad Gateway</html>"), "bytes are listed, 28 were delivered"),
        ((200, draw_photo(2)[:700]), "bytes are listed, 700 were delivered"),
    ],
)
def test_a_photo_that_the_store_delivers_otherwise_than_listed_is_tried_again_by_the_next_run(
    bucket: str, moto_endpoint: rgw.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str
) -> None:
    with run_flaky(moto_endpoint) as flaky:
        flaky.answers = {"b.jpg": answer}
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        found = read(Store.open(bucket), tmp_path)
    assert found.pop("a.jpg") is None
    assert reason in str(found["b.jpg"])


def test_a_photo_that_is_replaced_during_the_run_is_tried_again_and_one_that_is_no_image_is_not(tmp_path: Path) -> None:
    archive = Store.open(str(tmp_path / "photos"))
    archive.write_many({"a.jpg": draw_photo(1), "empty.jpg": b"", "torn.jpg": draw_photo(1)[:300]})
    reader = PhotoReader(archive, open_codec_pool(), OPTIONS, max_bytes=10**6, count=4)
    tasks = [PhotoTask(stored.key, stored.size, stored.etag, ["monet"], None) for stored in archive.list()]
    archive.write("a.jpg", draw_photo(1) + b"more")
    attempt = attempts.start(Store.open(str(tmp_path / "output")), "m-00000", {})
    found = {one.task.key: one.error.failure for one in reader.read(tasks, {}, attempt)}  # type: ignore[union-attr]
    assert found == {"a.jpg": "store_error", "empty.jpg": "unreadable", "torn.jpg": "unreadable"}


def test_files_that_were_decoded_are_no_longer_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_files, size = 24, 4 * 2**20
    monkeypatch.setattr(photo_reader, "_BYTES_AHEAD", 2 * size)
    archive = Store.open(str(tmp_path / "photos"))
    archive.write_many({f"{n:02d}.jpg": draw_photo(n % 3).ljust(size, b"\0") for n in range(num_files)})
    tasks = [PhotoTask(stored.key, stored.size, stored.etag, ["monet"], None) for stored in archive.list()]
    attempt = attempts.start(Store.open(str(tmp_path / "output")), "m-00000", {})
    reader = PhotoReader(archive, open_codec_pool(), OPTIONS, max_bytes=2 * size, count=4)
    tracemalloc.start()
    try:
        live = [tracemalloc.get_traced_memory()[0] / size for photo in reader.read(tasks, {}, attempt)]
    finally:
        tracemalloc.stop()
    assert len(live) == num_files
    assert max(live) < 8, "files: at most two that are read, two that are decoded, and those between the two stages"
