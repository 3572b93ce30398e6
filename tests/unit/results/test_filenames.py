from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import PurePosixPath

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artbank.images.suffixes import WRITTEN_SUFFIXES
from artbank.results import filenames
from artbank.results.filenames import MAX_FOLDER_BYTES, MAX_PART_BYTES, find_ambiguous, output_name
from artbank.store.keys import find_fault

LONGEST_BYTES = MAX_FOLDER_BYTES + 1 + MAX_PART_BYTES


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a/photo.jpg", "a/photo.jpg"),
        ("a/PHOTO.JPEG", "a/PHOTO.JPEG"),
        ("2024.05.01.png", "2024.05.01.png"),
        ("scan.tif", "scan.tif.png"),
        ("scan.tif.png", "scan.tif.png.png"),
        ("b.c/untitled", "b.c/untitled.image.png"),
        ("untitled.image.png", "untitled.image.png.png"),
        ("mr. smith", "mr. smith.image.png"),
        ("a.jpg/b.jpg", "a.jpg~/b.jpg"),
        ("a.JPG~/b.jpg", "a.JPG~~/b.jpg"),
        ("a.tif/b.jpg", "a.tif/b.jpg"),
        ("a~0123456789abcdef", "a~0123456789abcdef.image.png"),
        ("a~0123456789ABCDEF.jpg", "a~0123456789ABCDEF~c03017071771efa6.jpg"),
        ("..\uff0f\uff0e\uff0e\u2215x.jpg", "..\uff0f\uff0e\uff0e\u2215x.jpg"),
    ],
)
def test_names_of_pictures(key: str, name: str) -> None:
    assert output_name(key) == name


def test_the_mark_of_an_ambiguous_name_stands_before_its_suffix() -> None:
    assert output_name("roll/A.jpg", is_ambiguous=True) == "roll/A~db05d9998403a467.jpg"
    assert output_name("a.tif", is_ambiguous=True) == "a.tif~ed4cf50dec25e5ec.png"


def test_a_long_name_keeps_its_start_cut_between_letters_and_its_suffix() -> None:
    name = output_name("roll/" + "日" * 82 + "é.TIFF")
    assert name == "roll/" + "日" * 73 + "~" + name[-20:]
    assert name.endswith(".png") and len(name.removeprefix("roll/").encode()) == MAX_PART_BYTES
    assert output_name("n" * 236 + ".jpg") == "n" * 236 + ".jpg"
    assert len(output_name("n" * 236 + ".jpg", is_ambiguous=True)) == MAX_PART_BYTES


@pytest.mark.parametrize("folder", ["deep/" * 91 + "end", "x" * 241 + "/end", "a/" + "é" * 121])
def test_folders_that_are_too_long_become_one_that_their_photos_share(folder: str) -> None:
    first, second = (PurePosixPath(output_name(f"{folder}/{key}")) for key in ("1.jpg", "2.jpg"))
    assert first.parent == second.parent and len(first.parts) == 2
    assert len(str(first.parent).encode()) <= 77
    assert first.name.startswith("1~") and second.name.startswith("2~")
    assert output_name(f"{folder}x/1.jpg").split("/")[0] != str(first.parent)


PIECES = st.sampled_from(
    ["a", "b", ".", "..", ".png", ".PNG", ".jpg", ".Jpeg", ".webp", ".tif", ".TIF", ".image", ".txt", " "]
)
NAMES = st.lists(PIECES, min_size=1, max_size=7).map("".join)
KEYS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(KEYS, st.booleans(), min_size=2, max_size=40))
@example(
    dict.fromkeys(
        ("a", "a.image", "a.png", "a.image.png", "a.image.image.png", "a.tif", "a.tif.png", "a.tif.png.png", ".png"),
        False,
    )
)
def test_no_two_photos_share_the_name_of_their_pictures(keys: dict[str, bool]) -> None:
    assert len({output_name(key, is_ambiguous=value) for key, value in keys.items()}) == len(keys)


@given(st.sets(KEYS, min_size=1, max_size=5), st.booleans(), st.booleans(), st.sampled_from([str, str.upper]))
def test_a_photo_that_has_anothers_marked_name_gets_a_name_of_its_own(
    keys: set[str], is_ambiguous: bool, is_other: bool, spell: Callable[[str], str]
) -> None:
    marked = {spell(output_name(key, is_ambiguous=is_ambiguous)) for key in keys} - keys
    made = [output_name(key, is_ambiguous=is_ambiguous) for key in keys]
    made += [output_name(key, is_ambiguous=is_other) for key in marked]
    assert len(set(made)) == len(keys | marked)
    if is_ambiguous:
        assert len({name.lower() for name in made}) >= len({name.lower() for name in made[: len(keys)]}) + len(marked)


TEXTS = st.text(max_size=20) | st.text(st.sampled_from("./\\~: aÅ\u0301\uff0f\uff0e\u2024\u2215日"), max_size=20)
LONG_KEYS = st.lists(st.tuples(TEXTS, st.integers(1, 40)).map(lambda pair: pair[0] * pair[1]), max_size=20)


@given(LONG_KEYS.map("/".join).filter(lambda key: find_fault(key) is None), st.booleans())
@settings(max_examples=300)
@example("é" * 127 + "/" + "n" * 300, False)
@example("\u1e9b\u0323" * 2000, True)
def test_a_picture_stays_below_its_style_within_the_limits_of_file_systems(key: str, is_ambiguous: bool) -> None:
    name = output_name(key, is_ambiguous=is_ambiguous)
    assert find_fault(name) is None
    for spelling in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        assert os.path.normpath(f"/out/monet/{spelling}") == f"/out/monet/{spelling}"
    assert max(len(part.encode()) for part in name.split("/")) <= MAX_PART_BYTES
    assert len(name.encode()) <= LONGEST_BYTES
    assert name[name.rindex(".") :].lower() in WRITTEN_SUFFIXES


def find(keys: Iterable[str]) -> set[str]:
    return set(find_ambiguous(pa.chunked_array([list(keys)], pa.string())).to_pylist())


@pytest.mark.parametrize(
    "keys",
    [
        ("A.jpg", "a.jpg"),
        ("\u00e9.jpg", "e\u0301.jpg"),
        ("Roll/1.jpg", "roll/1.jpg"),
        ("a.tif", "a.tif.PNG"),
        ("a", "A.IMAGE.PNG"),
        ("straße.jpg", "STRASSE.jpg"),
        ("ΟΔΟΣ.jpg", "οδος.jpg", "οδοσ.jpg"),
        ("İ.jpg", "i\u0307.jpg"),
        ("a\u200db.jpg", "ab.jpg"),
        ("roll./1.jpg", "roll /1.jpg", "roll/1.jpg"),
        ("a\uff0fb.jpg", "a/b.jpg"),
        ("a.jpg/1.jpg", "a.jpg~\uff0f1.jpg"),
    ],
)
def test_keys_that_some_file_system_may_confuse_are_ambiguous(keys: tuple[str, ...]) -> None:
    assert find([*keys, "other.jpg"]) == set(keys)


def test_photos_of_a_plain_archive_are_not_ambiguous() -> None:
    keys = [f"{roll}/{kind}{n:04d}.{suffix}" for roll in ("été", "1. roll", "日本") for kind in ("IMG_", "DSC")
            for n in range(50) for suffix in ("jpg", "TIF", "png", "JPEG", "xmp")]  # fmt: skip
    assert find(keys) == set()
    assert find([*keys, *keys]) == set()
    assert find([]) == set()


def test_keys_are_compared_across_the_batches_they_are_folded_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filenames, "_FOLDED_AT_ONCE", 2)
    assert find(["a.jpg", "b.jpg", "c.jpg", "é.jpg", "d.jpg", "B.jpg", "É.jpg"]) == {"b.jpg", "B.jpg", "é.jpg", "É.jpg"}


def compose(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def without_ends(text: str) -> str:
    return "/".join(part.rstrip(" .") for part in text.upper().split("/"))


FOLDS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "casefold": str.casefold,
    **{form: partial(unicodedata.normalize, form) for form in ("NFC", "NFD", "NFKC")},
    "NFD without case": lambda text: unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold()),
    "NFKC without case": compose,
    "without ends": without_ends,
    "without joiners": lambda text: text.replace("\u200d", ""),
}
"""What file systems and those who copy files may make of names, by Python's own tables."""


@pytest.mark.parametrize("fold", [fold for name, fold in FOLDS.items() if name != "without ends"])
def test_every_letter_of_unicode_is_ambiguous_with_what_folding_makes_of_it(fold: Callable[[str], str]) -> None:
    letters = [chr(code) for code in range(sys.maxunicode + 1)]
    pairs = [(f"{n}/a{c}b.jpg", f"{n}/a{fold(c)}b.jpg") for n, c in enumerate(letters) if fold(c) != c]
    keys = {key for pair in pairs if not any(map(find_fault, pair)) for key in pair}
    assert keys and keys - find(keys) == set()


LETTERS = [
    "a",
    "A",
    "\uff21",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "ſs",
    "İ",
    "K",
    "ﬁ",
    "ς",
    "Σ",
    "\u200d",
    "~",
    "\uff5e",
    "\uff0f",
]
ENDINGS = ["\uff0e", ".", " ", ".jpg", ".JPG", ".png", ".PNG", ".tif", ".image"]
MARKS = ["\uff5e0123456789abcdef", "~0123456789ABCDEF.jpg"]
ALIKE = st.sampled_from(LETTERS + ENDINGS + MARKS)
ALIKE_PARTS = st.lists(ALIKE, min_size=1, max_size=4).map("".join)
ALIKE_KEYS = st.lists(ALIKE_PARTS, min_size=1, max_size=3).map("/".join).filter(lambda key: find_fault(key) is None)


@pytest.mark.parametrize("kind", FOLDS)
@given(st.data(), st.sets(ALIKE_KEYS, min_size=1, max_size=20))
def test_no_file_system_takes_a_picture_for_another_or_for_a_folder(
    kind: str, data: st.DataObject, keys: set[str]
) -> None:
    spelled = data.draw(st.sets(st.sampled_from(sorted(keys)))) if keys else set()
    keys |= {key for key in (FOLDS[kind](key) for key in spelled) if find_fault(key) is None}
    keys |= {f"{key}/a.jpg" for key in data.draw(st.sets(st.sampled_from(sorted(keys)), max_size=2))}
    ambiguous = find(keys)
    made = [output_name(key, is_ambiguous=key in ambiguous) for key in keys]
    folders = {FOLDS[kind](str(parent)) for name in made for parent in PurePosixPath(name).parents}
    seen = {FOLDS[kind](name) for name in made}
    assert len(seen) == len(keys)
    assert not folders & seen
