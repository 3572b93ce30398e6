"""Limits of the files of a model, checked before a library builds a network from them.

A few bytes of settings can ask for ten million layers, and a header can list a million tensors; libraries take minutes
for them, or all memory. Models that people train stay far below these limits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from artbank.errors import BaseModelError
from artbank.store.tensor_files import TensorHeader, read_header

_MOST_BYTES = 10_000_000  # of a file of settings, an index of weights, or a header, of which large models have 200,000
_MOST_LAYERS = {"num_hidden_layers": 200}  # the largest text encoder has 23 of 24
_MOST_LAYERS_OF_A_BLOCK = 32
_MOST_BLOCKS = 16  # Stable Diffusion has 4
_MOST_ENTRIES = 1000  # of any other list, such as a noise schedule
_MOST = 10_000_000  # of any other number, such as the words of a vocabulary
_UNBOUNDED = {"lambda_min_clipped"}  # no size of anything; DPM-Solver's schedulers save it as -Infinity


def check_settings(path: Path) -> None:
    """Check that a file of settings asks for a network of a usual size, and for weights that are not quantized.

    One that is no JSON is left to its reader.

    Raises:
        BaseModelError: The file is larger than any, or it asks for more or for something else; names the setting.
    """
    text = read_text(path)
    try:
        settings = json.loads(text)
        _check("", settings)
        if isinstance(settings, dict) and settings.get("quantization_config"):
            raise BaseModelError("expected weights that are not quantized, found a quantization_config")
    except RecursionError as error:
        raise BaseModelError(f"{path} cannot be loaded: it is nested too deeply; take another model") from error
    except BaseModelError as error:
        raise BaseModelError(f"{path} cannot be loaded: {error}; take another model") from None
    except ValueError:
        return


def read_text(path: Path) -> str:
    """Read a file of settings or an index.

    Raises:
        BaseModelError: The file is larger than any, or is no text.
    """
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise BaseModelError(
            f"{path} cannot be loaded: expected at most {_MOST_BYTES:,} bytes, found {size:,}; take another model"
        )
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise BaseModelError(
            f"{path} cannot be loaded: expected JSON in UTF-8, found {error}; fetch it again"
        ) from error


def check_header(path: Path) -> TensorHeader:
    """Return the header of a file of weights.

    Raises:
        BaseModelError: It is damaged, or lists more tensors than a model has.
    """
    try:
        return read_header(path, most_bytes=_MOST_BYTES)
    except ValueError as error:
        raise BaseModelError(
            f"{path} cannot be loaded: expected a safetensors file, found damage: {error}; fetch it again"
        ) from error


def _check(name: str, value: Any) -> None:
    """Check a setting and those below it; raises a BaseModelError without the name of the file."""
    if isinstance(value, dict):
        for inner, inner_value in value.items():
            _check(inner, inner_value)
    elif isinstance(value, list):
        _expect(f"a list of {name}", len(value), _MOST_BLOCKS if "block" in name else _MOST_ENTRIES)
        for entry in value:
            _check(name, entry)
    elif isinstance(value, int | float) and name not in _UNBOUNDED:
        of_block = _MOST_LAYERS_OF_A_BLOCK if "layers" in name else _MOST
        _expect(name, value, _MOST_LAYERS.get(name, of_block))


def _expect(name: str, found: float, most: int) -> None:
    if not abs(found) <= most:
        raise BaseModelError(f"expected {name} of at most {most:,}, found {found:,}")
