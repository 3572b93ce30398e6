"""Slow loads that all threads of a process share: models, worker pools, servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class LoadOnce(Generic[P, T]):
    """Decorator for a loader whose latest result the process keeps.

    A call with the arguments of the previous one returns the same object; threads that call at once wait for a single
    load. A call with other arguments lets go of the kept object before it loads, so that two models never share the
    memory.
    """

    def __init__(self, load: Callable[P, T]):
        """Wrap a loader; its arguments are compared with `==`."""
        self.__doc__ = load.__doc__
        self._load = load
        self._lock = threading.Lock()
        self._kept: tuple[object, T] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the kept object if it was loaded with equal arguments, else load it."""
        arguments = (args, kwargs)
        with self._lock:
            if self._kept is None or self._kept[0] != arguments:
                self._kept = None
                self._kept = (arguments, self._load(*args, **kwargs))
            return self._kept[1]

    @property
    def latest(self) -> T | None:
        """The kept object; None if nothing is loaded."""
        kept = self._kept
        return None if kept is None else kept[1]

    def clear(self) -> None:
        """Let go of the kept object, so that the next call loads again."""
        with self._lock:
            self._kept = None
