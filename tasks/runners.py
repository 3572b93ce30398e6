"""Where the tasks of a run go: threads of this process, worker processes of this machine, or a Dask cluster elsewhere.

A worker is one process with one thread and one device. Clusters that are started elsewhere should be like that too:
`DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker ADDRESS --nthreads 1 --nworkers 1 --resources GPU=1`, one for each
GPU.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from artbank.config import RunConfig
from tasks.cancellation import stop_on_error
from tasks.progress import listen


@dataclass(frozen=True)
class Runner:
    """Called with a task and keyword arguments, it starts the task.

    Attributes:
        num_workers: Tasks that it works on at a time, one on each device.
    """

    submit: Callable[..., PrefectFuture[Any]]
    num_workers: int

    def __call__(self, task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
        """Start a task."""
        return self.submit(task, **parameters)


_SLOT = {"GPU": 1}  # a task takes all of a worker of several threads that has one
_CLOSE_SECONDS = 30.0  # for a worker to end its batch and give its shard back; after 80 % of them it is killed
_DASK_LEVEL = "DASK_LOGGING__DISTRIBUTED"  # Dask tells of each connection and each worker's coming and going else
_DEAF = """
import signal
for told in (signal.SIGINT, signal.SIGHUP):
    signal.signal(told, signal.SIG_IGN)
"""  # what a terminal tells all processes is for the flow's, which ends the workers when they have given back
_DASK = {
    "distributed.scheduler.worker-saturation": 1.0,  # a worker holds no task but the one it runs
    "distributed.scheduler.allowed-failures": 2,  # workers that a task may kill before it is taken for the cause
    "distributed.worker.preload": [_DEAF],
    "distributed.worker.daemon": False,  # they start processes of their own, which decode
    "distributed.deploy.lost-worker-timeout": "10 minutes",  # one that is slow to start again is not given up
    f"distributed.nanny.pre-spawn-environ.{_DASK_LEVEL}": os.environ.get(_DASK_LEVEL, "warning"),
}


@contextmanager
def open_runner(config: RunConfig) -> Iterator[Runner]:
    """Open the runner of a run inside a flow run."""
    kind = config.runner
    if kind == "auto":
        kind = "dask" if count_gpus() > 1 else "threads"
    if kind == "threads":
        # One shard, or one training, fills a device.
        with ThreadPoolTaskRunner(max_workers=1) as threads, stop_on_error():
            yield Runner(lambda task, **parameters: threads.submit(task, parameters), 1)
        return
    import dask
    from prefect_dask import DaskTaskRunner

    # Of a cluster of this machine Prefect tells an inner name, and a dashboard that is not there.
    for name in ("distributed",) if "://" in kind else ("distributed", "prefect.task_runner.dask"):
        logging.getLogger(name).setLevel(os.environ.get(_DASK_LEVEL, "warning").upper())
    with dask.config.set(_DASK):
        runner = DaskTaskRunner(address=kind) if "://" in kind else DaskTaskRunner(cluster_class=_start(config))
        with runner, stop_on_error():
            listen(runner.client)
            workers = runner.client.scheduler_info(n_workers=-1)["workers"].values()
            # What is bound to a resource is sent to a worker at once, however busy that one is, and blamed with it.
            is_shared = any(worker["nthreads"] > 1 for worker in workers)
            with_gpu = [worker for worker in workers if "GPU" in worker["resources"]]
            slots = {"resources": _SLOT} if is_shared and with_gpu else {}

            def submit(task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
                with dask.annotate(**slots):
                    return runner.submit(task, parameters)

            yield Runner(submit, max(len(with_gpu) if slots else len(workers), 1))


def count_gpus() -> int:
    """Return the number of CUDA devices that this process may use."""
    import torch

    return torch.cuda.device_count()


def _start(config: RunConfig) -> Callable[..., Any]:
    """Return what starts a cluster on this machine: each worker sees one GPU, or has its share of the cores."""
    gpus = _visible_gpus()
    count = config.num_workers or max(len(gpus), 1)
    cores = str(max((os.cpu_count() or 1) // count, 1))
    with get_client(sync_client=True) as client:
        server = str(client.api_url).rstrip("/")  # perhaps temporary: a worker must not start another

    def start(**_: Any) -> Any:
        from distributed import Nanny, Scheduler, SpecCluster

        class PatientNanny(Nanny):
            async def close(self, timeout: float = _CLOSE_SECONDS, reason: str = "nanny-close") -> Any:
                return await super().close(timeout, reason)

        workers = {}
        for number in range(count):
            env = {"OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores, "TQDM_DISABLE": "1", "PREFECT_API_URL": server}
            if gpus:
                env["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            options = {"nthreads": 1, "resources": _SLOT, "env": env, "dashboard_address": None}
            workers[number] = {"cls": PatientNanny, "options": options}
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
        return SpecCluster(workers=workers, scheduler=scheduler)

    return start


def _visible_gpus() -> list[str]:
    """Return the names of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[: count_gpus()] if named else [str(number) for number in range(count_gpus())]
