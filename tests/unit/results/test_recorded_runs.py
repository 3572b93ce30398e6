"""What a recorded run says of its models is believed only as far as the operator says."""

from __future__ import annotations

import pytest

from artbank.errors import ConfigError
from artbank.results.recorded_runs import Operator, OperatorParameters
from tests.support.small_inputs import stylizing


def test_optional_models_that_only_the_output_names_are_refused_and_null_does_without_them() -> None:
    recorded = stylizing("photos", "art", "store", "novak", structure_model="their/dino", style_model="csd")
    places = {"archive_uri": "photos", "store_uri": "store"}
    operator = Operator(OperatorParameters.model_validate({**places, "style_model": "csd"}))
    with pytest.raises(ConfigError, match="structure model their/dino; name yours with --structure-model"):
        operator.check_named([recorded])
    operator = Operator(OperatorParameters.model_validate({**places, "style_model": "csd", "structure_model": None}))
    operator.check_named([recorded])
    settled = operator.settle(recorded)
    assert (settled.structure_model, settled.style_model) == (None, "csd")
