"""Commands, run in the process of the test."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from artbank_cli.main import main

TINY = [
    *("--max-steps", "3", "--batch-size", "1", "--num-crops", "1", "--resolution-px", "32"),
    *("--num-tokens", "2", "--validate-every", "2", "--num-samples", "1", "--num-milestones", "0"),
]
"""Options of a training that takes a second."""
FAST = ["--strength", "0.5", "--steps", "4", "--resolution-px", "32", "--guidance", "1"]
"""Options of a run that takes some milliseconds a photo."""
_STAGE = re.compile(
    r"[\d-]{10} [\d:.]{12} \| INFO    \| artbank - "
    r"(loading artbank|reading the gallery and the catalog|reading the photos and the catalog"
    r"|starting the private Prefect server)"
)


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
    """Return the line that says what went wrong; only stages of the run may stand before it."""
    lines = [line for line in ended.err.splitlines() if not _STAGE.fullmatch(line)]
    assert ended.out == "" and len(lines) == 1
    return f"{lines[0]}\n"
