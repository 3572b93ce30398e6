"""The end of a command: its exit code, and one line for every error, whatever library it comes from.

Exit codes: 0 done, 1 something failed or is wrong, 2 a parameter is wrong, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import typer

from artbank.credentials import redact
from artbank.errors import ConfigError, StopRequested
from artbank.runtime.stages import take_stops
from artbank.store.explanations import explain, is_explained
from artbank_cli.environment import is_debug
from artbank_cli.output import say

DONE, FAILED, WRONG_PARAMETER, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
_BROKEN_PIPE = 141  # as if SIGPIPE had ended it
_OWN_FOLDERS = ("artbank", "artbank_cli", "artbank_prefect")
_GO_ON = "run the same command again to go on"


def heed_signals() -> None:
    """End on SIGTERM, and when the terminal closes, as on Ctrl-C."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        signal.signal(signal.SIGHUP, _end)


def end_children() -> None:
    """Kill worker processes that are left when this process exits, which would wait for them: they ignore SIGTERM."""
    Finalize(None, _kill_children, exitpriority=0)  # runs before multiprocessing waits; see `images.pool`


def run(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code. Every error becomes one line; `--debug` shows its traceback too."""
    try:
        return _call(command)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(_describe_stop("interrupted"), INTERRUPTED)
    except StopRequested:
        return _complain(_describe_stop("terminated"), TERMINATED)
    except SystemExit as error:
        if error.code != TERMINATED:
            raise
        return _complain(_describe_stop("terminated"), TERMINATED)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the parser
            error.show()
            return error.exit_code
        return _BROKEN_PIPE if _is_end_of_pipe(error) else _report(error)


def _describe_stop(how: str) -> str:
    """Return how a command was stopped, and what was kept of its training: `interrupted: stopped at step 47, kept`."""
    kept = take_stops()
    return f"{': '.join([how, *kept[-1:]])}; {_GO_ON}"


def _kill_children() -> None:
    for child in multiprocessing.active_children():
        child.kill()


def _end(*_: object) -> None:
    """End as Ctrl-C does, so that claimed work is released; the same command goes on later."""
    raise SystemExit(TERMINATED)


def _call(command: Callable[[], Any]) -> int:
    try:
        code = command()
    except typer.Exit as error:
        code = error.exit_code
    if code == INTERRUPTED:  # what the parser returns on Ctrl-C
        raise KeyboardInterrupt
    try:
        sys.stdout.flush()  # while an error still becomes a line
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            return _BROKEN_PIPE
        raise
    return code if isinstance(code, int) else DONE


def _report(error: BaseException) -> int:
    if is_debug():
        traceback.print_exception(error)
    text = _explain_orchestrator(error)
    if text is None:
        text = explain(error)
        if not is_explained(error):
            advice = "run it again with --debug, and report what that shows as a bug"
            text = f"unexpected error{_find_place(error)}: {text}; {advice}"
    return _complain(text, WRONG_PARAMETER if isinstance(error, ConfigError) else FAILED)


def _explain_orchestrator(error: BaseException) -> str | None:
    """Explain an error of Prefect, of its HTTP client, or of its settings."""
    text = f"{type(error).__name__}: {error}"
    library = type(error).__module__.partition(".")[0]
    if library == "prefect":
        return f"Prefect reports {text}; check the server at PREFECT_API_URL, then {_GO_ON}"
    if library in ("httpx", "httpcore", "websockets"):
        return f"the connection to the Prefect server failed ({text}); check PREFECT_API_URL, then {_GO_ON}"
    if library == "pydantic_core" and "Settings" in str(getattr(error, "title", "")):
        return f"a setting of Prefect is wrong ({redact(str(error))}); correct or unset its PREFECT_* variable"
    if isinstance(error, ImportError):
        return f"a package is missing or broken ({text}); install artbank again, or see `artbank doctor`"
    return None


def _find_place(error: BaseException) -> str:
    """Return the last place in artbank that an error passed, as ` in FILE:LINE`; empty if there is none."""
    root = Path(__file__).resolve().parents[1]
    folders = [root / name for name in _OWN_FOLDERS]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path != Path(__file__) and any(folder in path.parents for folder in folders):
            return f" in {path.relative_to(root)}:{frame.lineno}"
    return ""


def _is_end_of_pipe(error: BaseException) -> bool:
    """Return whether the reader of standard output has ended, as `head` does; then nothing more is written there."""
    if not isinstance(error, BrokenPipeError):
        return False  # else it may still be another connection
    with contextlib.suppress(OSError):  # standard output may be no file
        poller = select.poll()
        poller.register(sys.stdout.fileno(), 0)
        if any(event & select.POLLERR for _, event in poller.poll(0)):
            _discard_output()
            return True
    return False


def _discard_output() -> None:
    """Let the interpreter write what is left in its buffers to nowhere when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, code: int) -> int:
    say(f"artbank: {' '.join(text.split())}", to_stderr=True)
    return code
