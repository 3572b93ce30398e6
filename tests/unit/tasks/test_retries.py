from __future__ import annotations

import errno
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from prefect import flow, task

from artbank.errors import BankError, ConfigError
from artbank_prefect.tasks.retries import STORE_RETRIES
from artbank_prefect.tasks.stylize_archive import finish_archive, plan_archive, stylize_shard
from artbank_prefect.tasks.train_banks import plan_training, train_collections

AT_ONCE = {**STORE_RETRIES, "retry_delay_seconds": 0, "retry_jitter_factor": 0}
TASKS = (plan_training, train_collections, plan_archive, stylize_shard, finish_archive)


def count_tries(*errors: BaseException) -> tuple[int, Any]:
    """Run a task that raises these errors one after the other; returns how often it ran, and how it ended."""
    waiting, tries, states = list(errors), [], []

    @task(**AT_ONCE)
    def work() -> str:
        tries.append(1)
        if waiting:
            raise waiting.pop(0)
        return "done"

    @flow
    def whole() -> None:
        states.append(work(return_state=True))

    whole(return_state=True)
    return len(tries), states[0]


def test_trouble_with_the_store_is_tried_again_until_it_heals(prefect_server: str) -> None:
    tries, state = count_tries(OSError("hung up"), EndpointConnectionError(endpoint_url="s3"))
    assert (tries, state.result()) == (3, "done")


def test_trouble_that_does_not_heal_ends_after_four_more_tries(prefect_server: str) -> None:
    tries, state = count_tries(*[ConnectionResetError("hung up")] * 9)
    assert tries == 5
    with pytest.raises(ConnectionResetError):
        state.result()


@pytest.mark.parametrize(
    "error",
    [
        BankError("damaged"),
        ConfigError("wrong"),
        FileNotFoundError("gone"),
        PermissionError("not yours"),
        OSError(errno.ENOSPC, "full"),
        NoCredentialsError(),
        RuntimeError("a defect of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_come_again_is_not_tried_again(prefect_server: str, error: Exception) -> None:
    tries, state = count_tries(error)
    assert tries == 1
    with pytest.raises(type(error)):
        state.result()


@pytest.mark.parametrize("one", TASKS, ids=lambda one: one.name)
def test_every_task_is_tried_again_ever_later_and_not_all_at_the_same_moment(one: Any) -> None:
    assert (one.retries, one.retry_condition_fn) == (4, STORE_RETRIES["retry_condition_fn"])
    assert one.retry_delay_seconds == [2, 4, 8, 16]
    assert one.retry_jitter_factor > 0
