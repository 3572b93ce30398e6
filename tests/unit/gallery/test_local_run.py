"""A run without Prefect tells its log what a flow tells its own, and fails by nothing that a flow does not fail by."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from artbank.gallery import local_run
from artbank.store.objects import Store
from tests.support.small_inputs import add_collection, training


def test_the_log_says_what_is_to_do_and_pages_that_cannot_be_written_fail_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Store) -> None:
        raise RuntimeError("no such template")

    add_collection(Store.open(str(tmp_path / "gallery")), "novak")
    config = training(str(tmp_path / "gallery"), str(tmp_path / "store"))
    with caplog.at_level(logging.INFO, "artbank"):
        with monkeypatch.context() as patch:
            patch.setattr(local_run, "build", fail)
            assert local_run.train_banks(config).trained == {"novak": 1}
        first = list(caplog.messages)
        caplog.clear()
        assert local_run.train_banks(config).current == ("novak",)
    assert first[0] == "to train: 1; up to date: 0"
    assert first[1].startswith("3 steps. How long they take is not known yet")
    assert any(line.startswith("3 of at most 3 steps, 0 failed; ") for line in first)
    advice = f"`artbank site {tmp_path}/store` writes them"
    assert first[-1] == f"the pages are not up to date (RuntimeError: no such template); {advice}"
    assert caplog.messages == ["nothing to train: 1 collection is up to date", "wrote 2 of 2 pages"]
    assert Path(config.store_uri, "index.html").exists()
