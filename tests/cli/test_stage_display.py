"""The line that shows the stage of a command: at a terminal, narrow or without colour, and in a log."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from artbank.runtime.stages import Stage
from artbank_cli.stage_display import StageLines

SHOW = """
import time
from artbank.runtime.stages import show_stage
from artbank_cli.stage_display import show_stages
with show_stages():
    show_stage("reading 21 paintings of a collection whose name is much longer than the terminal is wide")
    time.sleep(2.5)
    for step in range(4):
        show_stage(f"step {step} of at most 60; loss 0.0421", step, 60)
        time.sleep(0.3)
"""


def show_at_terminal(columns: int, **environment: str) -> list[tuple[float, str]]:
    """Run the example at a terminal; returns what it printed, with the seconds since the first output."""
    main, side = pty.openpty()
    ioctl(side, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "CI")}
    env |= {"TERM": "xterm-256color", **environment}
    process = subprocess.Popen([sys.executable, "-c", SHOW], stdout=side, stderr=side, env=env)
    os.close(side)
    printed: list[tuple[float, str]] = []
    while True:
        select.select([main], [], [], 60)
        try:
            data = os.read(main, 65536)
        except OSError:  # the process has closed its terminal
            break
        printed.append((time.monotonic(), data.decode()))
    os.close(main)
    assert process.wait(60) == 0
    return [(moment - printed[0][0], text) for moment, text in printed]


@pytest.mark.parametrize("columns", [50, 130])
def test_a_terminal_shows_one_line_that_fits_and_moves_during_a_stage(columns: int) -> None:
    printed = show_at_terminal(columns)
    text = "".join(part for _, part in printed)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", text)]
    assert max(map(len, lines)) <= columns
    assert any("reading 21 paintings" in line for line in lines)
    assert any("…" in line for line in lines) == (columns == 50)
    assert any("step 3 of at most 60" in line for line in lines)
    moments = [moment for moment, _ in printed]
    assert max(later - earlier for earlier, later in zip(moments, moments[1:], strict=False)) < 2


def test_no_color_shows_no_colour() -> None:
    coloured = re.compile(r"\x1b\[(?:3[0-9]|38;|9[0-7])")
    assert coloured.search("".join(text for _, text in show_at_terminal(80)))
    assert not coloured.search("".join(text for _, text in show_at_terminal(80, NO_COLOR="1")))


def test_a_log_gets_a_line_for_each_stage_and_few_of_a_counted_one(capsys: pytest.CaptureFixture[str]) -> None:
    lines = StageLines()
    lines(Stage("reading 21 paintings"))
    lines(Stage("reading 21 paintings"))
    for step in range(61):
        lines(Stage(f"step {step} of 60", step, 60))
    lines(Stage("drawing samples"))
    told = capsys.readouterr()
    lines_told = [line.partition(" | INFO    | artbank - ") for line in told.err.splitlines()]
    assert all(re.fullmatch(r"[\d-]{10} [\d:,]{12}", moment) for moment, _, _ in lines_told)
    texts = [text for _, _, text in lines_told]
    assert texts == ["reading 21 paintings", "step 0 of 60", "step 60 of 60", "drawing samples"]
    assert told.out == ""
