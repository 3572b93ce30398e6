"""Stores on disk, in memory, on a Ceph gateway and on moto's server; `store_uri` runs a test on each."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import rgw
from aiohttp import ClientPayloadError
from botocore import exceptions
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st
from s3fs import S3FileSystem
from s3fs.errors import translate_boto_error

from artbank.backends.local import LocalBackend
from artbank.errors import BankError, ConfigError
from artbank.storage import Store, is_transient

ODD_KEYS = [
    "with space.jpg",
    " leading and trailing ",
    "ünïcode/日本/🎨.png",
    "a#b.txt",
    "a?b=c&d",
    "100%25/%2e%2e",
    "[ab]*?.txt",
    "{x,y}/**",
    "plus+and;semi:colon",
    "back\\slash",
    "a::b",
    "s3://like/it".replace("//", "/"),
    "quote'\"<&>",
    "~",
    "$HOME",
    "deep/" * 60 + "end",
    "n" * 255,
]
UNFIT_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\0b",
    "a\nb",
    "\ud800",
    "a?versionId=1",
]


def keys_of(store: Store, prefix: str = "") -> list[str]:
    return [stored.key for stored in store.list(prefix)]


# ---- what holds on every backend


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


def test_a_folder_that_is_not_there_is_empty(store_uri: str):
    store = Store.open(store_uri)
    assert store.list() == []
    assert store.folders() == []
    store.write("a/b", b"")
    assert store.list("nothing") == []
    assert store.folders("nothing") == []


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
    assert store.folders() == ["a", "ab"]
    assert store.folders("a") == store.folders("a/") == ["b"]


def test_hidden_names_are_kept_but_not_listed(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({".hidden": b"1", ".git/config": b"", "a/.b/c": b"", "a/d": b""})
    assert keys_of(store) == ["a/d"]
    assert store.folders() == ["a"]
    assert store.folders("a") == []
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


def test_a_key_may_hold_any_sign_that_is_no_control_character(store_uri: str):
    store = Store.open(store_uri)
    objects = {key: key.encode() for key in ODD_KEYS}
    store.write_many(objects)
    assert keys_of(store) == sorted(objects)
    assert store.read_many(ODD_KEYS) == objects
    for key, data in objects.items():
        assert store.read(key) == data
        assert store.exists(key)
        assert store.create(key, data)
        assert not store.create(key, b"other")
        assert not store.exists(f"{key}x")
        parent, _, name = key.rpartition("/")
        if parent:
            assert store.child(parent).read(name) == data
            assert keys_of(store, parent) == [key]
    assert store.folders() == sorted({key.split("/")[0] for key in objects if "/" in key})
    store.delete_many(ODD_KEYS[1:])
    assert keys_of(store) == ODD_KEYS[:1]


def test_a_pattern_matches_nothing(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({"a": b"1", "b": b"2"})
    assert isinstance(store.read_many(["*", "[ab]"])["*"], FileNotFoundError)
    assert keys_of(store, "*") == []
    store.delete_many(["*", "?", "[ab]"])
    assert keys_of(store) == ["a", "b"]


@pytest.mark.parametrize("key", UNFIT_KEYS)
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_no_key_leads_out_of_the_store(tmp_path: Path, kind: str, key: str):
    outside = tmp_path / "x"
    outside.write_text("secret")
    store = Store.open(str(tmp_path / "store") if kind == "local" else "memory://unfit")
    refused: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.write(key, b"1"),
        lambda: store.create(key, b"1"),
        lambda: store.write_many({"good": b"", key: b"1"}),
        lambda: store.delete_many(["good", key]),
        lambda: store.exists(key),
        lambda: store.uri_of(key),
        lambda: store.child(key),
    ]
    if key not in ("", "a/"):  # these name folders
        refused += [lambda: store.list(key), lambda: store.folders(key)]
    for call in refused:
        with pytest.raises(ConfigError, match="found"):
            call()
    assert isinstance(store.read_many([key])[key], ConfigError)
    assert store.list() == []
    assert outside.read_text() == "secret"


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


def test_hashing_reads_no_more_than_a_bounded_part_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("artbank.storage._HASHED_BYTES", 10)
    store = Store.open(str(tmp_path))
    objects = {f"{number}": bytes([number]) * size for number, size in enumerate([4, 4, 4, 30, 10, 1, 0])}
    store.write_many(objects)
    batches: list[list[str]] = []
    read_many = LocalBackend.read_many

    def spy(backend: LocalBackend, keys: list[str]) -> dict[str, bytes | Exception]:
        batches.append(keys)
        return read_many(backend, keys)

    monkeypatch.setattr(LocalBackend, "read_many", spy)
    etags = {stored.key: stored.etag for stored in store.list(hash_content=True)}
    assert etags == {key: hashlib.sha256(data).hexdigest() for key, data in objects.items()}
    sizes = [sum(len(objects[key]) for key in batch) for batch in batches]
    assert sum(sizes) == 53
    assert [size for size in sizes if size > 10] == [30]


def test_creation_succeeds_once_and_again_with_the_same_bytes(store_uri: str):
    store = Store.open(store_uri)
    assert store.create("folder/a", b"mine")
    assert store.create("folder/a", b"mine")
    assert not store.create("folder/a", b"other")
    assert store.read("folder/a") == b"mine"
    assert keys_of(store) == ["folder/a"]
    store.delete_many(["folder/a"])
    assert store.create("folder/a", b"other")


def test_of_16_creators_exactly_one_has_its_way(store_uri: str):
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


# ---- keys of all kinds, on the two backends that are quick

_parts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\ufffe\uffff"), min_size=1, max_size=40
).filter(lambda part: part not in (".", "..") and "?versionId=" not in part)
_keys = st.lists(_parts, min_size=1, max_size=5).map("/".join)
_objects = st.dictionaries(_keys, st.binary(max_size=50), max_size=8).map(
    lambda objects: {
        key: data for key, data in objects.items() if not any(other.startswith(f"{key}/") for other in objects)
    }
)
_numbers = itertools.count()


@pytest.mark.parametrize("kind", ["local", "memory"])
@given(objects=_objects, dropped=st.sets(st.integers(0, 7)))
@settings(max_examples=80, deadline=None)
def test_a_store_behaves_like_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, kind: str, objects: dict[str, bytes], dropped: set[int]
):
    root = str(tmp_path_factory.getbasetemp() / "dictionaries") if kind == "local" else "memory://dictionaries"
    store = Store.open(root).child(str(next(_numbers)))
    store.write_many(objects)
    visible = {key: data for key, data in objects.items() if not any(part[0] == "." for part in key.split("/"))}
    assert {stored.key: stored.size for stored in store.list()} == {key: len(data) for key, data in visible.items()}
    assert keys_of(store) == sorted(visible)
    assert store.read_many(list(objects)) == objects
    folders = {key.split("/")[0] for key in objects if "/" in key}
    assert store.folders() == sorted(name for name in folders if name[0] != ".")
    gone = {key for number, key in enumerate(objects) if number in dropped}
    store.delete_many(list(gone))
    assert keys_of(store) == sorted(visible.keys() - gone)


@given(key=st.text(st.sampled_from("./\\ a\0\n"), max_size=12) | st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_text_is_refused_or_stays_below_the_store(key: str):
    store = Store.open("/some/store")
    try:
        path = store.uri_of(key)
    except ConfigError:
        return
    assert os.path.normpath(path) == path
    assert path.startswith("/some/store/")


# ---- URIs


def test_a_local_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Store.open("a/../b/").uri == str(tmp_path / "b")
    assert Store.open("~/a").uri == str(tmp_path / "home" / "a")
    assert Store.open(f"file://{tmp_path}/a").uri == str(tmp_path / "a")
    assert Store.open("/").uri_of("a") == "/a"


def test_a_uri_is_taken_to_one_form():
    assert Store.open("s3://bucket").uri == Store.open("s3://bucket/").uri == "s3://bucket"
    assert Store.open("s3a://bucket/a b/").uri == "s3://bucket/a b"
    assert Store.open("memory://a/b/").uri == "memory://a/b"
    assert Store.open("memory://").uri_of("a") == "memory://a"


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3:///", "s3://bucket/../other", "s3://bucket//a", "nonsense://a", "zip://a::s3://b/c", "a\0b"],
)
def test_a_uri_that_names_no_folder_is_refused(uri: str):
    with pytest.raises(ConfigError, match="expected"):
        Store.open(uri)


# ---- local files


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
    assert store.folders() == ["folder"]


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
    assert "left out 1 names" in caplog.text


def test_a_file_is_no_store(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        Store.open(str(tmp_path / "a")).list()


def test_a_taken_name_that_cannot_be_read_is_no_endless_attempt(tmp_path: Path):
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="cannot be read"):
        Store.open(str(tmp_path)).create("a", b"1")


def test_an_object_below_another_is_refused_and_leaves_nothing_behind(tmp_path: Path):
    store = Store.open(str(tmp_path))
    store.write_many({"a": b"1", "folder/b": b"2"})
    with pytest.raises(OSError):
        store.write("a/below", b"")
    with pytest.raises(IsADirectoryError):
        store.write("folder", b"")
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
        "import sys; from artbank.storage import Store\n"
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


# ---- S3


def test_a_bucket_that_is_not_there_is_named(store_uri: str):
    if not store_uri.startswith("s3://"):
        pytest.skip("has no buckets")
    store = Store.open("s3://no-such-bucket/store")
    for call in (store.list, store.folders, lambda: store.write("a", b""), lambda: store.create("a", b"")):
        with pytest.raises(FileNotFoundError, match="no-such-bucket"):
            call()


def test_keys_that_lead_elsewhere_are_left_out_of_a_listing(
    s3_store: str, s3_endpoint: rgw.Endpoint, caplog: pytest.LogCaptureFixture
):
    fs, bucket = S3FileSystem(endpoint_url=s3_endpoint.url), s3_store.removeprefix("s3://")
    for key in ("a/good", "a//double", "a/x/../y", "a/folder/", "a/new\nline", "b/other"):
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"1")
    with caplog.at_level(logging.WARNING):
        assert keys_of(Store.open(f"{s3_store}/a")) == ["good"]
    assert "left out 2 names" in caplog.text  # the third, with .., counts as hidden
    assert Store.open(f"{s3_store}/a").folders() == ["folder", "x"]


def test_more_objects_than_one_page_or_one_request_holds(s3_store: str):
    store = Store.open(f"{s3_store}/many")
    objects = {f"{number % 7}/{number:04}": b"%d" % number for number in range(1010)}
    store.write_many(objects)
    assert keys_of(store) == sorted(objects)
    assert store.folders() == [str(number) for number in range(7)]
    assert store.read_many(list(objects)) == objects
    store.delete_many(list(objects))
    assert store.list() == []


def test_wrong_credentials_are_no_right(s3_store: str, monkeypatch: pytest.MonkeyPatch, s3_endpoint: rgw.Endpoint):
    Store.open(s3_store).write("a", b"1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint.url + "/")  # other arguments, hence a client of its own
    store = Store.open(s3_store)
    for call in (store.list, lambda: store.read("a"), lambda: store.write("b", b""), lambda: store.delete_many(["a"])):
        with pytest.raises(PermissionError, match=s3_store) as caught:
            call()
        assert not is_transient(caught.value)


def test_a_refused_deletion_is_an_error(s3_store: str, s3_endpoint: rgw.Endpoint):
    store, bucket = Store.open(s3_store), s3_store.removeprefix("s3://")
    store.write_many({"a": b"", "keep/b": b""})
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        f'"Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::{bucket}/keep/*"}}]}}'
    )
    S3FileSystem(endpoint_url=s3_endpoint.url).call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
    with pytest.raises(PermissionError, match="keep/b"):
        store.delete_many(["a", "keep/b"])
    assert keys_of(store) == ["keep/b"]


def test_two_servers_are_kept_apart(
    s3_endpoint: rgw.Endpoint, moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]
):
    first = Store.open(use_endpoint(s3_endpoint))
    first.write("a", b"1")
    second = Store.open(use_endpoint(moto_endpoint))
    second.write("b", b"2")
    assert (keys_of(first), keys_of(second), keys_of(first.child("c"))) == (["a"], ["b"], [])


def test_an_unreachable_server_is_a_transient_error(use_endpoint, moto_endpoint: rgw.Endpoint, monkeypatch):
    uri = use_endpoint(moto_endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{rgw.free_port()}")
    with pytest.raises(Exception, match="127.0.0.1") as caught:
        Store.open(uri).read("a")
    assert is_transient(caught.value)


class _Script:
    """An S3 server that answers PUT by a script of (status, code, whether it stores the object all the same)."""

    def __init__(self, *answers: tuple[int, str, bool]):
        self.answers, self.object, self.num_puts = list(answers), None, 0
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                script.num_puts += 1
                status, code, stores = script.answers.pop(0)
                script.object = body if stores else script.object
                self.reply(status, f"<Error><Code>{code}</Code></Error>".encode() if code else b"")

            def do_GET(self) -> None:
                self.reply(
                    *(404, b"<Error><Code>NoSuchKey</Code></Error>") if script.object is None else (200, script.object)
                )

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> _Script:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Store, _Script]]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with contextlib.ExitStack() as stack:

        def start(*answers: tuple[int, str, bool]) -> tuple[Store, _Script]:
            script = stack.enter_context(_Script(*answers))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{script.server.server_port}")
            return Store.open("s3://bucket"), script

        yield start


def test_a_retry_of_a_put_that_had_come_through_is_no_loss(scripted):
    store, script = scripted((503, "ServiceUnavailable", True), (412, "PreconditionFailed", False))
    assert store.create("a", b"mine")
    assert script.num_puts == 2


def test_a_conflict_is_tried_again(scripted):
    store, script = scripted((409, "ConditionalRequestConflict", False), (200, "", True))
    assert store.create("a", b"mine")
    assert script.num_puts == 2


def test_a_conflict_that_another_won_is_a_loss(scripted):
    store, script = scripted((409, "ConditionalRequestConflict", False), (412, "PreconditionFailed", False))
    script.object = b"theirs"
    assert not store.create("a", b"mine")


def test_a_conflict_without_end_is_a_transient_error(scripted, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("artbank.backends.s3._CONFLICT_SECONDS", (0.01, 0.01))
    store, script = scripted(*[(409, "ConditionalRequestConflict", False)] * 3)
    with pytest.raises(OSError) as caught:
        store.create("a", b"mine")
    assert is_transient(caught.value)
    assert script.answers == []


def test_another_refusal_is_no_loss_of_a_race(scripted):
    store, _ = scripted((400, "InvalidArgument", False))
    with pytest.raises(OSError):
        store.create("a", b"mine")


# ---- which errors may heal


def s3_error(code: str) -> Exception:
    return translate_boto_error(exceptions.ClientError({"Error": {"Code": code, "Message": ""}}, "PutObject"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("anything"),
        OSError(errno.EIO, "disk"),
        ConnectionResetError(),
        TimeoutError(),
        FSTimeoutError(),
        s3_error("SlowDown"),
        s3_error("InternalError"),
        s3_error("ServiceUnavailable"),
        s3_error("RequestTimeout"),
        s3_error("500"),
        s3_error("503"),
        s3_error("SomethingNew"),
        exceptions.ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"),
        exceptions.EndpointConnectionError(endpoint_url="x"),
        exceptions.ConnectTimeoutError(endpoint_url="x"),
        exceptions.ReadTimeoutError(endpoint_url="x"),
        exceptions.CredentialRetrievalError(provider="x", error_msg="y"),
        ResponseParserError("cut off"),
        ClientPayloadError("cut off"),
        IncompleteRead(b""),
    ],
    ids=repr,
)
def test_what_may_heal_is_transient(error: Exception):
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("a"),
        PermissionError("a"),
        IsADirectoryError("a"),
        NotADirectoryError("a"),
        FileExistsError("a"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.ENAMETOOLONG, "long"),
        OSError(errno.EROFS, "read only"),
        s3_error("NoSuchBucket"),
        s3_error("NoSuchKey"),
        s3_error("AccessDenied"),
        s3_error("403"),
        s3_error("InvalidAccessKeyId"),
        s3_error("SignatureDoesNotMatch"),
        s3_error("ExpiredToken"),
        s3_error("NotImplemented"),
        exceptions.NoCredentialsError(),
        exceptions.ParamValidationError(report="bucket"),
        exceptions.ProfileNotFound(profile="x"),
        BankError("ours"),
        ConfigError("ours"),
        ValueError("a"),
        RuntimeError("a"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_does_not_heal_is_not(error: BaseException):
    assert not is_transient(error)
