"""Run many small photos while workers are killed and requests fail; nothing may be lost or done twice.

    python bench/soak.py --photos 100000

Everything runs on this machine: the tests' S3 gateway (`tests/install-services.sh`), a proxy before it that fails 2 %
of the requests, a Prefect server, and `artbank stylize --runner dask` with two worker processes. Every minute one of
them is killed with -9. The base model is tiny (`bench/trivial.py`), so that the figures are those of everything but the
model. 100,000 photos take about an hour on 2 cores; gateway, proxy and server take a part of that.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from artbank.results import ledger  # noqa: E402
from artbank.store.objects import Store  # noqa: E402
from bench.trivial import SIDE_PX, save_trivial  # noqa: E402
from tests.support import rgw  # noqa: E402
from tests.support.flaky import FlakyStore, run_flaky  # noqa: E402
from tests.support.small_inputs import add_collection  # noqa: E402

_UPLOADED_AT_ONCE = 1000
_SAMPLE_SECONDS = 2.0
_CALL = re.compile(r'"(GET|POST|PUT|PATCH|DELETE) (/api/[a-z_]+)')


class Watch:
    """Measures the processes of a run every few seconds, and kills a worker from time to time."""

    def __init__(self, command: subprocess.Popen[bytes], server: int, kill_seconds: float):
        """Start watching; `close` stops it."""
        self.peaks: dict[str, int] = defaultdict(int)
        self.kills = 0
        self._command = command
        self._server = server
        self._kill_seconds = kill_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        rng = random.Random(0)
        last = time.monotonic()
        while not self._ended.wait(_SAMPLE_SECONDS):
            with suppress(psutil.Error):
                workers = self._measure()
                if workers and time.monotonic() - last > self._kill_seconds:
                    rng.choice(workers).kill()
                    self.kills = self.kills + 1
                    last = time.monotonic()

    def _measure(self) -> list[psutil.Process]:
        flow = psutil.Process(self._command.pid)
        workers = [child for child in flow.children() if "spawn_main" in " ".join(child.cmdline())]
        decoders = [child for worker in workers for child in worker.children(recursive=True)]
        roles = {
            "flow": [flow],
            "worker": workers,
            "decoder": decoders,
            "Prefect server": [psutil.Process(self._server)],
        }
        roles |= {"this (proxy)": [psutil.Process()], **_find_gateway()}
        for role, processes in roles.items():
            for process in processes:
                with suppress(psutil.Error):
                    self.peaks[role] = max(self.peaks[role], process.memory_info().rss)
        return workers


def main() -> None:
    """Run it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--share", type=float, default=0.02, help="share of the store's requests that fail")
    parser.add_argument("--kill-seconds", type=float, default=60.0, help="seconds between two kills of a worker")
    parser.add_argument("--shard-size", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, rgw.run_gateway() as gateway:
        folder = Path(name)
        save_trivial(folder / "model")
        _point_at(gateway)
        bucket = _fill(gateway, options.photos)
        with run_flaky(gateway, options.share) as proxy, _run_server(folder) as (url, server, log):
            _point_at(proxy.endpoint)
            os.environ["PREFECT_API_URL"] = url
            _train(folder, bucket.uri)
            start = time.monotonic()
            watch = _stylize(folder, bucket.uri, server, options)
            seconds = time.monotonic() - start
            _point_at(gateway)
            _report(bucket, options, seconds, watch, proxy, Counter(_CALL.findall(log.read_text())))


def _fill(gateway: rgw.Endpoint, count: int) -> Store:
    """Draw photos and write them to a new bucket, without the proxy."""
    from s3fs import S3FileSystem

    fs = S3FileSystem(endpoint_url=gateway.url, key=gateway.access_key, secret=gateway.secret_key)
    fs.call_s3("create_bucket", Bucket="soak")
    bucket = Store.open("s3://soak")
    rng = np.random.default_rng(0)
    for start in range(0, count, _UPLOADED_AT_ONCE):
        numbers = range(start, min(start + _UPLOADED_AT_ONCE, count))
        bucket.write_many({f"photos/roll {i // 1000:04d}/{i:07d}.jpg": _draw(rng) for i in numbers})
    return bucket


def _draw(rng: np.random.Generator) -> bytes:
    """Return a JPEG of 64 x 48 px, each one different."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize((64, 48), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    coarse.save(file, "JPEG", quality=85)
    return file.getvalue()


@contextmanager
def _run_server(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Run a Prefect server; yields its URL, its process id and the log of its calls."""
    port = rgw.free_port()
    log = folder / "server.log"
    env = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    env["PREFECT_SERVER_LOGGING_LEVEL"] = "INFO"  # one line a call
    command = [
        "-m",
        "uvicorn",
        "--factory",
        "prefect.server.api.server:create_app",
        "--port",
        str(port),
        "--access-log",
    ]
    with log.open("wb") as file:
        server = subprocess.Popen([sys.executable, *command], env=os.environ | env, stdout=file, stderr=file)
        try:
            rgw.wait_for_port(port, server, log)
            yield f"http://127.0.0.1:{port}/api", server.pid, log
        finally:
            server.kill()
            server.wait()


def _train(folder: Path, bucket_uri: str) -> None:
    add_collection(Store.open(str(folder / "gallery")), "novak")
    _call(["train", str(folder / "gallery"), *_common(folder, bucket_uri), "--max-steps", "1", "--num-samples", "1"])


def _stylize(folder: Path, bucket_uri: str, server: int, options: argparse.Namespace) -> Watch:
    """Run `artbank stylize` to its end, and watch it."""
    command = ["stylize", f"{bucket_uri}/photos", f"{bucket_uri}/art", *_common(folder, bucket_uri), "--style", "novak"]
    command += ["--steps", "1", "--strength", "1", "--guidance", "1", "--inversion", "gaussian"]
    command += ["--runner", "dask", "--num-workers", "2", "--batch-size", "64", "--shard-size", str(options.shard_size)]
    process = subprocess.Popen([sys.executable, "-m", "artbank_cli.main", *command], cwd=ROOT)
    watch = Watch(process, server, options.kill_seconds)
    code = process.wait()
    watch.close()
    if code:
        raise SystemExit(f"artbank stylize ended in {code}")
    return watch


def _common(folder: Path, bucket_uri: str) -> list[str]:
    return ["--store", f"{bucket_uri}/store", "--base-model", str(folder / "model"), "--resolution-px", str(SIDE_PX)]


def _call(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "artbank_cli.main", *arguments], cwd=ROOT, check=True)


def _point_at(endpoint: rgw.Endpoint) -> None:
    os.environ["AWS_ENDPOINT_URL"] = endpoint.url
    os.environ["AWS_ACCESS_KEY_ID"] = endpoint.access_key
    os.environ["AWS_SECRET_ACCESS_KEY"] = endpoint.secret_key


def _find_gateway() -> dict[str, list[psutil.Process]]:
    programs = {"ceph-osd": "S3 disk", "radosgw": "S3 gateway"}
    children = psutil.Process().children(recursive=True)
    return {role: [child for child in children if child.name() == name] for name, role in programs.items()}


def _report(
    bucket: Store,
    options: argparse.Namespace,
    seconds: float,
    watch: Watch,
    proxy: FlakyStore,
    calls: Counter[tuple[str, str]],
) -> None:
    output = bucket.child("art")
    parts = ledger.read_ledger(output)
    rows = ledger.latest_rows(parts)
    there = {stored.key: stored.size for stored in output.scan("novak")}
    done = rows.filter(np.array(rows["status"]) == "done").select(["file_name", "file_size"]).to_pylist()
    facts: dict[str, Any] = {
        "photos": options.photos,
        "seconds": round(seconds, 1),
        "photos a second": round(options.photos / seconds, 1),
        "workers killed": watch.kills,
        "store requests": sum(proxy.faults.values()),
        "... that failed": sum(count for fault, count in proxy.faults.items() if fault),
        "rows": len(rows),
        "rows lost": options.photos - len(rows),
        "duplicates": len(parts) - len(rows),
        "failed rows": len(rows) - len(done),
        "done rows without their picture": sum(there.get(row["file_name"]) != row["file_size"] for row in done),
        "pictures without a row": len(there.keys() - {row["file_name"] for row in done}),
        "marks left": sum("_begun-" in stored.key for stored in output.scan("results")),
        "API calls": sum(calls.values()),
        "... of which": {" ".join(call): count for call, count in calls.most_common(8)},
        "peak MB of a process": {role: peak >> 20 for role, peak in watch.peaks.items()},
    }
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
