"""A trained bank; `bank_file` has the layout of its file.

Shape legend: N vectors in a bank; E text encoders of its base model, D_e the width of a vector for one of them, D their
sum. A row [D] has the vector for every encoder, one after the other.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import safetensors.torch
import torch
from torch import Tensor

from artbank.bank.bank_file import (
    INSERT,
    ONE_ENCODER,
    SCHEMA,
    BankFile,
    describe_widths,
    read_bank_file,
    to_textual_inversion,
)
from artbank.bank_recipe import BankKind
from artbank.diffusion.family import FamilyName
from artbank.errors import BankError
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import sort_metadata

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel


@dataclass(frozen=True)
class Bank:
    """A trained bank of kind `tokens`, as stylization uses it; `lora_bank` has the other kind.

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
    kind: BankKind = "tokens"

    @property
    def widths(self) -> dict[str, int]:
        """Width of the vectors for each text encoder, by the name of their tensor."""
        return dict(self.encoders) or {ONE_ENCODER: self.vectors.shape[-1]}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The vectors [N, D_e] for each text encoder, by the name of their tensor."""
        parts = self.vectors.split(list(self.widths.values()), dim=-1)
        return dict(zip(self.widths, parts, strict=True))

    def to_bytes(self) -> bytes:
        """Return the bank as a safetensors file; all but the tensors is in its header. Equal banks have equal bytes."""
        own = {"encoders": json.dumps(self.widths)}
        if self.units:
            own["unit"] = ",".join(map(repr, self.units))
        return pack(self, {**self.tensors, **self.training_state}, own)

    @classmethod
    def from_bytes(cls, data: bytes) -> Bank:
        """Read the file of a bank of this kind, trusting nothing in it; `lora_bank.read_bank` reads both kinds.

        Raises:
            BankError: The file is no bank, has another schema or kind, is damaged, or has values that are not finite.
        """
        return cls.from_file(read_bank_file(data))

    @classmethod
    def from_file(cls, file: BankFile) -> Bank:
        """Take a bank from the checked content of its file.

        Raises:
            BankError: It is of another kind.
        """
        if file.kind != "tokens":
            raise BankError(f"bank {file.header['collection']}: expected kind tokens, found kind {file.kind}")
        vectors = torch.cat([torch.from_numpy(part) for part in file.tensors.values()], dim=1)
        widths = {name: part.shape[1] for name, part in file.tensors.items()}
        return cls(
            **read_facts(file),
            vectors=vectors,
            training_state={name: torch.from_numpy(values) for name, values in file.training_state.items()},
            units=file.units,
            encoders={} if list(widths) == [ONE_ENCODER] else widths,
        )

    def check_fits(self, base: BaseModel) -> None:
        """Check that the bank was trained on a base model.

        Raises:
            BankError: The bank was trained on another one.
        """
        check_base_model(self, base)
        if self.widths != base.text_widths:
            raise BankError(
                f"bank {self.collection}: expected vectors of width {describe_widths(base.text_widths)} for {base.id}, "
                f"found {describe_widths(self.widths)}; train it again"
            )

    def encode_prompts(self, base: BaseModel, prompts: Sequence[str]) -> Tensor:
        """Encode prompts with the vectors in place of `{style}`, [B, L, D]."""
        return base.encode_prompts(prompts, self.vectors)

    def to_textual_inversion(self, token: str, metadata: Mapping[str, str] | None = None) -> bytes:
        """Return the vectors as a textual-inversion file; see `bank_file.to_textual_inversion`."""
        return to_textual_inversion(token, {name: part.numpy() for name, part in self.tensors.items()}, metadata)


class BankFacts(Protocol):
    """The facts that banks of every kind have, named as in `Bank`."""

    @property
    def bank_id(self) -> str: ...
    @property
    def collection(self) -> str: ...
    @property
    def base_model(self) -> str: ...
    @property
    def base_model_hash(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def recipe(self) -> BankRecipe: ...
    @property
    def metrics(self) -> Mapping[str, float | None]: ...
    @property
    def family(self) -> FamilyName: ...
    @property
    def kind(self) -> BankKind: ...


def pack(bank: BankFacts, tensors: Mapping[str, Tensor], own: Mapping[str, str]) -> bytes:
    """Return a bank of any kind as a safetensors file; equal banks have equal bytes.

    Args:
        bank: Its facts go to the header.
        tensors: By name, on any device.
        own: What the header of its kind has besides.
    """
    header = {
        "schema": SCHEMA,
        "kind": bank.kind,
        "insert": INSERT[bank.kind],
        "family": bank.family,
        "bank_id": bank.bank_id,
        "collection": bank.collection,
        "base_model": bank.base_model,
        "base_model_hash": bank.base_model_hash,
        "fingerprint": bank.fingerprint,
        "recipe": bank.recipe.to_json(),
        "metrics": json.dumps(dict(bank.metrics), sort_keys=True),
        **own,
    }
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return sort_metadata(safetensors.torch.save(whole, metadata=header))


def read_facts(file: BankFile) -> dict[str, Any]:
    """Return the facts that banks of every kind have, by attribute, from the checked content of a bank's file."""
    named = ("bank_id", "collection", "base_model", "base_model_hash", "fingerprint")
    facts = {name: file.header[name] for name in named}
    return {**facts, "recipe": file.recipe, "metrics": file.metrics, "family": file.family}


def check_base_model(bank: BankFacts, base: BaseModel) -> None:
    """Check that a bank was trained on a base model.

    Raises:
        BankError: It was trained on another one.
    """
    if bank.base_model_hash != base.hash:
        raise BankError(
            f"bank {bank.collection} was trained on {bank.base_model} ({bank.base_model_hash[:12]}), this run uses "
            f"{base.id} ({base.hash[:12]}); train it again or pass base_model={bank.base_model}"
        )
