"""Running flows are visible to a person, an automation and Prometheus, on a real server."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

import distributed  # before its settings are set for a while: else its defaults go with them
import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.context import AssetContext
from prefect.events.schemas.automations import AutomationCore, EventTrigger

from artbank.diffusion import shared_base_model
from artbank.parameters.run_config import RunConfig
from artbank.runs.outcome import Outcome
from artbank.runs.progress import RunProgress
from artbank.runtime import telemetry
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from artbank_prefect.tasks import assets, progress
from artbank_prefect.tasks.artifacts import link_of, list_places, show_outcome
from artbank_prefect.tasks.runners import _DASK, _start
from artbank_prefect.tasks.tags import MAX_TAGS, make_tags
from tests.support import rgw
from tests.support.flow_runs import artifacts, id_of, log_of, read_run, run, task_runs
from tests.support.interrupted_runs import NUM_PHOTOS
from tests.support.prefect_yaml import ROOT
from tests.support.prometheus import scrape
from tests.support.small_inputs import listing, stylizing, training
from tests.support.waiting import wait_for


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the server is told of progress, in percent; each is one call of its API."""
    values: list[float] = []
    update = SyncPrefectClient.update_artifact

    def spy(self: SyncPrefectClient, artifact_id: UUID, artifact: Any) -> None:
        values.append(artifact.data)
        update(self, artifact_id, artifact)

    monkeypatch.setattr(SyncPrefectClient, "update_artifact", spy)
    return values


def events(server: str, *names: str) -> list[dict[str, Any]]:
    """Return the newest events of some names as the server has them."""
    body = json.dumps({"filter": {"event": {"name": list(names)}}, "limit": 50}).encode()
    request = Request(f"{server}/events/filter", data=body, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["events"]


def test_progress_moves_while_pictures_are_drawn_and_ends_at_100(
    trained: Any, photos: str, told: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.05)
    config = stylizing(photos, str(tmp_path), trained.store, "novak", "ferrante@1", shard_size=4, batch_size=1)
    start = time.monotonic()
    state = run(stylize_archive, config)
    assert state.is_completed(), state
    assert told == sorted(told) and told[-1] == 100.0
    assert len({value for value in told if 0 < value < 100}) >= 3
    assert len(told) <= (time.monotonic() - start) / 0.05 + 1
    [shown] = [one for one in artifacts(id_of(state)) if one.type == "progress"]
    assert shown.data == 100.0 and "16 of 16 pictures, 0 failed; " in str(shown.description)
    lines = log_of(id_of(state), "16 of 16 pictures")
    assert any("16 pictures, about" in line and "on one worker: " in line for line in lines)


def test_a_short_run_writes_its_progress_twice_whatever_its_tasks_tell(
    trained: Any, photos: str, told: list[float], tmp_path: Path
) -> None:
    config = stylizing(photos, str(tmp_path), trained.store, "novak", shard_size=1)
    state = run(stylize_archive, config)
    assert state.is_completed() and told == [100.0]  # once when it was created, with 0, and once at the end
    assert {"style:novak"} <= set(read_run(id_of(state)).tags)
    assert read_run(id_of(state)).name == f"{Path(photos).parent.name}/photos in novak"


def test_a_training_tells_its_steps_and_is_tagged_by_its_collections(
    trained: Any, told: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.02)
    config = training(trained.gallery, str(tmp_path), collections=("novak",))
    config = config.model_copy(update={"recipe": config.recipe.model_copy(update={"max_steps": 12})})
    state = run(train_banks, config)
    assert state.is_completed(), state
    assert told[-1] == 100.0 and len({value for value in told if 0 < value < 100}) >= 2
    assert read_run(id_of(state)).tags == ["collection:novak"]
    # the server is asked for the concurrency limits of a task's tags once, and a busy server fails the task
    by_name = {one.name: one.tags for one in task_runs(id_of(state), at_least=2)}
    assert "train-novak" in by_name and not any(by_name.values())
    assert state.result().seconds["novak"] > 0


# CI sees the progress of threads, above, and the metrics of a process in tests/unit/runtime
@pytest.mark.slow
@pytest.mark.faults
def test_workers_of_a_cluster_tell_their_progress_and_their_metrics(
    trained: Any, photos: str, told: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.05)
    heard: list[tuple[int, int]] = []
    tell = RunProgress.update

    def spy(self: RunProgress, part: str, done: int, total: int | None = None, loss: float | None = None) -> None:
        heard.append((done, total or 0))
        tell(self, part, done, total, loss)

    monkeypatch.setattr(RunProgress, "update", spy)
    monkeypatch.setenv(telemetry.PORT_VARIABLE, str(rgw.free_port()))
    with dask.config.set(_DASK), _start(RunConfig(num_workers=2))() as cluster:
        address = cluster.scheduler_address
        config = stylizing(photos, str(tmp_path), trained.store, "novak", shard_size=4, batch_size=1, runner=address)
        state = run(stylize_archive, config)
        with distributed.Client(address) as client:
            ports = client.run(telemetry.start_exporter)  # those they have: it starts none that runs already
        found = [scrape(port) for port in ports.values()]
    assert state.is_completed(), state
    assert heard and {total for _, total in heard} == {4} and told[-1] == 100.0
    drawn = [one["artbank_pictures_total", "novak", "done", ""] for one in found]
    assert sum(drawn) == NUM_PHOTOS and min(drawn) > 0
    for one in found:
        stages = {labels[1] for labels in one if labels[0] == "artbank_stage_seconds_count"}
        assert stages == {"read", "decode", "draw", "score", "encode", "write"}
        assert one["artbank_queue_items", "read"] == 0 and one["artbank_store_objects_total", "create"] > 0
    cost = state.result().cost
    assert cost.num_workers == 2 and cost.tally.done == NUM_PHOTOS and 0 < cost.utilisation < 1


def test_a_dry_run_of_a_training_tells_what_it_may_take_and_writes_nothing(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_base_model, "_load_base_model", None)
    before = listing(place.root)
    state = run(train_banks, training(place.gallery, place.store, force=True, dry_run=True))
    forecast = state.result()
    assert [name for name, _ in forecast.collections] == ["ferrante", "novak"]
    assert forecast.seconds is not None and 0 < forecast.seconds[0] <= forecast.seconds[1] <= forecast.seconds[2]
    assert forecast.num_steps == (6, 6, 6) and "2 banks of this batch size" in forecast.text
    [shown] = artifacts(id_of(state))
    assert (shown.key, shown.data) == ("forecast", forecast.text)
    assert read_run(id_of(state)).name.endswith("/gallery (dry run)")
    log_of(id_of(state), "nothing is written in a dry run; to train: 2 collections, 6 steps.")
    assert listing(place.root) == before


def test_the_lineage_from_photos_and_banks_to_pictures_is_in_the_servers_events(
    trained: Any, photos: str, prefect_server: str, tmp_path: Path
) -> None:
    config = stylizing(photos, str(tmp_path / "out put"), trained.store, "novak")
    assert run(stylize_archive, config).is_completed()
    made = "prefect.asset.materialization.succeeded"
    key = f"file://{tmp_path}/out-put"

    def find() -> list[dict[str, Any]]:
        return [one for one in events(prefect_server, made) if one["resource"]["prefect.resource.id"] == key]

    [event] = wait_for(find)
    roles = {one["prefect.resource.id"]: one["prefect.resource.role"] for one in event["related"]}
    upstream = {name for name, role in roles.items() if role == "asset"}
    assert f"file://{photos}" in upstream and roles["artbank"] == "asset-materialized-by"
    [bank] = upstream - {f"file://{photos}"}
    assert bank.startswith(f"file://{trained.store}/banks/novak/")
    assert "flow-run" in roles.values() and event["payload"]["num_done"] == NUM_PHOTOS
    banks = [one for one in events(prefect_server, made) if one["resource"]["prefect.resource.id"] == bank]
    assert f"file://{trained.gallery}/novak" in {one["prefect.resource.id"] for one in banks[0]["related"]}


def test_the_keys_of_assets_are_as_prefect_takes_them_and_hold_no_credentials() -> None:
    assert assets.asset_key("S3://bucket/a b/c%20?d") == "s3://bucket/a-b/c-20-d"
    assert assets.asset_key("s3://user:secret@bucket/x") == "s3://***@bucket/x"
    assert assets.asset_key("out") == f"file://{Path.cwd()}/out"
    for uri in ("s3://b/" + "x" * 600, "s3://b/[1] {2} `3` 'é'\t\n\\^|<>#&\0"):
        AssetContext(downstream_assets={assets.Asset(key=assets.asset_key(uri))})


def test_places_are_links_and_what_a_store_says_is_escaped() -> None:
    places = {"page": "/out put/report/index.html", "s3": "s3://user:secret@b/x)](http://evil)", "a|b": "x"}
    text = list_places(places, {name: link_of(place) for name, place in places.items()})
    assert "](file:///out%20put/report/index.html) |" in text
    assert "secret" not in text and "](http://evil)" not in text and r"a\|b" in text
    assert link_of("s3://b/a(1) .jpg") == "s3://b/a%281%29%20.jpg"


@pytest.mark.parametrize(
    ("public_url", "link", "is_noted"),
    [
        ("https://museum.example/art/", "https://museum.example/art/report/index.html", False),
        (None, "s3://museum/out%20put/report/index.html", True),
    ],
)
def test_the_links_of_an_output_lead_to_where_it_is_served(
    prefect_server: str, public_url: str | None, link: str, is_noted: bool
) -> None:
    output = "s3://museum/out put"
    places = {"pictures": output, "page": f"{output}/report/index.html", "summary": f"{output}/runs/a b.md"}

    @flow
    def leave_links() -> None:
        show_outcome(Outcome(1, 0, 1, places, ""), public_url)

    shown = {one.key: one for one in artifacts(id_of(leave_links(return_state=True)))}
    assert f"]({link})" in str(shown["page"].data)
    assert f"]({link})" in str(shown["places"].data) and "a%20b.md)" in str(shown["places"].data)
    summary = link.replace("report/index.html", "runs/a%20b.md")
    assert f"]({summary})" in str(shown["places"].data)
    assert ("browsers cannot open" in str(shown["page"].description)) == is_noted


def test_a_run_of_many_styles_has_a_bounded_number_of_tags_and_a_short_name() -> None:
    names = [f"style{number}" for number in range(100)]
    assert make_tags("style", names) == [f"style:style{number}" for number in range(MAX_TAGS)]
    assert stylizing("s3://museum/photos", "out", "store", *names).title == (
        "museum/photos in style0, style1, style2, 97 more"
    )


@pytest.mark.faults
def test_a_server_that_does_not_answer_stops_no_work(
    trained: Any, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the server is away")

    monkeypatch.setattr(SyncPrefectClient, "update_artifact", refuse)
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.05)
    assert run(stylize_archive, stylizing(photos, str(tmp_path), trained.store, "novak")).is_completed()


def test_the_automation_of_the_documentation_is_one_that_prefect_takes(trained: Any) -> None:
    [text] = re.findall(r"```yaml\n(name: .*?)```", (ROOT / "docs/monitor.md").read_text(), re.DOTALL)
    automation = AutomationCore.model_validate(yaml.safe_load(text))
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger) and trigger.match["prefect.resource.id"] == ["s3://museum/store/banks/*"]
