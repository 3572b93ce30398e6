"""Work in threads of this process ends between two steps, and a person who stops it is told that it will."""

from __future__ import annotations

import threading
import time

import pytest

from artbank.errors import StopRequested
from artbank.runs.local_runner import LocalRunner
from artbank.runtime.stages import Stage, listening


def stop(error: BaseException) -> list[str]:
    """Return the stages that are shown when an error ends a run whose work waits for the stop."""
    stages: list[Stage] = []
    begun = threading.Event()

    def work(runner: LocalRunner) -> None:
        begun.set()
        while not runner.is_stopping:
            time.sleep(0.001)
        raise StopRequested

    def listen(stage: Stage) -> None:
        stages.append(stage)

    with listening(listen), pytest.raises(type(error)), LocalRunner() as runner:
        runner.submit(lambda: work(runner))
        begun.wait()
        raise error
    return [stage.text for stage in stages]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_a_stop_is_answered_at_once_although_work_under_way_ends_first(error: BaseException) -> None:
    assert stop(error) == ["stopping; what is under way ends first"]


def test_an_error_is_no_stop() -> None:
    assert stop(ValueError("broken")) == []
