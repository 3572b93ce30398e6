"""Stores on disk: links, odd files, and writers that are killed or overtaken."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artbank.errors import ConfigError
from artbank.runtime.processes import PID_SPACE
from artbank.store.backends import partial_files
from artbank.store.backends.local import LocalBackend
from artbank.store.objects import Store
from tests.support.listed_keys import keys_of


def test_a_large_file_is_hashed_without_being_in_memory(tmp_path: Path):
    size = 200_000_000
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        [stored] = Store.open(str(tmp_path)).list(hash_content=True)
        assert tracemalloc.get_traced_memory()[1] < size / 20
    finally:
        tracemalloc.stop()
    assert stored.etag == hashlib.sha256(bytes(size)).hexdigest()


def test_links_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("1")
    root = tmp_path / "store"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "real").write_text("1")
    (root / "file_link").symlink_to(outside / "secret")
    (root / "folder_link").symlink_to(outside)
    (root / "folder" / "circle").symlink_to(root)
    (root / "folder" / "dangling").symlink_to(tmp_path / "nowhere")
    store = Store.open(str(root))
    with caplog.at_level(logging.WARNING):
        assert keys_of(store) == ["folder/real"]
    assert "left out 2 links" in caplog.text
    assert store.list_folders() == ["folder"]


def test_a_store_may_itself_be_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    Store.open(str(tmp_path / "link")).write("a", b"1")
    assert keys_of(Store.open(str(tmp_path / "link"))) == ["a"]
    assert Store.open(str(tmp_path / "link")).uri == str(tmp_path / "link")


def test_what_is_no_file_or_has_no_name_in_text_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin\xe9.jpg")).write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"1")
    with caplog.at_level(logging.WARNING):
        assert keys_of(Store.open(str(tmp_path))) == ["a"]
    assert "left out 1 file, such as" in caplog.text


def test_a_file_is_no_store(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        Store.open(str(tmp_path / "a")).list()


def test_a_uri_with_one_slash_is_no_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"found s3:/museum/store; write s3://museum/store, with two slashes"):
        Store.open(str(Path("s3://museum/store")))
    with pytest.raises(ConfigError, match=r"found file:/a/store; write /a/store$"):
        Store.open("file:/a/store")
    for place in ("./c:/store", "./s3:/store", "12:/store", "a/s3:/store"):
        assert Store.open(place).uri.endswith("/store")
    Store.open("./s3:").write("store/x", b"1")
    assert Store.open("s3:/store").read("x") == b"1"


def test_a_name_that_a_dangling_link_has_is_no_endless_attempt(tmp_path: Path):
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="symbolic link"):
        Store.open(str(tmp_path)).create("a", b"1")


def test_an_object_below_another_is_refused_and_leaves_nothing_behind(tmp_path: Path):
    store = Store.open(str(tmp_path))
    store.write_many({"a": b"1", "folder/b": b"2"})
    with pytest.raises(OSError):
        store.write("a/below", b"")
    with pytest.raises(IsADirectoryError) as raised:
        store.write("folder", b"")
    assert (raised.value.filename, raised.value.filename2) == (str(tmp_path / "folder"), None)  # no hidden file
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "folder"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path):
    store = Store.open(str(tmp_path))
    versions = [b"a" * 3_000_000, b"b" * 2_000_000]
    store.write("x", versions[0])
    done = threading.Event()

    def overwrite() -> None:
        for number in range(60):
            store.write("x", versions[number % 2])
        done.set()

    writer = threading.Thread(target=overwrite)
    writer.start()
    seen = set()
    while not done.is_set():
        data = store.read("x")
        assert data in versions
        seen.add(len(data))
        assert {stored.size for stored in store.list()} <= {2_000_000, 3_000_000}
    writer.join()
    assert len(seen) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("method", ["write", "create"])
def test_a_killed_writer_leaves_nothing_that_is_listed(tmp_path: Path, method: str):
    size = 50_000_000
    code = (
        "import sys; from artbank.store.objects import Store\n"
        f"store, data = Store.open(sys.argv[1]), bytes({size})\n"
        "print('ready', flush=True)\n"
        f"for number in range(40): store.{method}(f'{{number}}', data)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    while not any(0 < partial.stat().st_size < size for partial in _existing(tmp_path.glob(".*.tmp"))):
        assert child.poll() is None, "it ended before it could be killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store = Store.open(str(tmp_path))
    assert all(stored.size == size for stored in store.list())
    assert list(tmp_path.glob(".*.tmp"))
    store.delete_many([stored.key for stored in store.list()])
    assert store.list() == []


def _existing(paths: Iterator[Path]) -> Iterator[Path]:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.stat()
            yield path


def test_only_what_a_cut_off_write_left_long_ago_is_a_leftover(tmp_path: Path):
    store = Store.open(str(tmp_path))
    names = [f".{'a1' * 16}.tmp", f"deep/.{'b2' * 16}.tmp", f"young/.{'c3' * 16}.tmp"]
    for name in (*names, ".hidden", f".{'d4' * 16}.txt", f".hidden folder/.{'e5' * 16}.tmp", "shown.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
        if not name.startswith("young"):
            os.utime(tmp_path / name, (time.time() - 90,) * 2)
    assert store.list_leftovers(older_than_seconds=60) == names[:2]
    assert keys_of(store) == ["shown.tmp"]
    store.delete_many(names[:2])
    assert store.list_leftovers(older_than_seconds=60) == []


def test_what_a_killed_process_left_is_swept_at_once_and_nothing_else(tmp_path: Path):
    store, child = Store.open(str(tmp_path)), subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    chance, old = "0123456789abcdef", hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    dead, alive = (f".{chance}{PID_SPACE}{process:08x}.tmp" for process in (child.pid, os.getpid()))
    elsewhere, of_older_version = (f".{chance}{space}{child.pid:08x}.tmp" for space in ("0" * 16, old))
    for name in (dead, alive, elsewhere, of_older_version, f"deep/{dead}", f"other/{dead}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    assert store.list_leftovers(older_than_seconds=60) == [dead, f"deep/{dead}", f"other/{dead}"]
    store.delete_leftovers(("", "deep", "not there"))
    assert {path.name for path in tmp_path.glob(".*.tmp")} == {alive, elsewhere, of_older_version}
    assert store.list_leftovers(older_than_seconds=60) == [f"other/{dead}"]


@pytest.mark.parametrize("method", ["write", "create"])
def test_a_write_whose_temporary_file_is_swept_away_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
):
    place, swept = LocalBackend._place, []

    def sweep(self: LocalBackend, key: str, data: bytes, give_name: Callable[[Path, str], bool]) -> bool:
        def name_late(partial: Path, key: str) -> bool:
            if len(swept) < num_sweeps:
                partial.unlink()  # as the clean-up of another machine does
                swept.append(partial)
            return give_name(partial, key)

        return place(self, key, data, name_late)

    monkeypatch.setattr(LocalBackend, "_place", sweep)
    store, num_sweeps = Store.open(str(tmp_path)), 2
    getattr(store, method)("folder/a", b"1")
    assert (store.read("folder/a"), len(swept)) == (b"1", 2)
    swept.clear()
    num_sweeps = 99
    with pytest.raises(FileNotFoundError):
        getattr(store, method)("folder/b", b"1")
    assert keys_of(store) == ["folder/a"]


@pytest.mark.parametrize("method", ["write", "create"])
def test_a_full_disk_is_an_error_that_names_the_file_and_not_the_hidden_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
):
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as `write` does: without a name

    monkeypatch.setattr(partial_files, "write_file", fill)
    with pytest.raises(OSError, match="No space left") as raised:
        getattr(Store.open(str(tmp_path)), method)("a", b"1")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
