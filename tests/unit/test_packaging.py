"""The wheel has what running needs, and nothing that only a checkout uses."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from setuptools import find_packages

from tests.support.paths import ROOT
from tests.support.wheel import build_wheel, call_installed, make_user_project, unpack

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
PRODUCT = ("artbank", "artbank_cli", "artbank_prefect")
ONLY_IN_A_CHECKOUT = {"artbank.pretraining"}
LINKS = ("flows", "tasks", "deployments")
_IMPORT_FLOWS = """
import yaml, artbank_prefect
from importlib import import_module
from pathlib import Path
file = Path(artbank_prefect.__file__).parent / "deployments/prefect.yaml"
for entry in yaml.safe_load(file.read_text())["deployments"]:
    module, _, name = entry["entrypoint"].rpartition(".")
    print(getattr(import_module(module), name).name, module)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    return unpack(build_wheel(folder), folder / "installed")


def packages() -> set[str]:
    return set(find_packages(str(ROOT), **SETTINGS["packages"]["find"]))


def data_files(package: str, section: str) -> set[str]:
    folder = ROOT / package.replace(".", "/")
    patterns = SETTINGS[section].get(package, [])
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix() for path in found}


def sources_in_the_wheel() -> Iterator[Path]:
    for package in packages():
        yield from (ROOT / package.replace(".", "/")).glob("*.py")


def test_every_package_is_in_the_wheel_but_those_that_only_a_checkout_uses() -> None:
    folders = [path.parent for name in PRODUCT for path in (ROOT / name).rglob("__init__.py")]
    folders += [ROOT / "artbank_prefect" / name for name in LINKS if (ROOT / name / "__init__.py").exists()]
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert names - packages() == ONLY_IN_A_CHECKOUT
    assert packages() <= names


def test_nothing_in_the_wheel_names_a_module_that_is_not() -> None:
    sources = list(sources_in_the_wheel())
    wrong = []
    for path in sources:
        text = path.read_text("utf-8")
        wrong += [
            f"{path}: {name}" for name in ONLY_IN_A_CHECKOUT if f"import {name}" in text or f"from {name}" in text
        ]
    assert len(sources) > 100 and wrong == []


def test_the_weights_of_model_and_scorer_are_in_the_wheel_and_the_judges_are_not() -> None:
    weights = data_files("artbank.mini", "package-data") - data_files("artbank.mini", "exclude-package-data")
    parts = {name.split("/")[1] for name in weights if name.startswith("weights/")}
    assert parts == {"model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler", "clip", "controlnet"}
    assert "weights/judge/judge.safetensors" in data_files("artbank.mini", "exclude-package-data")


def test_every_file_beside_the_pages_code_is_in_the_wheel() -> None:
    folder = ROOT / "artbank/pages"
    files = [path for name in ("static", "templates") for path in (folder / name).rglob("*") if path.is_file()]
    there = {path.relative_to(folder).as_posix() for path in files}
    assert there and data_files("artbank.pages", "package-data") == there


def test_flows_and_tasks_lie_at_the_top_and_are_imported_by_a_name_of_our_own() -> None:
    for name in LINKS:
        assert (ROOT / name).is_dir() and not (ROOT / name).is_symlink()
        assert (ROOT / "artbank_prefect" / name).readlink() == Path("..") / name
    sources = [path for path in sources_in_the_wheel() if path.parts[-2] != "drawing"]
    lines = [line for path in sources for line in path.read_text("utf-8").splitlines()]
    assert [line for line in lines if re.match(r"\s*(from|import) (flows|tasks)\b", line)] == []


def test_the_wheel_has_no_package_whose_name_a_project_may_have(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == set(PRODUCT)
    shipped = installed / "artbank_prefect/deployments"
    for name in ("prefect.yaml", "automations/failed-runs.yaml", "pools/docker.yaml", "pools/kubernetes.yaml"):
        assert (shipped / name).read_bytes() == (ROOT / "deployments" / name).read_bytes()
    assert list(shipped.rglob("*.py")) == []


def test_deployments_find_their_flows_beside_a_users_own(installed: Path, tmp_path: Path) -> None:
    project = make_user_project(tmp_path / "project")
    done = call_installed(installed, project, "-c", _IMPORT_FLOWS)
    assert done.returncode == 0, done.stderr
    names = dict(line.split() for line in done.stdout.splitlines())
    assert names.keys() == {"train-banks", "watch-gallery", "stylize-archive", "stylize-shards"}
    assert set(names.values()) == {f"artbank_prefect.flows.{name.replace('-', '_')}" for name in names}
