from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch

from artbank.scoring import networks
from artbank.scoring.clip import Scorer


@pytest.mark.parametrize("fails", [False, True])
def test_tf32_is_on_only_while_the_scorer_looks_at_pictures(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU stands in for a card: the setting can be changed and read without one."""
    scorer = Scorer.load("mini", torch.device("cpu"))
    settings: Any = torch.backends.cuda.matmul
    name, tf32 = ("fp32_precision", "tf32") if hasattr(settings, "fp32_precision") else ("allow_tf32", True)
    before, seen = getattr(settings, name), []

    def watch(*_: Any) -> None:
        seen.append(getattr(settings, name))
        if fails and seen[-1] == tf32:
            raise torch.OutOfMemoryError

    picture = np.full((40, 40, 3), 90, np.uint8)
    with scorer._clip.vision_model.register_forward_hook(watch):
        scorer.embed_images([picture])
        monkeypatch.setattr(networks, "_has_tf32", lambda _: True)
        with suppress(torch.OutOfMemoryError):
            scorer.embed_images([picture])
    assert seen == [before, tf32] and before != tf32
    assert getattr(settings, name) == before


def test_tf32_stays_on_until_the_last_of_several_threads_is_done_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_has_tf32", lambda _: True)
    settings: Any = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(settings, "fp32_precision") else "allow_tf32"
    before, turns = getattr(settings, name), [threading.Event() for _ in range(3)]

    def look(entered: threading.Event, leave: threading.Event) -> Any:
        with networks.tf32_products(torch.device("cpu")):
            entered.set()
            assert leave.wait(60)
            return getattr(settings, name)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(look, turns[0], turns[1])
        assert turns[0].wait(60)
        second = pool.submit(look, turns[1], turns[2])  # lets the first one leave
        seen = [first.result()]
        turns[2].set()
        seen.append(second.result())
    assert len(set(seen)) == 1 and seen[0] != before
    assert getattr(settings, name) == before
