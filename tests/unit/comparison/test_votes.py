"""Vote files are untrusted, and are unblinded by the key of their comparison alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from artbank.comparison.unblinding import KnownContestant, KnownPair, UnblindingKey, make_key
from artbank.comparison.votes import find_key, read_vote_file, unblind
from artbank.errors import ComparisonError
from artbank.store.objects import Store

VOTER = "0" * 31 + "1"


def known(name: str, uri: str = "/art", style: str | None = None) -> KnownContestant:
    return KnownContestant(name=name, output_uri=f"{uri}/{name}", style=style, recipe_ids={"monet": ("r1",)})


def make(*names: str, num_pairs: int = 3, **values: Any) -> UnblindingKey:
    pairs = [KnownPair(key=f"{i}.jpg", style="monet", left=i % 2, right=1 - i % 2) for i in range(num_pairs)]
    contestants = [known(name, **values) for name in names or ("new", "old")]
    return make_key(question="Which?", seed=0, contestants=contestants, pairs=pairs)


def write(folder: Path, key: UnblindingKey, *votes: tuple[int, str, str], name: str = "v.json", **facts: Any) -> str:
    """Write a vote file; each vote is pair, choice and minute."""
    told = [{"pair": pair, "choice": choice, "at": f"2026-01-01T12:{minute}:00Z"} for pair, choice, minute in votes]
    file = {"format": "artbank.votes/1", "comparison": key.id, "voter": VOTER, "votes": told, **facts}
    (folder / name).write_text(json.dumps(file))
    return str(folder / name)


def test_a_vote_counts_for_the_contestant_on_its_side(tmp_path: Path) -> None:
    key, out = make(), Store.open(str(tmp_path / "comparison"))
    key.save(out)
    place = write(tmp_path, key, (1, "A", "01"), (2, "A", "02"), (3, "tie", "03"))
    votes = read_vote_file(place)
    found = unblind([(votes, find_key(place, votes, [out]))])
    assert found.names == ("new", "old")
    assert [(one.left, one.right, one.choice) for one in found.ballots] == [
        ("new", "old", "A"),
        ("old", "new", "A"),
        ("new", "old", "tie"),
    ]


def test_the_newest_vote_of_a_voter_on_a_pair_counts_in_any_order_of_files(tmp_path: Path) -> None:
    key = make()
    early = read_vote_file(write(tmp_path, key, (1, "A", "01"), (2, "B", "09")))
    late = read_vote_file(write(tmp_path, key, (1, "B", "05"), (2, "A", "02")))
    other = read_vote_file(write(tmp_path, key, (1, "tie", "03"), voter="f" * 32))
    for files in ([early, late, other], [other, late, early]):
        found = unblind([(file, key) for file in files]).ballots
        assert sorted((one.voter[0], one.photo, one.choice) for one in found) == [
            ("0", "0.jpg", "B"),
            ("0", "1.jpg", "B"),
            ("f", "0.jpg", "tie"),
        ]


def test_contestants_of_one_name_in_two_comparisons_are_told_apart_by_their_place(tmp_path: Path) -> None:
    here, there = make(), make(uri="/other")
    files = [(read_vote_file(write(tmp_path, key, (1, "A", "01"))), key) for key in (here, there)]
    assert unblind(files).names == ("/art/new#", "/art/old#", "/other/new#", "/other/old#")


def test_a_key_stays_when_the_outputs_are_compared_again(tmp_path: Path) -> None:
    out = Store.open(str(tmp_path))
    for key in (make(), make(num_pairs=2)):
        key.save(out)
    assert UnblindingKey.load(out, make().id) == make()
    assert UnblindingKey.load(out, "0" * 16) is None
    assert make(num_pairs=2).id != make().id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "not a vote file"),
        ("{}", "not a vote file"),
        ("\0", "not a vote file"),
        ("x" * 1_000_001, "at most 1,000,000"),
        ({"format": "artbank.votes/2"}, "format"),
        ({"comparison": "../../etc"}, "comparison"),
        ({"comparison": "0" * 16 + "\n"}, "comparison"),
        ({"voter": "<script>"}, "voter"),
        ({"votes": [{"pair": 0, "choice": "A", "at": "2026-01-01T12:00:00Z"}]}, r"votes\.0\.pair"),
        ({"votes": [{"pair": 1, "choice": "new", "at": "2026-01-01T12:00:00Z"}]}, r"votes\.0\.choice"),
        ({"votes": [{"pair": 1, "choice": "A", "at": "noon"}]}, r"votes\.0\.at"),
        ({"votes": [{"pair": 1, "choice": "A", "at": "2026-01-01T12:00:00"}]}, r"votes\.0\.at"),
        ({"more": 1}, "more"),
    ],
)
def test_a_file_that_holds_no_votes_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    place = write(tmp_path, make(), **(content if isinstance(content, dict) else {}))
    if isinstance(content, str):
        Path(place).write_text(content)
    with pytest.raises(ComparisonError, match=message):
        read_vote_file(place)


def test_votes_on_an_unknown_comparison_or_pair_are_refused(tmp_path: Path) -> None:
    key, out = make(), Store.open(str(tmp_path / "comparison"))
    place = write(tmp_path, key, (4, "A", "01"))
    votes = read_vote_file(place)
    with pytest.raises(ComparisonError, match="give the folder that `artbank compare` wrote to with --comparison"):
        find_key(place, votes, [out])
    key.save(out)
    with pytest.raises(ComparisonError, match="votes on pair 4, but its comparison has 3 pairs"):
        find_key(place, votes, [out])


@pytest.mark.parametrize("change", [{"id": "f" * 16}, {"pairs": []}, {"contestants": []}, {"seed": "x"}, {"more": 1}])
def test_a_key_that_was_changed_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    key, out = make(), Store.open(str(tmp_path))
    name = key.save(out)
    out.write(name, json.dumps(json.loads(out.read(name)) | change).encode())
    with pytest.raises(ComparisonError):
        UnblindingKey.load(out, key.id)


def test_a_key_whose_pair_names_nobody_is_refused(tmp_path: Path) -> None:
    key, out = make(), Store.open(str(tmp_path))
    for left, right in ((0, 2), (1, 1), (-1, 0)):
        told = key.model_dump(mode="json")
        told["pairs"][0] |= {"left": left, "right": right}
        out.write(f"keys/{key.id}.json", json.dumps(told).encode())
        with pytest.raises(ComparisonError, match="cannot be read"):
            UnblindingKey.load(out, key.id)
