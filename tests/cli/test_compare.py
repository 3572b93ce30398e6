"""`artbank compare` and `artbank votes`: what they print, for people and for scripts, and how they refuse."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from artbank.results.archive_listing import list_archive
from artbank.store.objects import Store
from tests.cli.test_cli import call
from tests.support.compared_outputs import PHOTOS, add_output, add_photos


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the outputs `new`, `old` and `third`."""
    monkeypatch.chdir(tmp_path)
    add_photos(tmp_path)
    for name in ("new", "old", "third"):
        add_output(tmp_path, name)
    return tmp_path


def compare(*words: str) -> dict[str, Any]:
    ended = call("compare", *words, "--photos", "photos", "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def vote_for(root: Path, comparison: str, wins: dict[str, int], out: str = "comparison") -> str:
    """Write a file that votes, in each pair, for the output with the higher number; ties where both are equal."""
    key = json.loads((root / out / "keys" / f"{comparison}.json").read_text())
    names = [contestant["name"] for contestant in key["contestants"]]
    told = []
    for number, pair in enumerate(key["pairs"], 1):
        gap = wins[names[pair["left"]]] - wins[names[pair["right"]]]
        choice = "tie" if gap == 0 else "A" if gap > 0 else "B"
        told.append({"pair": number, "choice": choice, "at": "2026-01-01T12:00:00Z"})
    file = {"format": "artbank.votes/1", "comparison": comparison, "voter": "a" * 32, "votes": told}
    (root / "votes.json").write_text(json.dumps(file))
    return "votes.json"


def test_two_outputs_are_compared_and_the_votes_counted_by_style(root: Path) -> None:
    ended = call("compare", "new", "old", "--photos", "photos")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:2] == ["12 pairs: 6 photos, 2 styles, 2 outputs", f"page: {root}/comparison/page/index.html"]
    assert lines[2].startswith(f"key: {root}/comparison/keys/") and lines[2].endswith("(do not show it to the voters)")
    comparison = Path(lines[2].split()[1]).stem
    counted = call(
        *shlex.split(
            lines[3].partition("artbank ")[2].replace("FILE...", vote_for(root, comparison, {"new": 1, "old": 0}))
        )
    )
    assert counted.code == 0
    assert counted.out.splitlines() == [
        "12 votes by 1 voter on 6 photos; a tie counts half for each; 95 % confidence intervals",
        "",
        "new against old",
        "style    votes  won  tied  lost  preferred",
        "hokusai      6    6     0     0  100 % (61 to 100 %)",
        "monet        6    6     0     0  100 % (61 to 100 %)",
        "all         12   12     0     0  100 % (76 to 100 %)",
        counted.out.splitlines()[-1],
    ]
    assert counted.out.splitlines()[-1].startswith("the left picture was preferred in ")


def test_a_comparison_that_is_given_as_photos_has_none(root: Path) -> None:
    compare("new", "old", "--gallery", "photos")
    assert list((root / "comparison" / "page" / "pictures").glob("*.jpg"))
    assert list_archive(Store.open("."), ["/photos/", "/new/", "/old/", "/third/"])["key"].to_pylist() == []


def test_three_outputs_get_strengths_and_scripts_get_numbers(root: Path) -> None:
    told = compare("new", "old", "third", "--pairs", "36", "--out", "three")
    assert told["num_pairs"] == 36 and told["notes"] == []
    file = vote_for(root, told["comparison"], {"new": 2, "old": 1, "third": 1}, "three")
    counted = call("votes", file, "--comparison", "three")
    assert counted.code == 0 and "old against third" in counted.out
    [line] = [line for line in counted.out.splitlines() if line.split()[:2] == ["all", "new"]]
    assert line.split()[2:6] == ["24", "24", "0", "0"] and line.split()[12].startswith("2.")
    preferences = json.loads(call("votes", file, "--comparison", "three", "--json").out)["preferences"]
    assert [one["style"] for one in preferences] == ["hokusai", "monet", None]
    assert preferences[-1]["standings"][0]["name"] == "new"
    assert preferences[-1]["standings"][0]["strength"]["low"] > preferences[-1]["standings"][1]["strength"]["high"]


def test_votes_of_two_comparisons_are_counted_together(root: Path) -> None:
    files = []
    for name in ("one", "two"):
        told = compare("new", "old", "--out", name, "--seed", str(len(files)))
        Path(vote_for(root, told["comparison"], {"new": 0, "old": 0}, name)).rename(f"{name}.json")
        files.append(f"{name}.json")
    counted = call("votes", *files, "--comparison", "one", "--comparison", "two")
    assert "24 votes by 1 voter on 6 photos" in counted.out and "50 % (31 to 69 %)" in counted.out


def test_the_command_that_counts_the_votes_can_be_pasted(root: Path) -> None:
    ended = call("compare", "new", "old", "--photos", "photos", "--out", "it's $HOME")
    line = ended.out.splitlines()[-1].removeprefix("count the votes with: artbank ")
    comparison = Path(next((root / "it's $HOME" / "keys").iterdir())).stem
    file = vote_for(root, comparison, {"new": 1, "old": 0}, "it's $HOME")
    assert call(*shlex.split(line.replace("FILE...", file))).out.startswith("12 votes by 1 voter")


def test_what_was_left_out_is_told(root: Path) -> None:
    (root / "new/monet" / PHOTOS[0]).unlink()
    add_output(root, "new", styles=["hokusai"], keys=PHOTOS[:1], recipe_id="recipe-2", minute=1)
    notes = compare("new", "old", "--style", "monet", "--style", "hokusai")["notes"]
    assert notes[0] == "new has pictures by 2 recipes in hokusai"
    assert notes[1:] == ["1 pair could not be shown", f"{PHOTOS[0]}: the picture of new is missing"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("compare new", 2, "two or more outputs"),
        ("compare new nowhere", 2, "nowhere, found nothing there; correct its name"),
        ("compare new photos", 1, "photos has no pictures; expected a folder or prefix"),
        ("compare new#monet old --style monet", 2, "only some outputs name a style"),
        ("compare new#monet old#monet --style monet", 2, "leave it out with OUTPUT#STYLE"),
        ("compare new old --style klee", 1, "its styles are hokusai, monet"),
        ("compare new old --question ' '", 2, "--question: expected 1 to 160 characters"),
        ("compare new old --photos elsewhere", 2, "elsewhere, found nothing there; correct its name"),
        ("compare new old --photos new", 1, "none of 12 pairs can be shown"),
        ("compare new old --pairs 0", 2, "--pairs"),
        ("compare s3://user:secret@bucket/a old", 2, "holds credentials"),
        ("votes nowhere.json", 2, "nowhere.json"),
        ("votes results.parquet", 1, "is not a vote file"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_in_a_line(root: Path, words: str, code: int, message: str) -> None:
    (root / "results.parquet").write_bytes(b"PAR1")
    ended = call(*shlex.split(words))
    assert ended.code == code and message in ended.err and "secret" not in ended.err
    assert not (root / "comparison/page/index.html").exists()


def test_the_photos_are_not_read_where_only_an_output_says_they_are(root: Path) -> None:
    ended = call("compare", "new", "old")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "artbank: expected you to name the photos, found them only in the outputs, which others may have written: "
        f"{root}/photos; name yours with --photos, or accept what the outputs name with --trust-output\n"
    )
    assert not (root / "comparison").exists()
    ended = call("compare", "new", "old", "--trust-output")
    assert (ended.code, ended.err) == (0, f"named by the outputs: photos {root}/photos\n")


def test_votes_without_their_key_say_where_it_is_looked_for(root: Path) -> None:
    told = compare("new", "old", "--out", "elsewhere")
    ended = call("votes", vote_for(root, told["comparison"], {"new": 1, "old": 0}, "elsewhere"))
    assert ended.code == 1 and f"whose key is not in {root}/comparison" in ended.err and "--comparison" in ended.err


def test_names_from_an_output_are_printed_as_visible_text(root: Path) -> None:
    for name in ("new", "old"):
        add_output(root, name, styles=["m\u202eonet\x9b"], keys=PHOTOS[:2], recipe_id=f"recipe-{name}")
    add_output(root, "new", styles=["m\u202eonet\x9b"], keys=PHOTOS[:1], recipe_id="recipe-2", minute=1)
    told = compare("new", "old", "--out", "hostile")
    assert told["notes"] == ["new has pictures by 2 recipes in m\ufffdonet\ufffd"]
    counted = call(
        "votes", vote_for(root, told["comparison"], {"new": 1, "old": 0}, "hostile"), "--comparison", "hostile"
    )
    assert "m\ufffdonet\ufffd" in counted.out and "\u202e" not in counted.out
    ended = call("compare", "new", "old", "--style", "klee")
    assert "\u202e" not in ended.err and "\x9b" not in ended.err
