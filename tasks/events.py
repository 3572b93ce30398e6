"""Events on Prefect's server, which its automations look out for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.events import Event


def send_event(name: str, resource: Mapping[str, str], payload: Mapping[str, Any], event_id: str | None = None) -> None:
    """Give an event to the server: when this returns it has it, which Prefect's own `emit_event` does not promise.

    Args:
        name: Of the event.
        resource: What it is about, as labels; `prefect.resource.id` is one.
        payload: The facts, as JSON has them.
        event_id: A UUID; one of its own by default.

    Raises:
        httpx.HTTPError: The server does not take it, or is not there.
    """
    facts = {"event": name, "resource": dict(resource), "payload": dict(payload), "id": event_id or uuid4()}
    event = Event.model_validate(facts)
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])
