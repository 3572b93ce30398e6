"""Prometheus metrics of a worker process, off unless ARTBANK_METRICS_PORT is set.

If it is not set, nothing here has an effect: no thread, no port, and prometheus-client is not imported. If it is set,
the first shard or training of a process starts an HTTP server on that port, or on the next free one of `PORTS_TRIED`,
so that all workers of a machine can share the setting. The server listens on the loopback address unless
ARTBANK_METRICS_ADDRESS names another.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from artbank.errors import ConfigError
from artbank.runtime.load_once import LoadOnce

logger = logging.getLogger(__name__)

PORT_VARIABLE = "ARTBANK_METRICS_PORT"
ADDRESS_VARIABLE = "ARTBANK_METRICS_ADDRESS"
PORTS_TRIED = 64
MAX_STYLE_LABELS = 50  # styles of a process with a label of their own; all others share one
OTHER_STYLES = "other"

Stage = Literal["read", "decode", "draw", "score", "encode", "write"]
Queue = Literal["", "read", "decode", "write"]
Operation = Literal["list", "exists", "read", "write", "create", "delete"]


@dataclass(frozen=True)
class Meter:
    """One Prometheus metric: name, kind, labels, help text and buckets."""

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
STEPS = Meter("artbank_train_steps_total", "Counter", (), "Optimiser steps, summed over all banks.")
REQUESTS = Meter("artbank_store_objects_total", "Counter", ("operation",), "Objects requested from stores.")
ERRORS = Meter("artbank_store_errors_total", "Counter", ("operation",), "Requested objects that gave an error.")
GPU_MEMORY = Meter(
    "artbank_gpu_memory_bytes", "Gauge", ("device", "kind"), "Memory of CUDA devices: allocated, reserved, peak, total."
)
METERS = (PICTURES, PICTURE_SECONDS, STAGE_SECONDS, QUEUED, STEPS, REQUESTS, ERRORS, GPU_MEMORY)
"""All metrics of artbank; prometheus-client adds those of the process, `process_*`."""

_NO_CONTEXT = nullcontext()


class Exporter:
    """The metrics of this process and the server that exposes them."""

    def __init__(self, port: int, address: str):
        """Register all metrics and start the server.

        Args:
            port: First port to try.
            address: Address to listen on.

        Raises:
            ConfigError: This machine cannot listen on that address.
        """
        import prometheus_client
        from prometheus_client.process_collector import ProcessCollector

        self.registry = prometheus_client.CollectorRegistry()
        self._styles: set[str] = set()
        self._metrics: dict[Meter, Any] = {}
        for meter in METERS:
            if meter is GPU_MEMORY:  # measured when the server is asked
                continue
            options = {"buckets": meter.buckets} if meter.buckets else {}
            kind = getattr(prometheus_client, meter.kind)
            self._metrics[meter] = kind(meter.name, meter.text, meter.labels, registry=self.registry, **options)
        ProcessCollector(registry=self.registry)
        self.registry.register(_GpuMemory())  # pyright: ignore[reportArgumentType]
        self.server, self.port = _listen(port, address, self.registry)

    def metric(self, meter: Meter, *labels: str) -> Any:
        """Return the counter, gauge or histogram of a meter with these labels."""
        metric = self._metrics[meter]
        return metric.labels(*labels) if labels else metric

    def style_label(self, style: str) -> str:
        """Return the label of a style, or `other` once there are too many; users can make up any number of styles."""
        if style not in self._styles and len(self._styles) < MAX_STYLE_LABELS:
            self._styles.add(style)
        return style if style in self._styles else OTHER_STYLES


@LoadOnce
def open_exporter() -> Exporter:
    """Return the exporter of this process, as the environment sets it up; its `latest` is None until it is open."""
    port = _parse_port(os.environ[PORT_VARIABLE])
    return Exporter(port, os.environ.get(ADDRESS_VARIABLE) or "127.0.0.1")


def start_exporter() -> int | None:
    """Start the exporter of this process if the environment asks for one; later calls do nothing.

    Returns:
        The port; None if there is no exporter.

    Raises:
        ConfigError: ARTBANK_METRICS_PORT is not a port, or ARTBANK_METRICS_ADDRESS not an address of this machine.
    """
    return open_exporter().port if os.environ.get(PORT_VARIABLE) else None


def count_picture(style: str, status: str, failure: str | None = None, seconds: float | None = None) -> None:
    """Count a picture, and record the seconds it took if it was drawn."""
    if (exporter := open_exporter.latest) is None:
        return
    exporter.metric(PICTURES, exporter.style_label(style), status, failure or "").inc()
    if seconds is not None:
        exporter.metric(PICTURE_SECONDS).observe(seconds)


def count_steps(number: int) -> None:
    """Count steps of training."""
    if (exporter := open_exporter.latest) is not None:
        exporter.metric(STEPS).inc(number)


def count_objects(operation: Operation, number: int, *, num_errors: int = 0) -> None:
    """Count objects requested from a store, and how many of them gave an error."""
    if (exporter := open_exporter.latest) is not None:
        exporter.metric(REQUESTS, operation).inc(number)
        exporter.metric(ERRORS, operation).inc(num_errors)


def counting_objects(operation: Operation, number: int = 1) -> AbstractContextManager[None]:
    """Count objects that a block requests from a store; an exception counts as an error of each."""
    return _NO_CONTEXT if open_exporter.latest is None else _counting_objects(operation, number)


def record_queue(queue: Queue, length: int) -> None:
    """Record the length of a queue; an unnamed queue is not recorded."""
    if queue and (exporter := open_exporter.latest) is not None:
        exporter.metric(QUEUED, queue).set(length)


def record_stage(stage: Stage, seconds: float) -> None:
    """Record the seconds that a stage took."""
    if (exporter := open_exporter.latest) is not None:
        exporter.metric(STAGE_SECONDS, stage).observe(seconds)


def time_stage(stage: Stage) -> AbstractContextManager[None]:
    """Record the seconds that a block takes as those of a stage."""
    return _NO_CONTEXT if open_exporter.latest is None else _time_stage(stage)


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
        raise ConfigError(f"{PORT_VARIABLE}: expected a port, 1 to 65535, found {text!r}; unset it to turn metrics off")
    return int(text)


def _listen(port: int, address: str, registry: Any) -> tuple[Any, int | None]:
    """Start the server on the first free port from `port` on; if none is free, log a warning and go on without."""
    from prometheus_client import start_http_server

    for number in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            server, _ = start_http_server(number, address, registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            variables = f"{ADDRESS_VARIABLE}={address}, {PORT_VARIABLE}={port}"
            raise ConfigError(f"{variables}: cannot listen there ({error}); name an address of this machine") from error
        logger.info("metrics at http://%s:%d/metrics", address, number)
        return server, number
    logger.warning("no metrics: ports %d to %d of %s are taken", port, port + PORTS_TRIED - 1, address)
    return None, None


class _GpuMemory:
    """Collector of the memory of the CUDA devices, if this process uses CUDA."""

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
