"""Commands, run in the process of the test."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from artbank_cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(*words: str | Path) -> Ended:
    """Run a command in this process, as `artbank WORDS`."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["artbank", *map(str, words)]
    with patch.object(sys, "argv", argv), patch.dict(os.environ), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            return Ended(int(end.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("main() returned instead of exiting")


def complaint(ended: Ended) -> str:
    """Return the line that says what went wrong."""
    assert ended.out == "" and ended.err.count("\n") == 1
    return ended.err
