"""A bar at a terminal for a task that takes minutes; elsewhere the run's log tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def show_progress(name: str, unit: str) -> Iterator[Callable[..., None]]:
    """Show a bar; gives a function to be called with how much is done, how much there is, and the loss if there is one.

    Args:
        name: Stands before the bar.
        unit: What is counted, in the singular.
    """
    with tqdm(desc=name, unit=unit, disable=None) as bar:

        def show(done: int, total: int, loss: float | None = None) -> None:
            bar.total = total
            if loss is not None:
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update(done - bar.n)

        yield show
