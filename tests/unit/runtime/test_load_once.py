"""A process loads each resource once, in whichever thread asks first."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from artbank.runtime.load_once import LoadOnce


class Model:
    """Something that is slow to load."""

    alive: weakref.WeakSet[Model] = weakref.WeakSet()

    def __init__(self, name: str) -> None:
        gc.collect()
        self.name, self.others = name, len(Model.alive)
        Model.alive.add(self)


def test_threads_that_ask_at_once_get_the_same_object() -> None:
    together = threading.Barrier(8)

    @LoadOnce
    def load(name: str) -> Model:
        time.sleep(0.05)
        return Model(name)

    def ask(_: int) -> Model:
        together.wait()
        return load("a")

    with ThreadPoolExecutor(8) as pool:
        assert len({id(model) for model in pool.map(ask, range(8))}) == 1


def test_other_arguments_let_go_of_the_object_before_they_load_theirs() -> None:
    load = LoadOnce(Model)
    assert load.latest is None
    assert load("a") is load("a") is load.latest
    assert load("b").others == 0 and load.latest is not None and load.latest.name == "b"
    load.clear()
    assert load.latest is None


def test_a_load_that_fails_is_tried_again() -> None:
    numbers = iter((0, 2))
    load = LoadOnce(lambda: 10 // next(numbers))
    with pytest.raises(ZeroDivisionError):
        load()
    assert load.latest is None and load() == 5
