"""Show the stage of a command: a moving line at a terminal, else a line of the log for each stage.

At a terminal the line has a spinner that always moves, and a bar where the stage is counted. It fits any width, and
follows NO_COLOR, as `rich` does. Everything goes to standard error.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from artbank.runtime.readable_text import escape_invisible
from artbank.runtime.stages import Stage, listening
from artbank_cli.console_log import format_log_line
from artbank_cli.output import say

_LOG_SECONDS = 10.0  # between lines of one counted stage, where there is no terminal
_BAR_COLUMNS = 12


@contextmanager
def show_stages() -> Iterator[None]:
    """Show the stages of this process inside the block."""
    if sys.stderr.isatty():
        with _show_moving():
            yield
    else:
        with listening(StageLines()):
            yield


class StageLines:
    """Prints a line with its time for each stage that begins, and for a counted stage every ten seconds.

    Several threads may call it.
    """

    def __init__(self) -> None:
        """Print nothing yet."""
        self._lock = threading.Lock()
        self._last_text = ""
        self._was_counted = False
        self._printed_at = 0.0

    def __call__(self, stage: Stage) -> None:
        is_counted = stage.total is not None
        now = time.monotonic()
        with self._lock:
            goes_on = self._was_counted if is_counted else stage.text == self._last_text
            is_end = is_counted and stage.done == stage.total
            if goes_on and not (is_counted and (is_end or now - self._printed_at >= _LOG_SECONDS)):
                return
            if stage.text == self._last_text:
                return
            self._last_text = stage.text
            self._was_counted = is_counted
            self._printed_at = now
            say(format_log_line(stage.text), to_stderr=True)


@contextmanager
def _show_moving() -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.table import Column
    from rich.text import Text

    class StageColumn(TextColumn):
        def render(self, task: object) -> Text:
            return Text(task.description, no_wrap=True, overflow="ellipsis")  # pyright: ignore[reportAttributeAccessIssue] - rich's Task

    class CountedBar(BarColumn):
        def render(self, task: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride] - or no bar
            return super().render(task) if task.total else Text("")  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType] - rich's Task

    progress = Progress(
        SpinnerColumn("line"),
        StageColumn("", table_column=Column(ratio=1, no_wrap=True)),
        CountedBar(bar_width=_BAR_COLUMNS),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else it is read by a program
        expand=True,
    )
    task: TaskID = progress.add_task("starting", total=None)

    def show(stage: Stage) -> None:
        progress.update(task, description=escape_invisible(stage.text), completed=stage.done, total=stage.total)

    stream = sys.stderr
    with progress, listening(show):
        handlers = [handler for handler in _stream_handlers() if handler.stream is stream]
        for handler in handlers:
            handler.setStream(sys.stderr)  # rich's, which prints above the line
        try:
            yield
        finally:
            for handler in handlers:
                handler.setStream(stream)


def _stream_handlers() -> Iterator[logging.StreamHandler]:
    """Yield the handlers of the root logger that print."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            yield handler
