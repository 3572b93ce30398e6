"""Automations of a Prefect server, and the notification block through which alarms reach people."""

from __future__ import annotations

from typing import Any

import yaml
from prefect.blocks.fields import SecretDict
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore

from artbank_cli.deployment.files import FOLDER
from artbank_cli.notifiers import find_notifier
from artbank_cli.output import say

BLOCK = "artbank-alarms"
"""The notification block that `--notify` writes."""
_BODY = """{{ event.resource['prefect.resource.name'] }}
{{ event.payload.text or event.resource['prefect.state-message'] or event.event }}
{{ event.resource['prefect.resource.id'] }}"""


def save_notification(url: str) -> dict[str, Any]:
    """Write the notification block of a webhook; returns the action that sends an alarm to it.

    The address is secret, so the block holds it among its secrets.
    """
    block = CustomWebhookNotificationBlock(  # pyright: ignore[reportCallIssue] - headers and cookies have defaults
        name=BLOCK,
        url="{{webhook}}",
        json_data={"text": "{{subject}}\n{{body}}"},
        secrets=SecretDict({"webhook": url}),
    )
    block_id = str(block.save(BLOCK, overwrite=True))
    say(f"block {BLOCK}: holds the address for alarms")
    return {
        "type": "send-notification",
        "block_document_id": block_id,
        "subject": "{{ automation.name }}",
        "body": _BODY,
    }


def put_automations(client: SyncPrefectClient, url: str | None) -> None:
    """Create the automations of the files, and warn if alarms notify no one.

    Args:
        url: The webhook that alarms are sent to; None leaves existing automations as they are.
    """
    action = save_notification(url) if url else None
    notifier = find_notifier(client.read_automations())
    for path in sorted((FOLDER / "automations").glob("*.yaml")):
        put_automation(client, yaml.safe_load(path.read_text()), action, is_told=notifier is not None)
    if action is None and notifier is None:
        say("warning: no one is notified of failed runs and other alarms; artbank deploy --notify URL")


def put_automation(
    client: SyncPrefectClient, told: dict[str, Any], action: dict[str, Any] | None, *, is_told: bool
) -> None:
    """Create an automation, unless one of that name exists. An alarm is created only if it notifies someone.

    Args:
        client: Client of the server.
        told: The automation; an alarm has an action that does nothing, which `action` replaces.
        action: The action that tells people; None for none.
        is_told: Whether another automation tells people.
    """
    name, is_alarm = told["name"], all(action_told["type"] == "do-nothing" for action_told in told["actions"])
    if is_alarm and action is not None:
        told = told | {"actions": [action]}
    found = client.read_automations_by_name(name)
    if found and is_alarm and action is not None and all(done.type == "do-nothing" for done in found[0].actions):
        client.update_automation(found[0].id, AutomationCore.model_validate(told))
        say(f"automation {name}: tells people now")
    elif found:
        say(f"automation {name}: is there")
    elif is_alarm and action is None and not is_told:
        say(f"automation {name}: left out, because it would notify no one")
    else:
        client.create_automation(AutomationCore.model_validate(told))
        say(f"automation {name}: created")
