"""A part of the benchmark that fails, runs out of memory, or takes too long loses nothing of the other parts."""

from __future__ import annotations

import subprocess
import sys
import time

import torch

from bench.parts import Parts
from tests.support.paths import ROOT

STUCK = """
import sys, threading
sys.path.insert(0, ".")
import bench.parts
bench.parts._GRACE_SECONDS = 0.5
def save():
    print("saved", notes, flush=True)
notes = []
parts = bench.parts.Parts(1.0, save, notes)
parts.run("the first", lambda: None)
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as in a call that does not come back
parts.run("the stuck one", threading.Event().wait)
"""


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_each_part_is_saved_and_what_fails_is_a_note() -> None:
    figures: dict[str, int] = {}
    notes: list[str] = []
    saved = []
    parts = Parts(100.0, lambda: saved.append((dict(figures), list(notes))), notes)
    parts.run("the first", lambda: figures.update(first=1))
    parts.run("the large one", out_of_memory)
    parts.run("the broken one", lambda: {}["profiler"])
    parts.run("the long one", lambda: time.sleep(60), seconds=0.2)
    parts.run("the last", lambda: figures.update(last=1))
    parts.close()
    assert notes == [
        "not measured: the large one (the device's memory was too small)",
        "not measured: the broken one (KeyError: 'profiler')",
        "not measured: the long one (TimeoutError: it took longer than 0 s)",
    ]
    assert [len(told) for _, told in saved] == [0, 1, 2, 3, 3]
    assert saved[0][0] == {"first": 1} and figures == {"first": 1, "last": 1}


def test_parts_behind_the_budget_are_left_out() -> None:
    notes: list[str] = []
    parts = Parts(0.2, lambda: None, notes)
    parts.run("the long one", lambda: time.sleep(60))
    parts.run("the next", lambda: notes.append("it ran"))
    parts.close()
    assert notes[1] == "not measured: the next (TimeoutError: no time was left)"


def test_a_call_that_never_returns_ends_the_process_behind_the_budget() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1 and "Timeout" in done.stderr
    assert done.stdout.splitlines() == ["saved []"]
