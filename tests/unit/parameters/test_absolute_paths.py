"""Paths of a configuration that is sent to a process with another working directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artbank.parameters.absolute_paths import with_absolute_paths
from tests.support.small_inputs import stylizing, training

PIN = f"@sha256:{'0' * 64}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which holds a model and a LoRA."""
    (tmp_path / "models/sd").mkdir(parents=True)
    (tmp_path / "ink.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_places_are_absolute_whether_they_are_there_or_not(here: Path) -> None:
    sent = with_absolute_paths(stylizing("photos", "../art", "~/store", "monet"))
    assert (sent.archive_uri, sent.output_uri) == (f"{here}/photos", f"{here.parent}/art")
    assert sent.store_uri == f"{Path.home()}/store"
    assert with_absolute_paths(training("gallery", "/store")).gallery_uri == f"{here}/gallery"


def test_places_in_a_store_stay_as_they_are(here: Path) -> None:
    config = stylizing("s3://museum/photos", "memory://art", "https://museum.example/store", "monet")
    assert with_absolute_paths(config) == config


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({"base_model": "models/sd"}, "{}/models/sd"),
        ({"scorer": f"models/sd{PIN}"}, "{}/models/sd" + PIN),
        ({"style_model": "./models/sd"}, "{}/models/sd"),
        ({"structure_model": "models/none"}, "models/none"),  # a hub id
        ({"base_model": "owner/name@abc"}, "owner/name@abc"),
        ({"base_model": "mini"}, "mini"),
        ({"scorer": "auto"}, "auto"),
        ({"loras": ("ink.safetensors:0.8",)}, ("{}/ink.safetensors:0.8",)),
        (
            {"loras": (f"ink.safetensors{PIN}", "s3://a/b.safetensors")},
            ("{}/ink.safetensors" + PIN, "s3://a/b.safetensors"),
        ),
        ({"controls": ("canny=models/sd:0.8:0-0.6", "gray=mini")}, ("canny={}/models/sd:0.8:0-0.6", "gray=mini")),
        ({"controls": ("tile=tile",)}, ("tile={}/tile",)),
    ],
)
def test_models_are_absolute_if_they_are_here(here: Path, values: dict[str, Any], sent: str | tuple[str, ...]) -> None:
    for name in ("mini", "auto", "tile"):  # the first two are words all the same
        (here / name).mkdir()
    expected = sent.format(here) if isinstance(sent, str) else tuple(text.format(here) for text in sent)
    found = with_absolute_paths(stylizing("photos", "art", "store", "monet", **values))
    assert [getattr(found, name) for name in values] == [expected]
