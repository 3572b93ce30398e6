"""A run without Prefect tells its log what a flow tells its own."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path

import pytest

from artbank.archive.local_run import forecast_stylizing, stylize_archive
from artbank.store.objects import Store
from tests.support.shards import asked


def test_the_log_says_what_is_to_do_and_what_is_done(
    photos: Store, shelf: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = asked(photos, shelf, shard_size=4)
    with caplog.at_level(logging.INFO, "artbank"):
        stylize_archive(config)
        first = list(caplog.messages)
        caplog.clear()
        stylize_archive(config)
    assert first[0] == "photos: 6; to stylize: 6, in 2 shards; skipped: 0 files"
    assert first[1].startswith("6 pictures, about ")
    assert any(line.startswith("6 of 6 pictures, 0 failed; ") for line in first)
    assert caplog.messages == ["photos: 6; to stylize: 0, in 0 shards; skipped: 0 files"]


def test_a_run_says_first_how_many_pictures_of_other_settings_it_replaces(
    photos: Store, shelf: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = asked(photos, shelf)
    stylize_archive(config.model_copy(update={"limit": 4}))
    other = config.model_copy(update={"recipe": config.recipe.model_copy(update={"seed": 9}), "limit": 5})
    forecast = forecast_stylizing(other)
    assert (forecast.num_pictures, forecast.num_replaced) == (5, 4)
    text = "4 pictures of other settings, banks or base models will be replaced; to keep both, name another output"
    assert f"{text}." in forecast.text
    with caplog.at_level(logging.INFO, "artbank"):
        stylize_archive(other)
    assert text in caplog.messages
    again = forecast_stylizing(config)
    assert (again.num_pictures, again.num_replaced) == (6, 5)


def test_the_command_that_tries_failures_again_works_from_every_folder(
    photos: Store, shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos.write("torn.jpg", photos.read("0.jpg")[:100])
    stylize_archive(asked(photos, shelf).model_copy(update={"output_uri": "art"}))
    [summary] = (tmp_path / "art/runs").glob("*/summary.json")
    words = shlex.split(json.loads(summary.read_text())["retry_command"])
    assert Path(words[words.index("--parameters") + 1]) == summary.with_name("config.json")
