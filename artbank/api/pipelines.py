"""Put a bank into a pipeline of diffusers, as a textual inversion.

Shape legend: N vectors of a bank, D width of the text encoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from artbank.bank.bank import Bank
from artbank.errors import BankError


def add_style(pipeline: Any, bank: Bank, token: str, name: str) -> str:
    """Load a bank into a pipeline, in place of an earlier one of the same token; returns the token.

    Args:
        pipeline: A Stable Diffusion pipeline of diffusers.
        bank: The bank.
        token: Stands for the style in prompts.
        name: The bank's name, for the error.

    Raises:
        BankError: The text encoder has another width.
    """
    vectors = bank.vectors  # [N, D]
    width = pipeline.text_encoder.get_input_embeddings().weight.shape[1]
    if width != vectors.shape[1]:
        raise BankError(
            f"bank {name} has vectors of width {vectors.shape[1]}, expected {width} for this pipeline; train it on the "
            "pipeline's model: base_model=..."
        )
    if earlier := _find_tokens(token, pipeline.tokenizer.get_added_vocab()):
        pipeline.unload_textual_inversion(earlier)
    pipeline.load_textual_inversion({token: vectors}, token=token)
    return token


def _find_tokens(token: str, vocabulary: Iterable[str]) -> list[str]:
    """Return the tokens of an earlier bank, which has one for each vector: `<monet>`, `<monet>_1` and so on."""
    return [word for word in vocabulary if re.fullmatch(rf"{re.escape(token)}(_\d+)?", word)]
