"""Check that a tokenizer knows words: the libraries load one whose files are missing, too, and it then knows none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ORDINARY_TEXT = "a painting of a house beside a road under a cloudy sky"
"""A text of words that every CLIP knows."""

_WHOLE = "tokenizer.json"
_IN_TWO = ("vocab.json", "merges.txt")


def list_missing_words(names: Iterable[str]) -> list[str]:
    """Return the files that a tokenizer's words need, and that are not among the names of its files."""
    present = set(names)
    return [] if _WHOLE in present else [name for name in _IN_TWO if name not in present]


def check_words(tokenizer: Any) -> None:
    """Check that a tokenizer of CLIP knows ordinary words.

    Raises:
        ValueError: It does not, or it knows letters alone, so that its files are damaged or of another kind.
    """
    ids = tokenizer(ORDINARY_TEXT, add_special_tokens=False).input_ids
    if tokenizer.unk_token_id in ids or len(ids) >= len(ORDINARY_TEXT.replace(" ", "")):
        raise ValueError(
            f"expected a tokenizer of CLIP, found one that does not know the words of {ORDINARY_TEXT!r}: its "
            f"{_WHOLE}, or {' or '.join(_IN_TWO)}, is empty or of another kind"
        )
