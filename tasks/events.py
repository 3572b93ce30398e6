"""Events sent to Prefect's server, where they can trigger automations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.events import Event


def send_event(name: str, resource: Mapping[str, str], payload: Mapping[str, Any], event_id: str | None = None) -> None:
    """Send an event and wait until the server has accepted it. Prefect's own `emit_event` does not wait.

    Args:
        name: Name of the event.
        resource: Labels of the resource; must contain `prefect.resource.id`.
        payload: JSON data.
        event_id: A UUID; a new one by default.

    Raises:
        httpx.HTTPError: The server rejects the event or cannot be reached.
    """
    facts = {"event": name, "resource": dict(resource), "payload": dict(payload), "id": event_id or uuid4()}
    event = Event.model_validate(facts)
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])
