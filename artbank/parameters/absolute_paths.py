"""Make the paths of a configuration absolute, so that it means the same in a process with another working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from artbank.parameters.control_specs import parse_control
from artbank.parameters.lora_specs import parse_lora
from artbank.parameters.model_pins import split_pin
from artbank.parameters.run_config import RunConfig

Config = TypeVar("Config", bound=RunConfig)

_PLACES = ("archive_uri", "output_uri", "store_uri", "gallery_uri")
_MODELS = ("base_model", "scorer", "style_model", "structure_model", "depth_model")
_NO_PATHS = ("auto", "mini")


def with_absolute_paths(config: Config) -> Config:
    """Return a configuration with absolute paths of its places, and of its models that are on this machine.

    Store URIs, hub ids and the words for embedded models stay as they are.
    """
    values = {name: getattr(config, name, None) for name in (*_PLACES, *_MODELS)}
    given = {name: value for name, value in values.items() if value is not None}
    changed: dict[str, Any] = {name: _absolute(uri) for name, uri in given.items() if name in _PLACES}
    changed |= {name: _absolute_model(text) for name, text in given.items() if name in _MODELS}
    if loras := getattr(config, "loras", ()):
        changed["loras"] = tuple(_absolute_model(text, parse_lora(text).uri) for text in loras)
    if controls := getattr(config, "controls", ()):
        changed["controls"] = tuple(map(_absolute_control, controls))
    return config.model_copy(update=changed)


def _absolute(uri: str) -> str:
    return uri if "://" in uri else os.path.abspath(Path(uri).expanduser())  # noqa: PTH100 - resolve() follows links


def _absolute_control(text: str) -> str:
    kind, _, named = text.partition("=")
    return f"{kind}={_absolute_model(named, parse_control(text).source)}"


def _absolute_model(text: str, source: str | None = None) -> str:
    """Return a text that begins with a model's source, or is one, with its absolute path if it is on this machine."""
    place, _ = split_pin(text if source is None else source)
    if place in _NO_PATHS or "://" in place or not Path(place).expanduser().exists():
        return text
    return _absolute(place) + text[len(place) :]
