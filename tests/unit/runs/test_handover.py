"""What a command found out before its run is handed over to the run of the same configuration, once."""

from __future__ import annotations

import pytest

from artbank.runs.handover import hand_over, open_handover, take
from tests.support.small_inputs import training

CONFIG = training("gallery", "store")


def test_what_was_handed_over_is_taken_once_by_the_run_of_its_configuration() -> None:
    with open_handover():
        hand_over(CONFIG, "a plan")
        assert take(training("gallery", "another"), str) is None
        assert take(training("gallery", "store"), str) == "a plan"
        assert take(CONFIG, str) is None, "a retry must read anew"


def test_nothing_is_left_for_a_later_run() -> None:
    with pytest.raises(KeyError), open_handover():
        hand_over(CONFIG, "a plan")
        raise KeyError
    assert take(CONFIG, str) is None
    hand_over(CONFIG, "nobody waits for this")
    with open_handover():
        assert take(CONFIG, str) is None
