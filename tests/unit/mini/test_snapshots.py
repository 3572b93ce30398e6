"""Drawn scenes made nearer to real photographs, and the table that compares them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from artbank.mini.drawing.scenes import draw_scene
from artbank.mini.drawing.snapshots import take_snapshot
from artbank.pretraining.photo_statistics import STATISTICS, main, measure_photo

SIDE_PX = 96


def test_a_snapshot_is_fixed_by_its_generator_and_shows_the_same_scene() -> None:
    correlations = []
    for seed in range(12):
        scene = draw_scene(10_600_000 + seed, width_px=SIDE_PX, height_px=SIDE_PX).image
        first, again, other = (take_snapshot(scene, np.random.default_rng(one)) for one in (seed, seed, seed + 100))
        assert first.tobytes() == again.tobytes() != other.tobytes()
        assert (first.shape, first.dtype) == (scene.shape, np.uint8)
        coarse = [cv2.resize(one, (4, 4), interpolation=cv2.INTER_AREA).mean(2).ravel() for one in (scene, first)]
        correlations.append(np.corrcoef(*coarse)[0, 1])
    assert np.mean(correlations) > 0.5, correlations


def test_statistics_tell_light_colour_and_size_of_detail() -> None:
    grey = np.full((64, 64, 3), 119, np.uint8)
    red = np.broadcast_to(np.array([200, 30, 30], np.uint8), (64, 64, 3))
    fine, coarse = (
        np.broadcast_to(np.repeat(((np.arange(64) // width) % 2 * 255)[:, None, None], 64, 1), (64, 64, 3))
        for width in (1, 16)
    )
    plain, coloured, stripes, bars = (
        dict(zip(STATISTICS, measure_photo(np.ascontiguousarray(one, np.uint8)), strict=True))
        for one in (grey, red, fine, coarse)
    )
    assert plain["lightness"] == pytest.approx(50, abs=1) and plain["contrast"] == pytest.approx(0, abs=0.1)
    assert coloured["chroma"] > 40 > 1 > plain["chroma"] and coloured["hues"] == pytest.approx(0, abs=0.01)
    assert stripes["detail 1 px"] > 5 * stripes["detail 8 px"] and bars["detail 8 px"] > bars["detail 1 px"]


def test_the_table_has_a_row_for_real_photos_scenes_and_snapshots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        Image.fromarray(draw_scene(number, width_px=120, height_px=80).image).save(tmp_path / f"{number}.jpg")
    assert main(["--photos", str(tmp_path), "--scenes", "2"]) == 0
    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.count("|") == len(STATISTICS) + 2
    assert [row.split(" | ")[0] for row in rows] == ["| real photos", "| drawn scenes", "| snapshots of them"]
