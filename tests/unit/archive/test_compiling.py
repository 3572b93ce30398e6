"""A run tells the compiler of its base model how many pictures are done and how many are left."""

from __future__ import annotations

from typing import Any

import pytest

from artbank.archive import local_run
from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.diffusion.compilation import Compiler
from artbank.diffusion.shared_base_model import load_base_model
from artbank.store.objects import Store
from tests.support.shards import asked

CALLS = ("begin", "expect", "advance")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the compiler is told, in order."""
    found: list[tuple[Any, ...]] = []

    def watch(name: str) -> None:
        tell = getattr(Compiler, name)

        def note(self: Compiler, *args: int, **options: bool) -> None:
            found.append((name, *args))
            tell(self, *args, **options)

        monkeypatch.setattr(Compiler, name, note)

    for name in CALLS:
        watch(name)
    return found


def calls_ahead(config: StylizeConfig) -> float:
    return load_base_model(config).compiler.calls_ahead


def test_the_shards_of_a_worker_count_together(photos: Store, shelf: str, told: list[tuple[Any, ...]]) -> None:
    config = asked(photos, shelf, shard_size=3)
    plan, shards, _ = plan_archive(config)
    ahead = []
    for shard in shards:
        assert stylize_shard(config, plan, shard, num_pictures=30) == 3
        ahead.append(calls_ahead(config))
    assert told == [("begin",), ("expect", 30), *[("advance", 2), ("advance", 1)] * 2]
    assert ahead == [9, 4]


def test_a_local_run_knows_all_of_its_pictures(photos: Store, shelf: str, told: list[tuple[Any, ...]]) -> None:
    config = asked(photos, shelf, shard_size=2, styles=("novak", "novak:0.7+novak@1:0.3"))
    local_run.stylize_archive(config)
    assert told[:2] == [("begin",), ("expect", 12)] and told.count(("begin",)) == 1
    assert [count for name, count in told[2:]] == [4, 4, 4]
    assert calls_ahead(config) == 0
