"""A trained bank; `bank_file` has the layout of its file.

Shape legend: N vectors in a bank; E text encoders of its base model, D_e the width of a vector for one of them, D their
sum. A row [D] has the vector for every encoder, one after the other.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from artbank.bank.bank_facts import BankFacts
from artbank.bank.bank_file import ONE_ENCODER, BankFile, describe_widths, read_bank_file
from artbank.errors import BankError

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel


@dataclass(frozen=True)
class Bank(BankFacts):
    """A trained bank of kind `tokens`, as stylization uses it; `lora_bank` has the other kind.

    Attributes:
        vectors: [N, D] float32, as the text encoders take them: shaped by the attention.
        training_state: Unshaped vectors and attention weights under `train.`, for warm starts; may be empty.
        units: The units of the unshaped vectors, see `TrainableBank`; empty in banks of version 0.1.
        encoders: Width D_e of the vectors for each text encoder by its name; empty for a single one.
    """

    kind = "tokens"

    vectors: Tensor
    training_state: Mapping[str, Tensor] = field(default_factory=dict)
    units: tuple[float, ...] = ()
    encoders: Mapping[str, int] = field(default_factory=dict)

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
        header = {"encoders": json.dumps(self.widths)}
        if self.units:
            header["unit"] = ",".join(map(repr, self.units))
        return self._pack({**self.tensors, **self.training_state}, header)

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
        if file.kind != cls.kind:
            raise BankError(f"bank {file.header['collection']}: expected kind tokens, found kind {file.kind}")
        vectors = torch.cat([torch.from_numpy(part) for part in file.tensors.values()], dim=1)
        widths = {name: part.shape[1] for name, part in file.tensors.items()}
        return cls._with_facts(
            file,
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
        self._check_base_model(base)
        if self.widths != base.text_widths:
            raise BankError(
                f"bank {self.collection}: expected vectors of width {describe_widths(base.text_widths)} for {base.id}, "
                f"found {describe_widths(self.widths)}; train it again"
            )

    def encode_prompts(self, base: BaseModel, prompts: Sequence[str]) -> Tensor:
        """Encode prompts with the vectors in place of `{style}`, [B, L, D]."""
        return base.encode_prompts(prompts, self.vectors)
