"""Banks on the command line: listed, shown, retired, promoted, exported."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import safetensors.torch

from artbank.store.objects import Store
from tests.support.commands import call, complaint
from tests.support.small_inputs import TRAIN


def test_banks_are_listed_for_people_and_for_scripts(world: Path) -> None:
    shown = call("banks", "--store", world / "store")
    assert shown.code == 0 and re.search(r"^novak@1 +default ", shown.out, re.MULTILINE)
    [row] = json.loads(call("banks", "--store", world / "store", "--json").out)
    assert (row["collection"], row["version"], row["status"]) == ("novak", 1, "default")
    assert json.loads(row["recipe"]) == json.loads(TRAIN.to_json())


def test_a_catalog_without_banks_lists_none(tmp_path: Path) -> None:
    Store.open(str(tmp_path)).write("checkpoints/monet/0123456789abcdef.safetensors", b"")
    assert json.loads(call("banks", "--store", tmp_path, "--json").out) == []


@pytest.mark.parametrize("store_first", [True, False])
def test_a_bank_shows_its_card(world: Path, store_first: bool) -> None:
    option = ("--store", world / "store")
    ended = call("banks", *option, "show", "novak@1") if store_first else call("banks", "show", "novak", *option)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "# novak, version 1")


def test_the_store_of_a_site_is_named_as_that_of_other_commands_or_alone(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = call("site", store)
    assert alone.code == 0 and call("site", "--store", store).out.splitlines()[1:] == alone.out.splitlines()[1:]
    refused = call("site", store, "-S", "other")
    assert refused.code == 2 and "names two stores" in complaint(refused)
    refused = call("site")
    assert refused.code == 2 and "--store is missing" in complaint(refused)
    monkeypatch.setenv("ARTBANK_STORE", "elsewhere")
    assert call("site", store).code == 0
    assert call("site", "--store", store).code == 0
    monkeypatch.setenv("ARTBANK_STORE", str(store))
    assert call("site").code == 0


def test_a_retired_bank_is_found_by_its_number_alone_until_it_is_promoted(world: Path, store: Path) -> None:
    assert call("banks", "retire", "novak@1", "--store", store).out == "novak@1 is retired\n"
    assert json.loads(call("banks", "--store", store, "--json").out)[0]["status"] == "retired"
    refused = call("banks", "show", "novak", "--store", store)
    assert refused.code == 1 and "every version of novak is retired" in complaint(refused)
    assert call("banks", "promote", "novak@1", "--store", store).out == "novak@1 is the default version\n"
    assert call("banks", "show", "novak", "--store", store).code == 0


@pytest.mark.parametrize("relative", [True, False])
def test_a_bank_is_exported_as_a_textual_inversion(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    file = "novak.safetensors" if relative else str(tmp_path / "new folder/novak.safetensors")
    ended = call("export", "novak", file, "--store", world / "store")
    assert (ended.code, ended.err) == (0, "")
    told = ended.out.splitlines()
    assert told[:3] == [file, "token:      <novak>", "width:      192, 2 vectors; fits only mini"]
    assert re.fullmatch(r"base model: mini \([0-9a-f]{12}\)", told[3]) and told[4] == "licence:    CC0-1.0"
    assert f'load_textual_inversion("{file}", token="<novak>")' in told[5]
    assert told[6].endswith('in the style of novak"') and told[7].endswith('in the style of embedding:novak"')
    [(token, vectors)] = safetensors.torch.load_file(tmp_path / file).items()
    assert (token, vectors.shape[0]) == ("<novak>", 2)


def test_the_file_of_an_exported_bank_tells_its_trigger_its_base_model_and_its_licence(
    world: Path, tmp_path: Path
) -> None:
    file = tmp_path / "in blue.safetensors"
    words = ("export", "novak", file, "--store", world / "store", "--token", " a blue hill ")
    ended = call(*words, "--licence", "CC-BY-4.0")
    assert "ComfyUI:    rename it to in-blue.safetensors, put it" in ended.out
    with safetensors.safe_open(str(file), "pt") as opened:
        assert list(opened.keys()) == ["a blue hill"]
        metadata = opened.metadata()
    [row] = json.loads(call("banks", "--store", world / "store", "--json").out)
    expected = {"trigger_phrase": "a blue hill", "license": "CC-BY-4.0", "title": "novak, version 1"}
    assert {name: metadata[f"modelspec.{name}"] for name in expected} == expected
    assert (metadata["artbank.base_model"], metadata["artbank.bank_id"]) == ("mini", row["bank_id"])
    assert metadata["artbank.base_model_hash"] == row["base_model_hash"]
    before = file.read_bytes()
    facts = json.loads(call(*words, "--licence", "CC-BY-4.0", "--json").out)
    assert (facts["token"], facts["widths"], facts["licence"]) == ("a blue hill", [192], "CC-BY-4.0")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("token", "message"), [("<Novak>", "pass --token '<novak>'"), ("a\x1bb", "printable"), ("", "1 to")]
)
def test_a_token_that_a_program_would_not_understand_writes_nothing(
    world: Path, tmp_path: Path, token: str, message: str
) -> None:
    ended = call("export", "novak", tmp_path / "n.safetensors", "--store", world / "store", "--token", token)
    assert ended.code == 2 and message in complaint(ended)
    assert not (tmp_path / "n.safetensors").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("novak.pt", "expected a file that ends in .safetensors, found novak.pt; "),  # which programs would unpickle
        ("novak", "expected a file that ends in .safetensors, found novak; "),
        ("exports/", "expected the path of a file, found 'exports/'; add"),
        (".", "expected the path of a file, found '.'; add"),
    ],
)
def test_a_file_that_the_printed_programs_would_not_load_is_not_written(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("export", "novak", file, "--store", world / "store")
    assert ended.code == 2 and message in complaint(ended)
    assert list(tmp_path.iterdir()) == []


def test_a_bank_that_is_exported_to_a_store_is_fetched_before_diffusers_loads_it(world: Path) -> None:
    said = call("export", "novak", "memory://exports/a/novak.safetensors", "--store", world / "store").out.splitlines()
    assert said[0] == "memory://exports/a/novak.safetensors"
    assert 'diffusers:  fetch it, pipeline.load_textual_inversion("novak.safetensors", token="<novak>")' in "\n".join(
        said
    )


def test_the_line_for_diffusers_is_python_whatever_the_name_of_the_file(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = 'é "q".safetensors'
    said = call("export", "novak", file, "--store", world / "store", "--token", 'a "blue" hill').out
    [line] = [line for line in said.splitlines() if line.startswith("diffusers:")]
    call_of = ast.parse(line.removeprefix("diffusers:").strip().partition(", prompt ")[0], mode="eval").body
    assert isinstance(call_of, ast.Call)
    assert [ast.literal_eval(argument) for argument in (*call_of.args, *(k.value for k in call_of.keywords))] == [
        file,
        'a "blue" hill',
    ]
