"""Fixtures and rules of all tests: no call to the hub, two tiers, time limits, servers that start when first used.

Servers that are not installed are a reason to skip, unless ARTBANK_REQUIRE_SERVICES is set.

The Ceph gateway and moto are both S3, with different habits: the gateway refuses a conditional PUT without naming the
condition, moto names it, and s3fs raises a different error for each.
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import postgres, rgw
from tests.support.signals import restored_handlers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["HF_HUB_OFFLINE"] = "1"  # before any test imports a library that reads it
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"  # the core logs outside of flow runs too
os.environ["OMP_NUM_THREADS"] = "1"  # for child processes too: sums of other thread counts differ in their last bits
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads take no time from the other programs here
os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] = "artbank"  # as a deployment has it
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"

pytest_plugins = ["tests.support.model_fixtures", "tests.support.flow_fixtures", "tests.support.quick_samples"]
settings.register_profile("artbank", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no clocks
settings.load_profile("artbank")

BACKENDS = ("local", "memory", "rgw", "moto")
FAULTS = Path(__file__).parent / "faults"
FAULTS_TIMEOUT_SECONDS = 900  # with fixtures; `timeout` in pyproject.toml is for the fast tier
FAST_CPU_SECONDS = 20  # the longest take 10 on a free machine
WITH_PREFECT = ("tests/cli", "tests/flows", "tests/unit/tasks", "tests/faults/docs", "tests/faults/flows")
SPLIT_FOLDER = "tests/faults/flows"
LONGEST_GROUPS = (
    "tests/flows",
    "tests/faults/flows/test_stops.py",
    "tests/faults/docs",
    "tests/cli",
    "tests/faults/flows/test_runners.py",
    "tests/faults/flows/test_outages.py",
    "tests/faults/flows/test_claims.py",
    "tests/faults/flows",
    "tests/unit/pretraining",
    "tests/unit/mini",
    "tests/unit/archive",
    "tests/unit/bank",
    "tests/faults",
    "tests/unit/gallery",
    "tests/unit/images",
)
_numbers = count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests into their tier; the groups that take longest come first."""
    for item in items:
        if FAULTS in item.path.parents:
            item.add_marker(pytest.mark.faults)
        if item.get_closest_marker("faults") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(FAULTS_TIMEOUT_SECONDS))
    items.sort(key=lambda item: _place(_group(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Under `pytest -n`, run each group of tests in one process, so that its fixtures are made once.

    The last process takes the groups without Prefect first, and the others those with it: each of them starts a server.
    """
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

        def _assign_work_unit(self, node: WorkerController) -> None:
            has_server = node is not self.nodes[-1]
            liked = [group for group in self.workqueue if _uses_prefect(group) == has_server]
            if liked:
                self.workqueue.move_to_end(liked[0], last=False)
            super()._assign_work_unit(node)

    config.option.loadscopereorder = False
    return Scheduler(config, log)


def _group(node_id: str) -> str:
    """Return the name of a test's group: its folder; in the one that takes longest, its file."""
    path = node_id.partition("::")[0]
    folder = path.rpartition("/")[0]
    return path if folder == SPLIT_FOLDER else folder


def _uses_prefect(group: str) -> bool:
    """Return whether tests of a group use the Prefect server of their process."""
    return group.startswith(WITH_PREFECT)


def _place(group: str) -> int:
    """Return the place of a group in the order of `LONGEST_GROUPS`: that of the longest name which begins its own."""
    found = [name for name in LONGEST_GROUPS if group.startswith(name)]
    return LONGEST_GROUPS.index(max(found, key=len)) if found else len(LONGEST_GROUPS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Undo what `main()` of the command line does to the handlers of signals."""
    with restored_handlers():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Warn of a test of the fast tier that is too expensive for it.

    A warning and not a failure: the CPU time of the same test differs by a factor of two between busy machines.
    """
    before = _cpu_seconds()
    result = yield
    seconds = _cpu_seconds() - before
    if seconds > FAST_CPU_SECONDS and not item.get_closest_marker("faults"):
        warnings.warn(
            f"{item.nodeid} took {seconds:.0f} s of CPU, more than the {FAST_CPU_SECONDS} s of the fast tier: "
            "make it smaller, or mark it `faults`",
            stacklevel=1,
        )
    return result


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[rgw.Endpoint]:
    """A Ceph gateway."""
    _require(rgw.missing_programs())
    with rgw.run_gateway() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[rgw.Endpoint]:
    """A moto server that writes one object at a time: moto checks a condition and writes in two steps, S3 in one."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    put_object = S3Response.put_object
    writing = threading.Lock()

    def put_alone(self: S3Response) -> Any:
        with writing:
            return put_object(self)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=rgw.free_port(), verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", put_alone)
        server.start()
        host, port = server.get_host_and_port()
        yield rgw.Endpoint(f"http://{host}:{port}", "testing", "testing")
        server.stop()


@pytest.fixture
def use_endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[rgw.Endpoint], str]:
    """Points AWS_* at an S3 server until the test ends; returns the URI of an empty bucket there."""

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
    """URI of an empty bucket on the gateway, which AWS_* point at until the test ends."""
    return use_endpoint(s3_endpoint)


@pytest.fixture(params=BACKENDS)
def store_uri(
    request: pytest.FixtureRequest, tmp_path: Path, use_endpoint: Callable[[rgw.Endpoint], str]
) -> Iterator[str]:
    """URI of an empty store: on disk, in memory, on the gateway, on moto."""
    if request.param == "local":
        yield str(tmp_path / "store")
    elif request.param == "memory":
        yield f"memory://store-{next(_numbers)}"
    else:
        name = {"rgw": "s3_endpoint", "moto": "moto_endpoint"}[request.param]
        yield f"{use_endpoint(request.getfixturevalue(name))}/store"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """URL of the API of the one Prefect server of this process."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    from tests.support.prefect_database import keep_empty_database

    with (
        prefect_test_harness(server_startup_timeout=300),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),  # its thread would end a second after each run
    ):
        keep_empty_database()
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database."""
    _require([name for name in ("initdb", "postgres", "createdb") if postgres.find_program(name) is None])
    with postgres.run_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Its driver runs an event loop, so no flow can run in the same module."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    _require([] if program else ["chromium"])
    with sync_playwright() as driver:
        # As root in a container Chromium has no sandbox; it opens only pages that the tests wrote.
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def require_programs() -> Callable[[Sequence[str]], None]:
    """Skips a test whose programs, given by name, are missing; fails it under ARTBANK_REQUIRE_SERVICES."""
    return _require


def create_bucket(endpoint: rgw.Endpoint) -> str:
    """Create a bucket with a new name; returns the name."""
    from s3fs import S3FileSystem

    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    fs = S3FileSystem(endpoint_url=endpoint.url, key=endpoint.access_key, secret=endpoint.secret_key)
    fs.call_s3("create_bucket", Bucket=name)
    return name


def _require(missing: Sequence[str]) -> None:
    """Skip the test if programs are missing; fail it under ARTBANK_REQUIRE_SERVICES."""
    if missing and os.environ.get("ARTBANK_REQUIRE_SERVICES"):
        pytest.fail(
            f"ARTBANK_REQUIRE_SERVICES is set, but {', '.join(missing)} is missing: run tests/install-services.sh"
        )
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing; tests/install-services.sh installs it")
