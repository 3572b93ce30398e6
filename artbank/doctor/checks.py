"""Checks of a machine: each reports what it found and what to do.

Checks that contact something that may never answer (a store, the hub, a server, a network drive, a driver) run at the
same time, with a time limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Literal

from artbank.credentials import redact
from artbank.runtime.counts import number_text

Level = Literal["OK", "warning", "problem"]


@dataclass(frozen=True)
class CheckResult:
    """One result of a check.

    Attributes:
        level: `warning` if every run still works, `problem` if some runs will fail.
        text: The fact that was found. Credentials are hidden, and it is a single line.
        advice: What to do; empty if there is nothing to do.
        is_late: The check did not end in time.
    """

    level: Level
    text: str
    advice: str = ""
    is_late: bool = False

    def __post_init__(self) -> None:
        """Make both texts safe to print."""
        for name in ("text", "advice"):
            object.__setattr__(self, name, _printable(getattr(self, name)))


@dataclass(frozen=True)
class Check:
    """Something to check.

    Attributes:
        subject: What it is about, in a word or two.
        run: Yields the results; an exception becomes a problem.
        may_hang: It contacts something that may never answer.
    """

    subject: str
    run: Callable[[], Iterable[CheckResult]]
    may_hang: bool = False


@dataclass
class _CheckRun:
    """A check that runs; its thread adds the results."""

    results: list[CheckResult]


def run_checks(
    checks: Sequence[Check],
    seconds: float,
    on_end: Callable[[str, Sequence[CheckResult]], None] = lambda subject, results: None,
) -> dict[str, list[CheckResult]]:
    """Run checks; returns their results by subject, in the order of the checks.

    Checks that may hang run at the same time, each in a thread. A thread that does not end in time is abandoned, and a
    caller may have to end the process without waiting for it.

    Args:
        checks: Those that cannot hang run first, one after the other, without a time limit.
        seconds: Time limit for all checks that may hang.
        on_end: Called with the subject and the results of each check, in the order in which they end.
    """
    runs = {check.subject: _CheckRun([]) for check in checks}
    ended: Queue[str] = Queue()
    unfinished = {check.subject for check in checks if check.may_hang}
    for check in checks:
        if not check.may_hang:
            _run(check, runs[check.subject])
            on_end(check.subject, runs[check.subject].results)
    deadline = time.monotonic() + seconds
    for check in checks:
        if check.may_hang:
            threading.Thread(target=_run, args=(check, runs[check.subject], ended), daemon=True).start()
    while unfinished:
        try:
            subject = ended.get(timeout=max(deadline - time.monotonic(), 0))
        except Empty:
            break
        unfinished.remove(subject)
        on_end(subject, runs[subject].results)
    results = {subject: _collect(run, seconds, is_late=subject in unfinished) for subject, run in runs.items()}
    for subject in (check.subject for check in checks if check.subject in unfinished):
        on_end(subject, results[subject])
    return results


def _run(check: Check, run: _CheckRun, ended: Queue[str] | None = None) -> None:
    try:
        for result in check.run():
            run.results.append(result)
    except Exception as error:
        text = f"the check itself failed: {type(error).__name__}: {error}"
        run.results.append(CheckResult("problem", text, "act on the message if you can; else report it as a bug"))
    if ended is not None:
        ended.put(check.subject)


def _collect(run: _CheckRun, seconds: float, *, is_late: bool) -> list[CheckResult]:
    if not is_late:
        return run.results
    advice = "check that it is running and reachable, or wait longer with --seconds"
    late = CheckResult("problem", f"no answer within {seconds:g} s", advice, is_late=True)
    return [*run.results, late]


def _printable(text: str) -> str:
    """Return a text as one line, without credentials and without invisible characters."""
    line = " ".join(redact(text).split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def size_text(num_bytes: float) -> str:
    """Return a number of bytes as people write it, e.g. `1.5 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}"
    return number_text(round(num_bytes), "byte")
