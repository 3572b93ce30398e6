"""A bar at a terminal for a task that takes minutes; elsewhere the run's log tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from artbank.errors import StopRequested
from tasks.stops import should_stop


@contextmanager
def show_progress(name: str, unit: str) -> Iterator[Callable[..., None]]:
    """Show a bar; gives a function to be called with how much is done, how much there is, and the loss if there is one.

    The function raises StopRequested where the task ought to stop.

    Args:
        name: Stands before the bar.
        unit: What is counted, in the singular.
    """
    with tqdm(desc=name, unit=unit, disable=None) as bar:

        def show(done: int, total: int, loss: float | None = None) -> None:
            if should_stop():
                raise StopRequested("the process was asked to end; run again to go on")
            bar.total = total
            if loss is not None:
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update(done - bar.n)

        yield show
