"""What all tests share: no call to the hub, S3 servers of different habits, a Prefect server, PostgreSQL, a browser.

Servers that are not installed are a reason to skip, unless ARTBANK_REQUIRE_SERVICES is set.

The gateway refuses a conditional PUT without naming the condition, moto names it; s3fs makes two errors of that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support import postgres, rgw

os.environ["HF_HUB_OFFLINE"] = "1"  # before any test imports a library that reads it
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"  # the core logs outside of flow runs too
os.environ["OMP_NUM_THREADS"] = "1"  # for child processes too: sums of other thread counts differ in their last bits
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads take no time from the other programs here
os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] = "artbank"  # likewise: as a deployment has it
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"

pytest_plugins = ["tests.support.flow_fixtures"]

BACKENDS = ("local", "memory", "rgw", "moto")
_numbers = count(1)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[rgw.Endpoint]:
    """A Ceph gateway."""
    _require(rgw.missing_programs())
    with rgw.run_gateway() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[rgw.Endpoint]:
    """A server of moto's."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=rgw.free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield rgw.Endpoint(f"http://{host}:{port}", "testing", "testing")
    server.stop()


@pytest.fixture
def use_endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[rgw.Endpoint], str]:
    """Direct the rest of the test to an S3 server; gives the URI of an empty bucket there."""

    def use(endpoint: rgw.Endpoint) -> str:
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_key)
        return f"s3://{create_bucket(endpoint)}"

    return use


@pytest.fixture
def s3_store(s3_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str]) -> str:
    """The URI of an empty bucket on the gateway, which AWS_* name until the test ends."""
    return use_endpoint(s3_endpoint)


@pytest.fixture(params=BACKENDS)
def store_uri(
    request: pytest.FixtureRequest, tmp_path: Path, use_endpoint: Callable[[rgw.Endpoint], str]
) -> Iterator[str]:
    """The URI of an empty store: on disk, in memory, on the gateway, on moto's server."""
    if request.param == "local":
        yield str(tmp_path / "store")
    elif request.param == "memory":
        yield f"memory://store-{next(_numbers)}"
    else:
        name = {"rgw": "s3_endpoint", "moto": "moto_endpoint"}[request.param]
        yield f"{use_endpoint(request.getfixturevalue(name))}/store"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A Prefect server for all tests that run flows; gives the URL of its API."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=300),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),  # its thread would end a second after each run
    ):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An empty database of a PostgreSQL server, as SQLAlchemy takes it."""
    _require([name for name in ("initdb", "postgres", "createdb") if postgres.find_program(name) is None])
    with postgres.run_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, for a module that runs no flow meanwhile: its driver keeps an event loop running."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    _require([] if program else ["chromium"])
    with sync_playwright() as driver:
        # As root in a container Chromium has no sandbox to be had, and it opens nothing but what the tests have made.
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def require_programs() -> Callable[[Sequence[str]], None]:
    """Skip what needs programs that are not there, told by name, or fail it."""
    return _require


def create_bucket(endpoint: rgw.Endpoint) -> str:
    """Create a bucket of a new name, and return the name."""
    from s3fs import S3FileSystem

    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    fs = S3FileSystem(endpoint_url=endpoint.url, key=endpoint.access_key, secret=endpoint.secret_key)
    fs.call_s3("create_bucket", Bucket=name)
    return name


def _require(missing: Sequence[str]) -> None:
    """Skip what needs programs that are not there, or fail it."""
    if missing and os.environ.get("ARTBANK_REQUIRE_SERVICES"):
        pytest.fail(f"ARTBANK_REQUIRE_SERVICES is set, but there is no {', '.join(missing)}: tests/install-services.sh")
    if missing:
        pytest.skip(f"no {', '.join(missing)}; tests/install-services.sh installs them")
