"""The table of codecs at 512 px, on small photos; without weights and without a kit."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from bench import codecs, run
from bench.codecs import measure_codecs


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A working size that photos of 0.1 megapixels exceed as far as those of cameras exceed 512 px."""
    monkeypatch.setattr(codecs, "SHORT_PX", 40)
    monkeypatch.setattr(codecs, "MEGAPIXELS", (0.1, 0.2))
    monkeypatch.setattr(codecs, "_DRAWN_PX", (160, 120))
    monkeypatch.setattr(codecs, "_ROUNDS", 1)


def test_every_step_is_measured_and_photos_stay_within_50_db(small: None) -> None:
    threads = cv2.getNumThreads(), torch.get_num_threads()
    found = measure_codecs(None)
    assert (cv2.getNumThreads(), torch.get_num_threads()) == threads
    decoded = [row for row in found.rows if row.name.startswith("decode")]
    assert [row.name[9:] for row in decoded] == [
        f"photo of {size} MP, {chroma}" for size in (0.1, 0.2) for chroma in ("4:2:0", "4:4:4")
    ]
    assert [row.name.split()[0] for row in found.rows[4:]] == ["encode", "prepare", "give", "return"]
    assert all(row.count == 1 and 0 < row.milliseconds <= row.most for row in found.rows)
    assert found.limited[codecs.DECODE] == pytest.approx(np.mean([row.milliseconds for row in decoded]))
    assert found.limited[codecs.DECODE_DB] == min(row.least_db or 0 for row in decoded) > 45


def test_a_shortcut_that_shows_is_seen_in_the_table(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = codecs._decode
    monkeypatch.setattr(codecs, "_decode", lambda data: decode(data) // 16 * 16)
    assert measure_codecs(None).limited[codecs.DECODE_DB] < 40


def test_the_largest_photos_of_a_folder_are_used(small: None, tmp_path: Path) -> None:
    for number in range(12):
        Image.new("RGB", (60 + number, 60), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no photo")
    opened = list(codecs._open_photos(tmp_path))
    assert [photo.width for photo in opened] == list(range(71, 61, -1))
    rows = measure_codecs(tmp_path).rows
    assert [row.count for row in rows[:4]] == [5] * 4


def test_it_is_measured_alone_without_building_a_model(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_build_kit", None)
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda *_args, **_options: None)  # needs a real stderr
    page = tmp_path / "page.md"
    report = run.measure_all(run.read_options(["--suites", "codecs", "--out", str(page)]), tmp_path)
    assert "decode a photo of 0.1 MP, 4:2:0" in capsys.readouterr().out
    text = page.read_text()
    assert "## Codecs at 512 px" in text and "## Scaling" not in text
    assert "| preparing an artwork of 12 MP, CPU ms | <= 500 |" in text
    assert report.codecs and len(json.loads(page.with_suffix(".json").read_text())["codecs"]) == len(report.codecs.rows)
