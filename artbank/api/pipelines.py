"""Put a bank into a pipeline of diffusers, as a textual inversion or as a LoRA.

Shape legend: N vectors of a bank, D_e width of a text encoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from artbank.bank.bank import Bank
from artbank.bank.lora_bank import AnyBank, LoraBank
from artbank.bank.lora_tensors import to_tensors
from artbank.diffusion.lora_layers import list_attention_layers
from artbank.errors import BankError


def add_style(pipeline: Any, bank: AnyBank, token: str, name: str) -> str:
    """Load a bank into a pipeline, in place of an earlier one of the same token; returns the word for prompts.

    Args:
        pipeline: A pipeline of diffusers for Stable Diffusion 1.x, 2.x or SDXL.
        bank: The bank.
        token: Stands for the style in prompts, if the bank has vectors.
        name: The bank's name, for the error.

    Raises:
        BankError: The pipeline is one for another base model.
    """
    if isinstance(bank, LoraBank):
        return _add_lora(pipeline, bank, name)
    return _add_vectors(pipeline, bank, token, name)


def _add_lora(pipeline: Any, bank: LoraBank, name: str) -> str:
    expected = {
        layer_name: tuple(layer.weight.shape) for layer_name, layer in list_attention_layers(pipeline.unet).items()
    }
    if expected != {layer: (len(up), down.shape[1]) for layer, (down, up) in bank.layers.items()}:
        raise BankError(
            f"bank {name} changes the attention layers of {bank.base_model}, which are not those of this pipeline; "
            "train it on the pipeline's model: base_model=..."
        )
    adapter = re.sub(r"[^a-z0-9_]", "_", bank.collection.lower())
    if adapter in getattr(pipeline.unet, "peft_config", {}):
        pipeline.delete_adapters(adapter)
    pipeline.load_lora_weights(to_tensors(bank.layers), adapter_name=adapter)
    return bank.word


def _add_vectors(pipeline: Any, bank: Bank, token: str, name: str) -> str:
    encoders = dict.fromkeys(list(bank.tensors)[:1], (pipeline.text_encoder, pipeline.tokenizer))
    if len(bank.tensors) > 1 and hasattr(pipeline, "text_encoder_2"):
        second = list(bank.tensors)[1]
        encoders[second] = (pipeline.text_encoder_2, pipeline.tokenizer_2)
    expected = [encoder.get_input_embeddings().weight.shape[1] for encoder, _ in encoders.values()]
    if expected != list(bank.widths.values()):
        found, wanted = (" and ".join(map(str, widths)) for widths in (bank.widths.values(), expected))
        raise BankError(
            f"bank {name} has vectors of width {found}, expected {wanted} for this pipeline; train it on the "
            "pipeline's model: base_model=..."
        )
    for part, (encoder, tokenizer) in encoders.items():
        loaded = {"text_encoder": encoder, "tokenizer": tokenizer}
        if earlier := _find_tokens(token, tokenizer.get_added_vocab()):
            pipeline.unload_textual_inversion(earlier, **loaded)
        pipeline.load_textual_inversion({part: bank.tensors[part]}, token=token, **loaded)  # [N, D_e]
    return token


def _find_tokens(token: str, vocabulary: Iterable[str]) -> list[str]:
    """Return the tokens of an earlier bank, which has one for each vector: `<monet>`, `<monet>_1` and so on."""
    return [word for word in vocabulary if re.fullmatch(rf"{re.escape(token)}(_\d+)?", word)]
