"""Telemetry as Prometheus reads it: over HTTP, by its own parser."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artbank.errors import ConfigError
from artbank.runtime import telemetry
from artbank.store.objects import Store
from tests.support.prometheus import scrape

ROOT = Path(telemetry.__file__).parents[2]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of the loopback that somebody else has; the next ones may be free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def serve(taken: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Let this process tell, until the test ends."""
    telemetry.open_exporter.clear()

    def start() -> int:
        monkeypatch.setenv(telemetry.PORT_VARIABLE, str(taken))
        port = telemetry.start_exporter()
        assert port
        return port

    yield start
    exporter = telemetry.open_exporter.latest
    telemetry.open_exporter.clear()
    if exporter is not None and exporter.server is not None:
        exporter.server.shutdown()
        exporter.server.server_close()


def test_without_a_port_there_is_neither_a_thread_nor_an_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(telemetry.PORT_VARIABLE, raising=False)
    telemetry.open_exporter.clear()
    before = threading.enumerate()
    assert telemetry.start_exporter() is None
    telemetry.count_picture("monet", "done", seconds=0.1)
    with telemetry.time_stage("draw"), telemetry.counting_objects("read"):
        telemetry.record_queue("read", 3)
    assert threading.enumerate() == before and telemetry.open_exporter.latest is None


def test_a_process_takes_the_next_free_port_and_tells_what_it_counted(
    serve: Callable[[], int], taken: int, tmp_path: Path
) -> None:
    port = serve()
    assert taken < port <= taken + telemetry.PORTS_TRIED and telemetry.start_exporter() == port
    telemetry.count_picture("monet", "done", seconds=0.3)
    telemetry.count_picture("monet", "failed", "timed_out")
    telemetry.count_steps(3)
    telemetry.record_queue("write", 2)
    with telemetry.time_stage("draw"):
        pass
    store = Store.open(str(tmp_path))
    store.write_many({"a": b"1", "b": b"2"})
    store.read_many(["a", "b", "c"])
    found = scrape(port)
    assert found["artbank_pictures_total", "monet", "done", ""] == 1
    assert found["artbank_pictures_total", "monet", "failed", "timed_out"] == 1
    assert (found["artbank_picture_seconds_count",], found["artbank_picture_seconds_bucket", "0.5"]) == (1, 1)
    assert (found["artbank_train_steps_total",], found["artbank_queue_items", "write"]) == (3, 2)
    assert found["artbank_stage_seconds_count", "draw"] == 1
    assert found["artbank_store_objects_total", "write"] == 2 and found["artbank_store_objects_total", "read"] == 3
    assert found["artbank_store_errors_total", "read"] == 0  # what is not there is no error
    assert found["process_resident_memory_bytes",] > 1e6


def test_requests_that_fail_are_counted(serve: Callable[[], int], tmp_path: Path) -> None:
    port = serve()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        Store.open(str(tmp_path)).write("folder", b"1")
    assert scrape(port)["artbank_store_errors_total", "write"] == 1


def test_an_object_of_a_folder_below_a_store_counts_once(serve: Callable[[], int], tmp_path: Path) -> None:
    port = serve()
    Store.open(str(tmp_path)).child("a").child("b").write("key", b"1")
    assert scrape(port)["artbank_store_objects_total", "write"] == 1


def test_styles_beyond_the_first_are_counted_as_other(serve: Callable[[], int]) -> None:
    port = serve()
    for number in range(telemetry.MAX_STYLE_LABELS + 7):
        telemetry.count_picture(f"style {number}", "done")
    found = scrape(port)
    styles = {labels[1] for labels in found if labels[0] == "artbank_pictures_total"}
    assert len(styles) == telemetry.MAX_STYLE_LABELS + 1
    assert found["artbank_pictures_total", telemetry.OTHER_STYLES, "done", ""] == 7


def test_gpu_memory_is_told_of_every_device_and_kind(serve: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    port = serve()
    assert not [labels for labels in scrape(port) if labels[0] == telemetry.GPU_MEMORY.name]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(telemetry, "_measure_memory", lambda cuda, number: {"allocated": 10 + number, "total": 80})
    found = scrape(port)
    assert (found[telemetry.GPU_MEMORY.name, "1", "allocated"], found[telemetry.GPU_MEMORY.name, "0", "total"]) == (
        11,
        80,
    )


@pytest.mark.parametrize("port", ["0", "http", "70000", "-1"])
def test_what_is_no_port_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry.open_exporter.clear()
    monkeypatch.setenv(telemetry.PORT_VARIABLE, port)
    with pytest.raises(ConfigError, match=f"ARTBANK_METRICS_PORT: expected a port, 1 to 65535, found '{port}'"):
        telemetry.start_exporter()


def test_an_address_that_is_not_this_machines_is_named(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry.open_exporter.clear()
    monkeypatch.setenv(telemetry.PORT_VARIABLE, str(taken))
    monkeypatch.setenv(telemetry.ADDRESS_VARIABLE, "192.0.2.1")
    with pytest.raises(ConfigError, match=r"ARTBANK_METRICS_ADDRESS=192\.0\.2\.1.*cannot listen there"):
        telemetry.start_exporter()


def test_the_table_of_the_documentation_is_that_of_the_registry(serve: Callable[[], int]) -> None:
    serve()
    text = (ROOT / "docs/monitor.md").read_text()
    told = {
        (name, kind, tuple(labels.replace("`", "").replace("–", "").replace(",", " ").split()), text)
        for name, kind, labels, text in re.findall(r"\| `(artbank_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|", text)
    }
    assert told == {(m.name, m.kind.lower(), m.labels, m.text) for m in telemetry.METERS}
    assert telemetry.open_exporter.latest is not None
    families = {family.name: family.type for family in telemetry.open_exporter.latest.registry.collect()}
    assert families.items() >= {(m.name.removesuffix("_total"), m.kind.lower()) for m in telemetry.METERS}
