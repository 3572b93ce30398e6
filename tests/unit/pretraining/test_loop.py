"""The loop of every stage of the pretraining: time limits, checkpoints, losses that are not finite, rates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from artbank.pretraining.loop import LossFunction, Schedule, train

THREE = Schedule(steps=3, batch_size=4, learning_rate=1e-3, warmup=1, checkpoint_every=1)


def test_a_stage_stops_at_its_time_limit_and_goes_on_from_there(tmp_path: Path) -> None:
    layer, loss = _linear()
    assert not train([layer], loss, THREE, tmp_path / "run", stop_after_seconds=0)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["step-0000001"]
    assert train([layer], loss, THREE, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_before_it_replaces_the_checkpoint(tmp_path: Path) -> None:
    layer, loss = _linear()
    schedule = Schedule(steps=6, batch_size=4, learning_rate=1e-3, warmup=1, checkpoint_every=2)

    def breaking(generator: torch.Generator, progress: float) -> Tensor:
        return loss(generator, progress) * (float("nan") if progress > 0.4 else 1)

    with pytest.raises(FloatingPointError, match="rate"):
        train([layer], breaking, schedule, tmp_path / "run")
    (checkpoint,) = (tmp_path / "run").glob("step-*")
    assert checkpoint.name == "step-0000002"
    for path in checkpoint.glob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_file(path).values())


def test_checkpoints_come_in_files_below_16_mb(tmp_path: Path) -> None:
    wide = nn.Linear(1900, 1900)
    train([wide], lambda generator, _: wide(torch.ones(1, 1900)).square().mean(), THREE, tmp_path / "run")
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.safetensors")]
    assert sum(sizes) > 28_000_000
    assert max(sizes) < 16_000_000


def test_rates_rise_then_fall_to_zero() -> None:
    schedule = Schedule(steps=100, batch_size=4, learning_rate=1.0, warmup=10)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.02


def _linear() -> tuple[nn.Linear, LossFunction]:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    return layer, lambda generator, progress: layer(torch.randn(4, 3, generator=generator)).square().mean()
