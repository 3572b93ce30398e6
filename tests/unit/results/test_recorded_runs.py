"""The models that a recorded run names are trusted only as far as the operator says."""

from __future__ import annotations

import json

import pytest

from artbank.errors import ConfigError
from artbank.results.recorded_runs import Operator, OperatorParameters, parse_config
from tests.support.small_inputs import STYLIZE, stylizing


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


def test_a_lora_that_only_the_output_names_is_refused_and_a_given_one_is_taken() -> None:
    recorded = stylizing(
        "photos", "art", "store", "novak", loras=("their/ink.safetensors:0.8", "s3://b/oil.safetensors")
    )
    places = {"archive_uri": "photos", "store_uri": "store"}
    with pytest.raises(ConfigError, match=r"LoRA their/ink\.safetensors:0\.8, s3://b/oil\.safetensors; .* with --lora"):
        Operator(OperatorParameters.model_validate(places)).check_named([recorded])
    operator = Operator(OperatorParameters.model_validate({**places, "loras": ("own/ink.safetensors:0.8",)}))
    operator.check_named([recorded])
    assert operator.settle(recorded).loras == ("own/ink.safetensors:0.8",)


def test_controls_are_checked_with_the_recipe_of_their_run() -> None:
    recipe = STYLIZE.model_copy(update={"steps": 40})
    recorded = stylizing("photos", "art", "store", "novak", controls=("tile=their/tile:1:0.5-0.55",), recipe=recipe)
    with pytest.raises(ConfigError, match=r"ControlNet tile=their/tile.* with .*--control"):
        Operator().check_named([recorded])
    places = {name: getattr(recorded, name) for name in ("archive_uri", "store_uri")}
    operator = Operator(OperatorParameters.model_validate({**places, "controls": ("tile=own/tile:1:0.5-0.55",)}))
    assert operator.settle(recorded).controls == ("tile=own/tile:1:0.5-0.55",)


def test_pictures_from_before_the_default_control_net_are_drawn_again_without_it() -> None:
    recorded = stylizing("photos", "art", "store", "novak")
    written = recorded.model_dump(mode="json")
    of_older = {name: value for name, value in written.items() if name != "controls"}
    found = [parse_config("a run", json.dumps({"config": values}).encode()) for values in (written, of_older)]
    places = {"archive_uri": "photos", "store_uri": "store"}
    operator = Operator(OperatorParameters.model_validate(places))
    configs = [config for config in found if config]
    operator.check_named(configs)
    assert [len(operator.settle(config).control_specs) for config in configs] == [1, 0]


@pytest.mark.parametrize(
    ("loras", "message"),
    [
        (("a.ckpt",), "never loaded"),
        (("a.safetensors:0.5", "a.safetensors"), "a LoRA is named twice"),
        (("s3://me:secret@b/a.safetensors",), "must not hold credentials"),
    ],
)
def test_wrong_loras_are_refused_before_a_run_starts(loras: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        stylizing("photos", "art", "store", "novak", loras=loras)
    assert "secret" not in str(caught.value)
