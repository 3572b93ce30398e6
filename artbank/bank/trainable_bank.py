"""The Implicit Style Prompt Bank (ISPB) of one collection during training.

Shape legend: S banks, N vectors in each; E text encoders of the base model, D_e the width of a vector for one of them,
D their sum (768 for Stable Diffusion 1.x, 768 + 1280 for SDXL). A row [D] has the vector for every encoder, one after
the other.

Source: ArtBank, Zhang et al., AAAI 2024, section "Implicit Style Prompt Bank". With several text encoders each has
vectors and an attention of its own; they learn together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from artbank.bank.attention import build_attention
from artbank.bank.bank import Bank
from artbank.errors import BankError
from artbank.recipes import BankRecipe

if TYPE_CHECKING:
    from artbank.bank.lora_bank import AnyBank
    from artbank.diffusion.base_model import BaseModel

INITIAL_SIZE = 0.3
"""Size of the vectors at the start, in their unit; two painters' CLIP gain was higher than from 1 or a word's size."""
_GATE_RATE = 1 / 3  # of the attention's gates, as a share of the vectors' learning rate
_MATRIX_RATE = 0.02  # of its matrices and norms
_INITIAL_NOISE = 0.1  # added to the embedding of the initialiser word, as a share of its size


class AttentionOfEach(nn.Module):
    """The same kind of attention for the vectors of each text encoder, with weights of its own for each."""

    def __init__(self, kind: str, widths: Sequence[int]):
        """Build the attention of a name in `bank_recipe.Attention` for vectors of widths D_e."""
        super().__init__()
        self.widths = tuple(widths)
        self.each = nn.ModuleList(build_attention(kind, width) for width in widths)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the shaped vectors, [N, D]."""
        parts = vectors.split(self.widths, dim=-1)
        return torch.cat([attention(part) for attention, part in zip(self.each, parts, strict=True)], dim=-1)


class TrainableBank(nn.Module):
    """A bank during training: its vectors, in the text encoders' units, and the attention that shapes them."""

    def __init__(self, recipe: BankRecipe, widths: Mapping[str, int], units: Sequence[float]):
        """Make a bank of zeros.

        Args:
            recipe: Gives N and the kind of attention.
            widths: Width D_e of a vector for each text encoder, by the encoder's name.
            units: For each encoder the size of a vector whose entries have a root mean square of 1, see
                `PromptEncoder.layer_rms`.
        """
        super().__init__()
        self.widths = dict(widths)
        self.units = tuple(units)
        self.vectors = nn.Parameter(torch.zeros(recipe.num_tokens, sum(widths.values())))
        self.attention = _build_attention(recipe.attention, list(widths.values()))

    @classmethod
    def start(cls, recipe: BankRecipe, base: BaseModel) -> TrainableBank:
        """Make a bank of the initialiser word's embedding, scaled to a part of the unit, plus a little noise.

        All initial values follow from `recipe.seed`.
        """
        generator = torch.Generator().manual_seed(recipe.seed)
        bank = cls(recipe, base.text_widths, [encoder.layer_rms for encoder in base.prompt_encoders])
        for module in bank.attention.modules():
            if isinstance(module, nn.Linear):
                bound = (3 / module.in_features) ** 0.5  # keeps the variance of its input
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        words = [encoder.embed_words(recipe.init_word).mean(0).cpu() for encoder in base.prompt_encoders]  # each [D_e]
        start = torch.cat([word / word.square().mean().sqrt() for word in words])  # [D]
        noise = torch.randn(bank.vectors.shape, generator=generator)
        with torch.no_grad():
            bank.vectors.copy_(INITIAL_SIZE * (start + _INITIAL_NOISE * noise))
        return bank.to(base.device)

    def forward(self) -> Tensor:
        """Return the vectors [N, D] as the text encoders take them."""
        return self._scale(self.attention(self.vectors))

    def continue_from(self, bank: AnyBank) -> None:
        """Go on with an older bank.

        Its vectors and attention are loaded if they have this bank's shapes and units. Otherwise its vectors, as its
        attention shaped them, are where the vectors start; the attention stays as it is and does not change them yet.

        Raises:
            BankError: The bank is of another kind, has another number or width of vectors, or this attention changes
                them from the start.
        """
        if not isinstance(bank, Bank):
            raise BankError(
                f"bank {bank.collection}: expected a bank of kind tokens to start from, found kind {bank.kind}"
            )
        state = {name.removeprefix("train."): tensor for name, tensor in bank.training_state.items()}
        if bank.units == self.units and _shapes(state) == _shapes(self.state_dict()):
            self.load_state_dict(state)
            return
        if bank.vectors.shape != self.vectors.shape:
            raise BankError(
                f"bank {bank.collection}: expected vectors {list(self.vectors.shape)} to start from, found "
                f"{list(bank.vectors.shape)}"
            )
        with torch.no_grad():
            start = self._scale(bank.vectors.to(self.vectors), back=True)
            if not torch.equal(self.attention(start), start):
                raise BankError(
                    f"bank {bank.collection}: its vectors are in another unit, and the attention `released` cannot "
                    "start from them"
                )
            self.vectors.copy_(start)

    def group_parameters(self) -> list[dict[str, Any]]:
        """Return the optimiser's groups, each with its `share` of the learning rate: vectors, gates, all the rest.

        Gates are single numbers that start at 0; a matrix acts on all vectors at once, so a small step of it goes far.
        """
        named = dict(self.named_parameters())
        vectors = [named.pop("vectors")]
        gates = [parameter for parameter in named.values() if parameter.ndim == 0]
        rest = [parameter for parameter in named.values() if parameter.ndim > 0]
        groups = [(vectors, 1.0), (gates, _GATE_RATE), (rest, _MATRIX_RATE)]
        return [{"params": parameters, "share": share} for parameters, share in groups if parameters]

    @torch.no_grad()
    def shape_vectors(self) -> Tensor:
        """Return the vectors [N, D] as the text encoders take them, float32 on CPU."""
        return self().float().cpu()

    def name_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a state of this module by the names that the file of a bank has for them, on CPU."""
        return {f"train.{name}": tensor.cpu() for name, tensor in state.items()}

    def _scale(self, vectors: Tensor, *, back: bool = False) -> Tensor:
        """Multiply the vectors [N, D] of each encoder by its unit, or divide them by it."""
        parts = vectors.split(tuple(self.widths.values()), dim=-1)
        scaled = [part / unit if back else part * unit for part, unit in zip(parts, self.units, strict=True)]
        return scaled[0] if len(scaled) == 1 else torch.cat(scaled, dim=-1)


def forward_banks(banks: Sequence[TrainableBank]) -> Tensor:
    """Return the vectors [S, N, D] of several banks of one shape, by one call of their attention.

    Gradients flow to each bank's own parameters.
    """
    parameters_of = [dict(bank.named_parameters()) for bank in banks]
    stacked = {name: torch.stack([parameters[name] for parameters in parameters_of]) for name in parameters_of[0]}
    return torch.vmap(lambda parameters: functional_call(banks[0], parameters, ()))(stacked)


def _build_attention(kind: str, widths: Sequence[int]) -> nn.Module:
    """Build the attention for all encoders; that for a single one has the names of weights that older banks have."""
    return build_attention(kind, widths[0]) if len(widths) == 1 else AttentionOfEach(kind, widths)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
