"""Outputs and stores of artbank as inputs of other runs: their pages, contact sheets and samples are left out."""

from __future__ import annotations

import shutil

from artbank.gallery.collections import list_collections
from artbank.results.archive_listing import list_archive
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles
from tests.support.flow_fixtures import Place
from tests.support.stylized_archive import Archive


def test_of_an_output_that_is_given_as_photos_the_pictures_alone_are_photos(stylized: Archive) -> None:
    skipped = SkippedFiles()
    output = Store.open(str(stylized.output))
    keys = list_archive(output, skipped=skipped)["key"].to_pylist()
    assert {key.partition("/")[0] for key in keys} == {"ferrante@1", "novak"}
    [kind] = skipped.kinds()
    assert (kind.kind, kind.count) == ("no_photo", len(list(output.scan())) - len(keys))
    assert {name.partition("/")[0] for name in kind.names if name.endswith(".jpg")} == {"report", "runs"}


def test_of_an_output_that_is_given_as_a_gallery_the_styles_alone_are_collections(stylized: Archive) -> None:
    found = list_collections(Store.open(str(stylized.output)))
    assert [collection.display_name for collection in found] == ["ferrante@1", "novak"]


def test_a_store_below_a_gallery_is_no_collection(place: Place) -> None:
    shutil.move(place.store, f"{place.gallery}/shelf")
    shutil.copytree(f"{place.gallery}/shelf", f"{place.gallery}/novak/shelf")
    skipped = SkippedFiles()
    found = list_collections(Store.open(place.gallery), skipped=skipped)
    assert [collection.display_name for collection in found] == ["ferrante", "novak"]
    assert not [artwork.key for one in found for artwork in one.artworks if "shelf" in artwork.key]
    assert [kind.names for kind in skipped.kinds() if kind.kind == "empty"] == [("shelf",)]
