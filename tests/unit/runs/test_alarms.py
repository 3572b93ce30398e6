from __future__ import annotations

import pytest
from pydantic import ValidationError

from artbank.config import AlarmLimits, StylizeConfig
from artbank.runs.alarms import Alarm, StyleGains, find_alarms, mix_gains


def look(
    limits: AlarmLimits | None = None, *, photos: int = 100, failed: int = 0, gains: StyleGains | None = None
) -> list[Alarm]:
    return find_alarms(
        limits or AlarmLimits(),
        num_photos=photos,
        num_pictures=photos,
        num_failed=failed,
        styles=[gains] if gains else [],
    )


def spread(mean: float, width: float, count: int = 100, expected: float | None = 0.6) -> StyleGains:
    """Half of the gains below their mean by a width, half above."""
    return StyleGains("novak", [mean - width, mean + width] * (count // 2), expected)


@pytest.mark.parametrize(("failed", "told"), [(0, 0), (5, 0), (6, 1), (100, 1)])
def test_more_failures_than_the_limit_are_told_once(failed: int, told: int) -> None:
    alarms = look(failed=failed)
    assert len(alarms) == told
    for alarm in alarms:
        assert (alarm.kind, alarm.style, alarm.num_photos) == ("failed_share", None, 100)
        assert (alarm.measured, alarm.limit) == (failed / 100, 0.05)
        assert alarm.text.startswith(f"{failed} of 100 pictures of this run failed ({failed}.0%), more than 5.0%")


@pytest.mark.parametrize(("mean", "told"), [(0.6, 0), (0.31, 0), (0.29, 1), (-0.2, 1)])
def test_a_mean_gain_far_below_the_banks_own_is_told(mean: float, told: int) -> None:
    alarms = look(gains=spread(mean, 0.01))
    assert [(alarm.kind, alarm.style) for alarm in alarms] == [("gain_drop", "novak")] * told
    for alarm in alarms:
        assert alarm.measured == pytest.approx(mean) and alarm.limit == pytest.approx(0.3)
        assert alarm.expected == 0.6
        assert "the mean gain of 100 pictures of this run is" in alarm.text and "its bank had 0.60" in alarm.text


def test_a_drop_that_may_be_chance_is_not_told() -> None:
    assert look(gains=spread(0.2, 0.1, count=20)) != []
    assert look(gains=spread(0.2, 0.4, count=20)) == []
    assert look(gains=spread(0.2, 0.4, count=1000)) != []


def test_a_run_of_few_photos_or_few_scores_is_not_judged() -> None:
    assert look(photos=19, failed=19, gains=spread(0, 0.01, count=18)) == []
    assert look(photos=20, failed=20) != []
    assert look(gains=spread(0, 0.01, count=18)) == []
    assert (
        look(AlarmLimits(least_photos=1), photos=1, failed=1, gains=StyleGains("novak", [0.0], 0.6))[1].num_photos == 1
    )


@pytest.mark.parametrize("expected", [None, 0.0, -0.3])
def test_a_bank_without_a_gain_of_its_own_is_not_compared_with(expected: float | None) -> None:
    assert look(gains=spread(-1.0, 0.01, expected=expected)) == []


def test_each_alarm_can_be_switched_off() -> None:
    silent = AlarmLimits.model_validate({"max_failed_share": "off", "max_gain_drop": None})
    assert look(silent, failed=100, gains=spread(0, 0.01)) == []
    with pytest.raises(ValidationError, match="max_failed_share"):
        AlarmLimits(max_failed_share=1.5)


def test_a_mix_is_held_against_the_weighted_gains_of_its_banks() -> None:
    assert mix_gains([(0.4, 0.75), (0.8, 0.25)]) == pytest.approx(0.5)
    assert mix_gains([(0.4, 0.75), (None, 0.25)]) is None


def test_the_limits_are_a_part_of_the_runs_config() -> None:
    asked = {"archive_uri": "a", "output_uri": "o", "store_uri": "s", "styles": ["novak"]}
    assert StylizeConfig.model_validate(asked).alarms == AlarmLimits()
    given = StylizeConfig.model_validate({**asked, "alarms": {"max_gain_drop": 0.2}})
    assert given.alarms.max_gain_drop == 0.2
