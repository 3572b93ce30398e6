"""Parameters from files, from the environment and by short forms; wrong ones are told by field and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.config import StylizeConfig, TrainConfig
from artbank.errors import ConfigError
from artbank_cli.options import build_config
from tests.support.commands import call, complaint

FILE = """\
# a training
config:
  gallery_uri: gallery
  store_uri: store

  recipe:
    max_steps: 10
    {line}
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batchsize: 4", "recipe.batchsize (line 8): unknown; did you mean batch_size?"),
        ("batch_size: 0", "recipe.batch_size (line 8) 0: Input should be greater than or equal to 1"),
        ("batch_size: many", "recipe.batch_size (line 8) many: Input should be a valid integer"),
        ("batch_size: yes", "recipe.batch_size (line 8) True: expected a number, found true"),
        ("holdout: no", "recipe.holdout (line 8) False: expected a number, found false"),
        ("device: cpu", "recipe.device (line 8): unknown; write it beside recipe, not below it"),
        ("zebra: 1", "recipe.zebra (line 8): unknown; see `--help` for the fields, with - for _"),
    ],
)
def test_a_wrong_field_of_a_file_is_told_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(FILE.format(line=line))
    ended = call("train", "--parameters", file)
    assert ended.code == 2 and complaint(ended).startswith(f"artbank: {message}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "collections: van gogh", 'collections (line 1) van gogh: expected a list, such as ["van gogh"]'),
        ("a.yaml", "collections: 5", 'collections (line 1) 5: expected a list, such as ["NAME"]'),
        ("a.yaml", "recipe: fast", "recipe (line 1) fast: expected settings by name, such as {seed: 1}"),
        ("a.yaml", "", "expected YAML or JSON with the parameters of a flow, such as config: ..., found an empty file"),
        ("a.toml", "seed = 1", "found a text; TOML is read from artbank.toml alone, see `artbank settings`"),
        ("a.toml", "[train]\nseed = 1", "; TOML is read from artbank.toml alone, see `artbank settings`"),
    ],
)
def test_a_file_with_another_shape_is_told_what_was_expected(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    ended = call("train", "gallery", "--store", "banks", "--parameters", tmp_path / name)
    assert ended.code == 2 and message in complaint(ended)


def test_a_field_of_a_nested_model_that_stands_outside_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text('{"gallery_uri": "g", "store_uri": "s",\n "num_tokens": 4}')
    assert "num_tokens (line 2): unknown; write it below recipe" in complaint(call("train", "-f", file))


def test_an_option_that_is_wrong_is_told_as_an_option_although_a_file_has_the_field(tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(FILE.format(line="batch_size: 4"))
    assert complaint(call("train", "-f", file, "--batch-size", "0")).startswith("artbank: --batch-size 0: ")


def test_the_values_of_a_repeated_option_are_told_as_they_were_typed() -> None:
    told = complaint(
        call("stylize", "photos", "pictures", "--store", "banks", "--style", "ink", "--control", "canny:x")
    )
    assert told.startswith("artbank: --control canny:x: expected KIND=SOURCE")


def test_a_preset_and_a_setting_that_it_fixes_are_told_with_the_line_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("recipe:\n  preset: paper\n  steps: 3\n")
    told = complaint(call("stylize", "p", "o", "-S", "s", "-s", "monet", "-f", file))
    assert told.startswith("artbank: recipe (line 1): preset paper fixes steps=50")
    told = complaint(call("stylize", "p", "o", "-S", "s", "-s", "monet", "-p", "paper", "--steps", "3"))
    assert told.startswith("artbank: options: preset paper fixes steps=50")


def test_places_come_from_the_command_line_then_the_file_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GALLERY", "STORE", "PHOTOS", "OUTPUT"):
        monkeypatch.setenv(f"ARTBANK_{name}", f"environment/{name.lower()}")
    file = tmp_path / "parameters.yaml"
    file.write_text("store_uri: file/store\ngallery_uri: file/gallery\n")
    config = build_config(TrainConfig, {"gallery_uri": "given/gallery"}, file)
    assert (config.gallery_uri, config.store_uri) == ("given/gallery", "file/store")
    config = build_config(StylizeConfig, {"styles": ["monet"]}, None)
    assert config.store_uri == "environment/store"
    assert (config.archive_uri, config.output_uri) == ("environment/photos", "environment/output")


def test_the_environment_names_the_store_of_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTBANK_STORE", str(tmp_path / "none"))
    for words in (["banks"], ["banks", "show", "monet"], ["export", "monet", "file"], ["site"]):
        assert str(tmp_path / "none") in complaint(call(*words))


def test_an_empty_variable_names_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTBANK_STORE", "")
    with pytest.raises(ConfigError, match="--store is missing"):
        build_config(TrainConfig, {"gallery_uri": "g"}, None)
