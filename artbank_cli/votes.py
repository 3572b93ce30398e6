"""`artbank votes`: count the votes on a page of `artbank compare`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artbank_cli.compare import COMPARISON
from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json

if TYPE_CHECKING:  # the command imports what it needs, so that `artbank --help` stays fast
    from artbank.comparison.preference import Interval, Preference, Share
    from artbank.comparison.votes import UnblindedVotes

_ALL = "all"
_NO_STRENGTH = "– (not all outputs met)"


def votes(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Vote files, downloaded from the page.")],
    comparison: Annotated[
        list[str] | None,
        typer.Option(
            "--comparison",
            help=f"Folder or s3:// prefix that `compare` wrote to (default: {COMPARISON}); may be repeated.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print which output voters prefer, by style and in all, with 95 % intervals; a tie counts half for each."""
    from artbank.comparison.preference import measure_by_style
    from artbank.comparison.votes import find_key, read_vote_file, unblind
    from artbank.store.objects import Store
    from artbank.store.places import check_there

    folders = [Store.open(uri) for uri in comparison or [COMPARISON]]
    for folder in folders if comparison else ():
        check_there(folder, "a comparison that `artbank compare` wrote")
    read = {file: read_vote_file(file) for file in files}
    unblinded = unblind([(found, find_key(file, found, folders)) for file, found in read.items()])
    preferences = measure_by_style(unblinded.ballots, unblinded.names)
    if as_json:
        say_json(_to_json(unblinded, preferences))
        return
    say(_describe(unblinded))
    for line in [*_duel_lines(unblinded.names, preferences), *_strength_lines(preferences)]:
        say(line)
    say(f"the left picture was preferred in {_share_text(preferences[-1].left)} of the votes")


def _describe(unblinded: UnblindedVotes) -> str:
    from artbank.runtime.counts import number_text

    ballots = unblinded.ballots
    voters = number_text(len({ballot.voter for ballot in ballots}), "voter")
    photos = number_text(len({ballot.photo for ballot in ballots}), "photo")
    counted = f"{number_text(len(ballots), 'vote')} by {voters} on {photos}"
    return f"{counted}; a tie counts half for each; 95 % confidence intervals"


def _duel_lines(names: Sequence[str], preferences: Sequence[Preference]) -> Iterable[str]:
    """Yield a table for each two contestants that met: their votes by style."""
    from artbank.report.markdown import plain

    for duel in preferences[-1].duels:
        yield ""
        yield f"{plain(duel.first)} against {plain(duel.second)}"
        rows: list[Sequence[str]] = [("style", "votes", "won", "tied", "lost", "preferred")]
        for preference in preferences:
            found = next(
                (other for other in preference.duels if (other.first, other.second) == (duel.first, duel.second)), None
            )
            if found is not None:
                rows.append((_style_text(preference), *_share_cells(found.share)))
        yield from _align(rows)


def _strength_lines(preferences: Sequence[Preference]) -> Iterable[str]:
    """Yield a table of Bradley-Terry strengths, of three contestants or more."""
    from artbank.report.markdown import plain

    if len(preferences[-1].standings) < 3:
        return
    yield ""
    yield "each against all others; strength: Bradley-Terry, in log odds of a win, 0 is the mean"
    rows: list[Sequence[str]] = [("style", "output", "votes", "won", "tied", "lost", "preferred", "strength")]
    for preference in preferences:
        for standing in preference.standings:
            strength = _NO_STRENGTH if standing.strength is None else _interval_text(standing.strength)
            cells = (_style_text(preference), plain(standing.name), *_share_cells(standing.share), strength)
            rows.append(cells)
    yield from _align(rows, num_words=2)


def _style_text(preference: Preference) -> str:
    from artbank.report.markdown import plain

    return _ALL if preference.style is None else plain(preference.style)


def _share_cells(share: Share) -> tuple[str, ...]:
    counts = (share.won + share.ties + share.lost, share.won, share.ties, share.lost)
    return (*(f"{count:,}" for count in counts), _share_text(share))


def _share_text(share: Share) -> str:
    if share.preferred is None:
        return "–"
    value, low, high = (100 * number for number in asdict(share.preferred).values())
    return f"{value:.0f} % ({low:.0f} to {high:.0f} %)"


def _interval_text(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _align(rows: Sequence[Sequence[str]], num_words: int = 1) -> Iterable[str]:
    """Yield rows as lines with aligned columns; the first `num_words` and the intervals are aligned left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if num_words <= column < num_words + 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _to_json(unblinded: UnblindedVotes, preferences: Sequence[Preference]) -> dict[str, Any]:
    return {
        "outputs": list(unblinded.names),
        "num_voters": len({ballot.voter for ballot in unblinded.ballots}),
        "num_photos": len({ballot.photo for ballot in unblinded.ballots}),
        "preferences": [asdict(preference) for preference in preferences],
    }
