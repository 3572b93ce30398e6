"""The requests that a store makes of its backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from artbank.store.objects import Store


@contextmanager
def count_calls(
    store: Store, before_call: Callable[[str, Any], None] = lambda method, first: None
) -> Iterator[Counter[str]]:
    """Count the calls that a store makes of each method of its backend in the block, without those for no object.

    Args:
        store: The store.
        before_call: Called with the name of the method and its first argument; may raise in its place.
    """
    backend, calls = store._backend, Counter[str]()
    store._backend = _Counted(backend, calls, before_call)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield calls
    finally:
        store._backend = backend


class _Counted:
    def __init__(self, backend: Any, calls: Counter[str], before_call: Callable[[str, Any], None]):
        self._backend = backend
        self._calls = calls
        self._before_call = before_call

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)

        def call(*args: Any, **options: Any) -> Any:
            if args != ([],):
                self._calls[name] += 1
                self._before_call(name, args[0])
            return method(*args, **options)

        return call
