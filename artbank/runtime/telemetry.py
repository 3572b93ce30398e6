"""What a worker process tells Prometheus, where its environment asks for it: ARTBANK_METRICS_PORT.

Without that nothing here does anything: no thread, no port, and prometheus-client is not imported. With it, the first
shard or training of a process opens an HTTP server on that port, or on the next free one of `PORTS_TRIED`, so that the
workers of one machine share the setting. It listens on the loopback, or on ARTBANK_METRICS_ADDRESS.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from artbank.errors import ConfigError

logger = logging.getLogger(__name__)

PORT_VARIABLE, ADDRESS_VARIABLE = "ARTBANK_METRICS_PORT", "ARTBANK_METRICS_ADDRESS"
PORTS_TRIED = 64
MAX_STYLE_LABELS = 50  # that have a label of their own in a process; the rest is `other`
OTHER_STYLES = "other"

Stage = Literal["read", "decode", "draw", "score", "encode", "write"]
Queue = Literal["", "read", "decode", "write"]
Operation = Literal["list", "exists", "read", "write", "create", "delete"]


@dataclass(frozen=True)
class Meter:
    """One metric: its name as Prometheus has it, its kind, labels and buckets, and what it says."""

    name: str
    kind: Literal["Counter", "Gauge", "Histogram"]
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()


_STAGE_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_PICTURE_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)

PICTURES = Meter(
    "artbank_pictures_total",
    "Counter",
    ("style", "status", "failure"),
    "Pictures by style, status (done, failed, kept) and kind of failure.",
)
PICTURE_SECONDS = Meter(
    "artbank_picture_seconds",
    "Histogram",
    (),
    "Seconds of the model's thread for one picture, as in the results.",
    _PICTURE_BUCKETS,
)
STAGE_SECONDS = Meter(
    "artbank_stage_seconds",
    "Histogram",
    ("stage",),
    "Seconds of a stage: read, decode and encode a file; draw, score and write a batch.",
    _STAGE_BUCKETS,
)
QUEUED = Meter("artbank_queue_items", "Gauge", ("queue",), "Files being read or decoded, and batches being written.")
STEPS = Meter("artbank_train_steps_total", "Counter", (), "Optimiser steps, of all banks together.")
REQUESTS = Meter("artbank_store_objects_total", "Counter", ("operation",), "Objects asked of stores, by operation.")
ERRORS = Meter("artbank_store_errors_total", "Counter", ("operation",), "Those that came to an error.")
GPU_MEMORY = Meter(
    "artbank_gpu_memory_bytes", "Gauge", ("device", "kind"), "Memory of CUDA devices: allocated, reserved, peak, total."
)
METERS = (PICTURES, PICTURE_SECONDS, STAGE_SECONDS, QUEUED, STEPS, REQUESTS, ERRORS, GPU_MEMORY)
"""All of them; a process's own, `process_*`, come beside them."""

_ABSENT = nullcontext()
_OPENING = threading.Lock()


class _Exporter:
    """The meters of this process, and the server that tells them."""

    def __init__(self, port: int, address: str):
        import prometheus_client
        from prometheus_client.process_collector import ProcessCollector

        self.registry = prometheus_client.CollectorRegistry()
        self._styles: set[str] = set()
        self._meters: dict[Meter, Any] = {}
        for meter in METERS:
            if meter is not GPU_MEMORY:  # is read when it is asked for
                options = {"buckets": meter.buckets} if meter.buckets else {}
                kind = getattr(prometheus_client, meter.kind)
                self._meters[meter] = kind(meter.name, meter.text, meter.labels, registry=self.registry, **options)
        ProcessCollector(registry=self.registry)
        self.registry.register(_GpuMemory())  # pyright: ignore[reportArgumentType]
        self.server, self.port = _listen(port, address, self.registry)

    def of(self, meter: Meter, *labels: str) -> Any:
        return self._meters[meter].labels(*labels) if labels else self._meters[meter]

    def style_label(self, style: str) -> str:
        """Return a style, or `other`: what people type into runs must not grow without bound."""
        if style not in self._styles and len(self._styles) < MAX_STYLE_LABELS:
            self._styles.add(style)
        return style if style in self._styles else OTHER_STYLES


_EXPORTER: _Exporter | None = None


def start_exporter() -> int | None:
    """Begin to tell where the environment asks for it, once in a process; returns the port, or None.

    Raises:
        ConfigError: ARTBANK_METRICS_PORT is no port.
    """
    global _EXPORTER
    asked = os.environ.get(PORT_VARIABLE, "")
    if not asked:
        return None
    with _OPENING:
        if _EXPORTER is None:
            _EXPORTER = _Exporter(_parse_port(asked), os.environ.get(ADDRESS_VARIABLE) or "127.0.0.1")
        return _EXPORTER.port


def count_picture(style: str, status: str, failure: str | None = None, seconds: float | None = None) -> None:
    """Count a picture, and the seconds it took where it was drawn."""
    if _EXPORTER is not None:
        _EXPORTER.of(PICTURES, _EXPORTER.style_label(style), status, failure or "").inc()
        if seconds is not None:
            _EXPORTER.of(PICTURE_SECONDS).observe(seconds)


def count_steps(number: int) -> None:
    """Count steps of training."""
    if _EXPORTER is not None:
        _EXPORTER.of(STEPS).inc(number)


def count_objects(operation: Operation, number: int, *, num_errors: int = 0) -> None:
    """Count objects that a store was asked for, and those of them that came to an error."""
    if _EXPORTER is not None:
        _EXPORTER.of(REQUESTS, operation).inc(number)
        _EXPORTER.of(ERRORS, operation).inc(num_errors)


def counting_objects(operation: Operation, number: int = 1) -> AbstractContextManager[None]:
    """Count objects that a store is asked for in a block, which fail together."""
    return _ABSENT if _EXPORTER is None else _counting_objects(operation, number)


def record_queue(queue: Queue, length: int) -> None:
    """Note how long a queue is; one without a name is nobody's concern."""
    if _EXPORTER is not None and queue:
        _EXPORTER.of(QUEUED, queue).set(length)


def record_stage(stage: Stage, seconds: float) -> None:
    """Note how long a stage took."""
    if _EXPORTER is not None:
        _EXPORTER.of(STAGE_SECONDS, stage).observe(seconds)


def time_stage(stage: Stage) -> AbstractContextManager[None]:
    """Time a block as a stage."""
    return _ABSENT if _EXPORTER is None else _time_stage(stage)


@contextmanager
def _time_stage(stage: Stage) -> Iterator[None]:
    start = time.monotonic()
    yield
    record_stage(stage, time.monotonic() - start)


@contextmanager
def _counting_objects(operation: Operation, number: int) -> Iterator[None]:
    try:
        yield
    except Exception:
        count_objects(operation, number, num_errors=number)
        raise
    count_objects(operation, number)


def _parse_port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise ConfigError(f"{PORT_VARIABLE}: expected a port, 1 to 65535, found {text!r}; unset it to have no metrics")
    return int(text)


def _listen(port: int, address: str, registry: Any) -> tuple[Any, int | None]:
    """Open the server on the first free port from this one on; without one, work goes on and a warning says so."""
    from prometheus_client import start_http_server

    for number in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            server, _ = start_http_server(number, address, registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise ConfigError(
                f"{ADDRESS_VARIABLE}={address}, {PORT_VARIABLE}={port}: cannot listen there ({error})"
            ) from error
        logger.info("metrics at http://%s:%d/metrics", address, number)
        return server, number
    logger.warning("no metrics: ports %d to %d of %s are taken", port, port + PORTS_TRIED - 1, address)
    return None, None


class _GpuMemory:
    """Reads the memory of the CUDA devices that this process uses, if it uses any."""

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(GPU_MEMORY.name, GPU_MEMORY.text, labels=GPU_MEMORY.labels)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            for number in range(torch.cuda.device_count()):
                for kind, size in _measure_memory(torch.cuda, number).items():
                    family.add_metric([str(number), kind], size)
        yield family


def _measure_memory(cuda: Any, number: int) -> dict[str, int]:
    return {
        "allocated": cuda.memory_allocated(number),
        "reserved": cuda.memory_reserved(number),
        "peak": cuda.max_memory_allocated(number),
        "total": cuda.get_device_properties(number).total_memory,
    }
