"""Vectors of the corpus's painters, which stand in prompts as a bank's do while the UNet is pretrained.

Shape legend: B batch, K vectors of a bank, L tokens of a prompt (77), D text width (192).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import CLIPTextModel, CLIPTokenizer

STYLE = "{style}"
_MOST_VECTORS = 8
_ALL_VECTORS = 0.7  # share of steps with `_MOST_VECTORS`; the others have fewer
_SIZE = 0.3  # of a bank's initial vectors, in the text encoder's unit; see `artbank.bank.trainable_bank`
_SPREAD = 0.25  # of the painters' vectors at the start, in that unit
_RATE = 16.0  # of the vectors' learning, relative to the UNet's: Adam's steps are as long in all parameters
_NOISE = 0.05  # added to the vectors of a step, so that a neighbourhood of each has its manner


class StyledPrompts:
    """Encodes prompts with vectors among their words, by a text encoder that does not learn.

    The states are those of `artbank.diffusion.prompt_encoder`, which is above this package and tokenizes one prompt
    after the other; a batch of the pretraining has up to 256.
    """

    def __init__(self, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer):
        text_encoder.requires_grad_(False)
        self.text_encoder = text_encoder
        self._tokenizer = tokenizer
        table = text_encoder.get_input_embeddings()
        names = (name for name, module in text_encoder.named_modules() if module is table)
        self._table_name = f"{next(names)}.weight"
        self._table: Tensor = table.weight  # [vocabulary, D]

    @torch.no_grad()
    def find_start(self) -> tuple[Tensor, float]:
        """Return the vector that a new bank starts from, [D], and the unit of vectors.

        The unit is the root mean square of words behind the encoder's first layer, as in `artbank.diffusion`.
        """
        ids = self._tokenizer("a painting", return_tensors="pt").input_ids.to(self._table.device)
        behind = self.text_encoder(ids, output_hidden_states=True).hidden_states[1][0, 1:-1]
        unit = behind.float().square().mean().sqrt().item()
        word = self._table[ids[0, 2:-1]].float().mean(0).cpu()
        return word * (_SIZE * unit / word.square().mean().sqrt()), unit

    def encode(self, prompts: Sequence[str], vectors: Tensor) -> Tensor:
        """Return the states [B, L, D] of B prompts; gradients flow to the vectors.

        Args:
            prompts: Texts, in which `STYLE` stands for the vectors.
            vectors: [B, K, D] in the vocabulary's scale; those of a prompt without `STYLE` are not used.
        """
        mark = str(self._tokenizer.bos_token)  # stands at no other place than the beginning
        texts = [prompt.replace(STYLE, mark * vectors.shape[1]) for prompt in prompts]
        ids = self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        ).input_ids
        is_vector = ids == self._tokenizer.bos_token_id
        is_vector[:, 0] = False
        rows = is_vector.nonzero()[:, 0]
        numbers = (is_vector.cumsum(1) - 1)[is_vector]
        ids[is_vector] = torch.arange(len(rows)) + len(self._table)
        table = torch.cat([self._table, vectors[rows, numbers].to(self._table.dtype)])
        ids = ids.to(table.device)
        return functional_call(self.text_encoder, {self._table_name: table}, (ids,)).last_hidden_state


class PainterVectors(nn.Module):
    """A vector for each painter of the corpus, which the UNet learns to follow as it will follow a bank's."""

    def __init__(self, num_painters: int, prompts: StyledPrompts):
        """Start all near the vector that a new bank starts from, at random places around it."""
        super().__init__()
        start, self.unit = prompts.find_start()
        chance = torch.randn(num_painters, len(start), generator=torch.Generator().manual_seed(0))
        self.shares = nn.Parameter((start + _SPREAD * self.unit * chance) / _RATE)  # [painters, D]

    @property
    def vectors(self) -> Tensor:
        """The vector of each painter, [painters, D], in the vocabulary's scale."""
        return _RATE * self.shares

    def forward(self, painters: Tensor, generator: torch.Generator) -> Tensor:
        """Return the vectors of a bank, [B, K, D], for each of some painters [B]: K times the painter's, with noise."""
        few = torch.rand((), generator=generator) >= _ALL_VECTORS
        number = int(torch.randint(1, _MOST_VECTORS, (), generator=generator)) if few else _MOST_VECTORS
        vectors = self.vectors[painters.to(self.shares.device), None].expand(-1, number, -1)
        common = torch.randn(len(painters), 1, vectors.shape[-1], generator=generator)
        own = torch.randn(vectors.shape, generator=generator)
        return vectors + (_NOISE * self.unit * (common + own)).to(vectors.device, vectors.dtype)
