"""The signals that a process does not receive; importable, so that child processes can be asked."""

from __future__ import annotations

import signal
from pathlib import Path

TERMINAL_SIGNALS = {signal.SIGINT, signal.SIGHUP}


def hidden_signals(process: int | str = "self") -> set[signal.Signals]:
    """Return which of `TERMINAL_SIGNALS` a process blocks in its main thread or ignores, by its id."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines)
    mask = int(facts["SigBlk"], 16) | int(facts["SigIgn"], 16)
    return {number for number in TERMINAL_SIGNALS if mask & 1 << number - 1}


def blocked_at_start() -> None:
    """Print the signals that this process blocks."""
    print(sorted(hidden_signals()))
