"""Files of banks of kind lora: as untrusted input, exported, and beside those of token banks."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.bank.bank_file import read_bank_file, to_lora
from artbank.bank.lora_bank import LoraBank, read_bank
from artbank.bank.lora_tensors import MOST_WORD, check_word, style_word, to_tensors
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BankError
from artbank.recipes import BankRecipe
from tests.support.lora_banks import add_peft, draw_bank

TOKEN_BANK = "885adf4b76d9df1ab2c669ca6b1ce353bca56e1fce63258605234fcddbc29f12"
SDXL_TOKEN_BANK = "50481a331110d0206b8afd941c41eb248a572911ab585838f53da55d6f7b7509"
"""SHA-256 of files of token banks, as versions without banks of kind lora wrote them."""
DOWN = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight"


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def model(request: pytest.FixtureRequest, tiny: Path, tiny_sdxl: Path) -> BaseModel:
    return BaseModel.load(str(tiny if request.param == "sd" else tiny_sdxl), device="cpu", dtype="float32")


def test_token_banks_and_their_recipes_are_the_bytes_that_they_were() -> None:
    vectors = torch.arange(32, dtype=torch.float32).reshape(2, 16)
    facts = ("0" * 16, "monet", "mini", "b" * 64, "f" * 64, BankRecipe(num_tokens=2), vectors)
    bank = Bank(*facts, {"train.vectors": vectors.clone()}, metrics={"steps": 3}, units=(1.5,))
    widths: dict[str, Any] = {"family": "sdxl", "encoders": {"clip_l": 6, "clip_g": 10}, "units": (1.5, 0.25)}
    for one, digest in ((bank, TOKEN_BANK), (dataclasses.replace(bank, **widths), SDXL_TOKEN_BANK)):
        assert hashlib.sha256(one.to_bytes()).hexdigest() == digest
    assert BankRecipe().digest() == BankRecipe(rank=8).digest() == "fe262cc8f712fb53"


def test_an_exported_lora_is_loaded_by_a_pipeline_of_diffusers(model: BaseModel) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    from artbank.api.pipelines import add_style

    bank = draw_bank(model)
    parts: dict[str, Any] = {name: getattr(model, name) for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    if model.family.takes_pooled_text:
        parts |= {"text_encoder_2": model.text_encoder_2, "tokenizer_2": model.tokenizer_2}
        kind: Any = StableDiffusionXLPipeline
    else:
        parts |= {"safety_checker": None, "feature_extractor": None}
        kind = StableDiffusionPipeline
    exported = safetensors.torch.load(to_lora({k: v.numpy() for k, v in to_tensors(bank.layers).items()}, 4))
    wanted = add_peft(model, bank)
    for load in (lambda pipeline: pipeline.load_lora_weights(exported), lambda p: add_style(p, bank, "<a>", "monet@1")):
        pipeline = kind(unet=copy.deepcopy(model.unet), **parts)
        load(pipeline)
        found = [p for name, p in pipeline.unet.named_parameters() if "lora_" in name]
        expected = [p for name, p in wanted.named_parameters() if "lora_" in name]
        assert len(found) == len(expected) == 2 * len(bank.layers)
        assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))
        scales = [m.scaling for m in pipeline.unet.modules() if hasattr(m, "lora_A")]
        assert scales and all(factor == 1.0 for scale in scales for factor in scale.values())
    assert add_style(pipeline, bank, "<a>", "monet@1") == "monet", "again, in place of the first"


def save(bank: LoraBank, change: Callable[[dict[str, Tensor], dict[str, str]], None]) -> bytes:
    """Return the file of a bank with other tensors or another header."""
    data = bank.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    tensors = safetensors.torch.load(data)
    change(tensors, header)
    return safetensors.torch.save(tensors, metadata=header)


def test_a_bank_comes_back_as_it_was_written(model: BaseModel) -> None:
    bank = draw_bank(model)
    found = read_bank(bank.to_bytes())
    assert isinstance(found, LoraBank) and found.to_bytes() == bank.to_bytes()
    assert (found.word, found.recipe, found.metrics, found.family) == ("monet", bank.recipe, bank.metrics, bank.family)
    found.check_fits(model)
    with pytest.raises(BankError, match="expected kind tokens, found kind lora"):
        Bank.from_bytes(bank.to_bytes())
    other = dataclasses.replace(found, layers=dict(list(found.layers.items())[1:]))
    with pytest.raises(BankError, match=r"expected a change of the \d+ attention layers .* found None; train it again"):
        other.check_fits(model)
    with pytest.raises(BankError, match="was trained on .* train it again or pass base_model="):
        dataclasses.replace(found, base_model_hash="0" * 64).check_fits(model)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("expected rank 4 by its recipe", lambda t, h: t.update({DOWN: torch.zeros(5, 8)})),
        ("expected rank 4 by its recipe", lambda t, h: t.update({DOWN: torch.zeros(32)})),
        ("expected widths of 1 to 16,384, found 20000", lambda t, h: t.update({DOWN: torch.zeros(4, 20_000)})),
        ("found one of them of mid_block", lambda t, h: t.pop(DOWN)),
        ("expected factors of attention layers, found 'train.x'", lambda t, h: t.update({"train.x": torch.zeros(2)})),
        (
            "expected factors of attention",
            lambda t, h: t.update({DOWN.replace("attn1.to_k", "ff.net"): torch.zeros(4, 8)}),
        ),
        ("expected factors of attention", lambda t, h: t.update({f"x{DOWN}": torch.zeros(4, 8)})),
        ("expected 1 to 2,048 layers, found 0", lambda t, h: t.clear()),
        ("expected finite float32 values", lambda t, h: t[DOWN].fill_(float("nan"))),
        ("expected finite float32 values", lambda t, h: t.update({DOWN: t[DOWN].half()})),
        ("expected a plain word", lambda t, h: h.update(word="")),
        ("expected a plain word", lambda t, h: h.update(word="{style}")),
        ("expected a plain word", lambda t, h: h.update(word="a" * 41)),
        ("has no word", lambda t, h: h.pop("word")),
        ("has no word", lambda t, h: (h.pop("word"), h.update(schema="artbank.bank/1"))),
        ("expected a recipe of kind lora", lambda t, h: h.update(recipe=BankRecipe().model_dump_json())),
        ("header cannot be read", lambda t, h: h.update(recipe=h["recipe"].replace('"rank":4', '"rank":64'))),
    ],
)
def test_a_file_that_lies_is_refused_with_a_reason(
    tiny: Path, said: str, change: Callable[[dict[str, Tensor], dict[str, str]], None]
) -> None:
    bank = draw_bank(BaseModel.load(str(tiny), device="cpu", dtype="float32"))
    assert read_bank(save(bank, lambda tensors, header: None))
    with pytest.raises(BankError, match=said):
        read_bank_file(save(bank, change))


def test_words_of_styles_are_plain_and_short() -> None:
    names = ["Van  Gogh", "<Monet>", "{style}", "\u202e", "\u6d6e" * 50, "\u0130" * 50, "a (b:1.3)", "\U0001f600"]
    words = [style_word(name) for name in names]
    assert words[:4] == ["van gogh", "monet", "style", "style"] and words[6:] == ["a b1.3", "style"]
    assert all(check_word(word) == word and len(word.encode()) <= MOST_WORD for word in words)
