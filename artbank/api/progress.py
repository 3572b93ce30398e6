"""Show how far the work of the API is: by a bar for people who watch, by a callback, or not at all."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from artbank.runtime.readable_text import escape_invisible
from artbank.runtime.stages import Stage, listening

Progress = Callable[[int, int], object]
"""Called with the steps or pictures that are done, and their total."""
ProgressOption = Progress | bool | None
"""A callback; True for a bar, False for none; None for a bar at a terminal and in a notebook."""


@contextmanager
def open_progress(wanted: ProgressOption, unit: str) -> Iterator[Progress]:
    """Yield what is to be called with the progress of some work; a bar is on standard error until the block ends.

    The bar names the current stage of the work, such as the loading of a model.

    Args:
        wanted: How the progress is shown.
        unit: What is counted, such as `step`.
    """
    if callable(wanted):
        yield wanted
    elif wanted or (wanted is None and _is_watched()):
        with _open_bar(unit) as report:
            yield report
    else:
        yield _ignore


@contextmanager
def _open_bar(unit: str) -> Iterator[Progress]:
    from tqdm import tqdm

    def show_stage(stage: Stage) -> None:
        if stage.total is None:  # else the bar counts it
            bar.set_description_str(escape_invisible(stage.text))

    def report(done: int, total: int) -> None:
        bar.set_description_str("", refresh=False)
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.refresh()  # else an end that follows soon is not shown

    room = shutil.get_terminal_size()  # tqdm shows nothing where a terminal has no size, as in some containers
    with tqdm(unit=f" {unit}s", leave=False, ncols=room.columns - 1, nrows=room.lines) as bar, listening(show_stage):
        yield report


def _ignore(done: int, total: int) -> None:
    """Show nothing."""


def _is_watched() -> bool:
    """Return whether a person sees standard error: at a terminal, or in a notebook."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
