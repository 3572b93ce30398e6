"""The wheel has what running needs, and nothing that only a checkout uses."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages

from tests.support.paths import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
PRODUCT = ("artbank", "artbank_cli", "flows", "tasks")
ONLY_IN_A_CHECKOUT = {"artbank.mini.pretraining"}


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
    assert parts == {"model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler", "clip"}
    assert "weights/judge/judge.safetensors" in data_files("artbank.mini", "exclude-package-data")


def test_every_file_beside_the_pages_code_is_in_the_wheel() -> None:
    folder = ROOT / "artbank/pages"
    files = [path for name in ("static", "templates") for path in (folder / name).rglob("*") if path.is_file()]
    there = {path.relative_to(folder).as_posix() for path in files}
    assert there and data_files("artbank.pages", "package-data") == there
