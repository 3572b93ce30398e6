"""Find the words of the base model's vocabulary that are nearest to a bank's vectors.

Shape legend: V words of the vocabulary, D their width, N vectors in a bank, K candidates for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPTokenizer

_CANDIDATES = 8  # for each word wanted, because many tokens have no text or the text of another token


@dataclass(frozen=True)
class Word:
    """A word, and the cosine between its embedding and a vector, -1..1."""

    text: str
    cosine: float


@torch.no_grad()
def find_nearest_words(
    vocabulary: Tensor, tokenizer: CLIPTokenizer, vectors: Tensor, most: int = 5
) -> list[list[Word]]:
    """Return the words that are nearest to each vector of a bank, by cosine.

    Two tokens of the same letters, of which only one ends a word, count as one word with the higher cosine. Tokens
    without a text of their own, such as the start token or half a letter, are left out.

    Args:
        vocabulary: Embeddings [V, D] of the text encoder.
        tokenizer: The tokenizer of the same model.
        vectors: A bank's vectors, [N, D].
        most: Words for each vector; fewer if the vocabulary has no more.
    """
    cosines = normalize(vectors.to(vocabulary.device).float(), dim=1) @ normalize(vocabulary.float(), dim=1).T  # [N, V]
    cosines[:, [token for token in tokenizer.all_special_ids if token < len(vocabulary)]] = -torch.inf
    cosines[:, len(tokenizer) :] = -torch.inf
    nearest = cosines.topk(min(most * _CANDIDATES, cosines.shape[1]), dim=1)  # [N, K]
    return [
        _to_words(tokenizer, tokens, values, most)
        for tokens, values in zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True)
    ]


def _to_words(tokenizer: CLIPTokenizer, tokens: list[int], cosines: list[float], most: int) -> list[Word]:
    """Return the words of tokens that are sorted by cosine."""
    words: dict[str, float] = {}
    for token, cosine in zip(tokens, cosines, strict=True):
        text = tokenizer.decode([token]).replace("</w>", "").strip()
        if cosine > -torch.inf and text and "\ufffd" not in text:
            words.setdefault(text, min(max(cosine, -1.0), 1.0))
    return [Word(text, cosine) for text, cosine in list(words.items())[:most]]
