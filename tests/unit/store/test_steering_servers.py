"""Servers that send a store's requests elsewhere, or hold them by a byte now and then; over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer

import pytest

from artbank.errors import ConfigError
from artbank.store.backends import s3_session
from artbank.store.explanations import explain
from artbank.store.objects import Store
from artbank.store.transient_errors import concerns_one_object, is_transient
from tests.support.steering_servers import Dripper, HeadDripper, Recorder, Redirector, run_server

CALLS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("a.jpg"),
    "write": lambda store: store.write("a.jpg", b"private"),
    "create": lambda store: store.create("a.jpg", b"private"),
    "list": lambda store: store.list(),
    "exists": lambda store: store.exists("a.jpg"),
    "delete": lambda store: store.delete_many(["a.jpg"]),
}


@pytest.fixture
def other() -> Iterator[ThreadingHTTPServer]:
    """A server on another host than the one that is named: `localhost` instead of `127.0.0.1`."""
    with run_server(Recorder) as server:
        yield server


def use(monkeypatch: pytest.MonkeyPatch, server: ThreadingHTTPServer) -> Store:
    """Name a server as the S3 server of the environment, with temporary credentials."""
    settings = {"URL": f"http://127.0.0.1:{server.server_address[1]}"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", settings["URL"])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, f"secret-{name}")
    return Store.open("s3://bucket/photos")


def target(server: ThreadingHTTPServer) -> str:
    return f"http://localhost:{server.server_address[1]}"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_redirect_of_an_s3_server_to_another_host_is_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch, other: ThreadingHTTPServer, call: Callable[[Store], object]
) -> None:
    with run_server(Redirector, status=307, target=target(other)) as named, pytest.raises(OSError) as caught:
        call(use(monkeypatch, named))
    assert "sends the request to another address, which is not followed; set AWS_ENDPOINT_URL" in explain(caught.value)
    assert not is_transient(caught.value) and not concerns_one_object(caught.value)
    assert vars(other)["seen"] == []


@pytest.mark.parametrize("status", [301, 302, 303, 308])
def test_no_kind_of_redirect_is_followed(
    monkeypatch: pytest.MonkeyPatch, other: ThreadingHTTPServer, status: int
) -> None:
    with run_server(Redirector, status=status, target=target(other)) as named, pytest.raises(OSError):
        use(monkeypatch, named).read("a.jpg")
    assert vars(other)["seen"] == []


def test_a_redirect_of_a_web_server_is_followed_on_its_own_host_only(other: ThreadingHTTPServer) -> None:
    with run_server(Redirector, status=302, target=target(other)) as named:
        web = Store.open(f"http://127.0.0.1:{named.server_address[1]}/photos")
        with pytest.raises(ConfigError, match=f"found a redirect to {target(other)}, which is not followed"):
            web.read("a.jpg")
        assert vars(other)["seen"] == []
        vars(named)["target"] = f"http://127.0.0.1:{other.server_address[1]}"
        assert web.read("b.jpg") == b"bad"


@pytest.mark.parametrize("name", ["read", "list", "write"])
def test_an_answer_that_drips_ends_in_the_time_for_its_size(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(s3_session, "LEAST_SECONDS", 0.2)
    with run_server(Dripper, length=1000) as server, pytest.raises(OSError) as caught:
        CALLS[name](use(monkeypatch, server))
    assert is_transient(caught.value)
    assert "expected 1,000 bytes within 0 s, but the store or the network is slower" in explain(caught.value)


def test_a_head_of_an_answer_that_drips_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_session, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(s3_session, "_WAIT_SECONDS", 0.1)
    with run_server(HeadDripper) as server, pytest.raises(OSError, match="expected 0 bytes within 0 s"):
        use(monkeypatch, server).read("a.jpg")


def test_a_larger_answer_has_more_time() -> None:
    assert s3_session.longest_seconds(0) == 60
    assert s3_session.longest_seconds(2_000_000) == 160
