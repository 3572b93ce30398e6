"""Names that steer a terminal, forge a line or turn text around are shown as escapes."""

from __future__ import annotations

import io
import logging

import pytest

from artbank.runtime.readable_text import escape_invisible, escape_log_messages

HARMFUL = {
    "red\x1b[31m.jpg": r"red\x1b[31m.jpg",
    "eva\u202egpj.exe": r"eva\u202egpj.exe",
    "a\u2066b\u2069.jpg": r"a\u2066b\u2069.jpg",
    "a\x9b2J.jpg": r"a\x9b2J.jpg",
    "a\nartbank: all is well": r"a\nartbank: all is well",
    "a\u2028b": r"a\u2028b",
    "zero\u200bwidth": r"zero\u200bwidth",
    "\udce4.jpg": r"\udce4.jpg",
    "tag\U000e0041": r"tag\U000e0041",
}


@pytest.mark.parametrize("name", HARMFUL, ids=ascii)
def test_a_harmful_name_is_escaped(name: str) -> None:
    assert escape_invisible(name) == HARMFUL[name]


@pytest.mark.parametrize("name", ["Albrecht Dürer", "葛飾北斎", "می‌خواهم", "👩‍🎨.jpg", "non\u00a0breaking", "e\u0301"])
def test_a_name_in_any_script_stays_as_it_is(name: str) -> None:
    assert escape_invisible(name) == name


@pytest.fixture
def log() -> object:
    """The lines of a handler that knows nothing of names; the record factory is reset afterwards."""
    before = logging.getLogRecordFactory()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    escape_log_messages()
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize("logger", ["artbank.store.objects", "prefect.flow_runs", "another.library"])
def test_a_log_line_shows_a_harmful_name_as_escapes(log: io.StringIO, logger: str) -> None:
    logging.getLogger(logger).warning("left out %s", "eva\u202egpj\x1b[2J")
    assert log.getvalue() == "left out eva\\u202egpj\\x1b[2J\n"


def test_a_name_cannot_forge_a_log_line(log: io.StringIO) -> None:
    logging.getLogger("artbank.archive").warning("left out %s", "a\n12:00 | ERROR | everything is lost")
    assert log.getvalue().count("\n") == 1


def test_lines_of_another_library_stay_lines(log: io.StringIO) -> None:
    logging.getLogger("another.library").warning("first\nsecond")
    assert log.getvalue() == "first\nsecond\n"
