"""Shares and strengths against published numbers, scipy, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from artbank.comparison.preference import Interval, fit_strengths, make_share, measure, measure_by_style
from artbank.comparison.votes import Ballot, Choice

BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ],
    float,
)
"""Games of seven teams in 1987, from Agresti, Categorical Data Analysis; the last team is Baltimore."""
PUBLISHED = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]
"""Log-strengths against Baltimore, as R's BradleyTerry2 has them."""


@pytest.mark.parametrize(("won", "lost"), [(13, 11), (24, 0), (0, 24), (1, 0), (500, 480)])
def test_a_share_has_the_wilson_interval_of_scipy(won: int, lost: int) -> None:
    share = make_share(won, 0, lost).preferred
    expected = binomtest(won, won + lost).proportion_ci(0.95, method="wilson")
    assert share and (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert share.value == won / (won + lost)


def test_a_tie_is_half_a_win_for_each() -> None:
    assert make_share(3, 4, 1).preferred == make_share(5, 0, 3).preferred
    first, second = make_share(3, 4, 1).preferred, make_share(1, 4, 3).preferred
    assert first and second and (1 - first.high, 1 - first.low) == pytest.approx((second.low, second.high))
    assert make_share(0, 0, 0).preferred is None


def test_strengths_are_those_published() -> None:
    found = fit_strengths(BASEBALL, prior_wins=0)
    assert found
    assert [one.value - found[-1].value for one in found] == pytest.approx(PUBLISHED, abs=1e-4)
    assert sum(one.value for one in found) == pytest.approx(0, abs=1e-9)


def test_two_contestants_have_the_log_odds_and_their_standard_error() -> None:
    found = fit_strengths(np.array([[0.0, 30], [10, 0]]), prior_wins=0)
    assert found and found[0].value - found[1].value == pytest.approx(math.log(3), abs=1e-6)
    half_error = 1.959964 * math.sqrt(1 / 30 + 1 / 10) / 2  # of one of the two, whose mean is 0
    assert found[0].high - found[0].value == pytest.approx(half_error, abs=1e-5)


def test_one_who_always_wins_has_a_finite_strength() -> None:
    found = fit_strengths(np.array([[0.0, 24, 24], [0, 0, 12], [0, 12, 0]]))
    assert found and all(math.isfinite(number) for one in found for number in (one.value, one.low, one.high))
    assert found[0].low > 1 > 0 > found[1].high and found[1].value == pytest.approx(found[2].value, abs=1e-6)


def test_contestants_that_never_met_have_no_strengths() -> None:
    assert fit_strengths(np.array([[0.0, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 0]])) is None


def ballots(style: str, left: str, right: str, *choices: Choice) -> list[Ballot]:
    return [Ballot(f"voter {i}", f"{i}.jpg", style, left, right, choice) for i, choice in enumerate(choices)]


def test_votes_are_counted_for_whoever_was_on_the_side() -> None:
    votes = [*ballots("monet", "new", "old", "A", "A", "tie", "B"), *ballots("klee", "old", "new", "A", "B", "B", "B")]
    klee, monet, everything = measure_by_style(votes, ["new", "old"])
    assert [one.style for one in (klee, monet, everything)] == ["klee", "monet", None]
    share = everything.duels[0].share
    assert (everything.duels[0].first, share.won, share.ties, share.lost) == ("new", 5, 1, 2)
    assert share.preferred and share.preferred.value == 5.5 / 8
    assert (everything.left.won, everything.left.ties, everything.left.lost) == (3, 1, 4)
    assert [(one.name, one.strength) for one in klee.standings] == [("new", None), ("old", None)]


def test_three_contestants_are_ranked_by_strength() -> None:
    votes = [*ballots("monet", "a", "b", "B", "B", "B", "A"), *ballots("monet", "b", "c", "A", "A", "B", "A")]
    found = measure(votes, ["c", "a", "b", "absent"])
    assert found.standings[0].name == "b" and {one.name for one in found.standings} == {"a", "b", "c"}
    assert isinstance(found.standings[0].strength, Interval) and len(found.duels) == 2


def test_no_votes_are_no_preference() -> None:
    [found] = measure_by_style([], ["new", "old"])
    assert found.num_votes == 0 and found.duels == found.standings == [] and found.left.preferred is None
