"""Runs the tasks of a flow: in this process, in worker processes of this machine, or on a Dask cluster.

A worker is one process with one device. It has two threads, so that the photos of the next shard are read and decoded
while the model draws one. Start the workers of your own cluster like that too, one per GPU:
`DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker ADDRESS --nthreads 2 --nworkers 1 --resources GPU=1`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from artbank.parameters.absolute_paths import with_absolute_paths
from artbank.parameters.run_config import RunConfig
from artbank.runtime.cores import CODEC_VARIABLE, count_cores
from artbank.runtime.extras import is_installed, require_extra
from artbank.runtime.processes import shield_children_from_signals
from artbank_prefect.tasks import dask_worker
from artbank_prefect.tasks.cancellation import stop_on_error
from artbank_prefect.tasks.progress import subscribe

Config = TypeVar("Config", bound=RunConfig)

_WAKE_SECONDS = 1.0


class SubmittedTask:
    """A task that was submitted; waits for its result so that signals are handled in time.

    Python handles a signal in the main thread only, and the system may give it to any thread. So a main
    thread that waits without a limit may sleep through SIGTERM.
    """

    def __init__(self, future: PrefectFuture[Any]):
        """Take the future of the task."""
        self._future = future
        self._is_done = threading.Event()
        future.add_done_callback(lambda _: self._is_done.set())

    def result(self) -> Any:
        """Wait for the result; raises the task's error."""
        while not self._is_done.wait(_WAKE_SECONDS):
            pass
        return self._future.result()


@dataclass(frozen=True)
class Runner:
    """Submits tasks; call it with a task and its keyword arguments.

    Attributes:
        submit: Submits one task.
        num_workers: Workers, one per device.
    """

    submit: Callable[..., PrefectFuture[Any]]
    num_workers: int

    def __call__(self, task: Task[..., Any], **parameters: Any) -> SubmittedTask:
        """Submit a task."""
        return SubmittedTask(self.submit(task, **parameters))


_GPU = "GPU"  # the resource of a worker; its tasks share it, so that a worker with many threads does not do too many
# Time for a closing worker to finish its batch and release its shard; Dask kills it after 80 % of it.
_CLOSE_SECONDS = 30.0
_DASK_LEVEL = "DASK_LOGGING__DISTRIBUTED"  # otherwise Dask logs every connection and every worker that joins or leaves
_DASK = {
    "distributed.scheduler.worker-saturation": 1.0,  # a worker holds only the task that it runs
    "distributed.scheduler.allowed-failures": 2,  # workers that may die with a task before Dask fails the task
    "distributed.worker.preload": [dask_worker.__name__],
    "distributed.worker.daemon": False,  # workers start decoder processes of their own
    "distributed.deploy.lost-worker-timeout": "10 minutes",  # wait for a worker that restarts slowly
    f"distributed.nanny.pre-spawn-environ.{_DASK_LEVEL}": os.environ.get(_DASK_LEVEL, "warning"),
}


def for_workers(config: Config) -> Config:
    """Return a configuration for the workers of its runner: with absolute paths if they may run in another folder."""
    is_elsewhere = "://" in config.runner or config.runner.startswith("deployment:")
    return with_absolute_paths(config) if is_elsewhere else config


@contextmanager
def open_runner(config: RunConfig, at_once: int = 1) -> Iterator[Runner]:
    """Open the runner of a run inside a flow run.

    Args:
        config: The run's configuration.
        at_once: Tasks that a worker does at the same time, if it has the threads. Only one of them may use the device.
    """
    kind = _choose_kind(config.runner)
    opened = _open_threads(at_once) if kind == "threads" else _open_dask(config, kind, at_once)
    with opened as runner:
        yield runner


def _choose_kind(runner: str) -> str:
    """Return the runner that `auto` stands for on this machine; other runners as they are."""
    if runner != "auto":
        return runner
    if count_gpus() <= 1:
        return "threads"
    if is_installed("prefect_dask"):
        return "dask"
    logging.getLogger("artbank").warning("uses one GPU of several; pip install 'artbank[dask]' to use all")
    return "threads"


@contextmanager
def _open_threads(at_once: int) -> Iterator[Runner]:
    """Open a runner of threads in this process, which is its one worker."""
    with ThreadPoolTaskRunner(max_workers=at_once) as threads, stop_on_error():
        yield Runner(lambda task, **parameters: threads.submit(task, parameters), 1)


@contextmanager
def _open_dask(config: RunConfig, kind: str, at_once: int) -> Iterator[Runner]:
    """Open a runner of Dask workers; `kind` is `dask` for a cluster on this machine, or the address of another one."""
    require_extra("prefect_dask", "dask", f"runner {kind}")
    import dask
    from prefect_dask import DaskTaskRunner

    is_remote = "://" in kind
    # For a local cluster Prefect logs an internal address and a dashboard that does not exist.
    for name in ("distributed",) if is_remote else ("distributed", "prefect.task_runner.dask"):
        logging.getLogger(name).setLevel(os.environ.get(_DASK_LEVEL, "warning").upper())
    hide_dask_cancel_race()
    dask_worker.log_lost_connections_in_a_line()
    with dask.config.set(_DASK):
        cluster: dict[str, Any] = {"address": kind} if is_remote else {"cluster_class": _start(config, at_once)}
        with DaskTaskRunner(**cluster) as runner, stop_on_error():
            subscribe(runner.client)
            resources, num_workers = _share_gpus(runner.client, at_once)

            def submit(task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
                with dask.annotate(**resources):
                    return runner.submit(task, parameters)

            yield Runner(submit, num_workers)


def _share_gpus(client: Any, at_once: int) -> tuple[dict[str, Any], int]:
    """Return the annotation by which tasks reserve their share of a worker's GPU, if they must, and the workers to use.

    Dask sends a task with a resource limit at once, even to a busy worker, and counts that worker's death against it.
    So tasks reserve the resource only where a worker has more threads than it needs.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    with_gpu = [worker for worker in workers if _GPU in worker["resources"]]
    has_spare_threads = any(worker["nthreads"] > at_once for worker in workers)
    if with_gpu and has_spare_threads:
        return {"resources": {_GPU: 1 / at_once}}, len(with_gpu)
    return {}, max(len(workers), 1)


def hide_dask_cancel_race() -> None:
    """Keep a harmless traceback of Dask out of the log.

    When Ctrl-C comes just after a call to the cluster was scheduled, `distributed.utils.sync` cancels a future that
    it has not created yet. Its loop logs the NameError; the call ends all the same.
    """
    logging.getLogger("tornado.application").addFilter(_is_no_cancel_race)


def _is_no_cancel_race(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, NameError) and error.name == "future")


def count_gpus() -> int:
    """Return the number of CUDA devices that this process may use."""
    import torch

    return torch.cuda.device_count()


def _start(config: RunConfig, num_threads: int = 1) -> Callable[..., Any]:
    """Return a function that starts a cluster on this machine: one GPU per worker, or an equal share of the cores."""
    gpus = _visible_gpus()
    num_workers = config.num_workers or max(len(gpus), 1)
    cores = str(max(count_cores() // num_workers, 1))
    with get_client(sync_client=True) as client:
        server = str(client.api_url).rstrip("/")  # may be temporary: a worker must not start its own
    env = {"OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores, CODEC_VARIABLE: cores}
    env |= {"TQDM_DISABLE": "1", "PREFECT_API_URL": server}

    def start(**_: Any) -> Any:
        from distributed import Nanny, Scheduler, SpecCluster

        class PatientNanny(Nanny):
            async def close(self, timeout: float = _CLOSE_SECONDS, reason: str = "nanny-close") -> Any:
                return await super().close(timeout, reason)

        workers = {}
        for number in range(num_workers):
            gpu = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
            options = {
                "nthreads": num_threads,
                "resources": {_GPU: 1},
                "env": env | gpu,
                "dashboard_address": None,
            }
            workers[number] = {"cls": PatientNanny, "options": options}
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
        # The thread of the cluster inherits the blocked signals, and so do the workers, which all start from it.
        with shield_children_from_signals():
            return SpecCluster(workers=workers, scheduler=scheduler)

    return start


def _visible_gpus() -> list[str]:
    """Return the names of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible[: count_gpus()] if visible else [str(number) for number in range(count_gpus())]
