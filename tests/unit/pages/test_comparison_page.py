"""Nothing in the page of a comparison tells whose a picture is; only its key does."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artbank.comparison.contestants import find_archives, parse_contestants, read_pictures
from artbank.comparison.pairing import draw_pairs, match_pictures
from artbank.comparison.unblinding import UnblindingKey
from artbank.errors import ComparisonError, ConfigError
from artbank.images.file_metadata import mark_only
from artbank.pages.comparison.artworks import draw_artworks, find_collections
from artbank.pages.comparison.page import ComparisonSettings, WrittenComparison, write_comparison
from artbank.parameters.stylize_config import OutputFormat
from artbank.store.objects import Store
from tests.support.compared_outputs import PHOTOS, add_output, add_photos, color_of, paint

HOSTILE = "x</script><script>alert(1)</script>' onload=alert(1) \u202e.jpg"


def compare(root: Path, *names: str, num_pairs: int = 60, seed: int = 0, gallery: Store | None = None, **values: Any):
    contestants = parse_contestants([str(root / name) for name in names or ("new", "old")])
    tables = [read_pictures(contestant) for contestant in contestants]
    pairs = draw_pairs(match_pictures(contestants, tables).groups, tables, seed)
    settings = ComparisonSettings(num_pairs, seed, "Which?", values.pop("max_pixels", 10**7))
    out = Store.open(str(root / values.pop("out", "comparison")))
    archives = values.pop("archives", None) or find_archives(contestants)
    return write_comparison(out, contestants, tables, pairs, archives, settings, gallery)


def shown(root: Path) -> list[dict[str, Any]]:
    """Return the pairs as the page has them."""
    text = (root / "comparison/page/index.html").read_text()
    return json.loads(html.unescape(re.search(r'data-comparison="([^"]*)"', text)[1]))["pairs"]  # pyright: ignore[reportOptionalSubscript]


def read(root: Path, name: str) -> bytes:
    return (root / "comparison/page" / name).read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_photos(tmp_path)
    add_output(tmp_path, "new")
    add_output(tmp_path, "old", size_px=(128, 96))
    return tmp_path


def check_key(root: Path, written: WrittenComparison) -> None:
    """Check that the key names the right contestant for each picture of the page."""
    names = [contestant.name.rpartition("/")[2] for contestant in written.key.contestants]
    pairs = shown(root)
    assert len(pairs) == len(written.key.pairs)
    for pair, known in zip(pairs, written.key.pairs, strict=True):
        assert color_of(read(root, pair["left"])) == names[known.left]
        assert color_of(read(root, pair["right"])) == names[known.right]
        assert color_of(read(root, pair["photo"])) == "photo"


def test_the_key_beside_the_page_names_whose_each_picture_is(root: Path) -> None:
    written = compare(root)
    assert len(written.key.pairs) == 2 * len(PHOTOS) and written.unusable == []
    check_key(root, written)
    assert UnblindingKey.load(Store.open(str(root / "comparison")), written.key.id) == written.key
    assert {pair.left for pair in written.key.pairs} == {0, 1}


def test_nothing_in_the_page_tells_whose_a_picture_is(root: Path) -> None:
    compare(root)
    page = root / "comparison/page"
    files = {path.relative_to(page).as_posix(): path.read_bytes() for path in page.rglob("*") if path.is_file()}
    words = [str(root), "drawn for", "recipe-1", "photo 1", "keys/"]
    assert [(name, word) for name, data in files.items() for word in words if word.encode() in data] == []
    for name, data in files.items():
        if name.endswith(".jpg"):
            image = Image.open(io.BytesIO(data))
            assert image.size == ((128, 96) if name.startswith("pictures/picture") else image.size)
            is_picture = "/picture-" in name
            assert image.info.pop("xmp", b"") == (mark_only().xmp if is_picture else b"")
            assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"} and not image.getexif()
            assert name.endswith(f"-{hashlib.sha256(data).hexdigest()[:16]}.jpg")
    tables = {tuple(map(tuple, Image.open(page / n).quantization.values())) for n in files if "/picture-" in n}  # pyright: ignore[reportAttributeAccessIssue]
    assert len(tables) == 1, "one quality for all"


def test_files_are_written_in_the_order_of_the_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write_many = Store.write_many
    monkeypatch.setattr(Store, "write_many", lambda self, found: (order.extend(found), write_many(self, found))[1])
    compare(root)
    wanted = dict.fromkeys(pair[side] for pair in shown(root) for side in ("photo", "left", "right"))
    assert [name for name in dict.fromkeys(order) if name.startswith("pictures/")] == list(wanted)
    [key] = [name for name in order if name.startswith("keys/")]
    assert order.index(key) < order.index("index.html") == len(order) - 1


def test_the_same_outputs_and_seed_give_the_same_page_and_another_seed_another(root: Path) -> None:
    first = compare(root)
    pairs = shown(root)
    assert compare(root).key == first.key and shown(root) == pairs
    other = compare(root, seed=1)
    assert other.key.id != first.key.id and len(list((root / "comparison/keys").iterdir())) == 2
    check_key(root, other)


def test_files_of_an_earlier_page_are_deleted_and_those_of_others_never(root: Path) -> None:
    compare(root)
    compare(root, num_pairs=2)
    assert len(list((root / "comparison/page/pictures").iterdir())) <= 6
    (root / "mine/page").mkdir(parents=True)
    (root / "mine/page/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.txt is not part of a comparison; choose another folder with --out"):
        compare(root, out="mine")
    assert (root / "mine/page/thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_pictures_in_containers_are_compared_with_files(root: Path, form: OutputFormat) -> None:
    add_output(root, "third", form=form)
    written = compare(root, "third", "old")
    assert len(written.key.pairs) == 2 * len(PHOTOS)
    check_key(root, written)


def test_three_outputs_are_compared_two_at_a_time(root: Path) -> None:
    add_output(root, "third")
    written = compare(root, "new", "old", "third", num_pairs=12)
    assert {frozenset((pair.left, pair.right)) for pair in written.key.pairs} == {
        frozenset(two) for two in ((0, 1), (0, 2), (1, 2))
    }
    check_key(root, written)


def test_pictures_of_other_shapes_keep_them_at_the_same_long_side(root: Path) -> None:
    add_output(root, "third", size_px=(40, 80))
    compare(root, "new", "third")
    sizes = {
        Image.open(root / "comparison/page" / pair[side]).size for pair in shown(root) for side in ("left", "right")
    }
    assert sizes == {(80, 60), (40, 80)}


def test_what_cannot_be_shown_is_left_out_and_named_and_others_take_its_place(root: Path) -> None:
    (root / "new/monet" / PHOTOS[0]).write_bytes(b"torn")
    (root / "old/hokusai" / PHOTOS[1]).unlink()
    (root / "photos" / PHOTOS[2]).write_bytes(paint((1, 2, 3)))
    written = compare(root)
    reasons = {(one.pair.key, one.pair.style): one.reason for one in written.unusable}
    assert len(written.key.pairs) == 2 * len(PHOTOS) - 4 and len(reasons) == 4
    assert "is not as it was written" in reasons[PHOTOS[0], "monet"] and "new" in reasons[PHOTOS[0], "monet"]
    assert "is missing" in reasons[PHOTOS[1], "hokusai"]
    assert "another one in the archive than was drawn" in reasons[PHOTOS[2], "monet"]
    assert len(compare(root, num_pairs=8).key.pairs) == 8


def test_without_its_photos_a_comparison_says_how_to_name_them(root: Path) -> None:
    (root / "photos").rename(root / "moved")
    with pytest.raises(ComparisonError, match=r"none of 12 pairs can be shown; .*name the folder.*--photos"):
        compare(root)
    assert not (root / "comparison/page/index.html").exists()
    archives = [Store.open(str(root / "elsewhere")), Store.open(str(root / "moved"))]
    assert len(compare(root, archives=archives).key.pairs) == 12


def test_rows_of_others_cannot_fetch_a_file_that_is_not_the_photo(tmp_path: Path) -> None:
    add_photos(tmp_path)
    add_output(tmp_path, "new", sha256="0" * 64)
    add_output(tmp_path, "old", sha256="0" * 64)
    with pytest.raises(ComparisonError, match="another one in the archive"):
        compare(tmp_path)


def test_large_pictures_are_left_out(root: Path) -> None:
    with pytest.raises(ComparisonError, match="more than the limit"):
        compare(root, max_pixels=1000)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    style = 'a&b"><img src=x onerror=alert(1)>'
    key = HOSTILE.replace("/", "-")
    add_photos(tmp_path, [key])
    for name in ("new", "old"):
        add_output(tmp_path, name, styles=[style], keys=[key])
    compare(tmp_path)
    text = (tmp_path / "comparison/page/index.html").read_text()
    assert "<img src=x" not in text and text.count("<script") == 2 and "alert(1)&gt;" in text
    assert shown(tmp_path)[0]["style"] == 0


def test_artworks_of_the_styles_collections_are_drawn_from_the_seed(tmp_path: Path) -> None:
    gallery = Store.open(str(tmp_path / "gallery"))
    gallery.write_many(
        {f"{name}/{i}.png": paint((9, 9, 9), 700 + i, 20, ".png") for name in ("a", "b") for i in range(9)}
    )
    gallery.write_many({"a/notes.txt": b"no image", "b/torn.png": b"torn"})
    drawn = draw_artworks(gallery, "a_0.7+b_0.3", 0, 10**7)
    assert len(drawn) == 4 and drawn == draw_artworks(gallery, "a_0.7+b_0.3", 0, 10**7)
    assert max(Image.open(io.BytesIO(data)).width for data in drawn) <= 512
    assert draw_artworks(gallery, "c", 0, 10**7) == []


@pytest.mark.parametrize(
    ("style", "collections"),
    [
        ("monet", ["monet"]),
        ("monet@2", ["monet"]),
        ("monet_2", ["monet_2"]),
        ("monet_0.7+klee_0.3", ["monet", "klee"]),
        ("monet@2_0.7+klee_1e-1", ["monet", "klee"]),
        ("monet@1 / klee", ["monet", "klee"]),
        ("../secret", []),
    ],
)
def test_a_styles_name_leads_to_its_collections(style: str, collections: list[str]) -> None:
    assert find_collections(style, ["monet", "klee", "monet_2", "other"]) == collections
