"""Properties of every store: `store_uri` is on disk, in memory, on a Ceph gateway and on moto's server."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from artbank.store.objects import Store
from artbank.store.transient_errors import WrongSizeError
from tests.support.listed_keys import keys_of


def test_what_is_written_is_listed_and_read_back(store_uri: str):
    store = Store.open(store_uri)
    store.write("b/two", b"22")
    store.write_many({"a": b"1", "b/c/three": b"333", "empty": b""})
    assert [(stored.key, stored.size) for stored in store.list()] == [
        ("a", 1),
        ("b/c/three", 3),
        ("b/two", 2),
        ("empty", 0),
    ]
    assert store.read("b/two") == b"22"
    assert store.read_many(["empty", "a"]) == {"empty": b"", "a": b"1"}
    assert store.exists("b/two")
    assert not store.exists("b")
    assert not store.exists("b/two/below")


def test_an_object_is_downloaded_in_pieces_and_one_of_another_size_is_refused(
    store_uri: str, tmp_path: Path, request: pytest.FixtureRequest
):
    store = Store.open(store_uri)
    store.write("weights", bytes(64_000_000))
    [stored] = store.list()
    tracemalloc.start()
    store.download(stored, tmp_path / "weights")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "weights").read_bytes() == store.read("weights")
    if "memory" not in store_uri and request.node.callspec.params["store_uri"] != "moto":  # moto is in this process
        assert most < 32_000_000
    store.write("weights", b"replaced")
    with pytest.raises(WrongSizeError, match="64,000,000 bytes are listed, 8 were delivered"):
        store.download(stored, tmp_path / "weights")
    with pytest.raises(FileNotFoundError):
        store.download(replace(stored, key="gone"), tmp_path / "gone")


def test_a_folder_that_is_not_there_is_empty(store_uri: str):
    store = Store.open(store_uri)
    assert store.list() == []
    assert store.list_folders() == []
    store.write("a/b", b"")
    assert store.list("nothing") == []
    assert store.list_folders("nothing") == []


def test_an_absent_object_is_named(store_uri: str):
    store = Store.open(store_uri)
    store.write("there", b"1")
    with pytest.raises(FileNotFoundError, match="gone"):
        store.read("gone")
    outcomes = store.read_many(["gone", "there", "there/below"])
    assert outcomes["there"] == b"1"
    assert isinstance(outcomes["gone"], FileNotFoundError)
    assert isinstance(outcomes["there/below"], FileNotFoundError)


def test_no_objects_are_no_work(store_uri: str):
    store = Store.open(store_uri)
    assert store.read_many([]) == {}
    store.write_many({})
    store.delete_many([])
    assert store.list() == []


def test_a_prefix_is_a_folder_and_no_beginning_of_a_name(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({"a/x": b"", "a/b/y": b"", "ab/z": b"", "c": b""})
    assert keys_of(store, "a") == keys_of(store, "a/") == ["a/b/y", "a/x"]
    assert keys_of(store, "c") == []
    assert store.list_folders() == ["a", "ab"]
    assert store.list_folders("a") == store.list_folders("a/") == ["b"]


def test_hidden_names_are_kept_but_not_listed(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({".hidden": b"1", ".git/config": b"", "a/.b/c": b"", "a/d": b""})
    assert keys_of(store) == ["a/d"]
    assert store.list_folders() == ["a"]
    assert store.list_folders("a") == []
    assert store.read(".hidden") == b"1"


def test_a_child_is_the_store_of_a_folder(store_uri: str):
    store = Store.open(store_uri)
    child = store.child("a", "b")
    child.write("c", b"1")
    assert keys_of(store) == ["a/b/c"]
    assert keys_of(child) == ["c"]
    assert child.uri == store.uri_of("a/b") == f"{store_uri}/a/b"
    assert child.uri_of("c") == f"{store_uri}/a/b/c"
    assert child == Store.open(child.uri)
    assert store.child() == store
    assert len({child, Store.open(child.uri), store}) == 2


def test_a_store_can_be_pickled(store_uri: str):
    store = Store.open(store_uri)
    store.write("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy == store
    assert copy.read("a") == b"1"


def test_deleting_what_is_absent_is_fine(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({"a": b"", "b/c": b"", "b/d": b""})
    store.delete_many(["a", "b/c", "gone", "a/below", "b", "a"])
    assert keys_of(store) == ["b/d"]


def test_a_replaced_object_has_another_etag_though_another_wrote_it(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({"a": b"one", "b": b"same"})
    before = {stored.key: stored.etag for stored in store.list()}
    assert before == {stored.key: stored.etag for stored in store.list()}
    time.sleep(0.05)  # a file's time may be that coarse
    for key, data in {"a": b"two", "c": b"new"}.items():
        if store_uri.startswith("s3://"):  # a client of its own, of which the store knows nothing
            other = S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], skip_instance_cache=True)
            other.pipe_file(f"{store_uri}/{key}", data)
        else:
            Store.open(store_uri).write(key, data)
    after = {stored.key: stored.etag for stored in store.list()}
    assert list(after) == ["a", "b", "c"]
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    assert store.read("a") == b"two"


def test_the_etag_follows_the_content_where_asked_for_or_where_the_backend_has_one(store_uri: str):
    store = Store.open(store_uri)
    objects = {"a": b"1", "b/c": b"22", "d": b"1", ".hidden": b""}
    store.write_many(objects)
    digest = hashlib.md5 if store_uri.startswith("s3://") else hashlib.sha256
    etags = {stored.key: stored.etag for stored in store.list(hash_content=True)}
    assert etags == {key: digest(objects[key]).hexdigest() for key in ("a", "b/c", "d")}


def test_creation_succeeds_once_and_again_with_the_same_bytes(store_uri: str):
    store = Store.open(store_uri)
    assert store.create("folder/a", b"mine")
    assert store.create("folder/a", b"mine")
    assert not store.create("folder/a", b"other")
    assert store.read("folder/a") == b"mine"
    assert keys_of(store) == ["folder/a"]
    store.delete_many(["folder/a"])
    assert store.create("folder/a", b"other")


def test_of_16_creators_exactly_one_has_its_way(store_uri: str, monkeypatch: pytest.MonkeyPatch):
    if store_uri.startswith("memory://"):  # its look before it writes takes no time else
        exists = MemoryFileSystem.exists
        monkeypatch.setattr(MemoryFileSystem, "exists", lambda fs, path: (exists(fs, path), time.sleep(0.01))[0])
    store = Store.open(store_uri)
    for name in ("first", "second/deeper", "third"):
        start = threading.Barrier(16)

        def create(number: int, name: str = name, start: threading.Barrier = start) -> bool:
            start.wait()
            return store.create(name, b"%d" % number * 5000)

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(create, range(16)))
        assert won.count(True) == 1
        assert store.read(name) == b"%d" % won.index(True) * 5000
    assert len(store.list()) == 3


def test_several_threads_may_use_one_store(store_uri: str):
    store = Store.open(store_uri)

    def work(number: int) -> bytes:
        store.write(f"{number}/a", b"%d" % number)
        return store.read(f"{number}/a")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [b"%d" % number for number in range(40)]
    assert len(store.list()) == 40


def test_files_directly_in_a_folder_are_listed_without_those_below(store_uri: str) -> None:
    store = Store.open(store_uri)
    assert store.list_files() == []
    store.write_many(dict.fromkeys(("b.csv", "a.csv", ".hidden", "monet/c.csv", "monet/late/d.csv"), b"-"))
    assert [stored.key for stored in store.list_files()] == ["a.csv", "b.csv"]
    assert [stored.key for stored in store.list_files("monet")] == ["monet/c.csv"]
    assert store.list_files() == [stored for stored in store.list() if "/" not in stored.key]


def test_a_listing_that_hashes_content_has_the_size_of_each_object(store_uri: str) -> None:
    store = Store.open(store_uri)
    store.write_many({"a": b"12345", "b/c": b"x" * 3_000_000, "empty": b""})
    listed = store.list(hash_content=True)
    assert {stored.key: stored.size for stored in listed} == {"a": 5, "b/c": 3_000_000, "empty": 0}
