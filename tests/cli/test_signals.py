"""Signals on the command line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import call, complaint
from tests.support.signals import restored_handlers


def test_an_interrupted_command_ends_in_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("artbank_cli.main.build_config", interrupt)
    ended = call("train", "G", "--store", "S")
    assert ended.code == 130 and complaint(ended) == "artbank: interrupted; run the same command again to go on\n"


def test_a_command_sets_handlers_of_signals_and_the_tests_own_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with restored_handlers():
        call("banks", "--store", tmp_path)
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
