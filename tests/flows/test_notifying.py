"""`make deploy NOTIFY=URL`: alarms reach people, and no alarm exists that notifies no one."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore

from artbank_cli import server
from artbank_cli.deployment.automations import BLOCK, put_automations
from artbank_cli.deployment.files import FOLDER
from artbank_cli.notifiers import ALARM, find_notifier
from tests.support.waiting import wait_for


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[str]]]:
    """The secret address of a webhook, and the texts that it got."""
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
            heard.append(f"{self.path} {text}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}/sesame", heard
        listener.shutdown()


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    """A client of a server without automations of ours, before and after the test."""
    with get_client(sync_client=True) as client:
        remove_automations(client)
        yield client
        remove_automations(client)


def remove_automations(client: SyncPrefectClient) -> None:
    for one in client.read_automations():
        if one.name.startswith("artbank-"):
            client.delete_automation(one.id)


def actions_of(client: SyncPrefectClient) -> dict[str, list[str]]:
    """Return the kinds of actions of our automations, by name."""
    found = client.read_automations()
    return {one.name: [action.type for action in one.actions] for one in found if one.name.startswith("artbank-")}


def test_without_a_webhook_there_is_no_alarm_and_deploying_and_the_doctor_warn(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    put_automations(client, None)
    assert "warning: no one is notified of failed runs" in capsys.readouterr().out
    assert actions_of(client) == {"artbank-lost-runs": ["change-flow-run-state"]}
    found = {result.text: result.level for result in server.check_server(10)}
    assert any("no one is notified" in text and level == "warning" for text, level in found.items())


def test_with_a_webhook_every_alarm_reaches_people(
    client: SyncPrefectClient, webhook: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, heard = webhook
    put_automations(client, url)
    put_automations(client, None)  # again, as after a change: nothing is lost, nobody is warned
    assert "warning" not in capsys.readouterr().out
    alarms = {name: actions for name, actions in actions_of(client).items() if name.startswith(ALARM)}
    assert len(alarms) == 5 and all(actions == ["send-notification"] for actions in alarms.values())
    assert any("tells people of alarms" in result.text for result in server.check_server(10))

    def is_heard() -> bool:  # on a busy SQLite the server may lose an event: then there are others
        resource = {"prefect.resource.id": f"artbank.style.{uuid.uuid4()}", "prefect.resource.name": "monet"}
        resource |= {"artbank.output-uri": str(uuid.uuid4())}
        emit_event("artbank.quality-alarm", resource=resource, payload={"text": "Too many photos failed."})
        expected = "/sesame artbank-alarm-quality\nmonet\nToo many photos failed.\nartbank.style."
        return any(text.startswith(expected) for text in heard)

    wait_for(is_heard, 120)


def test_the_address_of_the_webhook_is_secret(client: SyncPrefectClient, webhook: tuple[str, list[str]]) -> None:
    put_automations(client, webhook[0])
    shown = client.request("POST", "/block_documents/filter", json={}).text
    assert BLOCK in shown and "/sesame" not in shown
    block: Any = CustomWebhookNotificationBlock.load(BLOCK)
    assert block.secrets.get_secret_value() == {"webhook": webhook[0]}


def test_an_alarm_that_did_nothing_tells_people_once_there_is_a_webhook(
    client: SyncPrefectClient, webhook: tuple[str, list[str]]
) -> None:
    older = yaml.safe_load((FOLDER / "automations/failed-runs.yaml").read_text())
    client.create_automation(AutomationCore.model_validate(older))
    assert find_notifier(client.read_automations()) is None
    put_automations(client, webhook[0])
    assert actions_of(client)["artbank-alarm-failed-run"] == ["send-notification"]
