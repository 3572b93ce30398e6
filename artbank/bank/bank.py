"""The Implicit Style Prompt Bank (ISPB) of one collection, during training and as a file.

Shape legend: S banks, N vectors in each, D width of a text embedding (768 for Stable Diffusion 1.x).

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.func import functional_call

from artbank.bank.attention import build_attention
from artbank.bank.bank_file import SCHEMA, read_bank_file, to_textual_inversion
from artbank.errors import BankError
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import sort_metadata

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel

_INITIAL_SIZE = 0.3  # of the vectors, in their unit; two painters' CLIP gain was higher than from 1 or a word's size
_INITIAL_NOISE = 0.1  # added to the embedding of the initialiser word, as a share of its size


class TrainableBank(nn.Module):
    """A bank during training: its vectors, in the text encoder's unit, and the attention that shapes them."""

    def __init__(self, recipe: BankRecipe, width: int, unit: float):
        """Make a bank of zeros.

        Args:
            recipe: Gives N and the kind of attention.
            width: Width of a vector, D.
            unit: The size of a vector whose entries have a root mean square of 1, see `PromptEncoder.layer_rms`.
        """
        super().__init__()
        self.unit = unit
        self.vectors = nn.Parameter(torch.zeros(recipe.num_tokens, width))
        self.attention = build_attention(recipe.attention, width)

    @classmethod
    def start(cls, recipe: BankRecipe, base: BaseModel) -> TrainableBank:
        """Make a bank of the initialiser word's embedding, scaled to a part of the unit, plus a little noise.

        All initial values follow from `recipe.seed`.
        """
        generator = torch.Generator().manual_seed(recipe.seed)
        bank = cls(recipe, base.text_width, base.prompt_encoder.layer_rms)
        for module in bank.attention.modules():
            if isinstance(module, nn.Linear):
                bound = (3 / module.in_features) ** 0.5  # keeps the variance of its input
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        word = base.prompt_encoder.embed_words(recipe.init_word).mean(0).cpu()  # [D]
        noise = torch.randn(bank.vectors.shape, generator=generator)
        with torch.no_grad():
            bank.vectors.copy_(_INITIAL_SIZE * (word / word.square().mean().sqrt() + _INITIAL_NOISE * noise))
        return bank.to(base.device)

    def forward(self) -> Tensor:
        """Return the vectors [N, D] as the text encoder takes them."""
        return self.attention(self.vectors) * self.unit

    def continue_from(self, bank: Bank) -> None:
        """Go on with an older bank.

        Its vectors and attention are loaded if they have this bank's shapes and unit. Otherwise its vectors, as its
        attention shaped them, are where the vectors start; the attention stays as it is and does not change them yet.

        Raises:
            BankError: The bank has another number or width of vectors, or this attention changes them from the start.
        """
        state = {name.removeprefix("train."): tensor for name, tensor in bank.training_state.items()}
        if bank.unit == self.unit and _shapes(state) == _shapes(self.state_dict()):
            self.load_state_dict(state)
            return
        if bank.vectors.shape != self.vectors.shape:
            raise BankError(
                f"bank {bank.collection}: expected vectors {list(self.vectors.shape)} to start from, found "
                f"{list(bank.vectors.shape)}"
            )
        with torch.no_grad():
            start = bank.vectors.to(self.vectors) / self.unit
            if not torch.equal(self.attention(start), start):
                raise BankError(
                    f"bank {bank.collection}: its vectors are in another unit, and the attention `released` cannot "
                    "start from them"
                )
            self.vectors.copy_(start)


def forward_banks(banks: Sequence[TrainableBank]) -> Tensor:
    """Return the vectors [S, N, D] of several banks of one shape, by one call of their attention.

    Gradients flow to each bank's own parameters.
    """
    parameters_of = [dict(bank.named_parameters()) for bank in banks]
    stacked = {name: torch.stack([own[name] for own in parameters_of]) for name in parameters_of[0]}
    return torch.vmap(lambda parameters: functional_call(banks[0], parameters, ()))(stacked)


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
        vectors: [N, D] float32, as the text encoder takes them: shaped by the attention.
        training_state: Unshaped vectors and attention weights under `train.`, for warm starts; may be empty.
        metrics: Losses, steps and scores, by name.
        unit: The unit of the unshaped vectors, see `TrainableBank`; None in banks of version 0.1.
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
    unit: float | None = None

    def to_bytes(self) -> bytes:
        """Return the bank as a safetensors file; all but the tensors is in its header. Equal banks have equal bytes."""
        header = {
            "schema": SCHEMA,
            "bank_id": self.bank_id,
            "collection": self.collection,
            "base_model": self.base_model,
            "base_model_hash": self.base_model_hash,
            "fingerprint": self.fingerprint,
            "recipe": self.recipe.model_dump_json(),
            "metrics": json.dumps(dict(self.metrics), sort_keys=True),
            **({} if self.unit is None else {"unit": repr(self.unit)}),
        }
        tensors = {"vectors": self.vectors, **self.training_state}
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        return sort_metadata(safetensors.torch.save(whole, metadata=header))

    @classmethod
    def from_bytes(cls, data: bytes) -> Bank:
        """Read a bank file, trusting nothing in it.

        Raises:
            BankError: The file is no bank, has another schema, is damaged, or has values that are not finite.
        """
        file = read_bank_file(data)
        return cls(
            bank_id=file.header["bank_id"],
            collection=file.header["collection"],
            base_model=file.header["base_model"],
            base_model_hash=file.header["base_model_hash"],
            fingerprint=file.header["fingerprint"],
            recipe=file.recipe,
            vectors=torch.from_numpy(file.vectors),
            training_state={name: torch.from_numpy(values) for name, values in file.training_state.items()},
            metrics=file.metrics,
            unit=file.unit,
        )

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
        if self.vectors.shape[1] != base.text_width:
            raise BankError(
                f"bank {self.collection}: expected vectors of width {base.text_width} for {base.id}, "
                f"found {self.vectors.shape[1]}; train it again"
            )

    def to_textual_inversion(self) -> bytes:
        """Return the vectors as a textual-inversion file; see `bank_file.to_textual_inversion`."""
        return to_textual_inversion(self.collection, self.vectors.numpy())


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
