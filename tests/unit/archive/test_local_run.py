"""A run without Prefect tells its log what a flow tells its own."""

from __future__ import annotations

import logging

import pytest

from artbank.archive.local_run import stylize_archive
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
