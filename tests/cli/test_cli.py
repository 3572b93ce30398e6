from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
from drawn import add_collection, draw_photo
from typer.testing import CliRunner

from artbank.config import StylizeConfig, TrainConfig
from artbank.storage import Store
from artbank_cli.main import _run, app
from artbank_cli.options import _flatten

SMALL = ["--batch-size", "1", "--num-crops", "1", "--resolution-px", "32", "--num-tokens", "2", "--num-samples", "1"]


def call(*arguments: str) -> int:
    return _run(lambda: app(list(arguments), standalone_mode=False))


@pytest.fixture(scope="module")
def root(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of two collections, one of them trained, and a folder of photos, all by the command line."""
    root = tmp_path_factory.mktemp("cli")
    for name in ("novak", "other"):
        add_collection(Store.open(str(root / "gallery")), name)
    (root / "photos").mkdir()
    (root / "photos/a.jpg").write_bytes(draw_photo(1))
    gallery, store = str(root / "gallery"), str(root / "store")
    assert call("train", gallery, "--store", store, "--collection", "novak", "--max-steps", "2", *SMALL) == 0
    return root


def test_stylize_takes_what_the_manual_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [str(root / "photos"), str(root / "out"), "--store", str(root / "store"), "--style", "novak"]
    shape = ["--strength", "0.5", "--steps", "4", "--seed", "3", "--resolution-px", "32", "--guidance", "1"]
    assert call("stylize", *places, *shape, "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["num_done"], told["num_failed"], told["num_new"]) == (1, 0, 1)
    assert (root / "out/novak/a.jpg").exists()


def test_banks_lists_shows_promotes_and_retires(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(root / "store")]
    assert call("banks", *store, "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["collection"], row["version"], row["status"], row["num_tokens"]) == ("novak", 1, "default", 2)
    assert call("banks", *store) == 0
    assert "novak@1" in capsys.readouterr().out
    assert call("banks", "show", "novak", *store) == 0
    assert capsys.readouterr().out.startswith("# novak, version 1")
    assert call("banks", "retire", "novak@1", *store) == 0
    assert call("banks", "show", "novak", *store) == 1
    assert call("banks", "promote", "novak@1", *store) == 0
    assert call("banks", "show", "novak", *store) == 0


def test_export_writes_a_textual_inversion(root: Path, tmp_path: Path) -> None:
    assert call("export", "novak", str(tmp_path / "novak.safetensors"), "--store", str(root / "store")) == 0
    [(token, vectors)] = safetensors.torch.load_file(tmp_path / "novak.safetensors").items()
    assert (token, len(vectors)) == ("<novak>", 2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "gallery"], 2, "--store is missing"),
        (["train", "gallery", "--store", "s", "--max-steps", "0"], 2, "--max-steps 0: Input should be greater"),
        (["train", "s3://key:secret@host/x", "--store", "s"], 2, "holds no credentials"),
        (["stylize", "p", "o", "--store", "s"], 2, "--style is missing"),
        (["stylize", "p", "o", "--store", "s", "--style", "m", "--strength", "1.5"], 2, "--strength 1.5"),
        (["banks", "show", "monet", "--store", "nowhere"], 1, "no bank monet"),
        (["train", "--parameters", "nowhere.yaml"], 2, "cannot be read"),
        (["train", "gallery", "--unknown", "1"], 2, "No such option"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(*arguments) == code
    assert said in capsys.readouterr().err


def test_options_win_over_a_parameter_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(
        f"config:\n  gallery_uri: {root / 'gallery'}\n  store_uri: {root / 'store'}\n  collections: [none]\n"
    )
    shape = ["--collection", "novak", "--max-steps", "2", *SMALL]
    assert call("train", "--parameters", str(path), *shape, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"trained": {}, "current": ["novak"]}


@pytest.mark.parametrize(("command", "model"), [("train", TrainConfig), ("stylize", StylizeConfig)])
def test_every_field_is_an_option_with_its_description(command: str, model: type) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"}).output
    text = " ".join(shown.replace("│", " ").split())
    fields = _flatten(model)
    assert len(fields) > 15
    for name, field in fields.items():
        assert field.description, name
        assert " ".join(field.description.split()) in text, name


def test_the_installed_command_says_what_it_can() -> None:
    done = subprocess.run([Path(sys.executable).parent / "artbank", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("train", "stylize", "banks", "export", "demo"):
        assert command in done.stdout
