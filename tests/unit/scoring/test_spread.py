"""Means, spreads and gains of scores."""

from __future__ import annotations

import math

import pytest

from artbank.scoring.spread import Ceiling, ScoreBounds, summarize


def test_a_spread_counts_what_is_there():
    spread = summarize([0.1, None, 0.3, math.nan, 0.5], ScoreBounds(0.1, Ceiling(0.5)))
    assert (spread.n, spread.mean, spread.median) == (3, pytest.approx(0.3), pytest.approx(0.3))
    assert (spread.p5, spread.p95) == (pytest.approx(0.12), pytest.approx(0.48))
    assert spread.gain == pytest.approx(0.5)


@pytest.mark.parametrize(("error", "gain"), [(0.0, 0.5), (0.19, 0.5), (0.21, None)])
def test_there_is_no_gain_where_the_ceiling_is_not_clearly_above_the_floor(error: float, gain: float | None):
    own = summarize([0.3], ScoreBounds(0.1, Ceiling(0.5, error))).gain
    assert own is None if gain is None else own == pytest.approx(gain)


@pytest.mark.parametrize(("floor", "ceiling"), [(None, 0.9), (0.1, None), (0.5, 0.5), (0.9, 0.1)])
def test_there_is_no_gain_without_a_ceiling_above_the_floor(floor: float | None, ceiling: float | None):
    assert summarize([0.3], ScoreBounds(floor, ceiling and Ceiling(ceiling))).gain is None


def test_a_spread_of_nothing_has_no_figures():
    spread = summarize([None], ScoreBounds(0.1, Ceiling(0.9)))
    assert (spread.n, spread.mean, spread.gain) == (0, None, None)
