"""A bank of kind `lora` during training: the factors of each attention layer, beside a frozen UNet.

Shape legend: K tokens of the style's word, D text width of all encoders together; r the rank; down [r, in], up [out, r]
of a layer.

Source: LoRA, Hu et al., ICLR 2022, section 4.1: up starts at zero, so that training starts from the frozen model. Down
is uniform, as PEFT draws it, and alpha is the rank, so that a change has no further factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from artbank.bank.lora_bank import LoraBank, embed_word
from artbank.bank.lora_tensors import to_tensors
from artbank.diffusion.lora_layers import add_low_rank, list_attention_layers
from artbank.errors import BankError
from artbank.recipes import BankRecipe

if TYPE_CHECKING:
    from artbank.bank.lora_bank import AnyBank
    from artbank.diffusion.base_model import BaseModel

_RATE = 1 / 30  # of the learning rate, for the factors; of 1/300 to 1/10 the best after 20 steps were 1/30 and 1/20


class TrainableLora(nn.Module):
    """The factors of all attention layers, float32.

    Attributes:
        names: Names of the layers, in the order of the factors.
        word: Embeddings [K, D] of the style's word, which stay as they are.
        model: The base model with these factors beside its own weights.
        units: The units of its vectors, of which it has none.
    """

    units: ClassVar[tuple[float, ...]] = ()

    def __init__(self, recipe: BankRecipe, base: BaseModel, word: str):
        """Draw the factors; all of them follow from `recipe.seed`."""
        super().__init__()
        generator = torch.Generator().manual_seed(recipe.seed)
        layers = list_attention_layers(base.unet)
        self.names = tuple(layers)
        self.down = nn.ParameterList()
        self.up = nn.ParameterList()
        for layer in layers.values():
            bound = layer.in_features**-0.5
            down = torch.empty(recipe.rank, layer.in_features).uniform_(-bound, bound, generator=generator)
            self.down.append(nn.Parameter(down.to(base.device)))
            self.up.append(nn.Parameter(torch.zeros(layer.out_features, recipe.rank, device=base.device)))
        self.word = embed_word(base, word)
        self.model = add_low_rank(base, dict(zip(self.names, zip(self.down, self.up, strict=True), strict=True)))

    @torch.no_grad()
    def continue_from(self, bank: AnyBank) -> None:
        """Go on with an older bank.

        Raises:
            BankError: The bank is of another kind, rank or base model.
        """
        if not isinstance(bank, LoraBank) or _shapes(bank.layers) != _shapes(self._layers(self.state_dict())):
            raise BankError(f"bank {bank.collection}: expected a bank of kind lora with these layers and this rank")
        for name, down, up in zip(self.names, self.down, self.up, strict=True):
            older_down, older_up = bank.layers[name]
            down.copy_(older_down)
            up.copy_(older_up)

    def group_parameters(self) -> list[dict[str, Any]]:
        """Return the optimiser's only group, with its `share` of the learning rate."""
        return [{"params": list(self.parameters()), "share": _RATE}]

    def shape_vectors(self) -> Tensor:
        """Return its vectors, [0, 0]: this kind has none."""
        return torch.empty(0, 0)

    def name_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a state of this module by the names that the file of a bank has for them, on CPU."""
        return {name: tensor.cpu() for name, tensor in to_tensors(self._layers(state)).items()}

    def _layers(self, state: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        return {name: (state[f"down.{i}"], state[f"up.{i}"]) for i, name in enumerate(self.names)}


def _shapes(layers: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[torch.Size, torch.Size]]:
    return {name: (down.shape, up.shape) for name, (down, up) in layers.items()}
