"""A bank of kind `lora`: low-rank changes of the attention layers of the UNet, and a word for the style.

Its prompts are those of training: what a picture shows, then the word of the style, which is one of the text encoder's
own. Nothing of the text encoder is trained.

Shape legend: K tokens of the word, D text width of all encoders together; down [r, in], up [out, r] of a layer.

Source: LoRA, Hu et al., ICLR 2022. ArtBank has no such bank; it is here to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.bank.bank_facts import BankFacts
from artbank.bank.bank_file import BankFile, read_bank_file
from artbank.bank.lora_tensors import from_tensors, to_tensors
from artbank.diffusion.lora_layers import Factors, list_attention_layers
from artbank.errors import BankError

if TYPE_CHECKING:
    from artbank.diffusion.base_model import BaseModel


@dataclass(frozen=True)
class LoraBank(BankFacts):
    """A trained bank of kind `lora`, as stylization uses it.

    Attributes:
        word: Stands for the style in prompts.
        layers: Down and up of each attention layer, float32, by the names of `list_attention_layers`.
    """

    kind = "lora"

    word: str
    layers: Mapping[str, Factors]

    def to_bytes(self) -> bytes:
        """Return the bank as a safetensors file, which is a LoRA file of diffusers' layout too."""
        return self._pack(to_tensors(self.layers), {"word": self.word})

    @classmethod
    def from_file(cls, file: BankFile) -> LoraBank:
        """Take a bank from the checked content of its file."""
        tensors = {name: torch.from_numpy(values) for name, values in file.tensors.items()}
        return cls._with_facts(file, word=file.word, layers=from_tensors(tensors))

    def check_fits(self, base: BaseModel) -> None:
        """Check that the bank was trained on a base model, and changes its layers.

        Raises:
            BankError: It was trained on another one, or has other layers.
        """
        self._check_base_model(base)
        expected = {name: tuple(layer.weight.shape) for name, layer in list_attention_layers(base.unet).items()}
        found = {name: (len(up), down.shape[1]) for name, (down, up) in self.layers.items()}
        wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        if wrong:
            raise BankError(
                f"bank {self.collection}: expected a change of the {len(expected)} attention layers of {base.id}, "
                f"{wrong[0]} of {expected.get(wrong[0])}, found {found.get(wrong[0])}; train it again"
            )

    def encode_prompts(self, base: BaseModel, prompts: Sequence[str]) -> Tensor:
        """Encode prompts with the word in place of `{style}`, [B, L, D]."""
        return base.encode_prompts(prompts, embed_word(base, self.word))

    def place_layers(self, base: BaseModel) -> dict[str, Factors]:
        """Return the layers on the device of a base model."""
        return {name: (down.to(base.device), up.to(base.device)) for name, (down, up) in self.layers.items()}


AnyBank = Bank | LoraBank
"""A trained bank of any kind."""


def read_bank(data: bytes) -> AnyBank:
    """Read a bank of any kind, trusting nothing in its file.

    Raises:
        BankError: See `read_bank_file`.
    """
    file = read_bank_file(data)
    return LoraBank.from_file(file) if file.kind == "lora" else Bank.from_file(file)


def embed_word(base: BaseModel, word: str) -> Tensor:
    """Return the embeddings [K, D] of a word's tokens.

    They take the place of `{style}` in prompts, so a prompt that is too long never loses the style. The tokenizers of a
    family's text encoders split words alike.
    """
    return torch.cat([encoder.embed_words(word) for encoder in base.prompt_encoders], dim=-1)
