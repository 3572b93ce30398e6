"""Contestants are parsed and matched, and their pairs drawn, so that neither order nor side favours or tells one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from artbank.comparison.contestants import count_recipes, find_archives, parse_contestants, read_pictures
from artbank.comparison.pairing import Matched, Pair, draw_pairs, match_pictures
from artbank.errors import ComparisonError, ConfigError
from artbank.results.layout import CONFIG, run_key
from artbank.store.objects import Store
from tests.support.compared_outputs import PHOTOS, add_output, add_photos


def match(*names: str, styles: tuple[str, ...] = ()) -> tuple[Matched, list]:
    contestants = parse_contestants(names)
    tables = [read_pictures(contestant, styles) for contestant in contestants]
    return match_pictures(contestants, tables), tables


def draw(*names: str, seed: int = 0, styles: tuple[str, ...] = ()) -> list[Pair]:
    matched, tables = match(*names, styles=styles)
    return list(draw_pairs(matched.groups, tables, seed))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_photos(tmp_path)
    return tmp_path


def test_photos_that_both_have_done_are_pairs_in_each_style(root: Path) -> None:
    add_output(root, "new")
    add_output(root, "old", keys=PHOTOS[:3])
    add_output(root, "old", styles=["monet"], keys=PHOTOS[3:4], status="failed", file_name=None)
    pairs = draw(f"{root}/new", f"{root}/old")
    assert sorted((pair.style, pair.key) for pair in pairs) == sorted(
        (style, key) for style in ("monet", "hokusai") for key in PHOTOS[:3]
    )
    assert all({pair.left.contestant, pair.right.contestant} == {0, 1} for pair in pairs)
    assert all(pair.left.style == pair.right.style == pair.style for pair in pairs)


def test_only_the_styles_that_are_asked_for_are_compared(root: Path) -> None:
    add_output(root, "new")
    add_output(root, "old")
    assert {pair.style for pair in draw(f"{root}/new", f"{root}/old", styles=("monet",))} == {"monet"}
    with pytest.raises(ComparisonError, match="old has no pictures in klee; its styles are hokusai, monet"):
        draw(f"{root}/old", f"{root}/new", styles=("klee",))


def test_two_versions_of_a_bank_in_one_output_are_compared_under_the_collections_name(root: Path) -> None:
    add_output(root, "art", styles=["monet@1", "monet@2"], color="new")
    pairs = draw(f"{root}/art#monet@1", f"{root}/art#monet@2")
    assert {pair.style for pair in pairs} == {"monet"} and len(pairs) == len(PHOTOS)
    assert {(pair.left.contestant, pair.left.style) for pair in pairs} <= {(0, "monet@1"), (1, "monet@2")}


def test_a_mix_is_named_as_for_stylizing_and_different_styles_are_named_together(root: Path) -> None:
    add_output(root, "art", styles=["monet_0.7+klee_0.3", "klee"], color="new")
    [first, second] = parse_contestants([f"{root}/art#monet:0.7+klee:0.3", f"{root}/art#klee"])
    assert (first.style, second.style) == ("monet_0.7+klee_0.3", "klee")
    assert draw(first.name, second.name)[0].style == "monet_0.7+klee_0.3 / klee"


def test_an_output_with_a_number_sign_in_its_name_is_written_with_another_at_its_end(root: Path) -> None:
    add_output(root, "art#1", color="new")
    add_output(root, "art#2", color="old")
    assert len(draw(f"{root}/art#1#", f"{root}/art#2#")) == 2 * len(PHOTOS)
    with pytest.raises(ComparisonError, match="no pictures"):
        draw(f"{root}/art#1", f"{root}/art#2")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "two or more outputs"),
        (["a", "./a"], "is given twice"),
        (["a#x", "a#x"], "is given twice"),
        (["a#x", "b"], "only some outputs name a style"),
        (["#x", "b#x"], "name the output before the #"),
    ],
)
def test_contestants_that_cannot_be_compared_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_contestants(names)


def test_a_photo_that_was_replaced_between_the_outputs_is_no_pair(root: Path) -> None:
    add_output(root, "new")
    add_photos(root, [PHOTOS[5], *PHOTOS[1:5], PHOTOS[0]])
    add_output(root, "old")
    matched, _ = match(f"{root}/new", f"{root}/old")
    assert matched.num_changed == 4
    assert {key for group in matched.groups for key in group.rows["key"].to_pylist()} == set(PHOTOS[1:5])


def test_outputs_without_a_common_photo_or_style_say_so(root: Path) -> None:
    add_output(root, "new", styles=["monet"])
    add_output(root, "old", styles=["klee"])
    with pytest.raises(ComparisonError, match="to compare different styles, write OUTPUT#STYLE"):
        draw(f"{root}/new", f"{root}/old")
    with pytest.raises(ComparisonError, match="nothing has no pictures"):
        draw(f"{root}/nothing", f"{root}/old")


def test_the_newest_row_of_a_photo_counts_and_several_recipes_are_counted(root: Path) -> None:
    add_output(root, "new", styles=["monet"])
    later = parse_contestants([f"{root}/new", f"{root}/old"])[0]
    before = read_pictures(later)["created_at"][0].as_py()
    add_output(
        root, "new", styles=["monet"], keys=PHOTOS[:2], recipe_id="recipe-2", created_at=before.replace(year=2027)
    )
    rows = read_pictures(later)
    assert len(rows) == len(PHOTOS) and rows["recipe_id"].to_pylist().count("recipe-2") == 2
    assert count_recipes(rows) == {"monet": 2}


def test_order_and_sides_follow_from_the_seed_and_the_rows(root: Path) -> None:
    add_output(root, "new")
    add_output(root, "old")
    add_output(root, "third", recipe_id="recipe-3")
    one = draw(f"{root}/new", f"{root}/old")
    assert one == draw(f"{root}/new", f"{root}/old")
    assert one != draw(f"{root}/new", f"{root}/old", seed=1)
    shown = [(pair.key, pair.style, pair.left.contestant) for pair in one]
    assert shown != [(p.key, p.style, p.left.contestant) for p in draw(f"{root}/new", f"{root}/third")]


def test_each_contestant_is_as_often_left_as_right_and_the_groups_take_turns(tmp_path: Path) -> None:
    keys = [f"{i:03d}.jpg" for i in range(32)]
    add_photos(tmp_path, keys)
    names = ("new", "old", "third")
    for name in names:
        add_output(tmp_path, name, keys=keys)
    pairs = draw(*(f"{tmp_path}/{name}" for name in names))
    assert len(pairs) == 3 * 2 * 32
    lefts = Counter((frozenset((p.left.contestant, p.right.contestant)), p.left.contestant) for p in pairs)
    assert set(lefts.values()) == {32}
    for start in range(0, len(pairs), 6):
        turn = {(p.left.contestant + p.right.contestant, p.style) for p in pairs[start : start + 6]}
        assert len(turn) == 6


def test_the_archives_are_those_of_the_runs_but_only_on_this_disk_and_on_s3(root: Path) -> None:
    output = add_output(root, "new")
    wrong = {"http": '{"archive_uri": "http://127.0.0.1:9/x"}', "secret": '{"archive_uri": "s3://user:key@bucket"}'}
    wrong |= {"list": "[1]", "number": '{"archive_uri": 3}', "torn": '{"archive', "deep": "[" * 100_000}
    wrong["large"] = f'{{"archive_uri": "{root}/elsewhere"{" " * 1_000_000}}}'
    for name, text in wrong.items():
        output.write(run_key(name, CONFIG), text.encode())
    found = find_archives(parse_contestants([f"{root}/new", f"{root}/old"]))
    assert found == [Store.open(str(root / "photos"))]
