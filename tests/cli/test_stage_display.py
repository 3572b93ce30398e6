"""The line that shows the stage of a command: at a terminal, narrow or without colour, and in a log."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from artbank.runtime.stages import Stage
from artbank_cli.stage_display import StageLines
from tests.support.waiting import PATIENCE_SECONDS

SHOW = """
import sys
from artbank.runtime.stages import show_stage
from artbank_cli.stage_display import show_stages
with show_stages():
    show_stage("reading 21 paintings of a collection whose name is much longer than the terminal is wide")
    sys.stdin.readline()
    for step in range(4):
        show_stage(f"step {step} of at most 60; loss 0.0421", step, 60)
    sys.stdin.readline()
"""
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TURNS = 4  # signs of the spinner


def show_at_terminal(columns: int, **environment: str) -> str:
    """Run the example at a terminal, as long as its line moves; returns what it printed."""
    main, side = pty.openpty()
    ioctl(side, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "CI")}
    env |= {"TERM": "xterm-256color", **environment}
    words = [sys.executable, "-c", SHOW]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=side, stderr=side, env=env, text=True) as process:
        os.close(side)
        assert process.stdin is not None
        try:
            printed = read_until(main, lambda text: count_turns(text) >= _TURNS)
            process.stdin.write("go on\n")
            process.stdin.flush()
            printed += read_until(main, lambda text: "step 3 of at most 60" in text)
            process.stdin.close()
            printed += read_until(main, lambda _: False)
        finally:
            process.kill()
            os.close(main)
    return printed


def read_until(terminal: int, is_enough: Callable[[str], bool]) -> str:
    """Return what is printed until it is enough, or until the program has closed the terminal."""
    data = b""
    while not is_enough(data.decode(errors="replace")):
        ready, _, _ = select.select([terminal], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more after {data!r}"
        try:
            data += os.read(terminal, 65536)
        except OSError:
            break
    return data.decode(errors="replace")


def cut_lines(text: str) -> list[str]:
    """Return the lines, and the states of lines that were drawn again, without colours."""
    return [_CODES.sub("", line) for line in re.split(r"[\r\n]+", text)]


def count_turns(text: str) -> int:
    """Return how many signs of the spinner were seen before one stage."""
    return len({line[0] for line in cut_lines(text) if "reading 21" in line})


@pytest.mark.parametrize("columns", [50, 130])
def test_a_terminal_shows_one_line_that_fits_and_moves_during_a_stage(columns: int) -> None:
    text = show_at_terminal(columns)
    lines = cut_lines(text)
    assert max(map(len, lines)) <= columns
    assert count_turns(text) >= _TURNS
    assert any("…" in line for line in lines) == (columns == 50)
    assert any("step 3 of at most 60" in line for line in lines)


def test_no_color_shows_no_colour() -> None:
    coloured = re.compile(r"\x1b\[(?:3[0-9]|38;|9[0-7])")
    assert coloured.search(show_at_terminal(80))
    assert not coloured.search(show_at_terminal(80, NO_COLOR="1"))


def test_a_log_gets_a_line_for_each_stage_and_few_of_a_counted_one(capsys: pytest.CaptureFixture[str]) -> None:
    lines = StageLines()
    lines(Stage("reading 21 paintings"))
    lines(Stage("reading 21 paintings"))
    for step in range(61):
        lines(Stage(f"step {step} of 60", step, 60))
    lines(Stage("drawing samples"))
    told = capsys.readouterr()
    lines_told = [line.partition(" | INFO    | artbank - ") for line in told.err.splitlines()]
    assert all(re.fullmatch(r"[\d-]{10} [\d:.]{12}", moment) for moment, _, _ in lines_told)
    texts = [text for _, _, text in lines_told]
    assert texts == ["reading 21 paintings", "step 0 of 60", "step 60 of 60", "drawing samples"]
    assert told.out == ""
