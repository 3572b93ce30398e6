from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER, PromptEncoder
from artbank.errors import ConfigError
from tests.support.text_encoders import text_width


def test_the_unit_of_banks_is_the_size_of_words_behind_the_first_layer(base: BaseModel) -> None:
    prompt = base.prompt_encoder
    ids = torch.tensor([prompt.tokenize("a lake in the mountains", 0)])
    with torch.no_grad():
        states = prompt._encoder(ids, output_hidden_states=True).hidden_states
    words = slice(1, 6)  # without the start, the end and what follows it
    assert 0.5 < prompt.layer_rms / states[1][0, words].square().mean().sqrt().item() < 2
    assert prompt.layer_rms > 10 * states[0][0, words].square().mean().sqrt().item()
    assert float(f"{prompt.layer_rms:.2g}") == prompt.layer_rms, "two digits, so that every machine finds the same"


def test_a_long_prompt_loses_words_and_never_the_style(base: BaseModel) -> None:
    vectors = base.prompt_encoder.vocabulary[100:132].clone()
    long = "a house beside a lake " * 40
    styled, other = (
        base.encode_prompts([f"{long}, in the style of {STYLE_PLACEHOLDER}"], v) for v in (vectors, vectors.flip(0))
    )
    assert styled.shape == (1, 77, text_width(base))
    assert not torch.allclose(styled, other, atol=1e-3)
    ids = base.prompt_encoder.tokenize(f"{STYLE_PLACEHOLDER} {long}", 32)
    assert len(ids) == 77 and ids[-1] == base.tokenizer.eos_token_id
    assert ids[1:33] == list(range(len(base.prompt_encoder.vocabulary), len(base.prompt_encoder.vocabulary) + 32))


def test_a_long_prompt_is_no_warning_of_errors_to_come(
    base: BaseModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base.tokenizer, "deprecation_warnings", {})  # a tokenizer warns once
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    base.encode_prompts(["a very long caption " * 100])
    assert caplog.messages == []


def test_vectors_of_known_words_encode_as_those_words(base: BaseModel) -> None:
    said = base.encode_prompts(["a house, in the style of a lake"])
    stands_for = base.encode_prompts(
        [f"a house, in the style of {STYLE_PLACEHOLDER}"], base.prompt_encoder.embed_words("a lake")
    )
    assert torch.allclose(said, stands_for, atol=1e-6)


def test_threads_that_encode_at_once_each_get_their_own_style(base: BaseModel) -> None:
    styles = [base.prompt_encoder.vocabulary[rows].clone() for rows in (slice(5, 8), slice(20, 23))]
    prompt = f"a house, in the style of {STYLE_PLACEHOLDER}"
    alone = [base.encode_prompts([prompt], style) for style in styles]
    meeting = threading.Barrier(2)
    encoder = PromptEncoder(base.text_encoder, base.tokenizer)

    def meet(*_: object) -> None:
        meeting.wait(60)  # each thread is inside its call until the other one is inside too

    hook = base.text_encoder.embeddings.register_forward_pre_hook(meet)
    try:
        with ThreadPoolExecutor(2) as threads:
            together = list(threads.map(lambda style: encoder.encode([prompt], style), styles))
    finally:
        hook.remove()
    assert not torch.equal(*alone)
    for own, expected in zip(together, alone, strict=True):
        assert torch.equal(own, expected)


def test_a_prompt_without_a_style_to_put_in_or_with_two_places_is_refused(base: BaseModel) -> None:
    with pytest.raises(ConfigError, match="no bank was given"):
        base.encode_prompts([f"in the style of {STYLE_PLACEHOLDER}"])
    with pytest.raises(ConfigError, match="at most once in a prompt, found it 2 times"):
        base.encode_prompts([f"{STYLE_PLACEHOLDER} and {STYLE_PLACEHOLDER}"], base.prompt_encoder.vocabulary[:1])
    with pytest.raises(ConfigError, match="expected at least one word"):
        base.prompt_encoder.embed_words(" ")
