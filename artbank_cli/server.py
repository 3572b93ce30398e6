"""Start a private Prefect server for a command, and check the one at PREFECT_API_URL.

The check compares its version with this client's, and looks for everything that `artbank deploy` creates.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from artbank.credentials import redact
from artbank.doctor.checks import CheckResult
from artbank.errors import ServerError
from artbank.report.markdown import shorten
from artbank.runtime.counts import number_text
from artbank.runtime.extras import is_installed
from artbank.runtime.stages import show_stage
from artbank_cli.console_log import shorten_console_log
from artbank_cli.notifiers import ALARM, find_notifier

POOLS = ("artbank", "gpu")
DEPLOYMENTS = (
    *("train-banks/train-banks", "watch-gallery/watch-gallery"),
    *("stylize-archive/stylize-archive", "stylize-shards/gpu"),
)
AUTOMATIONS = (
    *("artbank-lost-runs", "artbank-alarm-failed-run", "artbank-alarm-late-run", "artbank-alarm-stuck-run"),
    *("artbank-alarm-stuck-archive", "artbank-alarm-quality"),
)
"""What `artbank deploy` creates on a server."""
_START_ADVICE = "start it (prefect server start), or correct or unset PREFECT_API_URL"
_STATUS_ADVICE = "the address ends in /api, and PREFECT_API_AUTH_STRING or PREFECT_API_KEY holds what it asks for"
_ANSWER_SECONDS = 10.0
_PATIENCE_SECONDS = 4.0
_PAUSE_SECONDS = 1.0


def start_server() -> None:
    """Start a private Prefect server where no other is configured, which ends with this process; else ask that one.

    Raises:
        ServerError: The private server cannot be started, or the configured one does not answer.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    shorten_console_log()
    url = PREFECT_API_URL.value()
    if url:
        if fault := _find_fault_patiently(url):
            raise ServerError(f"the Prefect server at PREFECT_API_URL={redact(url)} {fault}; {_START_ADVICE}")
    elif PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        show_stage("starting the private Prefect server")
        from artbank_cli.private_server import PrivateServer

        PrivateServer().start()
    else:
        absence = assess_absence(may_start=False)
        raise ServerError(f"{absence.text}; {absence.advice}")


def needs_private_server() -> bool:
    """Return whether a run would start a private server: none is configured, and Prefect may start its own."""
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    return not PREFECT_API_URL.value() and bool(PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value())


def find_fault(url: str, seconds: float) -> str | None:
    """Ask a Prefect server whether it is well; returns what is wrong, or None.

    Args:
        url: Address of its API.
        seconds: Time limit for the answer.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    scheme, _, host = url.partition("://")
    if scheme not in ("http", "https") or not host:
        return "is no address: expected http://HOST:PORT/api"
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": seconds}) as client,
        ):
            answer = client.request("GET", "/health")
            if answer.json() is not True:
                return f"answered {shorten(answer.text)!r}: that is no Prefect server; the address ends in /api"
    except httpx.HTTPStatusError as error:
        return f"answered {error.response.status_code} {error.response.reason_phrase}: {_STATUS_ADVICE}"
    except ValueError:  # no JSON
        return "answered with something else than Prefect's API; the address ends in /api"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"does not answer: {type(error).__name__}: {error}"
    return None


def _find_fault_patiently(url: str) -> str | None:
    """Ask for a few seconds: a server that is being restarted is no reason to give up a scheduled run."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (fault := find_fault(url, _ANSWER_SECONDS)) is not None and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return fault


def check_server(seconds: float) -> Iterator[CheckResult]:
    """Check the server, and what `artbank deploy` creates on it.

    Args:
        seconds: Time limit for one answer.
    """
    if not is_installed("prefect"):
        text = "Prefect is not installed: commands work in their own process, on one device"
        yield CheckResult("OK", f"{text}; pip install 'artbank[prefect]' for servers, schedules and work pools")
        return
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    url = PREFECT_API_URL.value()
    if not url:
        yield assess_absence(may_start=bool(PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value()))
        return
    if fault := find_fault(url, seconds):
        yield CheckResult("problem", f"{url} {fault}", _START_ADVICE)
        return
    with get_client(sync_client=True, httpx_settings={"timeout": seconds}) as client:
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
            yield CheckResult("warning", f"there is no work pool {name}", "run artbank deploy")
            continue
        workers = [w for w in client.read_workers_for_work_pool(name, limit=200) if w.status == WorkerStatus.ONLINE]
        if workers:
            yield CheckResult(
                "OK", f"work pool {name} ({there[name].type}): {number_text(len(workers), 'worker')} online"
            )
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
            yield CheckResult("warning", f"there is no deployment {name}", "run artbank deploy")
            continue
        if deployment.paused:
            yield CheckResult("warning", f"deployment {name} is paused", f"prefect deployment resume {name}")
        else:
            yield CheckResult("OK", f"deployment {name}")
    yield from _check_automations(client)


def _check_automations(client: Any) -> Iterator[CheckResult]:
    """Check that the automations exist, and that alarms notify someone."""
    notifier = find_notifier(client.read_automations())
    if notifier is None:
        text = "no one is notified of failed runs and other alarms: no automation sends a notification"
        yield CheckResult("warning", text, "run artbank deploy --notify URL, with the address of a webhook")
    else:
        yield CheckResult("OK", f"automation {notifier} tells people of alarms")
    for name in AUTOMATIONS:
        found = client.read_automations_by_name(name)
        if not found and not (notifier is None and name.startswith(ALARM)):  # deployed with a notifier alone
            yield CheckResult("warning", f"there is no automation {name}", "run artbank deploy")
        elif found and not any(automation.enabled for automation in found):
            yield CheckResult("warning", f"automation {name} is switched off", f"prefect automation resume {name}")
        elif found:
            yield CheckResult("OK", f"automation {name}")
