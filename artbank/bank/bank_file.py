"""Read the file of a bank, trusting nothing in it, and write its vectors for other programs; loads no PyTorch.

A bank's file has a kind and says where its tensors go. Kind `tokens`: rows in place of words of a prompt, `insert`
embedding: one tensor for each text encoder of its base model. `encoders` names these tensors and their widths. For one
encoder it is `vectors`, for SDXL `clip_l` and `clip_g`, as A1111 and ComfyUI name them. Files of schema 1 are of kind
tokens, for one text encoder, and do not say so.

Kind `lora`: low-rank changes of layers of the UNet, `insert` attention, see `lora_tensors`. `word` stands for the style
in prompts.

Shape legend: N vectors in a bank; D_e the width of a vector for one text encoder of its base model (768 for Stable
Diffusion 1.x).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import safetensors
import safetensors.numpy
from safetensors import SafetensorError

from artbank.bank.lora_tensors import Floats, check_layers, check_word, to_kohya
from artbank.diffusion.family import FamilyName
from artbank.errors import BankError
from artbank.parameters.bank_recipe import BankKind
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import parse_header, sort_metadata

SCHEMA = "artbank.bank/2"
INSERT: Mapping[BankKind, str] = {"tokens": "embedding", "lora": "attention"}
"""Where the tensors of a bank go, by its kind: in place of the embeddings of words, or beside attention layers."""
ONE_ENCODER = "vectors"
"""The name of the tensor of a bank for a single text encoder."""

_FIRST_SCHEMA = "artbank.bank/1"
_HEADER = ("schema", "bank_id", "collection", "base_model", "base_model_hash", "fingerprint", "recipe", "metrics")
_TYPED_HEADER = ("kind", "insert", "family")
_OF_KIND = {"tokens": ("encoders",), "lora": ("word",)}  # further fields of schema 2
_FLOAT32 = "F32"  # as the format names it
_NAMES = {"F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_LARGEST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class BankFile:
    """The checked content of a bank's file.

    Attributes:
        header: Its texts by name: at least the bank's id, collection, base model and fingerprint.
        recipe: How the bank was trained.
        tensors: Float32. For kind tokens the vectors [N, D_e] for each text encoder by its name, as the encoder takes
            them; for kind lora the factors of each layer, see `lora_tensors`.
        training_state: Unshaped vectors and attention weights under `train.`; may be empty.
        metrics: Losses, steps and scores, by name.
        units: The units of the unshaped vectors; empty in banks of version 0.1.
        family: The family of its base model.
        kind: The kind of bank.
        word: The word of the style in prompts; empty for kind tokens.
    """

    header: Mapping[str, str]
    recipe: BankRecipe
    tensors: Mapping[str, Floats]
    training_state: Mapping[str, Floats]
    metrics: Mapping[str, float | None]
    units: tuple[float, ...]
    family: FamilyName
    kind: BankKind = "tokens"
    word: str = ""


@dataclass(frozen=True)
class _Facts:
    """The fields of a header that are no plain texts; the widths are None in files of schema 1, none for kind lora."""

    recipe: BankRecipe
    metrics: Mapping[str, float | None]
    units: tuple[float, ...]
    family: FamilyName
    kind: BankKind
    word: str
    encoders: Mapping[str, int | None]


def read_bank_file(data: bytes) -> BankFile:
    """Read and check a bank's file.

    Raises:
        BankError: The file is no bank, has another schema or kind, is damaged, or has values that are not finite.
    """
    header = _read_header(data)
    stored_tensors = _read_tensors(data)
    facts = _parse_header(header)
    if facts.kind == "lora":
        return _read_lora(header, stored_tensors, facts)
    vectors = {name: _take_matrix(stored_tensors, name, width) for name, width in facts.encoders.items()}
    if not vectors:
        raise BankError(f"bank {header['collection']}: its header names no text encoder; train it again")
    floats = _read_floats(stored_tensors)
    _check_finite(header, {**vectors, **floats}, (*vectors, *stored_tensors))
    for part in vectors.values():
        if len(part) != facts.recipe.num_tokens:
            raise BankError(
                f"bank {header['collection']}: expected {facts.recipe.num_tokens} vectors by its recipe, "
                f"found {len(part)}; train it again"
            )
    return BankFile(header, facts.recipe, vectors, floats, facts.metrics, facts.units, facts.family)


def _read_lora(header: Mapping[str, str], stored_tensors: Mapping[str, Mapping[str, Any]], facts: _Facts) -> BankFile:
    """Take the factors of all layers out of a file, which has nothing else."""
    tensors = _read_floats(stored_tensors)
    _check_finite(header, tensors, stored_tensors)
    try:
        check_layers(tensors, facts.recipe.rank)
    except ValueError as error:
        raise BankError(f"bank {header['collection']}: {error}; train it again") from error
    return BankFile(header, facts.recipe, tensors, {}, facts.metrics, (), facts.family, facts.kind, facts.word)


def to_textual_inversion(token: str, tensors: Mapping[str, Floats], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the vectors of a bank as a textual-inversion file, which diffusers, ComfyUI and A1111 load.

    Source: Gal et al., ICLR 2023; the layout for one text encoder is diffusers': one tensor [N, D_e] named by its
    token. That for SDXL is ComfyUI's and A1111's: `clip_l` and `clip_g`, which diffusers loads encoder by encoder.

    Args:
        token: Stands for the style in prompts of diffusers.
        tensors: See `BankFile.tensors`.
        metadata: Texts of the file's header, by name.
    """
    named = {token: tensors[ONE_ENCODER]} if list(tensors) == [ONE_ENCODER] else tensors
    contiguous = {name: np.ascontiguousarray(values) for name, values in named.items()}
    return sort_metadata(safetensors.numpy.save(contiguous, metadata={"format": "pt", **(metadata or {})}))


def to_lora(tensors: Mapping[str, Floats], rank: int, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the factors of a bank as a LoRA file, which diffusers, A1111 and ComfyUI load; see `to_kohya`."""
    contiguous = {name: np.ascontiguousarray(values) for name, values in to_kohya(tensors, rank).items()}
    return sort_metadata(safetensors.numpy.save(contiguous, metadata={"format": "pt", **(metadata or {})}))


def describe_widths(widths: Mapping[str, int]) -> str:
    """Return widths by the names of text encoders for people: `768`, or `768 (clip_l) and 1280 (clip_g)`."""
    if len(widths) == 1:
        return str(next(iter(widths.values())))
    return " and ".join(f"{width} ({name})" for name, width in widths.items())


def _read_header(data: bytes) -> Mapping[str, str]:
    """Return the metadata of a bank file, checked to be complete and of a schema and kind that this version knows."""
    try:
        if len(data) > _LARGEST_BYTES:
            raise ValueError(f"expected at most {_LARGEST_BYTES:,} bytes, found {len(data):,}")
        header = parse_header(data).metadata
    except ValueError as error:
        raise BankError(
            f"this is no bank file, or a damaged one: {error}; fetch it again or train the bank again"
        ) from error
    schema = header.get("schema")
    if schema not in (SCHEMA, _FIRST_SCHEMA):
        raise BankError(f"bank file: expected schema {SCHEMA}, found {schema}; train it again or upgrade artbank")
    kind = header.get("kind", "tokens")
    is_typed = schema == SCHEMA or kind != "tokens"
    names = _HEADER + _TYPED_HEADER + _OF_KIND.get(kind, ()) if is_typed else _HEADER
    if missing := [name for name in names if name not in header]:
        raise BankError(f"bank file: its header has no {', '.join(missing)}; train the bank again")
    if (kind, header.get("insert", "embedding")) not in INSERT.items():
        known = " or ".join(f"kind {name}, whose insert is {insert}" for name, insert in INSERT.items())
        raise BankError(
            f"bank {header['collection']}: expected {known}, found kind {kind}, whose insert is "
            f"{header.get('insert')}; upgrade artbank, or train it again"
        )
    return header


def _parse_header(header: Mapping[str, str]) -> _Facts:
    try:
        family: Any = header.get("family", "sd")
        if family not in get_args(FamilyName):
            raise ValueError(f"expected family {' or '.join(get_args(FamilyName))}, found {family}")
        recipe = BankRecipe.model_validate_json(header["recipe"])
        if recipe.kind != header.get("kind", "tokens"):
            raise ValueError(f"expected a recipe of kind {header.get('kind')}, found one of kind {recipe.kind}")
        is_lora = recipe.kind == "lora"
        encoders = {} if is_lora else json.loads(header.get("encoders", "null"))
        return _Facts(
            recipe=recipe,
            metrics=dict(json.loads(header["metrics"])),
            units=tuple(float(unit) for unit in header["unit"].split(",")) if "unit" in header else (),
            family=family,
            kind=recipe.kind,
            word=check_word(header["word"]) if is_lora else "",
            encoders={ONE_ENCODER: None} if encoders is None else _check_widths(dict(encoders).items()),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise BankError(
            f"bank {header['collection']}: its header cannot be read: {error}; train it again or upgrade artbank"
        ) from error


def _check_widths(widths: Iterable[tuple[Any, Any]]) -> dict[str, int]:
    return {str(name): int(width) for name, width in widths}


def _read_tensors(data: bytes) -> dict[str, dict[str, Any]]:
    """Return type, shape and bytes of each tensor by its name."""
    try:
        return dict(safetensors.deserialize(data))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BankError(f"bank file is damaged: {error}; fetch it again or train the bank again") from error


def _take_matrix(stored_tensors: dict[str, dict[str, Any]], name: str, width: int | None) -> Floats:
    """Take a tensor [N, width] out of those that were found; any width will do if it is None."""
    entry = stored_tensors.pop(name, None)
    shape = () if entry is None else tuple(entry["shape"])
    if entry is None or len(shape) != 2 or entry["dtype"] != _FLOAT32 or width not in (None, shape[1]):
        given = None if entry is None else (shape, _NAMES.get(entry["dtype"], entry["dtype"]))
        wanted = "N, D" if width is None else f"N, {width}"
        raise BankError(f"bank file: expected float32 {name} [{wanted}], found {given}; train it again")
    return _to_array(entry)


def _read_floats(stored_tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, Floats]:
    """Return the values of all tensors in float32 by name; others are left out."""
    return {name: _to_array(entry) for name, entry in stored_tensors.items() if entry["dtype"] == _FLOAT32}


def _check_finite(header: Mapping[str, str], values: Mapping[str, Floats], names: Iterable[str]) -> None:
    """Check that each of some tensors has values, all of them finite."""
    broken = [name for name in names if name not in values or not np.isfinite(values[name]).all()]
    if broken:
        raise BankError(
            f"bank {header['collection']}: expected finite float32 values, found others in {', '.join(broken)[:400]}; "
            "train it again"
        )


def _to_array(entry: Mapping[str, Any]) -> Floats:
    """Return a tensor's values as an array of its own, which may be changed."""
    return np.frombuffer(entry["data"], "<f4").reshape(entry["shape"]).copy()
