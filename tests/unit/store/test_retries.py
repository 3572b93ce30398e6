"""Work that fails by a transient error of a store is done again; other errors are raised at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from artbank.errors import ConfigError
from artbank.store.retries import retry_transient


def fail_times(error: Exception, times: int) -> tuple[list[int], Callable[[], str]]:
    tries: list[int] = []

    def work() -> str:
        tries.append(len(tries))
        if len(tries) <= times:
            raise error
        return "done"

    return tries, work


def test_work_is_done_again_after_the_delays() -> None:
    waited: list[float] = []
    tries, work = fail_times(ConnectionResetError("cut off"), 2)
    assert retry_transient(work, (1.0, 2.0, 3.0), waited.append) == "done"
    assert (len(tries), waited) == (3, [1.0, 2.0])


def test_the_last_error_is_raised() -> None:
    tries, work = fail_times(ConnectionResetError("cut off"), 9)
    with pytest.raises(ConnectionResetError):
        retry_transient(work, (1.0, 2.0), lambda seconds: None)
    assert len(tries) == 3


@pytest.mark.parametrize("error", [ConfigError("wrong"), FileNotFoundError("none")])
def test_an_error_that_does_not_heal_is_raised_at_once(error: Exception) -> None:
    tries, work = fail_times(error, 1)
    with pytest.raises(type(error)):
        retry_transient(work, (1.0,), lambda seconds: None)
    assert len(tries) == 1
