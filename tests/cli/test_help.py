"""`--help` for people: options in groups, those that must be given first, nothing cut off, choices and short forms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from artbank import __version__
from artbank.config import StylizeConfig, TrainConfig
from artbank.parameters.groups import FIRST_GROUPS, STYLIZE_GROUPS, TRAIN_GROUPS
from artbank_cli.main import app
from artbank_cli.parameter_fields import flatten
from tests.support.commands import call

MODELS: dict[str, type[BaseModel]] = {"train": TrainConfig, "stylize": StylizeConfig}
GROUPS = {"train": TRAIN_GROUPS, "stylize": STYLIZE_GROUPS}


def show_help(*words: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the help of a command as it is shown at a width, with all groups, without colours."""
    monkeypatch.setenv("COLUMNS", str(columns))
    ended = call(*words, "--help-all" if words and words[0] in MODELS else "--help")
    assert (ended.code, ended.err) == (0, "")
    return re.sub(r"\x1b\[[0-9;]*m", "", ended.out)


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command."""
    group: Any = typer.main.get_command(app)
    inner = group.commands["banks"].commands
    return [(), *((name,) for name in group.commands), *(("banks", name) for name in inner)]


@pytest.mark.parametrize("columns", [80, 50])
@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_nothing_of_a_help_is_cut_off(words: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show_help(*words, columns=columns, monkeypatch=monkeypatch)
    assert "…" not in shown and max(map(len, shown.splitlines())) <= columns
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", shown).split())
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
        assert all(name in text for name in names)
        assert " ".join((parameter.help or "").removesuffix("(required)").split()) in text


@pytest.mark.parametrize("command", MODELS)
def test_options_stand_in_their_groups_and_those_that_must_be_given_first(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = show_help(command, columns=80, monkeypatch=monkeypatch)
    assert re.findall(r"╭─ (.+?) ─+╮", shown) == [*GROUPS[command], "Options"]
    heads = [line.strip("│ ") for line in shown.splitlines() if re.match(r"│ \S", line)]
    required = [bool(re.search(r"\(required\)$", head)) for head in heads]
    count = sum(field.is_required() for field in flatten(MODELS[command]).values())
    assert required == [True] * count + [False] * (len(heads) - count)


@pytest.mark.parametrize("command", MODELS)
def test_help_shows_the_first_groups_and_names_the_others(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    ended = call(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    first = [title for title in GROUPS[command] if title in FIRST_GROUPS]
    further = ", ".join(title for title in GROUPS[command] if title not in FIRST_GROUPS)
    assert re.findall(r"╭─ (.+?) ─+╮", ended.out) == [*first, "Options"]
    assert f"{command} --help-all shows more options, in the groups {further}." in " ".join(ended.out.split())


@pytest.mark.parametrize(
    ("command", "head"),
    [
        ("stylize", "-p, --preset [paper | exact | balanced | faithful | bold | fast | turbo]"),
        ("stylize", "--solver [ddim | dpm++2m | unipc | euler | euler_a | lcm]"),
        ("train", "--attention [ssam | self | released | none]"),
        ("train", "-n, --dry-run, --no-dry-run"),
        ("train", "--max-steps INTEGER"),
    ],
)
def test_help_shows_short_forms_and_every_choice(command: str, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"│ {head} " in show_help(command, columns=80, monkeypatch=monkeypatch)


def test_help_tells_what_each_preset_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show_help("stylize", columns=100, monkeypatch=monkeypatch)
    assert "(default: 10; paper, exact 50; fast 8; turbo 4)" in re.sub(r"[\s│]+", " ", shown)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(option: str) -> None:
    assert call(option).out == f"artbank {__version__}\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("artbank sty", {"stylize"}),
        ("artbank stylize --pre", {"--preset"}),
        ("artbank stylize --preset fa", {"faithful", "fast"}),
        ("artbank train --attention ", {"ssam", "self", "released", "none"}),
    ],
)
def test_a_shell_completes_commands_options_and_values(words: str, found: set[str]) -> None:
    asked = {"_ARTBANK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    program = Path(sys.executable).with_name("artbank")
    done = subprocess.run([program], capture_output=True, env=os.environ | asked, text=True)
    assert (set(done.stdout.split()), done.stderr) == (found, "")
