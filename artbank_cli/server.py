"""Start a private Prefect server for a command, and check the one at PREFECT_API_URL.

The check compares its version with this client's, and looks for everything that `make deploy` creates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from artbank.doctor.checks import CheckResult
from artbank.runtime.processes import shield_children_from_terminal

POOLS = ("artbank", "gpu")
DEPLOYMENTS = (
    *("train-banks/train-banks", "watch-gallery/watch-gallery"),
    *("stylize-archive/stylize-archive", "stylize-shards/gpu"),
)
AUTOMATIONS = (
    *("artbank-lost-runs", "artbank-alarm-failed-run", "artbank-alarm-late-run", "artbank-alarm-stuck-run"),
    *("artbank-alarm-stuck-archive", "artbank-alarm-quality"),
)
"""What `make deploy` creates on a server."""


def start_server() -> None:
    """Start Prefect's temporary server where there is no other; it ends with this process."""
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    if not PREFECT_API_URL.value() and PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        # Prefect would start it too, but then Ctrl-C would end it before the run has reported its state.
        with shield_children_from_terminal():
            SubprocessASGIServer().start()


def check_server(seconds: float) -> Iterator[CheckResult]:
    """Check the server, and what `make deploy` creates on it.

    Args:
        seconds: Time limit for one answer.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    url = PREFECT_API_URL.value()
    if not url:
        yield assess_absence(may_start=bool(PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value()))
        return
    with get_client(sync_client=True, httpx_settings={"timeout": seconds}) as client:
        if (error := client.api_healthcheck()) is not None:
            text = f"{url} does not answer: {type(error).__name__}: {error}"
            yield CheckResult("problem", text, "start it (prefect server start), or correct or unset PREFECT_API_URL")
            return
        yield assess_version(url, client.client_version(), client.api_version())
        yield from _assess_database(client.request("GET", "/admin/settings").json())
        yield from _check_pools(client)
        yield from _check_deployed(client)


def assess_absence(*, may_start: bool) -> CheckResult:
    """Report that no server is configured; `may_start` if each command may start its own."""
    if may_start:
        text = "PREFECT_API_URL is not set: each command starts a private, temporary server"
        return CheckResult("OK", f"{text}; schedules and work pools need a permanent one")
    text = "PREFECT_API_URL is not set, and PREFECT_SERVER_ALLOW_EPHEMERAL_MODE forbids a private server"
    return CheckResult("problem", text, "set PREFECT_API_URL to a server, or unset PREFECT_SERVER_ALLOW_EPHEMERAL_MODE")


def assess_version(url: str, client: str, server: str) -> CheckResult:
    """Compare the versions of client and server; they work together if their minor version is the same."""
    if client == server:
        return CheckResult("OK", f"{url} is Prefect {server}, the same as this client")
    same_minor = client.split(".")[:2] == server.split(".")[:2]
    text = f"{url} is Prefect {server}, but this client is {client}"
    advice = f"pip install prefect=={server} here, or {client} there"
    return CheckResult("warning" if same_minor else "problem", text, advice)


def _assess_database(settings: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Report the database of a server, if it shows it: it hides a connection URL."""
    driver = settings.get("server", {}).get("database", {}).get("driver")
    if driver and driver.startswith("sqlite"):
        advice = "give the server PostgreSQL if several people or runs of many shards use it"
        yield CheckResult("warning", f"its database is SQLite ({driver})", advice)
    elif driver:
        yield CheckResult("OK", f"its database is {driver}")


def _check_pools(client: Any) -> Iterator[CheckResult]:
    from prefect.client.schemas.objects import WorkerStatus

    there = {pool.name: pool for pool in client.read_work_pools(limit=200)}
    for name in POOLS:
        if name not in there:
            yield CheckResult("warning", f"there is no work pool {name}", "run make deploy")
            continue
        workers = [w for w in client.read_workers_for_work_pool(name, limit=200) if w.status == WorkerStatus.ONLINE]
        if workers:
            yield CheckResult("OK", f"work pool {name} ({there[name].type}): {len(workers)} workers online")
        elif there[name].is_push_pool or there[name].is_managed_pool:
            yield CheckResult("OK", f"work pool {name} ({there[name].type}), which needs no worker")
        else:
            text = f"work pool {name} ({there[name].type}) has no worker online"
            yield CheckResult("warning", text, f"prefect worker start --pool {name}")
        if there[name].is_paused:
            yield CheckResult("warning", f"work pool {name} is paused", f"prefect work-pool resume {name}")


def _check_deployed(client: Any) -> Iterator[CheckResult]:
    from prefect.exceptions import ObjectNotFound

    for name in DEPLOYMENTS:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            yield CheckResult("warning", f"there is no deployment {name}", "run make deploy")
            continue
        if deployment.paused:
            yield CheckResult("warning", f"deployment {name} is paused", f"prefect deployment resume {name}")
        else:
            yield CheckResult("OK", f"deployment {name}")
    for name in AUTOMATIONS:
        found = client.read_automations_by_name(name)
        if not found:
            yield CheckResult("warning", f"there is no automation {name}", "run make deploy")
        elif not any(one.enabled for one in found):
            yield CheckResult("warning", f"automation {name} is switched off", f"prefect automation resume {name}")
        else:
            yield CheckResult("OK", f"automation {name}")
