"""Vote files, which the page of a comparison lets voters download, and the ballots in them.

    {"format": "artbank.votes/1", "comparison": "<16 hex digits>", "voter": "<32 hex digits>",
     "votes": [{"pair": 1, "choice": "A", "at": "2026-01-01T12:00:00Z"}, ...]}

`A` is the picture on the left side, `B` that on the right, `tie` neither. A file is untrusted input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from artbank.comparison.unblinding import ID, MOST_PAIRS, UnblindingKey
from artbank.errors import ComparisonError, ConfigError
from artbank.store.objects import Store

Choice = Literal["A", "B", "tie"]
_MOST_BYTES = 1_000_000  # 1,000 votes take a tenth of it


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Vote(_Part):
    """A vote on the pair with this number."""

    pair: Annotated[int, Field(ge=1, le=MOST_PAIRS)]
    choice: Choice
    at: AwareDatetime


class VoteFile(_Part):
    """The votes of one voter in one comparison."""

    format: Literal["artbank.votes/1"]
    comparison: Annotated[str, Field(pattern=ID)]
    voter: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    votes: Annotated[tuple[Vote, ...], Field(max_length=MOST_PAIRS)]


@dataclass(frozen=True)
class Ballot:
    """A vote with its names.

    Attributes:
        voter: Random id of the voter.
        photo: The photo's key.
        style: The style, as the page called it.
        left: The contestant on the left side.
        right: The contestant on the right side.
        choice: The side that the voter prefers.
    """

    voter: str
    photo: str
    style: str
    left: str
    right: str
    choice: Choice


@dataclass(frozen=True)
class UnblindedVotes:
    """The ballots of all vote files, and the names of all contestants in the order that they were given in."""

    names: tuple[str, ...]
    ballots: list[Ballot]


def read_vote_file(place: str) -> VoteFile:
    """Read a vote file.

    Args:
        place: A local path or the URI of an object.

    Raises:
        ConfigError: It is not there.
        ComparisonError: It is no vote file, or is damaged.
        OSError: It cannot be read.
    """
    data = _read(place)
    if len(data) > _MOST_BYTES:
        raise ComparisonError(f"{place} has {len(data):,} bytes; expected a vote file of at most {_MOST_BYTES:,}")
    try:
        return VoteFile.model_validate_json(data)
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first_error["loc"])) or "file"
        raise ComparisonError(
            f"{place} is not a vote file of format artbank.votes/1 ({where}: {first_error['msg']}); "
            "download it again from the page of the comparison"
        ) from error


def find_key(place: str, votes: VoteFile, folders: Sequence[Store]) -> UnblindingKey:
    """Return the key of a vote file's comparison, from the first folder that has it.

    Raises:
        ComparisonError: No folder has the key, the key is damaged, or the file votes on a pair that there is not.
        OSError: A store failed.
    """
    keys = (UnblindingKey.load(folder, votes.comparison) for folder in folders)
    key = next((key for key in keys if key is not None), None)
    if key is None:
        searched = ", ".join(folder.uri for folder in folders)
        raise ComparisonError(
            f"{place} votes on comparison {votes.comparison}, whose key is not in {searched}; "
            "give the folder that `artbank compare` wrote to with --comparison"
        )
    highest = max((vote.pair for vote in votes.votes), default=0)
    if highest > len(key.pairs):
        raise ComparisonError(f"{place} votes on pair {highest}, but its comparison has {len(key.pairs)} pairs")
    return key


def unblind(files: Iterable[tuple[VoteFile, UnblindingKey]]) -> UnblindedVotes:
    """Unblind vote files; of several votes of one voter on one pair, the newest counts.

    A contestant has its name from the key, or output and style where two contestants have the same name.
    """
    known = list(files)
    names = _name_contestants([key for _, key in known])
    newest: dict[tuple[str, str, int], tuple[Vote, UnblindingKey]] = {}
    for file, key in known:
        for vote in file.votes:
            place = (file.voter, file.comparison, vote.pair)
            if place not in newest or vote.at >= newest[place][0].at:
                newest[place] = (vote, key)
    ballots = [_make_ballot(voter, vote, key, names) for (voter, _, _), (vote, key) in newest.items()]
    return UnblindedVotes(tuple(names.values()), ballots)


def _make_ballot(voter: str, vote: Vote, key: UnblindingKey, names: Mapping[str, str]) -> Ballot:
    pair = key.pairs[vote.pair - 1]
    left, right = (names[key.contestants[place].identity] for place in (pair.left, pair.right))
    return Ballot(voter, pair.key, pair.style, left, right, vote.choice)


def _name_contestants(keys: Sequence[UnblindingKey]) -> dict[str, str]:
    """Return a distinct name for each contestant of all keys, by identity."""
    names = {contestant.identity: contestant.name for key in keys for contestant in key.contestants}
    shown = list(names.values())
    return {identity: name if shown.count(name) == 1 else identity for identity, name in names.items()}


def _read(place: str) -> bytes:
    try:
        if "://" not in place:
            return Path(place).read_bytes()
        folder, _, name = place.rpartition("/")
        return Store.open(folder).read(name)
    except FileNotFoundError as error:
        raise ConfigError(f"expected a vote file, found nothing at {place}; correct its name") from error
