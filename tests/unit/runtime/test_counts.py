"""Counts as words for people."""

from __future__ import annotations

import pytest

from artbank.runtime.counts import number_are, number_text


@pytest.mark.parametrize(("count", "text"), [(0, "0 files are"), (1, "1 file is"), (2000, "2,000 files are")])
def test_noun_and_verb_follow_the_count(count: int, text: str) -> None:
    assert number_are(count, "file") == text
    assert number_text(count, "file") == text.rpartition(" ")[0]
