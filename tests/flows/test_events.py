"""Events on the server and what its automations make of them: trainings of what changed, and people who are told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.settings.models.flows import FlowsSettings
from prefect.states import Cancelled, Completed, Late, Running, Scheduled, State
from s3fs import S3FileSystem

from artbank.config import WatchConfig
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from artbank_prefect.flows.watch_gallery import watch_gallery
from tests.support import rgw
from tests.support.flow_runs import id_of, log_of, run
from tests.support.prefect_yaml import PLACES, ROOT, call_prefect
from tests.support.small_inputs import add_collection, draw_artwork, draw_photo, stylizing, training
from tests.support.waiting import poll, wait_for

AUTOMATIONS = sorted((ROOT / "deployments/automations").glob("*.yaml"))
NOTIFY = ROOT / "deployments/notifications/notify.yaml"
NUM_UPLOADS = 500
_SOON_SECONDS = 10  # the least that Prefect lets an automation wait for what does not come


@pytest.fixture
def gallery(
    s3_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], deployed: dict[str, Any]
) -> Iterator[Store]:
    """An empty gallery at the place that the deployments name; what is waiting for a worker at the end is cancelled."""
    use_endpoint(s3_endpoint)
    fs = S3FileSystem(endpoint_url=s3_endpoint.url, key=s3_endpoint.access_key, secret=s3_endpoint.secret_key)
    fs.call_s3("create_bucket", Bucket="art")
    yield Store.open(PLACES["ARTBANK_GALLERY"])
    with get_client(sync_client=True) as client:
        for name in ("train-banks", "watch-gallery"):
            for one in runs_of(deployed[name].id):
                client.set_flow_run_state(one.id, Cancelled(), force=True)


@pytest.fixture(scope="module")
def told(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """All automations of the files, put there by Prefect's own command; and what people are told by them."""
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = {"text": "{{subject}}\n{{body}}"}
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        block = CustomWebhookNotificationBlock(name="people", url=url, json_data=text)
        automations = [yaml.safe_load(path.read_text()) for path in (*AUTOMATIONS, NOTIFY)]
        automations[-1]["actions"][0]["block_document_id"] = str(block.save("people", overwrite=True))
        for one in automations:
            if one["name"].startswith("artbank-alarm-") and one["trigger"]["posture"] == "Proactive":
                one["trigger"]["within"] = _SOON_SECONDS  # the files have hours
        file = tmp_path_factory.mktemp("automations") / "all.yaml"
        file.write_text(yaml.safe_dump(automations))
        assert f"Created {len(automations)} automation(s)" in call_prefect(
            prefect_server, "automation", "create", "--from-file", str(file)
        )
        yield heard
        with get_client(sync_client=True) as client:
            for one in automations:
                [found] = client.read_automations_by_name(one["name"])
                client.delete_automation(found.id)
        server.shutdown()


def runs_of(deployment_id: Any) -> list[FlowRun]:
    """Return the runs that an automation made of a deployment, in the order in which they were made."""
    wanted = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment_id]}})
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=wanted, limit=200)
    return sorted((one for one in found if not one.auto_scheduled and is_waiting(one)), key=lambda one: one.created)


def is_waiting(one: FlowRun) -> bool:
    return one.state is not None and one.state.is_scheduled()


def upload(gallery: Store, count: int) -> None:
    """Add artworks, and post an event for each upload, as a store's notifications would."""
    gallery.write_many({f"novak/{i}.png": draw_artwork(i) for i in range(4)})
    events = [
        {
            "id": str(uuid4()),
            "event": "gallery.uploaded",
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": f"artbank.gallery.{gallery.uri}"},
            "payload": {"key": f"novak/{number}.png"},
        }
        for number in range(count)
    ]
    with get_client(sync_client=True) as client:
        for first in range(0, count, 20):
            client.request("POST", "/events", json=events[first : first + 20])


@pytest.mark.faults
def test_five_hundred_uploads_are_one_look_and_one_training_of_what_changed(
    gallery: Store, deployed: dict[str, Any]
) -> None:
    upload(gallery, NUM_UPLOADS)
    wait_for(lambda: runs_of(deployed["watch-gallery"].id))
    [watching] = runs_of(deployed["watch-gallery"].id)
    config = WatchConfig.model_validate({**watching.parameters["config"], "quiet_seconds": 0.2})
    assert run(watch_gallery, config).result() == ("novak",)
    wait_for(lambda: runs_of(deployed["train-banks"].id))
    assert run(watch_gallery, config).result() == ()
    time.sleep(1.0)
    [asked] = runs_of(deployed["train-banks"].id)
    assert asked.parameters["config"] == {
        "gallery_uri": gallery.uri,
        "store_uri": PLACES["ARTBANK_STORE"],
        "runner": PLACES["ARTBANK_TRAIN_RUNNER"],
        "collections": ["novak"],
    }


def test_what_watches_tells_once_and_says_so(tmp_path: Path) -> None:
    add_collection(Store.open(str(tmp_path / "gallery")), "novak", count=3)
    places = {"gallery_uri": str(tmp_path / "gallery"), "store_uri": str(tmp_path / "store"), "quiet_seconds": 0}
    first, second = (run(watch_gallery, WatchConfig.model_validate(places)) for _ in range(2))
    assert (first.result(), second.result()) == (("novak",), ())
    log_of(id_of(first), "sent gallery.changed for 1 collection: novak")
    log_of(id_of(second), "no new changes: every changed collection was reported before")
    [event] = wait_for(lambda: events_about(f"artbank.gallery.{places['gallery_uri']}"))
    assert (event["event"], event["payload"]["collections"]) == ("gallery.changed", ["novak"])


@pytest.mark.faults
def test_people_are_told_of_a_run_that_failed(told: list[str], tmp_path: Path) -> None:
    def fail() -> list[str]:  # on a busy SQLite the server may lose an event: then another one fails
        run(train_banks, training(str(tmp_path / "nowhere"), str(tmp_path / "store")))
        return poll(lambda: [text for text in told if "artbank-alarm-failed-run" in text], 8)

    found = wait_for(fail)
    assert f"{tmp_path.name}/nowhere\n" in found[0] and "nowhere, found nothing there" in found[0]


def test_people_are_told_of_pictures_that_are_worth_a_look(told: list[str], trained: Any, tmp_path: Path) -> None:
    photos = {"good.jpg": draw_photo(1), "torn.jpg": draw_photo(2)[:100]}
    Store.open(str(tmp_path / "photos")).write_many(photos)
    uris = (str(tmp_path / "photos"), str(tmp_path / "output"), trained.store)
    state = run(stylize_archive, stylizing(*uris, "novak", alarms={"least_photos": 2, "max_gain_drop": None}))
    [alarm] = state.result().alarms
    assert (alarm.kind, alarm.measured, alarm.num_photos) == ("failed_share", 0.5, 2)
    assert "Worth a look" in state.result().text
    log_of(id_of(state), "1 of 2 pictures of this run failed (50.0%), more than 5.0%")
    [event] = wait_for(lambda: events_about(f"artbank.archive.{uris[0]}"))
    assert event["payload"]["measured"] == 0.5 and event["payload"]["places"]["output_uri"] == uris[1]
    text = wait_for(lambda: [text for text in told if uris[0] in text])[0]
    assert text.startswith(f"artbank-alarm-quality\n{uris[0]}\n1 of 2 pictures of this run failed")
    Store.open(uris[0]).write("another.jpg", draw_photo(3))
    again = run(stylize_archive, stylizing(*uris, "novak", alarms={"least_photos": 1, "max_gain_drop": None}))
    assert (again.result().num_failed, again.result().alarms) == (1, [])  # what was told of is not told of again


@pytest.mark.faults
def test_people_are_told_of_runs_that_do_not_start_or_do_not_end(told: list[str], deployed: dict[str, Any]) -> None:
    awaited = {
        "artbank-alarm-late-run": ("train-banks", Late),
        "artbank-alarm-stuck-run": ("train-banks", Running),
        "artbank-alarm-stuck-archive": ("stylize-archive", Running),
    }
    quick = [start(deployed["train-banks"], Running()) for _ in range(3)]
    for one in quick:
        move(one, Completed())

    def wait() -> bool:  # on a busy SQLite the server may lose an event: then there are others
        begun = {alarm: start(deployed[name], state()) for alarm, (name, state) in awaited.items()}
        for alarm, one in begun.items():
            if poll(lambda: any(text.startswith(f"{alarm}\n{one.name}\n") for text in told), 25):  # noqa: B023
                del awaited[alarm]
            move(one, Cancelled())
        return not awaited

    wait_for(wait, 300)
    assert sum(any(str(one.id) in text for text in told) for one in quick) < len(quick)  # their ends may be lost too


def start(deployment: Any, state: State[Any]) -> FlowRun:
    """Make a run of a deployment, of which nothing is ever heard."""
    with get_client(sync_client=True) as client:
        one = client.create_flow_run_from_deployment(deployment.id, state=Scheduled())
    move(one, state)
    return one


def move(one: FlowRun, state: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(one.id, state, force=True)


def test_automations_wait_for_what_the_server_sends(told: list[str]) -> None:
    found = {}
    with get_client(sync_client=True) as client:
        for path in AUTOMATIONS:
            named = yaml.safe_load(path.read_text())["name"]
            assert path.read_text().count(f"\nname: {named}\n") == 1  # `make deploy` finds it so
            [found[named]] = client.read_automations_by_name(named)
    assert all(one.enabled for one in found.values())
    heartbeat_seconds = FlowsSettings.model_fields["heartbeat_frequency"].default
    assert found["artbank-lost-runs"].trigger.within.total_seconds() > 3 * heartbeat_seconds
    alarms = {name for name in found if name != "artbank-lost-runs"}
    prefix = yaml.safe_load(NOTIFY.read_text())["trigger"]["match"]["prefect.resource.name"].removesuffix("*")
    assert alarms and all(name.startswith(prefix) for name in alarms)
    assert not yaml.safe_load(NOTIFY.read_text())["name"].startswith(prefix)


def events_about(resource_id: str) -> list[dict[str, Any]]:
    wanted = {"filter": {"any_resource": {"id": [resource_id]}}, "limit": 50}
    with get_client(sync_client=True) as client:
        return client.request("POST", "/events/filter", json=wanted).json()["events"]
