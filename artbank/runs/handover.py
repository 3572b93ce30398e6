"""Hand the survey of a command over to the run that it starts, so that archives and galleries are read once.

A command looks whether there is work before it starts a server. The flow that it then calls in the same process plans
from that survey, if both happen inside the same `open_handover` block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from artbank.parameters.run_config import RunConfig

Survey = TypeVar("Survey")

_handed_over: ContextVar[list[tuple[RunConfig, object]] | None] = ContextVar("handed_over", default=None)


@contextmanager
def open_handover() -> Iterator[None]:
    """Let `take` return what `hand_over` is given inside the block; at its end the rest is dropped."""
    token = _handed_over.set([])
    try:
        yield
    finally:
        _handed_over.reset(token)


def hand_over(config: RunConfig, survey: object) -> None:
    """Leave a survey for the run of a configuration; does nothing outside of a handover."""
    waiting = _handed_over.get()
    if waiting is not None:
        waiting[:] = [(config, survey)]


def take(config: RunConfig, kind: type[Survey]) -> Survey | None:
    """Return the survey that was handed over for a configuration, or None.

    It is returned once: a retry of the run reads archive or gallery again.
    """
    waiting = _handed_over.get()
    if not waiting or waiting[0][0] != config:
        return None
    _, survey = waiting.pop()
    return survey if isinstance(survey, kind) else None
