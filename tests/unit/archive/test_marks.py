"""Pictures of a run carry the mark and the photo's credits, their rows say so, and a repair writes the same bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artbank.archive.finish import finish_archive
from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.images.file_metadata import is_marked
from artbank.recipes import StylizeRecipe
from artbank.results import containers
from artbank.results.recorded_runs import Operator
from artbank.results.verification import repair
from artbank.results.verification.verify import verify
from artbank.store.objects import Store
from tests.support.small_inputs import STYLIZE, draw_photo, stylizing

KEYS = ("a.jpg", "b.png", "c.webp")


@pytest.fixture
def photos(tmp_path: Path) -> Store:
    """Three photos in three formats; the first has credits, a place, and the mark of another program."""
    store = Store.open(str(tmp_path / "photos"))
    store.write_many({key: draw_photo(seed, key[key.rindex(".") :]) for seed, key in enumerate(KEYS)})
    tags = Image.Exif()
    tags[0x8298] = "(c) Ann"
    tags[0x8825] = {1: "N", 2: (48.0, 8.0, 14.5)}
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" e:DigitalSourceType='
        '"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/></rdf:RDF></x:xmpmeta>'
    )
    file = io.BytesIO()
    Image.open(io.BytesIO(store.read("a.jpg"))).save(file, "JPEG", exif=tags.tobytes(), xmp=packet.encode())
    store.write("a.jpg", file.getvalue())
    return store


def asked(photos: Store, shelf: str, recipe: dict[str, Any] | None = None, **values: Any) -> StylizeConfig:
    output = str(Path(photos.uri).parent / "output")
    return stylizing(photos.uri, output, shelf, "novak", recipe=STYLIZE.model_copy(update=recipe or {}), **values)


def work(config: StylizeConfig) -> dict[str, dict[str, Any]]:
    """Do a whole run; returns the rows of the table by key."""
    plan, shards, listing = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard)
    finish_archive(config, plan, listing)
    table = pq.read_table(pa.BufferReader(Store.open(config.output_uri).read("results.parquet")))
    return {row["key"]: row for row in table.to_pylist()}


def pictures(config: StylizeConfig, rows: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    found = containers.read_pictures(Store.open(config.output_uri), rows.values())
    return {key: data for (key, _), data in found.items() if isinstance(data, bytes)}


@pytest.mark.parametrize("output_format", ["images", "webdataset", "parquet"])
def test_every_picture_is_marked_in_every_format_and_container(photos: Store, shelf: str, output_format: str) -> None:
    config = asked(photos, shelf, format=output_format)
    rows = work(config)
    found = pictures(config, rows)
    assert {key: is_marked(data) for key, data in found.items()} == dict.fromkeys(KEYS, True)
    assert {row["mark"] for row in rows.values()} == {"iptc"}
    own = rows["a.jpg"]
    assert (own["metadata"], own["kept_metadata"]) == ("copyright", ["copyright"])
    assert own["photo_marks"] == ["digital_source_type:digitalCapture"]
    assert own["notes"] == [
        "the photo's digital source type, digitalCapture, was replaced by compositeWithTrainedAlgorithmicMedia"
    ]
    tags = Image.open(io.BytesIO(found["a.jpg"])).getexif()
    assert (tags[0x8298], tags.get_ifd(0x8825)) == ("(c) Ann", {})
    if output_format != "images":
        name = own["file_name"]
        packed = containers.unpack(name, Store.open(config.output_uri).read(name))
        assert {one.facts["mark"] for one in packed} == {"iptc"}


def test_a_run_can_leave_the_mark_off_and_keep_the_place(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf, {"mark": "none", "metadata": "keep"})
    rows = work(config)
    found = pictures(config, rows)
    assert not any(map(is_marked, found.values()))
    assert Image.open(io.BytesIO(found["a.jpg"])).getexif().get_ifd(0x8825)[1] == "N"
    assert (rows["a.jpg"]["mark"], rows["a.jpg"]["kept_metadata"]) == ("none", ["copyright", "gps"])
    assert (rows["b.png"]["kept_metadata"], rows["b.png"]["photo_marks"], rows["b.png"]["notes"]) == ([], [], [])


def test_mark_and_metadata_are_no_part_of_the_recipes_name(photos: Store, shelf: str) -> None:
    assert StylizeRecipe(mark="none", metadata="keep").digest() == StylizeRecipe().digest()
    work(asked(photos, shelf, {"mark": "none", "metadata": "none"}))
    config = asked(photos, shelf)
    plan, shards, listing = plan_archive(config)
    assert not shards, "pictures that lack the mark are not drawn again"
    text = finish_archive(config, plan, listing).text
    assert "0 of 3 pictures carry the mark" in text
    assert "3 pictures of earlier runs have another mark" in text
    page = Store.open(config.output_uri).read("report/index.html").decode()
    assert "0 of 3 pictures carry" in page


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_repair_draws_pictures_with_the_mark_and_metadata_that_they_had(
    photos: Store, shelf: str, is_lost: bool
) -> None:
    """One picture without, one with mark, both of one recipe, are gone; or the parts with their rows are."""
    first = asked(photos, shelf, {"mark": "none", "metadata": "keep"}, include=["a.jpg"], batch_size=1)
    work(first)
    config = asked(photos, shelf, batch_size=1)  # the composition of a batch changes the rounding
    rows = work(config)
    before = pictures(config, rows)
    assert {key: is_marked(data) for key, data in before.items()} == {"a.jpg": False, "b.png": True, "c.webp": True}
    output = Store.open(config.output_uri)
    parts = [f"results/{stored.key}" for stored in output.child("results").list() if "part-" in stored.key]
    output.delete_many(parts if is_lost else [row["file_name"] for row in rows.values()])
    for one in repair.prepare(verify(output, Operator(trusts_output=True))).configs:
        plan, shards, _ = plan_archive(one)
        for shard in shards:
            stylize_shard(one, plan, shard)
    again = work(config)
    assert pictures(config, again) == before
    assert {key: (row["status"], row["mark"], row["metadata"]) for key, row in again.items()} == {
        "a.jpg": ("done", "none", "keep"),
        "b.png": ("done", "iptc", "copyright"),
        "c.webp": ("done", "iptc", "copyright"),
    }


def test_a_note_tells_what_of_a_photos_metadata_cannot_be_read(photos: Store, shelf: str) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(photos.read("c.webp"))).save(file, "WEBP", xmp=b"<x:xmpmeta")
    photos.write("c.webp", file.getvalue())
    assert work(asked(photos, shelf))["c.webp"]["notes"] == [
        "the photo's XMP metadata cannot be read, so it was left out"
    ]
