"""`artbank.toml`: what wins over it, what it may hold, and how its errors read."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.config import StylizeConfig, TrainConfig
from artbank.errors import ConfigError
from artbank_cli.main import app
from artbank_cli.options import build_config

TEXT = """\
store = "shelf"
gallery = "paintings"
photos = "snaps"
device = "cpu"

[stylize]
output = "art"
style = "monet"
preset = "fast"
steps = 12
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, without variables and with an empty folder of the user's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("GALLERY", "STORE", "PHOTOS", "OUTPUT", "CONFIG"):
        monkeypatch.delenv(f"ARTBANK_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "artbank.toml").write_text(TEXT)
    return tmp_path


def call(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    app(list(words), standalone_mode=False)
    return capsys.readouterr().out


def test_the_command_line_wins_over_a_parameter_file_the_environment_and_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(given: dict[str, object], file: str | None = None) -> tuple[str, int | None]:
        path = None
        if file:
            path = folder / "parameters.yaml"
            path.write_text(file)
        config = build_config(StylizeConfig, given, path)
        assert (config.archive_uri, config.styles, config.device) == ("snaps", ("monet",), "cpu")
        assert config.recipe.preset == "fast"  # what nothing else names stays
        return config.store_uri, config.recipe.steps

    assert read({}) == ("shelf", 12)
    monkeypatch.setenv("ARTBANK_STORE", "by-variable")
    assert read({}) == ("by-variable", 12)
    assert read({}, "{store_uri: by-file, recipe: {steps: 13}}") == ("by-file", 13)
    assert read({"store_uri": "given", "steps": 14}, "{store_uri: by-file}") == ("given", 14)


@pytest.mark.parametrize(
    ("given", "file", "steps", "replaced"),
    [
        ({"preset": "turbo"}, None, 4, "--preset turbo replaces artbank.toml: stylize.steps (line 10)"),
        ({"preset": "balanced"}, None, 10, "--preset balanced replaces artbank.toml: stylize.steps (line 10)"),
        ({"preset": "turbo"}, "{recipe: {steps: 13}}", 4, "--preset turbo replaces recipe.steps (line 1)"),
        ({}, "recipe: {preset: turbo}", 4, "the preset of the parameter file replaces artbank.toml: stylize.steps"),
        ({"preset": "turbo", "steps": "5"}, None, 5, ""),
        ({"preset": "turbo"}, "recipe: {steps: 4}", 4, ""),
        ({"steps": "5"}, "recipe: {preset: turbo}", 5, ""),
    ],
)
def test_a_preset_wins_over_settings_of_the_places_below_its_own_and_says_so(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, object],
    file: str | None,
    steps: int,
    replaced: str,
) -> None:
    path = folder / "parameters.yaml" if file else None
    if path and file:
        path.write_text(file)
    assert build_config(StylizeConfig, given, path).recipe.steps == steps
    told = capsys.readouterr().err
    assert replaced in told and bool(told) == bool(replaced)
    assert not replaced or "; type --steps 1" in told


def test_a_preset_leaves_what_no_preset_decides(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "artbank.toml").write_text(f"{TEXT}seed = 7\ncolour = 'keep'\naligned = false\n")
    recipe = build_config(StylizeConfig, {"preset": "paper", "colour": "collection"}, None).recipe
    assert (recipe.seed, recipe.strength, recipe.colour, recipe.steps) == (7, 0.7, "collection", 50)
    told = capsys.readouterr().err.splitlines()
    line = "artbank: --preset paper replaces artbank.toml: stylize.steps (line 10); preset exact lets you choose it"
    assert told == [line]


def test_an_error_of_several_fields_names_the_lines_that_set_some(folder: Path) -> None:
    (folder / "artbank.toml").write_text(TEXT + "keep_structure = 0.5\nguidance_to = 0.2\n")
    with pytest.raises(ConfigError) as caught:
        build_config(StylizeConfig, {"reach_style": "0.5"}, None)
    assert str(caught.value).startswith("options: keep_structure asks for more of the photo, reach_style for less")
    assert str(caught.value).endswith("; set in artbank.toml: stylize.keep_structure (line 11)")
    (folder / "artbank.toml").write_text(TEXT.replace("fast", "paper"))
    with pytest.raises(ConfigError) as caught:
        build_config(StylizeConfig, {}, None)
    assert str(caught.value).endswith(
        "set in artbank.toml: stylize.preset (line 9), artbank.toml: stylize.steps (line 10)"
    )
    (folder / "parameters.yaml").write_text("recipe:\n  guidance: 5\n")
    with pytest.raises(ConfigError, match=r"^recipe \(line 1\): preset paper .* stylize.preset \(line 9\), artbank"):
        build_config(StylizeConfig, {}, folder / "parameters.yaml")


def test_the_table_of_one_command_is_not_for_another() -> None:
    assert (
        build_config(TrainConfig, {}, None).recipe.max_steps
        == TrainConfig.model_fields["recipe"].get_default(call_default_factory=True).max_steps
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('store = "s"\nstor = "t"\n', "artbank.toml: stor (line 2): unknown; did you mean store?"),
        ('preset = "fast"\n', "artbank.toml: preset (line 1): unknown; write it below [stylize]"),
        ("[stylize]\nstepps = 4\n", "artbank.toml: stylize.stepps (line 2): unknown; did you mean steps?"),
        ("\nstore = 4\n", "artbank.toml: store (line 2): expected the text of a folder or address, found 4"),
        ("train = 3\n", "artbank.toml: train (line 1): expected a table"),
        ('store = "s\n', "artbank.toml cannot be read: .*line 1"),
        (TEXT.replace("12", "'many'"), r"artbank.toml: stylize.steps \(line 10\) many: Input should be"),
        (TEXT.replace('"monet"', "[]"), r"artbank.toml: stylize.style \(line 8\)"),
    ],
)
def test_an_error_names_line_and_field(folder: Path, text: str, expected: str) -> None:
    (folder / "artbank.toml").write_text(text)
    pattern = expected if "\\" in expected or ".*" in expected else expected.replace("(", r"\(").replace(
        ")", r"\)").replace("[", r"\[").replace("]", r"\]").replace("?", r"\?")  # fmt: skip
    with pytest.raises(ConfigError, match=pattern):
        build_config(StylizeConfig, {}, None)


def test_a_wrong_option_is_not_blamed_on_the_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--steps none") as caught:
        build_config(StylizeConfig, {"steps": "none"}, None)
    assert "artbank.toml" not in str(caught.value)


def test_settings_say_where_each_value_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARTBANK_GALLERY", "other")
    shown = call("settings", capsys=capsys).splitlines()
    assert shown[:4] == [
        "gallery: other (environment, ARTBANK_GALLERY)", "store: shelf (artbank.toml, line 1)",
        "photos: snaps (artbank.toml, line 3)", "output: not set",
    ]  # fmt: skip
    assert "stylize.preset: fast (artbank.toml, line 9)" in shown


def test_other_commands_take_their_places_from_the_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("shelf").mkdir()
    with pytest.raises(Exception, match="shelf"):
        call("banks", "show", "monet", capsys=capsys)


def test_the_file_of_the_variable_comes_first_and_that_of_the_user_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users = folder / "home/artbank"
    users.mkdir(parents=True)
    (users / "artbank.toml").write_text('store = "users"\n')
    assert "store: shelf" in call("settings", capsys=capsys)
    (folder / "artbank.toml").rename(folder / "other.toml")
    assert "store: users" in call("settings", capsys=capsys)
    monkeypatch.setenv("ARTBANK_CONFIG", "other.toml")
    assert "store: shelf" in call("settings", capsys=capsys)
    monkeypatch.setenv("ARTBANK_CONFIG", "missing.toml")
    with pytest.raises(ConfigError, match="ARTBANK_CONFIG=missing.toml: there is no such file"):
        call("settings", capsys=capsys)
