"""Photos of every kind become pictures; none depends on the others, and a bad one spares them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import artbank
from artbank.api.trained_bank import TrainedBank
from artbank.diffusion.shared_base_model import load_base_model
from artbank.errors import ConfigError, ImageError
from artbank.store.objects import Store
from tests.support.small_inputs import HEIGHT_PX, WIDTH_PX, draw_photo
from tests.unit.api.conftest import DRAWING

WORKING = (32, 48, 3)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


def test_a_photo_becomes_a_picture_with_scores_and_settings(bank: TrainedBank, photo: Path) -> None:
    picture = bank.stylize(str(photo), seed=3, preset="fast", **DRAWING)
    assert (picture.key, picture.style, picture.array.shape) == ("photo.jpg", "novak@1", WORKING)
    assert (picture.recipe.preset, picture.recipe.seed, picture.recipe.steps) == ("fast", 3, 4)
    assert picture.scores and -1 <= picture.scores.clip_content <= 1 and picture.scores.ssim <= 1
    assert picture.image.size == picture.photo.size == WORKING[1::-1]
    assert difference(picture.array, bank.stylize(photo, seed=4, **DRAWING).array) > 2


def test_pictures_are_saved_as_their_suffix_says(bank: TrainedBank, photo: Path, tmp_path: Path) -> None:
    picture = bank.stylize(photo, size="original", **DRAWING)
    assert picture.image.size == (WIDTH_PX, HEIGHT_PX)
    for name, form in {"art.png": "PNG", "art.jpg": "JPEG", "a b.WEBP": "WEBP"}.items():
        assert picture.save(tmp_path / name) == str(tmp_path / name)
        with Image.open(tmp_path / name) as saved:
            assert (saved.format, saved.size) == (form, (WIDTH_PX, HEIGHT_PX))
    with Image.open(tmp_path / "art.png") as saved:
        assert np.array_equal(np.asarray(saved), picture.array)
    (tmp_path / "art").mkdir()
    assert Path(picture.save(tmp_path / "art")).name == "photo.jpg"
    assert len(picture.to_bytes(".jpg", quality=20)) < len(picture.to_bytes(".jpg"))
    for path, words in {"art.gif": "found art.gif; rename it", "art": "expected a file that ends in .jpg"}.items():
        with pytest.raises(ConfigError, match=words):
            picture.save(tmp_path / "folder" / path)


def test_a_picture_never_takes_the_place_of_its_photo(
    bank: TrainedBank, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    content, remote = photo.read_bytes(), Store.open("memory://own-photo")
    (tmp_path / "link").symlink_to(photo.parent)
    places = [photo, photo.parent, f"{photo.parent}/", photo.name, tmp_path / "link" / photo.name]
    [listed] = bank.stylize([photo.parent / "*.jpg"], **DRAWING)
    for picture in (bank.stylize(photo.name, **DRAWING), bank.stylize(photo, root=photo.parent, **DRAWING), listed):
        for place in places:
            with pytest.raises(ConfigError, match=r"photo\.jpg is the photo itself, which would be lost; name another"):
                picture.save(place)
    remote.write("roll/photo.jpg", content)
    with pytest.raises(ConfigError, match=r"^memory://own-photo/roll/photo\.jpg is the photo itself"):
        bank.stylize(remote.uri_of("roll/photo.jpg"), **DRAWING).save("memory://own-photo/roll/")
    assert photo.read_bytes() == content == remote.read("roll/photo.jpg")
    assert Path(bank.stylize(Image.open(photo), **DRAWING).save(photo)) == photo  # whose photo is pixels alone


def test_a_folder_never_loses_a_picture_or_a_photo_to_another_of_its_name(
    bank: TrainedBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, folder in enumerate(("a", "b", "originals")):
        Store.open(folder).write("roll/photo.jpg", draw_photo(number))
    first, second = (bank.stylize(f"{folder}/roll/photo.jpg", **DRAWING) for folder in ("a", "b"))
    kept = Path(first.save("art/"))
    content = kept.read_bytes()
    with pytest.raises(
        ConfigError, match=r"art/photo\.jpg is the picture of a/roll/photo\.jpg, .* that of b/roll/photo"
    ):
        second.save("art/")
    with pytest.raises(ConfigError, match=r"art/photo\.jpg is the picture in novak@1, which would be lost; name a f"):
        replace(first, style="monet@1").save("art")
    with pytest.raises(ConfigError, match=r"originals/roll/photo\.jpg is there and has no mark .* it may be a photo"):
        first.save("originals/roll")
    assert kept.read_bytes() == content and Path("originals/roll/photo.jpg").read_bytes() == draw_photo(2)
    again = bank.stylize(tmp_path / "a/roll/photo.jpg", **DRAWING | {"steps": 5})
    assert again.save("art") == str(kept) and kept.read_bytes() == again.to_bytes(".jpg") != content
    assert second.save("art/photo.jpg") == str(kept)  # which names the file
    kept.unlink()
    assert first.save("art") == str(kept)
    assert "have the key" not in caplog.text
    bank.stylize(["a/roll", "b/roll", Path("a/roll/photo.jpg")], **DRAWING)
    assert [text for text in caplog.messages if "have the key" in text] == [
        "photos of several folders have the key photo.jpg, such as a/roll/photo.jpg and b/roll/photo.jpg: one folder "
        "cannot hold the pictures of both; pass root=FOLDER, a folder above them all, whose part then is in the keys"
    ]
    rooted = [one.save("art/") for one in bank.stylize(["a", "b"], root=".", **DRAWING)]
    assert rooted == [str(tmp_path / f"art/{folder}/roll/photo.jpg") for folder in ("a", "b")]


def test_a_picture_without_a_path_is_not_saved_in_the_root_of_the_disk(
    bank: TrainedBank, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, written = bank.stylize(photo, **DRAWING), []
    monkeypatch.setattr(Store, "write", lambda store, name, data: written.append(store.uri_of(name)))
    with pytest.raises(ConfigError, match="expected the path of a folder, found ''; use `.`"):
        picture.save("")
    assert written == []


def test_images_and_arrays_are_drawn_as_their_pixels_are(bank: TrainedBank, photo: Path) -> None:
    image = Image.open(photo)
    from_image, from_array = bank.stylize(image, **DRAWING), bank.stylize(np.array(image), **DRAWING)
    assert from_image.key == from_array.key and np.array_equal(from_image.array, from_array.array)
    turned = image.copy()
    turned.getexif()[0x0112] = 6
    assert bank.stylize(turned, **DRAWING).image.size == WORKING[:2]  # upright, as a file would be
    for wrong in (np.zeros((9, 9, 3)), np.zeros((2, 9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)):
        with pytest.raises(ConfigError, match=r"expected an array uint8 \[H, W, 3\]"):
            bank.stylize(wrong, **DRAWING)
    for wrong in ([3], 3):
        with pytest.raises(ConfigError, match="found int"):
            bank.stylize(wrong, **DRAWING)  # pyright: ignore


def test_a_list_gives_a_picture_for_each_photo_in_order(bank: TrainedBank, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "more/deep").mkdir(parents=True)
    for number in range(2):
        (tmp_path / f"more/deep/{number}.jpg").write_bytes(draw_photo(number + 1))
    (tmp_path / "torn.jpg").write_bytes(photo.read_bytes()[:200])
    seen: list[tuple[int, int]] = []
    given = [tmp_path / "torn.jpg", tmp_path / "more", Image.open(photo), str(tmp_path / "more/**/*.jpg"), photo]
    pictures = bank.stylize(given, progress=lambda *step: seen.append(step), **DRAWING)
    keys = [picture.key for picture in pictures]
    assert [*keys[:3], *keys[4:]] == ["torn.jpg", "deep/0.jpg", "deep/1.jpg", "0.jpg", "1.jpg", "photo.jpg"]
    assert [picture.error is None for picture in pictures] == [False] + 6 * [True]
    assert seen == [(number, 7) for number in range(1, 8)]
    assert difference(pictures[6].array, bank.stylize(photo, **DRAWING).array) <= 2
    with pytest.raises(ImageError, match=r"torn.jpg was not drawn"):
        pictures[0].image  # noqa: B018
    with pytest.raises(ImageError):
        bank.stylize(tmp_path / "torn.jpg", **DRAWING)
    assert bank.stylize([], **DRAWING) == []


def test_photos_of_one_key_are_drawn_alike_and_each_once(bank: TrainedBank, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/photo.jpg").write_bytes(draw_photo(5))
    first, other, again = bank.stylize([photo, tmp_path / "other/photo.jpg", photo], **DRAWING)
    assert first.seed == other.seed == again.seed and difference(first.array, again.array) <= 2
    assert difference(first.array, other.array) > 2
    rooted = bank.stylize(tmp_path / "other/photo.jpg", root=tmp_path, **DRAWING)
    assert rooted.key == "other/photo.jpg" and rooted.seed != other.seed


def test_many_photos_come_one_by_one(bank: TrainedBank, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "second.jpg").write_bytes(draw_photo(1))
    pictures = bank.stylize_each(str(tmp_path / "*.jpg"), batch_size=1, **DRAWING)
    assert isinstance(pictures, Iterator) and [one.key for one in pictures] == ["photo.jpg", "second.jpg"]


def test_what_is_no_photo_is_told_before_a_model_is_loaded(bank: TrainedBank, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    wrongs: list[tuple[Any, str]] = [
        (tmp_path / "absent.jpg", "there is no photo .*absent.jpg"),
        (tmp_path, r"found the folder .*put it into a list"),
        (str(tmp_path / "*.jpg"), "found the glob .*put it into a list"),
        ([str(tmp_path / "*.jpg")], "matches no file"),
        ([tmp_path / "empty"], "found nothing there"),
        ("s3://bucket/photos/", "expected the URI of a photo"),
        (b"content of a file", r"found bytes; .*PIL.Image.open"),
        (io.BytesIO(b"content of a file"), r"found BytesIO; .*PIL.Image.open"),
        (np.zeros((0, 9, 3), np.uint8), r"found uint8 \[0, 9, 3\]"),
        (7, "found int"),
        ({"a.jpg": tmp_path}, "found dict; pass its values, as a list"),
        (torch.zeros(3, 9, 9), r"found Tensor; convert it with \.numpy\(\)"),
        ([[[1, 2, 3]]], "found list; put all photos into one list, and convert"),
    ]
    for wrong, words in wrongs:
        with pytest.raises(ConfigError, match=words):
            bank.stylize(wrong, **DRAWING)
    with pytest.raises(ConfigError, match="does not lie in root="):
        bank.stylize(__file__, root=tmp_path, **DRAWING)
    with pytest.raises(ConfigError, match="did you mean strength"):
        bank.stylize(__file__, strenght=1)  # pyright: ignore


def test_what_a_notebook_shows_holds_its_pictures_and_no_markup_of_names(bank: TrainedBank, tmp_path: Path) -> None:
    path = tmp_path / "<b>x.jpg"
    path.write_bytes(draw_photo(0))
    (tmp_path / "torn.jpg").write_bytes(b"x")
    good, torn = bank.stylize([path, tmp_path / "torn.jpg"], **DRAWING)
    html = good._repr_html_()
    assert html.count("src='data:image/jpeg;base64,") == 2 and "&lt;b&gt;x.jpg" in html and "<b>x" not in html
    png = good._repr_png_()
    assert png and png.startswith(b"\x89PNG") and "ssim" in repr(good)
    assert "not drawn" in repr(torn) and "not drawn" in torn._repr_html_() and torn._repr_png_() is None
    assert "novak@1" in repr(bank) and "data:image/jpeg" in bank._repr_html_() and bank.preview
    assert artbank.TrainedBank is type(bank)


def test_photos_of_a_list_are_left_to_draw_and_more_may_follow(bank: TrainedBank, photo: Path) -> None:
    first = next(iter(bank.stylize_each([photo] * 3, batch_size=1, **DRAWING)))
    compiler = load_base_model(bank.config).compiler
    assert first.error is None and compiler._left == 2
    bank.stylize(photo, **DRAWING)
    assert compiler._left == 0 and compiler.calls_ahead == 1
