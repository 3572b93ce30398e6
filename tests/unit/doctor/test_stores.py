"""The doctor checks real stores: folders, a gateway, another server, a closed port."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from s3fs import S3FileSystem

from artbank.doctor.checks import Check, CheckResult, run_checks
from artbank.doctor.stores import check_input, check_output
from artbank.store.objects import Store
from tests.support import rgw, unprivileged
from tests.support.small_inputs import listing

NOBODY = 65534


def told(verdicts: Iterator[CheckResult]) -> tuple[str, str]:
    """Return level and words of the only verdict."""
    [verdict] = verdicts
    return verdict.level, f"{verdict.text} -> {verdict.advice}"


def forbid(endpoint: rgw.Endpoint, uri: str, *actions: str) -> None:
    """Take rights to a bucket from everybody."""
    bucket = uri.removeprefix("s3://")
    named = ", ".join(f'"{action}"' for action in actions)
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        f'"Action": [{named}], "Resource": ["arn:aws:s3:::{bucket}", "arn:aws:s3:::{bucket}/*"]}}]}}'
    )
    S3FileSystem(endpoint_url=endpoint.url).call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """An empty folder, and the rights of a user who owns nothing; root may write anywhere."""
    with tempfile.TemporaryDirectory(prefix="nobody-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        is_root = os.geteuid() == 0
        os.seteuid(NOBODY) if is_root else folder.chmod(0o555)
        yield folder
        os.seteuid(0) if is_root else folder.chmod(0o755)


def test_a_store_that_can_be_written_is_left_as_it_was(store_uri: str) -> None:
    store = Store.open(store_uri)
    store.write("banks/a", b"1")
    before = [stored.key for stored in store.list()]
    assert told(check_output(store_uri)) == (
        "OK",
        f"{store_uri} can be written, read and listed, and supports conditional creation -> ",
    )
    assert [stored.key for stored in store.list()] == before


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert told(check_output(str(tmp_path / "deep/store")))[0] == "OK"
    assert listing(tmp_path) == {} and list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_a_problem(as_nobody: Path) -> None:
    for uri in (str(as_nobody), str(as_nobody / "new")):
        level, words = told(check_output(uri))
        assert level == "problem" and "no permission to write" in words and "change the folder's owner or mode" in words


@pytest.mark.parametrize(
    ("action", "what"),
    [("s3:PutObject", "write"), ("s3:GetObject", "read"), ("s3:ListBucket", "list"), ("s3:DeleteObject", "delete")],
)
def test_a_right_that_lacks_is_named(s3_store: str, s3_endpoint: rgw.Endpoint, action: str, what: str) -> None:
    forbid(s3_endpoint, s3_store, action)
    [*_, verdict] = check_output(s3_store)
    assert verdict.level == "problem" and f"no permission to {what}" in verdict.text
    assert verdict.advice == f"allow {action} to AWS_ACCESS_KEY_ID"


def test_what_is_read_only_is_enough_for_a_gallery(s3_store: str, s3_endpoint: rgw.Endpoint) -> None:
    Store.open(s3_store).write_many({"novak/1.png": b"12345", "novak/2.png": b"1"})
    forbid(s3_endpoint, s3_store, "s3:PutObject", "s3:DeleteObject")
    assert told(check_input(s3_store)) == ("OK", f"{s3_store} can be listed and read: 2 objects, 6 bytes -> ")
    [refused] = check_output(s3_store)
    assert refused.level == "problem"


@pytest.mark.parametrize("right", ["s3:ListBucket", "s3:GetObject"])
def test_a_gallery_that_cannot_be_listed_or_read_is_a_problem(
    s3_store: str, s3_endpoint: rgw.Endpoint, right: str
) -> None:
    Store.open(s3_store).write("novak/1.png", b"1")
    forbid(s3_endpoint, s3_store, right)
    level, words = told(check_input(s3_store))
    assert level == "problem" and f"allow {right} " in words


def test_an_empty_gallery_is_a_problem(store_uri: str) -> None:
    assert told(check_input(store_uri)) == (
        "problem",
        f"{store_uri} is empty -> check its name, and the endpoint",
    )


def test_one_thing_that_may_not_be_read_is_a_warning(shared_path: Path) -> None:
    archive = Store.open(str(shared_path))
    archive.write_many({"a.jpg": b"1", "b.jpg": b"22", "lost+found/c": b"1", "a.xmp": b""})
    closed = 0 if os.geteuid() else 0o600
    for name in ("a.jpg", "lost+found"):
        (shared_path / name).chmod(closed)
    with unprivileged.as_nobody():
        fine, unread, skipped = check_input(archive.uri)
    assert (fine.level, unread.level, skipped.level) == ("OK", "warning", "warning")
    assert "can be listed and read: 2 objects" in fine.text
    assert "a.jpg cannot be read" in unread.text and "no permission for" in unread.text
    assert "1 file is skipped (unreadable), such as lost+found" in skipped.text


def test_an_archive_of_no_photos_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_bytes(b"1")
    words = f"{tmp_path} holds nothing but files to skip, such as a.xmp -> check its name, and the endpoint"
    assert told(check_input(str(tmp_path))) == ("problem", words)


def test_files_that_may_hold_photos_inside_are_a_warning(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.zip", "c.tar"):
        (tmp_path / name).write_bytes(b"1")
    _, warning = check_input(str(tmp_path))
    assert (warning.level, warning.text) == ("warning", f"{tmp_path}: 2 files are skipped (container), such as b.zip")
    assert "Unpack it" in str(warning.advice)


def test_a_file_in_place_of_a_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    for check in (check_input, check_output):
        [found] = check(str(tmp_path / "a.jpg"))
        assert (found.level, found.advice) == ("problem", "name a folder")
        assert found.text == f"{tmp_path / 'a.jpg'} is a file, or lies below one"


def test_one_file_is_counted_in_the_singular(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    assert "can be listed and read: 1 object, 1 byte" in told(check_input(str(tmp_path)))[1]


def test_a_versioned_bucket_that_ignores_conditions_is_a_problem_and_left_empty(
    s3_store: str, s3_endpoint: rgw.Endpoint
) -> None:
    fs, bucket = S3FileSystem(endpoint_url=s3_endpoint.url), s3_store.removeprefix("s3://")
    fs.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ignored, keeping = check_output(s3_store)
    assert ignored.level == "problem" and "ignores If-None-Match" in ignored.text
    assert keeping.level == "warning" and "keeps older versions" in keeping.text
    left = fs.call_s3("list_object_versions", Bucket=bucket)
    assert not left.get("Versions") and not left.get("DeleteMarkers")


def test_a_versioned_bucket_that_keeps_conditions_is_a_warning(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]
) -> None:
    uri = use_endpoint(moto_endpoint)
    fs, bucket = S3FileSystem(endpoint_url=moto_endpoint.url), uri.removeprefix("s3://")
    fs.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert [verdict.level for verdict in check_output(uri)] == ["OK", "warning"]
    left = fs.call_s3("list_object_versions", Bucket=bucket)
    assert not left.get("Versions") and not left.get("DeleteMarkers")


def test_a_bucket_that_is_not_there_is_named(s3_store: str) -> None:
    for check in (check_input, check_output):
        level, words = told(check("s3://no-such-bucket/store"))
        assert level == "problem" and "no-such-bucket" in words and "create the bucket" in words


def test_wrong_and_lacking_credentials_are_told_apart(s3_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-that+nobody/tells")
    level, words = told(check_input(s3_store))
    assert level == "problem" and "no permission to list" in words and "nobody" not in words
    S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    level, words = told(check_input(s3_store))
    S3FileSystem.clear_instance_cache()
    assert level == "problem" and "set AWS_ACCESS_KEY_ID" in words


def test_a_uri_with_a_password_is_refused_without_telling_it() -> None:
    level, words = told(check_output("s3://me:nobody+tells@bucket/x"))
    assert level == "problem" and "s3://***@bucket/x" in words


def test_an_endpoint_that_does_not_answer_is_given_up_before_its_client_gives_up(
    s3_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_ended = Event()

    def check() -> Iterator[CheckResult]:
        try:
            yield from check_output(s3_store)
        finally:
            has_ended.set()

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = run_checks([Check("store", check, may_hang=True)], 2)
        assert not has_ended.is_set()
    [verdict] = found["store"]
    assert (verdict.level, verdict.text, verdict.is_late) == ("problem", "no answer within 2 s", True)
