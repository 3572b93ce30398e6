"""The unblinding key of a comparison: which picture of each pair is whose.

    <out>/page/             the page that voters see; nothing in it tells whose a picture is
    <out>/keys/<id>.json    an `UnblindingKey`; keys of earlier pages stay, so that votes on them can be counted

The page and the vote files name the comparison by its id, a hash of the key, and a pair by its number from 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from artbank.errors import ComparisonError
from artbank.runtime.hashing import short_hash
from artbank.store.bounded_file import OversizeError
from artbank.store.objects import Store

PAGE = "page"
KEYS = "keys"
ID = r"^[0-9a-f]{16}$"
MOST_PAIRS = 1000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownContestant(_Part):
    """A contestant: its name as given, its output and style, and the recipe ids of its pictures in each style."""

    name: str
    output_uri: str
    style: str | None
    recipe_ids: dict[str, tuple[str, ...]]

    @property
    def identity(self) -> str:
        """The output's URI and the style; see `Contestant.identity`."""
        return f"{self.output_uri}#{self.style or ''}"


class KnownPair(_Part):
    """A pair: the photo's key, the style, and the numbers of the contestants at the left (A) and right (B), from 0."""

    key: str
    style: str
    left: Annotated[int, Field(ge=0)]
    right: Annotated[int, Field(ge=0)]


class UnblindingKey(_Part):
    """The unblinding key of one comparison.

    Attributes:
        id: 16 hex digits, see `make_key`.
        question: The question that the voters answer.
        seed: The seed of order and sides.
        contestants: Two or more.
        pairs: In the order of the page.
    """

    format: Literal["artbank.comparison/1"] = "artbank.comparison/1"
    id: Annotated[str, Field(pattern=ID)]
    question: str
    seed: int
    contestants: Annotated[tuple[KnownContestant, ...], Field(min_length=2)]
    pairs: Annotated[tuple[KnownPair, ...], Field(min_length=1, max_length=MOST_PAIRS)]

    def save(self, out: Store) -> str:
        """Write the key; returns its name below `out`."""
        name = _key_name(self.id)
        out.write(name, self.model_dump_json(indent=1).encode())
        return name

    @classmethod
    def load(cls, out: Store, comparison: str) -> UnblindingKey | None:
        """Read the key of a comparison; None if it is not there.

        Args:
            out: The folder that `artbank compare` wrote to.
            comparison: The id of the comparison; it matches `ID`.

        Raises:
            ComparisonError: The key is damaged, or is that of another comparison.
            OSError: The store failed.
        """
        name = _key_name(comparison)
        try:
            key = cls.model_validate_json(out.read_small(name))
        except FileNotFoundError:
            return None
        except (ValidationError, OversizeError, RecursionError) as error:
            raise ComparisonError(
                f"{out.uri_of(name)} should be an unblinding key, but cannot be read: {error}"
            ) from error
        if key.id != comparison:
            raise ComparisonError(f"{out.uri_of(name)} is the key of another comparison, {key.id}; restore the file")
        return key

    @model_validator(mode="after")
    def _numbers_exist(self) -> UnblindingKey:
        for pair in self.pairs:
            if max(pair.left, pair.right) >= len(self.contestants) or pair.left == pair.right:
                raise ValueError(f"a pair of {pair.key} names contestants {pair.left} and {pair.right}")
        return self


def make_key(
    *, question: str, seed: int, contestants: Sequence[KnownContestant], pairs: Sequence[KnownPair]
) -> UnblindingKey:
    """Return the key of a comparison; its id is a hash of all the rest."""
    facts: list[object] = [question, seed, *(part.model_dump(mode="json") for part in (*contestants, *pairs))]
    name = short_hash(json.dumps(facts, sort_keys=True))
    return UnblindingKey(id=name, question=question, seed=seed, contestants=tuple(contestants), pairs=tuple(pairs))


def _key_name(comparison: str) -> str:
    return f"{KEYS}/{comparison}.json"
