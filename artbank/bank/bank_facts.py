"""The facts that banks of every kind have, and their part of a bank's file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import safetensors.torch
from torch import Tensor

from artbank.bank.bank_file import INSERT, SCHEMA, BankFile
from artbank.diffusion.family import FamilyName
from artbank.errors import BankError
from artbank.parameters.bank_recipe import BankKind
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import sort_metadata

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel


@dataclass(frozen=True)
class BankFacts:
    """A trained bank of any kind, without what it learned.

    Attributes:
        bank_id: Its id in the catalog.
        collection: Id of the collection it learned.
        base_model: Name, folder or URI by which the training run named its base model.
        base_model_hash: SHA-256 of that model's files.
        fingerprint: Fingerprint of the collection it learned.
        recipe: How it was trained.
        metrics: Losses, steps and scores, by name.
        family: The family of its base model.
    """

    kind: ClassVar[BankKind]

    bank_id: str
    collection: str
    base_model: str
    base_model_hash: str
    fingerprint: str
    recipe: BankRecipe
    metrics: Mapping[str, float | None] = field(default_factory=dict, kw_only=True)
    family: FamilyName = field(default="sd", kw_only=True)

    @classmethod
    def _with_facts(cls, file: BankFile, **learned: Any) -> Self:
        """Return a bank of what it learned and the facts in the checked content of its file."""
        named = ("bank_id", "collection", "base_model", "base_model_hash", "fingerprint")
        facts: dict[str, Any] = {name: file.header[name] for name in named}
        return cls(**facts, recipe=file.recipe, metrics=file.metrics, family=file.family, **learned)

    def _pack(self, tensors: Mapping[str, Tensor], facts_of_kind: Mapping[str, str]) -> bytes:
        """Return the bank as a safetensors file; equal banks have equal bytes.

        Args:
            tensors: By name, on any device.
            facts_of_kind: What only the headers of this kind of bank have.
        """
        header = {
            "schema": SCHEMA,
            "kind": self.kind,
            "insert": INSERT[self.kind],
            "family": self.family,
            "bank_id": self.bank_id,
            "collection": self.collection,
            "base_model": self.base_model,
            "base_model_hash": self.base_model_hash,
            "fingerprint": self.fingerprint,
            "recipe": self.recipe.to_json(),
            "metrics": json.dumps(dict(self.metrics), sort_keys=True),
            **facts_of_kind,
        }
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        return sort_metadata(safetensors.torch.save(contiguous, metadata=header))

    def _check_base_model(self, base: BaseModel) -> None:
        """Check that the bank was trained on a base model.

        Raises:
            BankError: It was trained on another one.
        """
        if self.base_model_hash != base.hash:
            raise BankError(
                f"bank {self.collection} was trained on {self.base_model} ({self.base_model_hash[:12]}), this run uses "
                f"{base.id} ({base.hash[:12]}); train it again or pass base_model={self.base_model}"
            )
