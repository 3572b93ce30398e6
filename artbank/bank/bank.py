"""A trained bank, and its file.

A file is safetensors with all facts in its header. A bank of `kind` tokens has vectors that take the place of words in
a prompt, `insert` embedding: one tensor for each text encoder of its base model. `encoders` names these tensors and
their widths. For one encoder it is `vectors`, for SDXL `clip_l` and `clip_g`, as A1111 and ComfyUI name them. Files of
schema 1 are of kind tokens, for one text encoder, and do not say so.

Shape legend: N vectors in a bank; E text encoders of its base model, D_e the width of a vector for one of them, D their
sum. A row [D] has the vector for every encoder, one after the other.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from artbank.diffusion.family import FamilyName
from artbank.errors import BankError
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import parse_header, sort_metadata

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel

Kind = Literal["tokens"]

SCHEMA = "artbank.bank/2"
_FIRST_SCHEMA = "artbank.bank/1"
_HEADER = ("schema", "bank_id", "collection", "base_model", "base_model_hash", "fingerprint", "recipe", "metrics")
_TYPED_HEADER = ("kind", "insert", "family", "encoders")
_INSERT = {"tokens": "embedding"}
"""Where the rows of a bank go, by its kind: in place of the embeddings of words."""

_ONE_ENCODER = "vectors"  # the name of the tensor of a bank for a single text encoder
_LARGEST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Bank:
    """A trained bank, as stylization uses it.

    Attributes:
        bank_id: Its id in the catalog.
        collection: Id of the collection it learned.
        base_model: Name, folder or URI by which the training run named its base model.
        base_model_hash: SHA-256 of that model's files.
        fingerprint: Fingerprint of the collection it learned.
        recipe: How it was trained.
        vectors: [N, D] float32, as the text encoders take them: shaped by the attention.
        training_state: Unshaped vectors and attention weights under `train.`, for warm starts; may be empty.
        metrics: Losses, steps and scores, by name.
        units: The units of the unshaped vectors, see `TrainableBank`; empty in banks of version 0.1.
        family: The family of its base model.
        encoders: Width D_e of the vectors for each text encoder by its name; empty for a single one.
        kind: `tokens`: rows in place of words.
    """

    bank_id: str
    collection: str
    base_model: str
    base_model_hash: str
    fingerprint: str
    recipe: BankRecipe
    vectors: Tensor
    training_state: Mapping[str, Tensor] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    units: tuple[float, ...] = ()
    family: FamilyName = "sd"
    encoders: Mapping[str, int] = field(default_factory=dict)
    kind: Kind = "tokens"

    @property
    def widths(self) -> dict[str, int]:
        """Width of the vectors for each text encoder, by the name of their tensor."""
        return dict(self.encoders) or {_ONE_ENCODER: self.vectors.shape[-1]}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The vectors [N, D_e] for each text encoder, by the name of their tensor."""
        parts = self.vectors.split(list(self.widths.values()), dim=-1)
        return dict(zip(self.widths, parts, strict=True))

    def to_bytes(self) -> bytes:
        """Return the bank as a safetensors file; all but the tensors is in its header. Equal banks have equal bytes."""
        header = {
            "schema": SCHEMA,
            "kind": self.kind,
            "insert": _INSERT[self.kind],
            "family": self.family,
            "encoders": json.dumps(self.widths),
            "bank_id": self.bank_id,
            "collection": self.collection,
            "base_model": self.base_model,
            "base_model_hash": self.base_model_hash,
            "fingerprint": self.fingerprint,
            "recipe": self.recipe.model_dump_json(),
            "metrics": json.dumps(dict(self.metrics), sort_keys=True),
            **({"unit": ",".join(map(repr, self.units))} if self.units else {}),
        }
        tensors = {**self.tensors, **self.training_state}
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        return sort_metadata(safetensors.torch.save(whole, metadata=header))

    @classmethod
    def from_bytes(cls, data: bytes) -> Bank:
        """Read a bank file, trusting nothing in it.

        Raises:
            BankError: The file is no bank, has another schema or kind, is damaged, or has values that are not finite.
        """
        header = _read_header(data)
        tensors = _read_tensors(data)
        facts = _parse_header(header)
        vectors = _pop_vectors(header["collection"], tensors, facts["encoders"])
        recipe: BankRecipe = facts["recipe"]
        if broken := [name for name, tensor in tensors.items() if not _is_finite_float32(tensor)]:
            raise _not_finite(header["collection"], broken)
        if len(vectors) != recipe.num_tokens:
            raise BankError(
                f"bank {header['collection']}: expected {recipe.num_tokens} vectors by its recipe, "
                f"found {len(vectors)}; train it again"
            )
        names = ("bank_id", "collection", "base_model", "base_model_hash", "fingerprint")
        texts: dict[str, Any] = {name: header[name] for name in names}
        if list(facts["encoders"]) == [_ONE_ENCODER]:
            facts["encoders"] = {}
        return cls(**texts, **facts, vectors=vectors, training_state=tensors)

    def check_fits(self, base: BaseModel) -> None:
        """Check that the bank was trained on a base model.

        Raises:
            BankError: The bank was trained on another one.
        """
        if self.base_model_hash != base.hash:
            raise BankError(
                f"bank {self.collection} was trained on {self.base_model} ({self.base_model_hash[:12]}), this run uses "
                f"{base.id} ({base.hash[:12]}); train it again or pass base_model={self.base_model}"
            )
        if self.widths != base.text_widths:
            raise BankError(
                f"bank {self.collection}: expected vectors of width {_describe(base.text_widths)} for {base.id}, "
                f"found {_describe(self.widths)}; train it again"
            )

    def to_textual_inversion(self, token: str, metadata: Mapping[str, str] | None = None) -> bytes:
        """Return the vectors as a textual-inversion file, which diffusers, ComfyUI and A1111 load.

        Source: Gal et al., ICLR 2023; the layout for one text encoder is diffusers': one tensor [N, D] named by its
        token. That for SDXL is ComfyUI's and A1111's: `clip_l` and `clip_g`, which diffusers loads encoder by encoder.

        Args:
            token: Stands for the style in prompts of diffusers.
            metadata: Texts of the file's header, by name.
        """
        header = {"format": "pt", **(metadata or {})}
        named = self.tensors if self.encoders else {token: self.vectors}
        whole = {name: tensor.contiguous() for name, tensor in named.items()}
        return sort_metadata(safetensors.torch.save(whole, metadata=header))


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
    names = _HEADER + _TYPED_HEADER if schema == SCHEMA else _HEADER
    if missing := [name for name in names if name not in header]:
        raise BankError(f"bank file: its header has no {', '.join(missing)}; train the bank again")
    kind = header.get("kind", "tokens")
    if header.get("insert", "embedding") != _INSERT.get(kind):
        raise BankError(
            f"bank {header['collection']}: expected kind tokens, whose insert is embedding, found kind {kind}, whose "
            f"insert is {header.get('insert')}; upgrade artbank, or train it again"
        )
    return header


def _parse_header(header: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a bank that are no plain texts; `encoders` is None in files of schema 1."""
    try:
        if header.get("family", "sd") not in get_args(FamilyName):
            raise ValueError(f"expected family {' or '.join(get_args(FamilyName))}, found {header['family']}")
        encoders = json.loads(header.get("encoders", "null"))
        return {
            "recipe": BankRecipe.model_validate_json(header["recipe"]),
            "metrics": dict(json.loads(header["metrics"])),
            "units": tuple(float(unit) for unit in header["unit"].split(",")) if "unit" in header else (),
            "family": header.get("family", "sd"),
            "encoders": {_ONE_ENCODER: None} if encoders is None else dict(encoders),
        }
    except (ValueError, TypeError, RecursionError) as error:
        raise BankError(
            f"bank {header['collection']}: its header cannot be read: {error}; train it again or upgrade artbank"
        ) from error


def _read_tensors(data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise BankError(f"bank file is damaged: {error}; fetch it again or train the bank again") from error


def _pop_vectors(collection: str, tensors: dict[str, Tensor], encoders: Mapping[str, int | None]) -> Tensor:
    """Take the vectors for each text encoder out of the tensors of a file, and return them joined, [N, D]."""
    parts: list[Tensor] = []
    for name, width in encoders.items():
        part = tensors.pop(name, None)
        if part is None or not _is_matrix(part, width) or (parts and len(part) != len(parts[0])):
            found = None if part is None else (tuple(part.shape), part.dtype)
            wanted = "N, D" if width is None else f"N, {width}"
            raise BankError(f"bank file: expected float32 {name} [{wanted}], found {found}; train it again")
        if not _is_finite_float32(part):
            raise _not_finite(collection, [name])
        parts.append(part)
    if not parts:
        raise BankError(f"bank {collection}: its header names no text encoder; train it again")
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _is_matrix(tensor: Tensor, width: int | None) -> bool:
    """Tell whether a tensor is float32 [N, width], of any width if None."""
    return tensor.ndim == 2 and tensor.dtype == torch.float32 and width in (None, tensor.shape[1])


def _not_finite(collection: str, names: Sequence[str]) -> BankError:
    return BankError(
        f"bank {collection}: expected finite float32 values, found others in {', '.join(names)}; train it again"
    )


def _describe(widths: Mapping[str, int]) -> str:
    """Return the widths for people: `768`, or `768 (clip_l) and 1280 (clip_g)`."""
    if len(widths) == 1:
        return str(next(iter(widths.values())))
    return " and ".join(f"{width} ({name})" for name, width in widths.items())


def _is_finite_float32(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool(tensor.isfinite().all())
