"""Which words of the base model's vocabulary a bank's vectors are nearest to.

Shape legend: V words of the vocabulary, D their width, N vectors in a bank, K candidates for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPTokenizer

_CANDIDATES = 8  # for each word wanted: many tokens have the text of another one, or none


@dataclass(frozen=True)
class Word:
    """A word, and the cosine between its embedding and a vector, -1..1."""

    text: str
    cosine: float


@torch.no_grad()
def find_nearest_words(
    vocabulary: Tensor, tokenizer: CLIPTokenizer, vectors: Tensor, most: int = 5
) -> list[list[Word]]:
    """Return the words that each vector of a bank is nearest to, by cosine.

    A token that ends a word and one of the same letters that does not are one word; the nearer one counts. Tokens
    without a text of their own, such as the start of a prompt or half a letter, are none.

    Args:
        vocabulary: Embeddings [V, D] of the text encoder.
        tokenizer: Of the same model.
        vectors: [N, D], of a bank.
        most: Words for each vector; fewer where the vocabulary has no more.
    """
    own = normalize(vectors.to(vocabulary.device).float(), dim=1) @ normalize(vocabulary.float(), dim=1).T  # [N, V]
    own[:, [token for token in tokenizer.all_special_ids if token < len(vocabulary)]] = -torch.inf
    own[:, len(tokenizer) :] = -torch.inf
    nearest = own.topk(min(most * _CANDIDATES, own.shape[1]), dim=1)  # [N, K]
    tokens, cosines = nearest.indices.tolist(), nearest.values.tolist()
    return [_words(tokenizer, *near, most) for near in zip(tokens, cosines, strict=True)]


def _words(tokenizer: CLIPTokenizer, tokens: list[int], cosines: list[float], most: int) -> list[Word]:
    """Return the words of tokens that are sorted by cosine."""
    found: dict[str, float] = {}
    for token, cosine in zip(tokens, cosines, strict=True):
        text = tokenizer.decode([token]).replace("</w>", "").strip()
        if cosine > -torch.inf and text and "\ufffd" not in text:
            found.setdefault(text, min(max(cosine, -1.0), 1.0))
    return [Word(text, cosine) for text, cosine in list(found.items())[:most]]
