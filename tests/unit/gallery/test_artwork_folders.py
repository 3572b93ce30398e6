"""A gallery in place of a collection, and a collection in place of a gallery, are told before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

import artbank
from artbank.errors import CollectionError
from artbank.gallery.artwork_folders import warn_of_galleries
from artbank.gallery.collections import list_collections
from artbank.gallery.plan import plan_training
from artbank.store.objects import Store
from tests.support.small_inputs import training

MANY = tuple(f"{painter}/{number}.jpg" for painter in ("hiroshige", "potter") for number in range(3))
WARNING = (
    "gallery: its 6 artworks lie in 2 folders (hiroshige, potter) and are learned as one style; if each folder is a "
    "style of its own, give the folder above them to `artbank train`, {}, or one of them to artbank.train"
)


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A folder with the works of two artists, in a folder of their own each; none of them can be read."""
    Store.open(str(tmp_path / "museum/gallery")).write_many(dict.fromkeys(MANY, b"-"))
    return tmp_path / "museum/gallery"


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_gallery_that_is_learned_as_one_style_is_told(
    gallery: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path, is_dry: bool
) -> None:
    config = training(str(gallery.parent), str(tmp_path / "store"), dry_run=is_dry)
    assert [job.collection.name for job in plan_training(config).jobs] == ["gallery"]
    assert caplog.messages == [WARNING.format(gallery)]


@pytest.mark.parametrize("is_list", [True, False])
def test_the_python_api_tells_it_too(gallery: Path, caplog: pytest.LogCaptureFixture, is_list: bool) -> None:
    with pytest.raises(CollectionError):
        if is_list:
            artbank.train([gallery], name="gallery", max_steps=1)
        else:
            artbank.train(gallery, max_steps=1)
    assert WARNING.format(gallery) in caplog.messages


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("a/1.jpg", "b/1.jpg", "b/2.jpg", "b/3.jpg"),  # a folder alone is large enough for a style
        (*MANY, "lilies.jpg"),
        tuple(f"late/{number}.jpg" for number in range(6)),
    ],
    ids=("none", "few", "beside", "one folder"),
)
def test_artworks_of_one_style_may_lie_in_folders(keys: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    warn_of_galleries("monet", Store.open("memory://one-style"), [f"monet/{key}" for key in keys])
    assert not caplog.messages


def test_the_folder_above_is_named_however_deep_it_lies(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_galleries("city", Store.open("memory://deep"), [f"city/museum/rooms/{key}" for key in MANY])
    assert "to `artbank train`, memory://deep/city/museum/rooms, or one" in caplog.text


def test_artworks_beside_the_folders_of_a_gallery_are_told(caplog: pytest.LogCaptureFixture) -> None:
    gallery = Store.open("memory://beside-folders")
    gallery.write_many(dict.fromkeys(("1.jpg", "2.PNG", "metadata.csv", "details/3.jpg"), b"-"))
    [collection] = list_collections(gallery)
    assert collection.name == "details"
    assert caplog.messages[-1] == (
        "memory://beside-folders: left out 2 images beside the folders (1.jpg, 2.PNG), which are in no collection; put "
        "the artworks of each style into a folder, or give the folder above if all of them are one style"
    )
    caplog.clear()
    list_collections(gallery, ["details"])
    assert not [text for text in caplog.messages if "beside" in text]
