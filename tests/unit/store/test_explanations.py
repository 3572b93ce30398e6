"""Errors of libraries, each raised for real, as one line that says what to do."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artbank.errors import BankError, ConfigError
from artbank.store.backends import s3
from artbank.store.explanations import explain, is_explained
from artbank.store.objects import Store
from tests.support import rgw
from tests.support.bad_servers import closing_server, web_server
from tests.support.unprivileged import NOBODY, open_folder


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try each request once, with a client that has not kept the credentials of another test."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    monkeypatch.setitem(s3._CLIENT_CONFIG, "retries", {"mode": "standard", "total_max_attempts": 1})


@pytest.fixture
def moto(moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], patience: None) -> str:
    """URI of an empty bucket on moto; no credentials are found but those of the environment."""
    return use_endpoint(moto_endpoint)


@pytest.fixture(autouse=True)
def no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the credentials of this machine and of its user."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def line_of(act: Callable[[], Any]) -> str:
    """Return the explanation of the error that an action raises."""
    with pytest.raises(Exception) as caught:
        act()
    assert is_explained(caught.value), repr(caught.value)
    line = explain(caught.value)
    assert "\n" not in line and "Traceback" not in line
    return line


def scan(uri: str) -> Callable[[], Any]:
    return lambda: Store.open(uri).list()


def test_no_credentials(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert line_of(scan(moto)).startswith("no credentials for S3 were found; set AWS_ACCESS_KEY_ID")


def test_half_of_the_credentials(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in line_of(scan(moto))


def test_a_profile_that_is_not_there(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "curator")
    assert line_of(scan(moto)).endswith("profile (curator) could not be found; correct or unset AWS_PROFILE")


def test_a_configuration_that_is_none(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default\nregion")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert "correct ~/.aws/config" in line_of(scan(moto))


@pytest.mark.parametrize("path", ["nosuchbucket-4711", "nosuchbucket-4711/photos"])
def test_a_bucket_that_is_not_there(moto: str, path: str) -> None:
    line = line_of(scan(f"s3://{path}"))
    assert line == f"s3://{path}: there is no such bucket; correct its name, or create it"


def test_an_object_that_is_not_there(moto: str) -> None:
    assert line_of(lambda: Store.open(moto).read("a")).endswith("/a: there is no such object; correct its name")


@pytest.mark.parametrize(
    ("key", "secret", "advice"),
    [("stranger", "testing", "correct AWS_ACCESS_KEY_ID"), (None, "wrong", "correct AWS_SECRET_ACCESS_KEY")],
)
def test_keys_that_the_store_refuses(
    s3_store: str, monkeypatch: pytest.MonkeyPatch, patience: None, key: str | None, secret: str, advice: str
) -> None:
    if key is not None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    assert advice in line_of(scan(s3_store))


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "host", "s3://host", "http://", "me:secret@host:9000"])
def test_an_endpoint_that_is_no_address(moto: str, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    line = line_of(scan(moto))
    assert line.startswith("AWS_ENDPOINT_URL: expected an address such as http://host:9000, found")
    assert "secret" not in line


@pytest.fixture(params=["dead", "closing", "page", "untrusted", "plain"])
def other_end(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address of something that is no S3 server, and what to do."""
    if request.param == "dead":
        yield f"http://127.0.0.1:{rgw.free_port()}", "check that the store is running, AWS_ENDPOINT_URL"
    elif request.param == "closing":
        with closing_server() as port:
            yield f"http://127.0.0.1:{port}", "check that the store is running, AWS_ENDPOINT_URL"
    elif request.param == "page":
        with web_server() as port:
            yield f"http://127.0.0.1:{port}", "such as a web page; check AWS_ENDPOINT_URL"
    elif request.param == "untrusted":
        with web_server(tmp_path) as port:
            yield f"https://127.0.0.1:{port}", "set AWS_CA_BUNDLE"
    else:
        with web_server() as port:
            yield f"https://127.0.0.1:{port}", "write http:// instead of https:// in AWS_ENDPOINT_URL"


def test_an_endpoint_where_something_else_answers(
    moto: str, monkeypatch: pytest.MonkeyPatch, other_end: tuple[str, str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", other_end[0])
    assert other_end[1] in line_of(scan(moto))


def test_a_host_that_nobody_knows() -> None:
    line = line_of(lambda: socket.getaddrinfo("museum.invalid", 80))
    assert line.startswith("no host of that name is known (") and line.endswith("or check the network")


def test_a_web_address_where_nothing_answers() -> None:
    line = line_of(scan("http://127.0.0.1:1/photos"))
    assert line.startswith("nothing answers at the address (Cannot connect to host 127.0.0.1:1 ")


def test_a_file_where_a_folder_is_expected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    assert line_of(scan(str(tmp_path / "file"))).endswith("expected a folder; name a folder")


def test_a_folder_where_a_file_is_expected(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    line = line_of(lambda: Store.open(str(tmp_path)).write("name", b"1"))
    assert line == f"{tmp_path / 'name'} is a folder, expected a file; name a file"


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    assert "shorten it" in line_of(lambda: Store.open(str(tmp_path)).write("a" * 300, b"1"))


def test_a_full_disk() -> None:
    def fill() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"1")

    assert "free space" in line_of(fill) or "No space left on device; act" in line_of(fill)


def test_rights_that_are_missing() -> None:
    """An unprivileged process, because root may do everything."""
    code = (
        "import os, sys; from artbank.store.objects import Store; from artbank.store.explanations import explain\n"
        f"if os.getuid() == 0: os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "else: os.chmod(sys.argv[1], 0)\n"
        "writes = (lambda s: s.write('a', b'1'), lambda s: s.write('b/c/d', b'1'), lambda s: s.create('a', b'1'))\n"
        "for act in (lambda s: s.list(), *writes):\n"
        "    try: act(Store.open(sys.argv[1]))\n"
        "    except OSError as error: print(explain(error))\n"
    )
    advice = "change its owner or mode, or run as a user who has it"
    with open_folder() as folder:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        done = subprocess.run([sys.executable, "-c", code, str(closed)], capture_output=True, text=True, cwd=Path.cwd())
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"no permission for {closed}; {advice}"] * 4


def test_errors_of_artbank_are_the_line_themselves() -> None:
    assert explain(ConfigError("expected a, found b; do c")) == "expected a, found b; do c"
    assert explain(BankError("a\nb")) == "a b"


def test_credentials_in_an_error_are_hidden() -> None:
    assert "secret" not in explain(OSError(errno.EIO, "failed", "http://me:secret@host/x"))


def test_an_error_that_nobody_foresaw_has_its_name() -> None:
    error = RuntimeError("what?")
    assert not is_explained(error) and explain(error) == "RuntimeError: what?"
