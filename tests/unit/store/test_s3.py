"""Stores on S3: pages, buckets, rights, and servers that refuse."""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from s3fs import S3FileSystem

from artbank.store.backends import s3_listing
from artbank.store.backends.backend import to_nanoseconds
from artbank.store.backends.s3 import S3Backend
from artbank.store.explanations import explain
from artbank.store.objects import Store
from artbank.store.transient_errors import WrongSizeError, is_transient
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.listed_keys import keys_of


@pytest.mark.parametrize("server", ["s3_endpoint", "moto_endpoint"])
def test_a_bucket_that_is_not_there_is_named(
    request: pytest.FixtureRequest, use_endpoint: Callable[[rgw.Endpoint], str], server: str
):
    use_endpoint(request.getfixturevalue(server))
    store = Store.open("s3://no-such-bucket/store")
    for call in (store.list, store.list_folders, lambda: store.write("a", b""), lambda: store.create("a", b"")):
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
    assert "left out 4 files" in caplog.text
    assert Store.open(f"{s3_store}/a").list_folders() == ["folder", "x"]


def test_more_objects_than_one_page_or_one_request_holds(s3_store: str):
    store = Store.open(f"{s3_store}/many")
    objects = {f"{number % 7}/{number:04}": b"%d" % number for number in range(1010)}
    store.write_many(objects)
    assert keys_of(store) == sorted(objects)
    assert store.list_folders() == [str(number) for number in range(7)]
    some = dict(list(objects.items())[:200])
    assert store.read_many(list(some)) == some
    store.delete_many(list(objects))
    assert store.list() == []


def test_what_a_browser_shows_has_its_media_type_in_a_bucket(s3_store: str, s3_endpoint: rgw.Endpoint):
    store, fs = Store.open(s3_store), S3FileSystem(endpoint_url=s3_endpoint.url)
    store.write_many({"index.html": b"1", "a.js": b"2", "a.JPG": b"3", "part.parquet": b"4"})
    store.create("b.css", b"5")
    bucket = s3_store.removeprefix("s3://")
    kinds = {key: fs.call_s3("head_object", Bucket=bucket, Key=key).get("ContentType") for key in keys_of(store)}
    assert kinds.pop("part.parquet") not in kinds.values()
    types = {"index.html": "text/html", "a.js": "text/javascript", "b.css": "text/css"}
    assert kinds == {key: f"{kind}; charset=utf-8" for key, kind in types.items()} | {"a.JPG": "image/jpeg"}


ODD_KEYS = ["a b", "a+b", "a%20b", "é/ü", "<&>", "x*?[1]", "q'\"", "c/d e/f"]


@pytest.mark.parametrize("server", ["s3_endpoint", "moto_endpoint"])
def test_a_page_is_read_as_the_client_reads_it(
    request: pytest.FixtureRequest, use_endpoint: Callable[[rgw.Endpoint], str], server: str
):
    endpoint = request.getfixturevalue(server)
    uri = use_endpoint(endpoint)
    Store.open(uri).write_many({key: key.encode() for key in ODD_KEYS})
    own = S3FileSystem(endpoint_url=endpoint.url, skip_instance_cache=True)
    page = own.call_s3("list_objects_v2", Bucket=uri.removeprefix("s3://"))
    wanted = {e["Key"]: (e["Size"], e["ETag"].strip('"'), to_nanoseconds(e["LastModified"])) for e in page["Contents"]}
    found = S3Backend(uri.removeprefix("s3://"), "", endpoint.url).walk("")
    assert {one.key: (one.size, one.etag, one.changed_ns) for one in found} == wanted
    assert wanted.keys() == {*ODD_KEYS}


@pytest.mark.parametrize(
    "body", [b"", b"<List", b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", b"<Error/>"]
)
def test_a_page_that_looks_odd_is_left_to_the_client(body: bytes):
    response, custom = {"body": body}, {}
    s3_listing.parse_contents(response_dict=response, customized_response_dict=custom)
    assert (response, custom) == ({"body": body}, {})


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
            protocol_version = "HTTP/1.1"  # answers `Expect: 100-continue`, without which no body comes

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

            def log_message(self, format: str, *args: object) -> None:
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
    monkeypatch.setattr("artbank.store.backends.s3._CONFLICT_SECONDS", (0.01, 0.01))
    store, script = scripted(*[(409, "ConditionalRequestConflict", False)] * 3)
    with pytest.raises(OSError) as caught:
        store.create("a", b"mine")
    assert is_transient(caught.value)
    assert script.answers == []


def test_another_refusal_is_no_loss_of_a_race(scripted):
    store, _ = scripted((400, "InvalidArgument", False))
    with pytest.raises(OSError):
        store.create("a", b"mine")


PAGE_OF_A_PROXY = b"<html xmlns='http://www.w3.org/1999/xhtml'><body><p>Welcome to the portal</p></body></html>"


@pytest.mark.parametrize("listing", [b"", b"<!doctype html><p>Log in &nbsp;", PAGE_OF_A_PROXY, b"<Other/>"])
def test_an_answer_that_is_no_listing_is_no_empty_store(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], listing: bytes
) -> None:
    with run_flaky(moto_endpoint) as flaky:
        store = Store.open(use_endpoint(flaky.endpoint))
        store.write("a/b.jpg", b"1")
        flaky.listing = listing
        for read in (store.list, store.list_folders, store.list_files, store.has_objects):
            with pytest.raises(Exception, match=r"expected the listing of a bucket|Internal Server Error") as caught:
                read()
            assert is_transient(caught.value)
        flaky.listing = None
        assert store.has_objects() and keys_of(store) == ["a/b.jpg"]


def test_a_listing_that_breaks_off_is_an_error(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]
) -> None:
    page = b"<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated></ListBucketResult>"
    with run_flaky(moto_endpoint) as flaky:
        store = Store.open(use_endpoint(flaky.endpoint))
        flaky.listing = page
        with pytest.raises(OSError, match="breaks off without a token"):
            store.list()


@pytest.mark.parametrize(("status", "body"), [(200, b""), (200, b"<html>502</html>"), (200, b"0123"), (404, b"")])
def test_an_answer_that_contradicts_the_listing_is_not_the_object(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], status: int, body: bytes
) -> None:
    with run_flaky(moto_endpoint) as flaky:
        store = Store.open(use_endpoint(flaky.endpoint))
        store.write_many({"a": b"0123456789", "b": b"01"})
        sizes = {stored.key: stored.size for stored in store.list()}
        flaky.answers = {"/a": (status, body)}
        found = store.read_listed(sizes)
        assert found["b"] == b"01" and isinstance(found["a"], FileNotFoundError if status == 404 else WrongSizeError)
        assert status == 404 or "10 bytes are listed" in explain(pickle.loads(pickle.dumps(found["a"])))
        flaky.answers = {}
        assert store.read_listed(sizes) == {"a": b"0123456789", "b": b"01"}


def test_an_object_of_100_mb_is_one_put(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]
) -> None:
    """Of several requests, a killed process would leave an unfinished upload, which costs storage and is not listed."""
    store = Store.open(use_endpoint(moto_endpoint))
    store.write("results.parquet", bytes(101 * 2**20))
    [listed] = store.list()
    assert listed.size == 101 * 2**20
    assert "-" not in listed.etag, "the ETag of a multipart upload ends with the number of its parts"
