"""Children of a shielded block are not reached by the terminal, from their first moment on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from artbank.images.pool import CodecPool
from tests.support.blocked_signals import TERMINAL_SIGNALS, hidden_signals
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_SECONDS

_FIRST_CHILD = """
import multiprocessing
from artbank.runtime.processes import shield_children_from_signals
from tests.support.blocked_signals import blocked_at_start
if __name__ == "__main__":
    with shield_children_from_signals():
        child = multiprocessing.get_context("spawn").Process(target=blocked_at_start)
        child.start()
    child.join()
    blocked_at_start()
"""


def test_the_first_child_is_shielded_and_the_parent_is_not(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_FIRST_CHILD)
    told = subprocess.run(
        [sys.executable, script], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    own = hidden_signals()  # none, unless the tests run under nohup or in the background of a shell
    assert told.stdout.splitlines() == [repr(sorted(TERMINAL_SIGNALS)), repr(sorted(own))]


def test_decoders_are_shielded() -> None:
    pool = CodecPool(1)
    try:
        assert pool._start(hidden_signals, (), PATIENCE_SECONDS)() == TERMINAL_SIGNALS
    finally:
        pool.close()
