"""Print to people and scripts: names of files cannot steer the terminal, and every encoding can hold the text."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from artbank.runtime.readable_text import escape_invisible


def say(text: object, *, to_stderr: bool = False, flush: bool = False) -> None:
    r"""Print a line; line breaks, control and bidirectional characters in it become escapes such as `\x1b`."""
    print(escape_invisible(str(text)), file=sys.stderr if to_stderr else sys.stdout, flush=flush or to_stderr)


def say_lines(text: str) -> None:
    """Print a text of several lines, each as `say` does."""
    print(escape_invisible(text, keep="\n"))


def say_json(value: Any) -> None:
    """Print a value as a line of JSON; everything but ASCII is escaped, which readers of JSON undo."""
    print(json.dumps(value, default=str))


def accept_all_characters() -> None:
    """Print characters that are not in the terminal's encoding as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
