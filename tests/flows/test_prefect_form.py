"""Prefect's form for a run: it sends every default that it shows, and shows the fields in the order of people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from artbank.config import StylizeConfig, TrainConfig
from artbank.parameters.groups import STYLIZE_GROUPS, TRAIN_GROUPS, find_group
from artbank.parameters.presets import GOVERNED, PRESETS
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from artbank_prefect.flows.watch_gallery import watch_gallery
from tests.support.paths import ROOT
from tests.support.prefect_form import fill_form, list_fields


def deployed(name: str) -> dict[str, Any]:
    """Return the parameters of a deployment, with which its form opens."""
    deployments = yaml.safe_load(Path(ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    [parameters] = [one["parameters"] for one in deployments if one["name"] == name]
    return parameters


def send(flow: Any, parameters: dict[str, Any], **recipe: Any) -> Any:
    """Return the config that a flow gets when its form is sent with these parameters and changed in these fields."""
    schema = parameter_schema(flow).model_dump()
    parameters["config"]["runner"] = "auto"  # the file's own value is filled in when it is deployed
    if recipe:
        parameters["config"]["recipe"] = recipe
    sent = fill_form(schema, parameters)
    validate(sent, schema, raise_on_error=True)  # as the server does
    return flow.validate_parameters(sent)["config"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_chosen_in_a_full_form_gives_the_recipe_of_that_preset(preset: Any) -> None:
    config = send(stylize_archive, deployed("stylize-archive"), preset=preset)
    assert config.recipe == StylizeRecipe(preset=preset)
    assert config.recipe.digest() == StylizeRecipe(preset=preset).digest()


def test_a_form_sent_as_it_opens_gives_the_defaults() -> None:
    config = send(stylize_archive, deployed("stylize-archive"))
    plain = {"archive_uri": config.archive_uri, "output_uri": config.output_uri, "store_uri": config.store_uri}
    assert config == StylizeConfig.model_validate({**plain, "styles": config.styles})
    assert send(train_banks, deployed("train-banks")).recipe == BankRecipe()


def test_a_value_in_the_form_replaces_that_of_the_preset_alone() -> None:
    config = send(stylize_archive, deployed("stylize-archive"), preset="fast", strength=0.5)
    assert config.recipe == StylizeRecipe(preset="fast", strength=0.5)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_field_that_was_emptied_again_is_the_presets(preset: Any) -> None:
    assert StylizeRecipe.model_validate({"preset": preset, **dict.fromkeys(GOVERNED)}) == StylizeRecipe(preset=preset)


def test_a_form_tells_what_each_preset_does_to_a_field_that_is_empty() -> None:
    fields = StylizeRecipe.model_json_schema()["properties"]
    assert not [name for name in GOVERNED if fields[name].get("default") is not None]
    assert fields["steps"]["description"].endswith(
        "If empty, as the preset says: 10; paper, exact 50; fast 8; turbo 4."
    )
    assert fields["aligned"]["description"].endswith("as the preset says: true; paper false.")


@pytest.mark.parametrize(
    ("flow", "model", "groups"),
    [(stylize_archive, StylizeConfig, STYLIZE_GROUPS), (train_banks, TrainConfig, TRAIN_GROUPS)],
)
def test_every_field_has_a_place_in_the_form_and_in_a_group(flow: Any, model: Any, groups: Any) -> None:
    schema = parameter_schema(flow).model_dump()
    titles = list(groups)
    for definition in schema["definitions"]:
        found = [find_group(groups, name) for name in list_fields(schema, definition)]
        assert None not in found, f"name the fields of {definition} in artbank/parameters/groups.py"
        assert found == sorted(found, key=lambda title: titles.index(str(title)))
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names))
    assert set(names) == {name for definition in schema["definitions"].values() for name in definition["properties"]}
    assert list_fields(schema, model.__name__)[0] == ("archive_uri" if model is StylizeConfig else "gallery_uri")


def test_the_fields_of_a_form_without_groups_keep_their_order() -> None:
    schema = parameter_schema(watch_gallery).model_dump()
    assert list_fields(schema, "WatchConfig")[:3] == ["gallery_uri", "store_uri", "collections"]
