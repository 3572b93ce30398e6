"""The Implicit Style Prompt Bank of one collection: as it trains, and as it is kept.

Shape legend: S banks, N vectors in each, D width of a text embedding (768 for Stable Diffusion 1.x).

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.func import functional_call

from artbank.bank.attention import build_attention
from artbank.errors import BankError
from artbank.recipes import BankRecipe
from artbank.store.tensor_files import parse_header

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel

SCHEMA = "artbank.bank/1"
_HEADER = ("schema", "bank_id", "collection", "base_model", "base_model_hash", "fingerprint", "recipe", "metrics")
_LARGEST_BYTES = 256 * 2**20
_NOISE = 0.1  # of the first values, beside 1 for the word itself


class TrainableBank(nn.Module):
    """A bank while it trains: its vectors in the vocabulary's unit, and the attention that shapes them."""

    def __init__(self, recipe: BankRecipe, width: int, unit: float):
        """Open an empty bank.

        Args:
            recipe: Gives N and the attention.
            width: D.
            unit: Root mean square of the vocabulary's entries.
        """
        super().__init__()
        self.unit = unit
        self.vectors = nn.Parameter(torch.zeros(recipe.num_tokens, width))
        self.attention = build_attention(recipe.attention, width)

    @classmethod
    def start(cls, recipe: BankRecipe, base: BaseModel) -> TrainableBank:
        """Start from the initialiser word's embedding, brought to a word's usual size, plus a little noise.

        Every first value follows from `recipe.seed`.
        """
        generator = torch.Generator().manual_seed(recipe.seed)
        bank = cls(recipe, base.text_width, base.prompt_encoder.vocabulary_rms)
        for module in bank.attention.modules():
            if isinstance(module, nn.Linear):
                bound = (3 / module.in_features) ** 0.5  # keeps the variance of what it maps
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        word = base.prompt_encoder.embed_words(recipe.init_word).mean(0).cpu()  # [D]
        noise = torch.randn(bank.vectors.shape, generator=generator)
        with torch.no_grad():
            bank.vectors.copy_(word / word.square().mean().sqrt() + _NOISE * noise)
        return bank.to(base.device)

    def forward(self) -> Tensor:
        """Return the vectors [N, D] as the text encoder takes them."""
        return self.attention(self.vectors) * self.unit

    def continue_from(self, bank: Bank) -> bool:
        """Take over an older bank's vectors and attention; False, and no change, where the shapes differ."""
        state = {name.removeprefix("train."): tensor for name, tensor in bank.training_state.items()}
        own = self.state_dict()
        if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in own.items()}:
            return False
        self.load_state_dict(state)
        return True


def forward_banks(banks: Sequence[TrainableBank]) -> Tensor:
    """Return the vectors [S, N, D] of several banks of one shape, by one call of their attention.

    Gradients flow to each bank's own parameters.
    """
    own = [dict(bank.named_parameters()) for bank in banks]
    stacked = {name: torch.stack([parameters[name] for parameters in own]) for name in own[0]}
    return torch.vmap(lambda parameters: functional_call(banks[0], parameters, ()))(stacked)


@dataclass(frozen=True)
class Bank:
    """A trained bank, folded: what stylization takes.

    Attributes:
        bank_id: Its id in the catalog.
        collection: Name of the collection it learned.
        base_model: What its base model was asked for by.
        base_model_hash: SHA-256 of that model's files.
        fingerprint: Of the gallery it learned from.
        recipe: How it was trained.
        vectors: [N, D] float32, as the text encoder takes them.
        training_state: Raw vectors and attention weights under `train.`, for warm starts; may be empty.
        metrics: Losses, steps, scores: plain numbers by name.
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

    def to_bytes(self) -> bytes:
        """Return the bank as a safetensors file, everything but the tensors in its header."""
        header = {
            "schema": SCHEMA,
            "bank_id": self.bank_id,
            "collection": self.collection,
            "base_model": self.base_model,
            "base_model_hash": self.base_model_hash,
            "fingerprint": self.fingerprint,
            "recipe": self.recipe.model_dump_json(),
            "metrics": json.dumps(dict(self.metrics), sort_keys=True),
        }
        tensors = {"vectors": self.vectors, **self.training_state}
        return safetensors.torch.save({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, metadata=header)

    @classmethod
    def from_bytes(cls, data: bytes) -> Bank:
        """Read a bank file, trusting nothing in it.

        Raises:
            BankError: It is no bank, of another schema, damaged, or holds values that are not finite.
        """
        header = _read_header(data)
        tensors = _read_tensors(data)
        vectors = tensors.pop("vectors", None)
        if vectors is None or vectors.ndim != 2 or vectors.dtype != torch.float32:
            found = None if vectors is None else (tuple(vectors.shape), vectors.dtype)
            raise BankError(f"bank file: expected float32 vectors [N, D], found {found}; train it again")
        broken = [name for name, tensor in {"vectors": vectors, **tensors}.items() if not _is_sound(tensor)]
        if broken:
            names = ", ".join(broken)
            raise BankError(
                f"bank {header['collection']}: {names} hold values not finite or no float32; train it again"
            )
        try:
            recipe = BankRecipe.model_validate_json(header["recipe"])
            metrics = dict(json.loads(header["metrics"]))
        except (ValueError, TypeError, RecursionError) as error:
            raise BankError(f"bank {header['collection']}: its header cannot be read: {error}") from error
        if len(vectors) != recipe.num_tokens:
            raise BankError(
                f"bank {header['collection']}: expected {recipe.num_tokens} vectors by its recipe, found {len(vectors)}"
            )
        names = ("bank_id", "collection", "base_model", "base_model_hash", "fingerprint")
        return cls(
            **{n: header[n] for n in names}, recipe=recipe, vectors=vectors, training_state=tensors, metrics=metrics
        )

    def check_fits(self, base: BaseModel) -> None:
        """Check that the bank was trained on a base model.

        Raises:
            BankError: It was trained on another one.
        """
        if self.base_model_hash != base.hash:
            raise BankError(
                f"bank {self.collection} was trained on {self.base_model} ({self.base_model_hash[:12]}), this run uses "
                f"{base.id} ({base.hash[:12]}); train it again or pass base_model={self.base_model}"
            )
        if self.vectors.shape[1] != base.text_width:
            raise BankError(
                f"bank {self.collection}: its vectors are {self.vectors.shape[1]} wide, not {base.text_width}"
            )

    def to_textual_inversion(self) -> bytes:
        """Return the vectors as a standard textual-inversion file, which diffusers, ComfyUI and A1111 load.

        Source: Gal et al., ICLR 2023; the layout is diffusers': one tensor [N, D] named by its token.
        """
        token = f"<{re.sub(r'[^A-Za-z0-9-]', '-', self.collection).lower()}>"
        return safetensors.torch.save({token: self.vectors.contiguous()}, metadata={"format": "pt"})


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


def _read_tensors(data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise BankError(f"bank file is damaged: {error}; fetch it again or train the bank again") from error


def _is_sound(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool(tensor.isfinite().all())
