"""Whether a machine can do the work: packages, devices, models, stores, room.

Each check looks at one thing by itself and says what it found and what to do. Some touch what may not answer (a store,
a hub, a server, a network drive, a driver); those run beside each other, and are waited for as long as they are given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from artbank.credentials import redact

Level = Literal["OK", "warning", "problem"]


@dataclass(frozen=True)
class CheckResult:
    """What a check says of one thing.

    Attributes:
        level: `warning` where a run works all the same, `problem` where some run fails.
        text: What was found. Credentials in it are hidden, and it is one line, whatever it quotes.
        advice: What to do; empty where there is nothing to be done.
        is_late: The check did not end in time, and was left behind.
    """

    level: Level
    text: str
    advice: str = ""
    is_late: bool = False

    def __post_init__(self) -> None:
        """Make both texts such that they can be shown."""
        for name in ("text", "advice"):
            object.__setattr__(self, name, _show(getattr(self, name)))


@dataclass(frozen=True)
class Check:
    """Something to look at.

    Attributes:
        subject: What it is about, in a word or two.
        look: Gives what there is to say; whatever it raises becomes a problem.
        reaches_out: It asks what may never answer.
    """

    subject: str
    look: Callable[[], Iterable[CheckResult]]
    reaches_out: bool = False


@dataclass
class _Ended:
    """What came of a check; it is added to by another thread."""

    verdicts: list[CheckResult]
    is_whole: bool = False


def run_checks(checks: Sequence[Check], seconds: float) -> dict[str, list[CheckResult]]:
    """Run checks, and return what they say by subject, in their order.

    Those that reach out run at once, each in a thread; one that has not ended in time is left behind, and its thread
    with it, so who calls this may have to end the process without waiting for it.

    Args:
        checks: Those that do not reach out run first, one after the other, without a limit.
        seconds: For which those that reach out are waited for.
    """
    ended = {check.subject: _Ended([]) for check in checks}
    for check in checks:
        if not check.reaches_out:
            _run(check, ended[check.subject])
    outward = [check for check in checks if check.reaches_out]
    threads = [threading.Thread(target=_run, args=(c, ended[c.subject]), daemon=True) for c in outward]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    return {subject: _tell(end, seconds) for subject, end in ended.items()}


def _run(check: Check, ended: _Ended) -> None:
    try:
        for verdict in check.look():
            ended.verdicts.append(verdict)
    except Exception as error:
        text = f"could not be looked at: {type(error).__name__}: {error}"
        ended.verdicts.append(CheckResult("problem", text, "see whether the message tells; else report it as a bug"))
    ended.is_whole = True


def _tell(ended: _Ended, seconds: float) -> list[CheckResult]:
    if ended.is_whole:
        return ended.verdicts
    text, advice = f"no answer within {seconds:g} s", "see whether it is up; --seconds waits for longer"
    return [*ended.verdicts, CheckResult("problem", text, advice, is_late=True)]


def _show(text: str) -> str:
    """Return a text as one line without credentials and without signs that cannot be seen."""
    line = " ".join(redact(text).split())
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)


def size_text(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
