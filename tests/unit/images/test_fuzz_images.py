"""Broken and hostile image files: a picture, or one line that says why not, and never much time or memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artbank.errors import Failure, ImageError
from artbank.images.codec import Picture, decode, read_camera
from artbank.images.file_metadata import make_file_metadata
from artbank.images.opening import FORMATS
from artbank.images.photo_metadata import read_photo_metadata
from tests.support import image_bombs, image_files
from tests.support.fuzz import damaged, fuzzed

LIMIT = 250_000
MOST_SECONDS, MOST_MB = 5, 300
SEEDS = image_files.seeds()
INTERNALS = ("PIL", "Error", "Traceback", "tempfile", "object", "None", "errno", "0x", "b'", "/", "decoder")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    """All these files together, small as they are, add little to what the process takes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MOST_MB


def check(data: bytes) -> None:
    start = time.process_time()
    for alpha in ("white", "keep"):
        try:
            check_picture(decode(data, max_pixels=LIMIT, alpha=alpha))
        except ImageError as error:
            check_reason(error)
    try:
        assert decode(data, max_pixels=LIMIT, choose_size=lambda width, height: (2, 3)).rgb.size == 2 * 3 * 3
    except ImageError as error:
        check_reason(error)
    assert isinstance(read_camera(data), str | None)
    made = make_file_metadata(read_photo_metadata(data), mark="iptc", metadata="keep")
    assert b"compositeWithTrainedAlgorithmicMedia" in made.xmp and max(len(made.xmp), len(made.exif)) <= 60_000
    assert time.process_time() - start < MOST_SECONDS


def check_picture(picture: Picture) -> None:
    height, width, channels = picture.rgb.shape
    assert (picture.rgb.dtype, channels) == (np.uint8, 3) and 64 <= height * width <= LIMIT
    assert picture.alpha is None or (picture.alpha.dtype, picture.alpha.shape) == (np.uint8, (height, width))


def check_reason(error: ImageError) -> None:
    assert error.failure in get_args(Failure)
    assert error.reason.isprintable() and 5 < len(error.reason) < 200
    assert not [word for word in INTERNALS if word in error.reason]


def test_there_is_a_seed_of_every_format_that_is_read_and_all_are_read() -> None:
    assert {name.split()[0] for name in SEEDS} == {*FORMATS, "RAW"}
    for data in SEEDS.values():
        check_picture(decode(data, max_pixels=LIMIT))


@fuzzed(300)
@given(damaged(list(SEEDS.values())))
def test_a_damaged_file_of_any_format_is_a_picture_or_a_reason(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("kind", [*FORMATS, "RAW"])
@fuzzed(100)
@given(st.data())
def test_a_damaged_file_is_a_picture_or_a_reason(kind: str, data: st.DataObject) -> None:
    own = [file for name, file in SEEDS.items() if name.split()[0] == kind]
    check(image_files.mend_png(data.draw(damaged(own))))


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    """What is said of each bomb, and the seconds and MB that it took."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, image_bombs.__file__], capture_output=True, text=True, env=env, check=True)
    return {entry["name"]: entry for entry in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", image_bombs.BOMBS)
def test_a_bomb_takes_no_more_than_a_picture(measured: dict[str, dict[str, Any]], name: str) -> None:
    found = measured[name]
    assert image_bombs.BOMBS[name][1] in found["said"]
    assert found["seconds"] < MOST_SECONDS and found["mb"] < 100
    assert found["said"].isprintable()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG2000", {}),
        ("JPEG2000", {"tile_size": (128, 128), "codeblock_size": (16, 16), "precinct_size": (64, 64)}),
        ("JPEG2000", {"no_jp2": True, "num_resolutions": 1, "codeblock_size": (64, 64)}),
    ],
)
def test_what_is_cut_as_usual_is_no_bomb(kind: str, options: dict[str, Any]) -> None:
    data = image_files.save(image_files.draw("RGB", 500, 400), kind, **options)
    assert decode(data, max_pixels=LIMIT).rgb.shape == (400, 500, 3)


def test_a_tile_may_be_larger_than_its_image_within_the_limit() -> None:
    data = image_bombs.tiled(64, 128, 1) + bytes(128 * 128)
    assert decode(data, max_pixels=LIMIT).rgb.shape == (64, 64, 3)
