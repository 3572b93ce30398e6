"""Preferences from ballots: shares with intervals, and Bradley-Terry strengths of three or more contestants.

A tie counts as half a win for each. Intervals are of 95 %, and take votes as independent.

Shape legend: N contestants; wins float64 [N, N], `wins[i, j]` the votes for i against j.

Source:
    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    Bradley and Terry, Rank analysis of incomplete block designs, Biometrika 39 (1952).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from artbank.comparison.votes import Ballot

CONFIDENCE = 0.95
PRIOR_WINS = 0.5
"""Wins that each of two contestants who met gets on top, so that one who always wins has a finite strength."""
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Share:
    """Votes for a contestant, ties, and votes against it; `preferred` (0..1) is None without votes."""

    won: int
    ties: int
    lost: int
    preferred: Interval | None


@dataclass(frozen=True)
class Standing:
    """A contestant against all others.

    Attributes:
        name: The contestant.
        share: Share of its votes against all others.
        strength: Bradley-Terry log-strength; the mean of all contestants is 0. None with two contestants, and
            where the votes do not connect all contestants.
    """

    name: str
    share: Share
    strength: Interval | None


@dataclass(frozen=True)
class Duel:
    """Two contestants against each other; the share is the first's."""

    first: str
    second: str
    share: Share


@dataclass(frozen=True)
class Preference:
    """The preferences in a set of ballots.

    Attributes:
        style: The style of the ballots; None for all styles.
        num_votes: Number of ballots.
        duels: All two contestants that met.
        standings: Each contestant, the most preferred first.
        left: How often the left picture was preferred, whoever made it: far from a half, voters favour a side.
    """

    style: str | None
    num_votes: int
    duels: list[Duel]
    standings: list[Standing]
    left: Share


def measure_by_style(ballots: Sequence[Ballot], names: Sequence[str]) -> list[Preference]:
    """Measure the preferences in each style, by name, and then in all; see `measure`."""
    styles = sorted({ballot.style for ballot in ballots})
    each = [measure([ballot for ballot in ballots if ballot.style == style], names, style) for style in styles]
    return [*each, measure(ballots, names)]


def measure(ballots: Sequence[Ballot], names: Sequence[str], style: str | None = None) -> Preference:
    """Measure the preferences in ballots.

    Args:
        ballots: From `unblind`.
        names: The contestants; those without a ballot are left out.
        style: The style of the ballots; None for all styles.
    """
    voted = {name for ballot in ballots for name in (ballot.left, ballot.right)}
    names = [name for name in names if name in voted]
    wins, ties = _count(ballots, names)
    duels = [
        Duel(names[i], names[j], make_share(int(wins[i, j]), int(ties[i, j]), int(wins[j, i])))
        for i, j in combinations(range(len(names)), 2)
        if wins[i, j] + wins[j, i] + ties[i, j]
    ]
    strengths = fit_strengths(wins + ties / 2) if len(names) > 2 else None
    totals = [make_share(int(wins[i].sum()), int(ties[i].sum()), int(wins[:, i].sum())) for i in range(len(names))]
    standings = [
        Standing(name, totals[i], strengths[i] if strengths is not None else None) for i, name in enumerate(names)
    ]
    standings.sort(key=_rank, reverse=True)
    choices = [ballot.choice for ballot in ballots]
    left = make_share(choices.count("A"), choices.count("tie"), choices.count("B"))
    return Preference(style, len(ballots), duels, standings, left)


def make_share(won: int, ties: int, lost: int) -> Share:
    """Return the share of wins, half of the ties included, with its Wilson score interval.

    With ties the interval is a little too wide, for a tie varies less than a win or a loss.
    """
    num = won + ties + lost
    if num == 0:
        return Share(won, ties, lost, None)
    share = (won + ties / 2) / num
    scale = 1 + _Z**2 / num
    middle = (share + _Z**2 / (2 * num)) / scale
    margin = _Z / scale * (share * (1 - share) / num + _Z**2 / (4 * num**2)) ** 0.5
    return Share(won, ties, lost, Interval(share, max(middle - margin, 0.0), min(middle + margin, 1.0)))


def fit_strengths(wins: np.ndarray, prior_wins: float = PRIOR_WINS) -> list[Interval] | None:
    """Fit the Bradley-Terry model: i beats j with the probability of the logistic function of s_i - s_j.

    Args:
        wins: float64 [N, N], ties as half a win for each.
        prior_wins: Added for both of all two contestants that met.

    Returns:
        N log-strengths with intervals from the Fisher information; their mean is 0. None if some contestants did not
        even meet indirectly.
    """
    met = wins + wins.T > 0
    if connected_components(met, directed=False, return_labels=False) > 1:
        return None
    weighted = np.where(met, wins + prior_wins, 0.0)
    np.fill_diagonal(weighted, 0.0)

    def loss(strengths: np.ndarray) -> tuple[float, np.ndarray]:
        gaps = strengths[:, None] - strengths  # [N, N]
        surprise = weighted * expit(-gaps)
        return float((weighted * np.logaddexp(0.0, -gaps)).sum()), surprise.sum(0) - surprise.sum(1)

    fitted = minimize(loss, np.zeros(len(wins)), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    fitted = fitted - fitted.mean()
    errors = _standard_errors(weighted, fitted)
    return [Interval(float(s), float(s - _Z * e), float(s + _Z * e)) for s, e in zip(fitted, errors, strict=True)]


def _standard_errors(weighted: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return the standard errors [N] of log-strengths whose mean is 0."""
    gaps = strengths[:, None] - strengths
    information = -(weighted + weighted.T) * expit(gaps) * expit(-gaps)  # [N, N]
    np.fill_diagonal(information, 0.0)
    np.fill_diagonal(information, -information.sum(1))
    return np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True)))


def _count(ballots: Sequence[Ballot], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the wins [N, N] and the ties [N, N], which are symmetrical."""
    places = {name: place for place, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    ties = np.zeros_like(wins)
    for ballot in ballots:
        left, right = places[ballot.left], places[ballot.right]
        if ballot.choice == "tie":
            ties[left, right] += 1
            ties[right, left] += 1
        else:
            won, lost = (left, right) if ballot.choice == "A" else (right, left)
            wins[won, lost] += 1
    return wins, ties


def _rank(standing: Standing) -> float:
    if standing.strength is not None:
        return standing.strength.value
    return standing.share.preferred.value if standing.share.preferred else 0.0
