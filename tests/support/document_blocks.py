"""Reads and runs the code blocks of the documents.

Each block of commands, Python or YAML has `<!-- run: SCENARIO -->` or `<!-- not run: REASON -->` right above it. The
blocks of one document and scenario run in order, in one folder. If a block of kind `text` follows, the output must be
equal to it, line by line; `...` stands for anything, and all durations and figures with a point count as equal.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

from artbank_cli.main import main
from tests.support.paths import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), ROOT / "artbank/mini/README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (run|not run): ((?:(?!-->).)+) -->\n+\Z", re.DOTALL)
_PROGRAMS = (
    "artbank",
    "make",
    "prefect",
    "dask",
    "pip",
    "python",
    "kubectl",
    "git",
    "docker",
    "helm",
    "bash",
    "export",
    "curl",
    "sed",
)
_CODE = ("sh", "bash", "shell", "console", "python", "py", "yaml", "json")
_DURATION = re.compile(r"(?:\d+ (?:h|min) )*\d+(?:\.\d+)? (?:s|min)\b")
_FIGURE = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Block:
    """One fenced block of a document.

    Attributes:
        document: Path below the checkout.
        line: Number of its first line.
        kind: Word after the fence: `sh`, `python`, `text`, ...
        code: Its content.
        scenario: Scenario that runs it; None if it is not run.
        reason: Reason why it is not run; None if none is given.
        expected: Expected output; None if it is not compared.
    """

    document: str
    line: int
    kind: str
    code: str
    scenario: str | None
    reason: str | None
    expected: str | None = None

    @property
    def is_code(self) -> bool:
        """Whether a reader may run it; without a kind, a block counts if a line begins with a known program."""
        if self.kind:
            return self.kind in _CODE
        first_words = [line.split()[0] for line in self.code.splitlines() if line.strip()]
        return any(word.rpartition("/")[2] in _PROGRAMS for word in first_words)

    def __str__(self) -> str:
        """Return its document and line."""
        return f"{self.document}:{self.line}"


def read_blocks(path: Path) -> list[Block]:
    """Return the blocks of a document in order."""
    text, blocks = path.read_text(), []
    for found in _BLOCK.finditer(text):
        mark = _MARK.search(text[: found.start()])
        told = {mark[1]: " ".join(mark[2].split())} if mark else {}
        line = text.count("\n", 0, found.start()) + 1
        name = str(path.relative_to(ROOT))
        blocks.append(Block(name, line, found[1], found[2], told.get("run"), told.get("not run")))
    followers = {one: two for one, two in pairwise(blocks) if one.is_code and two.kind == "text"}
    return [Block(**{**vars(one), "expected": followers[one].code if one in followers else None}) for one in blocks]


def run_block(block: Block, folder: Path, env: dict[str, str]) -> None:
    """Run a block in a folder; what it exports is added to `env`, the environment of its commands."""
    said = run_python(block.code, folder, env) if block.kind == "python" else run_commands(block.code, folder, env)
    if block.expected is not None:
        check_said(block.expected, said)


def run_commands(code: str, folder: Path, env: dict[str, str]) -> str:
    """Run commands one by one: `artbank` in this process, which saves its imports, others in a shell.

    Raises:
        AssertionError: A command failed.
    """
    said = []
    for command in cut_commands(code):
        words = shlex.split(command, comments=True)
        if words and words[0] == "export":
            env |= dict(word.split("=", 1) for word in words[1:])
        elif words and words[0] == "artbank":
            said.append(_call_artbank(words, folder, env))
        elif words:
            said.append(_call_shell(command, folder, env))
    return "".join(said)


def cut_commands(code: str) -> list[str]:
    """Split a block into commands: one a line, unless a line ends in a backslash or within quotes."""
    commands, begun = [], ""
    for line in code.replace("\\\n", " ").splitlines():
        begun += line
        if _is_whole(begun):
            commands.append(begun)
            begun = ""
        else:
            begun += "\n"
    assert not begun, f"a quote is open at the end of: {begun}"
    return commands


def _is_whole(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def run_python(code: str, folder: Path, env: dict[str, str]) -> str:
    """Run Python in this process, in a namespace of its own."""
    with in_folder(folder, env) as out:
        exec(compile(code, "a document", "exec"), {"__name__": "__main__"})
    return out.getvalue()


@contextlib.contextmanager
def in_folder(folder: Path, env: dict[str, str]) -> Iterator[io.StringIO]:
    """Change into a folder and an environment, and capture what is printed."""
    out = io.StringIO()
    with (
        contextlib.chdir(folder),
        patch.dict(os.environ, env, clear=True),
        # `datasets` reads the variable only when it is imported.
        patch("datasets.config.HF_DATASETS_CACHE", env["HF_DATASETS_CACHE"]),
        contextlib.redirect_stdout(out),
    ):
        yield out


def check_said(expected: str, said: str) -> None:
    """Check that output is equal to what a document shows.

    Raises:
        AssertionError: It is not equal.
    """
    patterns = [re.escape(line).replace(r"\.\.\.", ".*") for line in _lines(expected)]
    pattern = "\n".join(patterns).replace("\n.*\n", "\n(?:.*\n)*")
    shown = "\n".join(_lines(said))
    assert re.search(f"^{pattern}$", shown, re.MULTILINE), f"expected\n{expected}\nfound\n{said}"


def _lines(text: str) -> list[str]:
    """Return the lines of a text with durations, figures and spaces normalised."""
    return [" ".join(_FIGURE.sub("#", _DURATION.sub("# s", line)).split()) for line in text.splitlines()]


def _call_artbank(words: Sequence[str], folder: Path, env: dict[str, str]) -> str:
    err = io.StringIO()
    with in_folder(folder, env) as out, patch.object(sys, "argv", list(words)), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            assert not end.code, f"{shlex.join(words)} ended in {end.code}: {out.getvalue()}{err.getvalue()}"
    return out.getvalue()


def _call_shell(command: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-ec", command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended in {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def all_blocks() -> Iterator[Block]:
    """Yield the blocks of all documents."""
    for path in DOCUMENTS:
        yield from read_blocks(path)
