"""Every error of a command is one line, whatever library raised it, and its exit code is documented."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artbank.errors import ServerError, StopRequested
from artbank_cli import environment, server
from artbank_cli.ending import run
from artbank_cli.environment import quiet_prefect
from tests.support import rgw
from tests.support.bad_servers import closing_server, web_server
from tests.support.commands import call, complaint

TEXT = "# Galerie für die Übung\ngallery_uri: art\nstore_uri: store\nrecipe:\n  max_steps: 0\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_parameter_file_is_read_in_the_encodings_that_programs_write(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_bytes(TEXT.encode(encoding))
    ended = call("train", "--parameters", file)
    assert ended.code == 2 and complaint(ended).startswith("artbank: recipe.max_steps (line 5) 0: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("cp1252"), r"expected text in UTF-8 or UTF-16, found byte 0xfc in line 1 \(in .*'ü'\); save the"),
        (b"\xff\xfeg\x00a", "cannot be read|expected"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "found byte 0x89 in line 1"),
        (b"gallery_uri: \x00", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"gallery_uri: 2024-13-45", "cannot be read|month must be in"),
        (b"gallery_uri: art\nstore_uri: s\nrecipe: 5\n", "expected the parameters of recipe below its name, found 5"),
        (None, "is a folder, expected a file"),
    ],
    ids=["cp1252", "cut", "png", "zero", "deep", "date", "recipe", "folder"],
)
def test_a_parameter_file_that_cannot_be_used_is_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "parameters.yaml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    ended = call("train", "--parameters", file, "--max-steps", "3")
    assert ended.code == 2 and re.search(message, complaint(ended)), ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["banks", "--store", "FILE"], "expected a folder; name a folder"),
        (["site", "FILE"], "expected a folder; name a folder"),
        (["verify", "FILE"], "expected a folder; name a folder"),
        (["banks", "--store", "s3://museum/store"], "AWS_ENDPOINT_URL: expected an address"),
        (["banks", "--store", "gopher://host/x"], "expected a path, s3:// or a protocol of fsspec"),
        (
            ["banks", "--store", "S3://museum/store"],
            "expected a protocol in lower case, found S3://museum/store; write s3://",
        ),
        (
            ["train", "x", "--store", "s3:/museum/store"],
            "found s3:/museum/store; write s3://museum/store, with two slashes",
        ),
    ],
)
def test_an_error_of_a_store_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    ended = call(*(str(tmp_path / "file") if word == "FILE" else word for word in words))
    assert ended.code in (1, 2) and message in complaint(ended), ended.err


def fail() -> None:
    raise RuntimeError("a defect\nin two lines \x1b[31m\u202e")


def test_an_error_that_nobody_foresaw_is_one_line_that_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail) == 1
    told = capsys.readouterr().err
    assert told == (
        "artbank: unexpected error: RuntimeError: a defect in two lines \\x1b[31m\\u202e; "
        "run it again with --debug, and report what that shows as a bug\n"
    )


@pytest.mark.parametrize("error", [MemoryError(), StopRequested("asked to stop"), ImportError("No module named 'x'")])
def test_errors_of_the_interpreter_are_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def raise_it() -> None:
        raise error

    assert run(raise_it) in (1, 143)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "unexpected" not in told


@pytest.mark.parametrize("words", [["--debug", "train"], ["train", "--debug"]])
def test_debug_shows_the_traceback_too(words: list[str], tmp_path: Path) -> None:
    ended = call(*words, "--parameters", tmp_path / "none.yaml")
    assert ended.code == 2 and "Traceback (most recent call last)" in ended.err
    assert ended.err.splitlines()[-1].startswith("artbank: parameter file ")


def test_the_environment_asks_for_tracebacks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("train", "--parameters", tmp_path / "none.yaml")
    monkeypatch.setenv("ARTBANK_DEBUG", "1")
    assert "Traceback" in call(*words).err
    monkeypatch.setenv("ARTBANK_DEBUG", "0")
    assert "Traceback" not in call(*words).err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "import sys; from artbank_cli.ending import run; sys.exit(run(lambda: print('x' * 1_000_000)))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, b"")


def test_a_full_disk_under_the_output_is_one_line() -> None:
    code = "import sys; from artbank_cli.ending import run; sys.exit(run(lambda: print('x')))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("artbank: No space left on device")


def test_an_output_in_ascii_holds_every_name() -> None:
    code = "from artbank_cli.output import *; accept_all_characters(); say('葛飾北斎 \\udce4')"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, text=True)
    assert (done.stdout, done.stderr) == ("\\u845b\\u98fe\\u5317\\u658e \\udce4\n", "")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a server once."""
    monkeypatch.setattr(server, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(server, "_PAUSE_SECONDS", 0.0)


def refused(url: str) -> str:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(ServerError) as caught:
        server.start_server()
    return str(caught.value)


def test_a_server_address_where_nothing_listens(impatient: None) -> None:
    line = refused(f"http://me:secret@127.0.0.1:{rgw.free_port()}/api")
    assert re.search(r"PREFECT_API_URL=http://\*\*\*@\S+ does not answer: ConnectError", line)
    assert "prefect server start" in line and "secret" not in line


def test_a_server_address_that_is_none(impatient: None) -> None:
    assert "127.0.0.1:4200/api is no address: expected http://HOST:PORT/api" in refused("127.0.0.1:4200/api")


def test_a_server_address_where_connections_are_closed(impatient: None) -> None:
    with closing_server() as port:
        assert "does not answer: " in refused(f"http://127.0.0.1:{port}/api")


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_address_of_another_program(impatient: None, tmp_path: Path, tls: bool) -> None:
    with web_server(tmp_path if tls else None) as port:
        line = refused(f"{'https' if tls else 'http'}://127.0.0.1:{port}/api")
    assert ("CERTIFICATE_VERIFY_FAILED" if tls else "something else than Prefect's API") in line


def test_a_server_that_is_silent_is_given_up_in_time(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "does not answer: ReadTimeout" in refused(f"http://127.0.0.1:{silent.getsockname()[1]}/api")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Sets only the named variables of proxies and of Prefect; all are restored."""
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"HOME": str(tmp_path)})
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("PREFECT_"):
            del os.environ[name]
    return lambda **values: os.environ.update(values)


@pytest.mark.parametrize(("given", "added"), [("", ""), ("museum.example", "museum.example,")])
def test_this_machine_is_reached_without_a_proxy(
    clean_environment: Callable[..., None], given: str, added: str
) -> None:
    clean_environment(HTTP_PROXY="http://127.0.0.1:9", NO_PROXY=given, no_proxy=given)
    quiet_prefect()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == f"{added}127.0.0.1,localhost,::1"
    assert os.environ["HTTP_PROXY"] == "http://127.0.0.1:9"


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks5"])
def test_a_proxy_that_no_library_here_knows_is_ignored_aloud(
    clean_environment: Callable[..., None], capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    clean_environment(ALL_PROXY=f"{scheme}://me:secret@127.0.0.1:1080")
    quiet_prefect()
    assert "ALL_PROXY" not in os.environ
    assert capsys.readouterr().err.startswith(f"artbank: ALL_PROXY={scheme}://***@127.0.0.1:1080 is ignored")


def test_a_home_that_cannot_be_written_is_replaced_by_a_temporary_one(clean_environment: Callable[..., None]) -> None:
    clean_environment(HOME="/proc/nohome")
    quiet_prefect()
    assert environment.is_writable(Path(os.environ["PREFECT_HOME"]))


def test_a_home_that_was_named_and_cannot_be_written_is_one_line(clean_environment: Callable[..., None]) -> None:
    clean_environment(PREFECT_HOME="/proc/nohome")
    ended = call("doctor")
    assert ended.code == 2 and "PREFECT_HOME=/proc/nohome: expected a folder that can be written" in complaint(ended)


def test_a_user_without_home_and_name_has_a_temporary_one() -> None:
    """As in containers with a random user id."""
    code = (
        "import os; from artbank_cli.environment import quiet_prefect, is_writable; from pathlib import Path\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "quiet_prefect(); print(is_writable(Path(os.environ['PREFECT_HOME'])))\n"
    )
    hidden = ("HOME", "USER", "LOGNAME", "PREFECT_HOME", "PREFECT_API_URL")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_setting_of_prefect_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    words = ["train", str(tmp_path), "--store", str(tmp_path)]
    env = os.environ | {"PREFECT_LOGGING_LEVEL": "loud", "PREFECT_HOME": str(tmp_path)}
    done: Any = subprocess.run(
        [sys.executable, "-m", "artbank_cli.main", *words], capture_output=True, env=env, text=True
    )
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("artbank: a setting of Prefect is wrong")
