"""Read the file of a bank, trusting nothing in it, and write its vectors for other programs; loads no PyTorch.

Shape legend: N vectors in a bank, D width of a text embedding (768 for Stable Diffusion 1.x).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from artbank.errors import BankError
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import parse_header

SCHEMA = "artbank.bank/1"
_HEADER = ("schema", "bank_id", "collection", "base_model", "base_model_hash", "fingerprint", "recipe", "metrics")
_FLOAT32 = "F32"  # as the format names it
_NAMES = {"F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_LARGEST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class BankFile:
    """The checked content of a bank's file.

    Attributes:
        header: Its texts by name: at least the bank's id, collection, base model and fingerprint.
        recipe: How the bank was trained.
        vectors: [N, D] float32, as the text encoder takes them.
        training_state: Unshaped vectors and attention weights under `train.`; may be empty.
        metrics: Losses, steps and scores, by name.
        unit: The unit of the unshaped vectors; None in banks of version 0.1.
    """

    header: Mapping[str, str]
    recipe: BankRecipe
    vectors: NDArray[np.float32]
    training_state: Mapping[str, NDArray[np.float32]]
    metrics: Mapping[str, float | None]
    unit: float | None


def read_bank_file(data: bytes) -> BankFile:
    """Read and check a bank's file.

    Raises:
        BankError: The file is no bank, has another schema, is damaged, or has values that are not finite.
    """
    header = _read_header(data)
    found = _read_tensors(data)
    entry = found.get("vectors")
    if entry is None or len(entry["shape"]) != 2 or entry["dtype"] != _FLOAT32:
        given = None if entry is None else (tuple(entry["shape"]), _NAMES.get(entry["dtype"], entry["dtype"]))
        raise BankError(f"bank file: expected float32 vectors [N, D], found {given}; train it again")
    tensors = {name: _to_array(entry) for name, entry in found.items() if entry["dtype"] == _FLOAT32}
    broken = [name for name in found if name not in tensors or not np.isfinite(tensors[name]).all()]
    if broken:
        raise BankError(
            f"bank {header['collection']}: expected finite float32 values, found others in {', '.join(broken)}; "
            "train it again"
        )
    vectors = tensors.pop("vectors")
    try:
        recipe = BankRecipe.model_validate_json(header["recipe"])
        metrics = dict(json.loads(header["metrics"]))
        unit = float(header["unit"]) if "unit" in header else None
    except (ValueError, TypeError, RecursionError) as error:
        raise BankError(
            f"bank {header['collection']}: its header cannot be read: {error}; train it again or upgrade artbank"
        ) from error
    if len(vectors) != recipe.num_tokens:
        raise BankError(
            f"bank {header['collection']}: expected {recipe.num_tokens} vectors by its recipe, "
            f"found {len(vectors)}; train it again"
        )
    return BankFile(header, recipe, vectors, tensors, metrics, unit)


def to_textual_inversion(collection: str, vectors: NDArray[np.float32]) -> bytes:
    """Return vectors [N, D] as a textual-inversion file, which diffusers, ComfyUI and A1111 load.

    Source: Gal et al., ICLR 2023; the layout is diffusers': one tensor [N, D] named by its token.
    """
    token = f"<{re.sub(r'[^A-Za-z0-9-]', '-', collection).lower()}>"
    return safetensors.numpy.save({token: np.ascontiguousarray(vectors)}, metadata={"format": "pt"})


def _read_header(data: bytes) -> Mapping[str, str]:
    """Return the metadata of a bank file, checked to be complete and of this schema."""
    try:
        if len(data) > _LARGEST_BYTES:
            raise ValueError(f"expected at most {_LARGEST_BYTES:,} bytes, found {len(data):,}")
        header = parse_header(data).metadata
    except ValueError as error:
        raise BankError(
            f"this is no bank file, or a damaged one: {error}; fetch it again or train the bank again"
        ) from error
    if header.get("schema") != SCHEMA:
        raise BankError(
            f"bank file: expected schema {SCHEMA}, found {header.get('schema')}; train it again or upgrade artbank"
        )
    if missing := [name for name in _HEADER if name not in header]:
        raise BankError(f"bank file: its header has no {', '.join(missing)}; train the bank again")
    return header


def _read_tensors(data: bytes) -> dict[str, dict[str, Any]]:
    """Return type, shape and bytes of each tensor by its name."""
    try:
        return dict(safetensors.deserialize(data))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BankError(f"bank file is damaged: {error}; fetch it again or train the bank again") from error


def _to_array(entry: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return a tensor's values as an array of its own, which may be changed."""
    return np.frombuffer(entry["data"], "<f4").reshape(entry["shape"]).copy()
