"""Settings are those of the recipes and configs; a wrong one is an error of one line before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

import artbank
from artbank.api.settings import ModelSettings, StylizeSettings, TrainSettings, read_settings
from artbank.config import RunConfig, TrainConfig
from artbank.errors import ConfigError
from artbank.recipes import BankRecipe, StylizeRecipe


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        (StylizeSettings.__annotations__, StylizeRecipe),
        (ModelSettings.__annotations__, RunConfig),
        ({name: 0 for name in TrainSettings.__annotations__ if name in BankRecipe.model_fields}, BankRecipe),
        ({name: 0 for name in TrainSettings.__annotations__ if name not in BankRecipe.model_fields}, TrainConfig),
    ],
)
def test_every_setting_is_a_field(settings: Any, model: type[BaseModel]) -> None:
    assert settings and set(settings) <= set(model.model_fields)
    assert len(settings) == len(model.model_fields) or not issubclass(model, StylizeRecipe | BankRecipe)


@pytest.mark.parametrize(
    ("kind", "models"), [(StylizeSettings, [StylizeRecipe]), (TrainSettings, [BankRecipe, TrainConfig])]
)
def test_settings_have_the_types_of_the_fields(kind: Any, models: list[type[BaseModel]]) -> None:
    hints = get_type_hints(kind, include_extras=True)
    fields = {name: hint for model in models for name, hint in get_type_hints(model, include_extras=True).items()}
    assert hints == {name: fields[name] for name in hints}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strenght": 0.5}, r"stylize\(\) has no setting strenght; did you mean strength\?"),
        ({"zzz": 0.5}, r"stylize\(\) has no setting zzz; it takes preset, strength"),
        (
            {"device": "cuda"},
            r"stylize\(\) has no setting device; give it to train\(\), open_store\(\) or load_bank\(\)",
        ),
        ({"strength": 7}, "strength=7: Input should be less than or equal to 1"),
        ({"structure": True}, "structure=True: expected a number, found true"),
        ({"seed": False}, "seed=False: expected a number, found false"),
        ({"preset": "quick"}, "preset='quick': Input should be 'paper', .*'fast'"),
        ({"preset": "paper", "steps": 3}, "preset paper fixes steps=50; leave out steps, or take preset exact"),
        ({"strength": 7, "steps": 0}, "strength=7: .*; steps=0: "),
    ],
)
def test_a_wrong_setting_is_explained(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        read_settings(StylizeRecipe, given, "stylize", StylizeSettings.__annotations__)
    assert "\n" not in str(error.value)


def test_settings_of_a_training_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    for given, words in [({"max_step": 3}, r"did you mean max_steps\?"), ({"device": "gpu"}, "device='gpu'")]:
        with pytest.raises(ConfigError, match=words):
            artbank.train(tmp_path / "absent", **given)  # pyright: ignore
    with pytest.raises(ConfigError, match=r"train\(\) takes no gallery_uri"):
        artbank.train(tmp_path / "absent", gallery_uri="x")  # pyright: ignore
    with pytest.raises(ConfigError, match=r"did you mean max_steps\? steps is for stylize\(\)"):
        artbank.train(tmp_path, steps=3)  # pyright: ignore
    for owner, start in (("train", artbank.train), ("open_store", artbank.open_store)):
        with pytest.raises(ConfigError, match=rf"{owner}\(\) has no setting preset; give it to stylize\(\)"):
            start(tmp_path, preset="fast")
    with pytest.raises(ConfigError, match="open_store.* has no setting devise; did you mean device"):
        artbank.open_store(tmp_path, devise="cpu")  # pyright: ignore
