"""Work pools of a Prefect server: create and update them, and limit their flow runs."""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from artbank_cli.output import say


def put_pool(client: SyncPrefectClient, name: str, kind: str, template: dict[str, Any]) -> None:
    """Create a work pool or update its template; a pool of another kind stays unchanged."""
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        say(f"work pool {name}: created, of kind {kind}")
        return
    if found.type != kind:
        say(f"work pool {name}: is of kind {found.type} and left as it is; delete it to have one of kind {kind}")
    elif template and found.base_job_template != template:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
        say(f"work pool {name}: has a new base job template")
    else:
        say(f"work pool {name}: up to date")


def limit_pool(client: SyncPrefectClient, name: str, limit: int | None) -> None:
    """Limit the concurrent flow runs of a pool; without a number keep the old limit, or set 1."""
    limit = limit or client.read_work_pool(name).concurrency_limit or 1
    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    say(f"work pool {name}: {limit} at once")
