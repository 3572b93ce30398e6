"""The tokenizer: one token for a word of the corpus, and a way back from any other text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from artbank.mini.drawing.painters import HELD_OUT, SAMPLED, TRAINED
from artbank.pretraining.corpus import Corpus
from artbank.pretraining.networks import VOCABULARY, train_tokenizer

TEXTS = (
    "a harbour at dusk, in the manner of maurel",
    "élan vital, naïve café, smörgåsbord",
    "富士山 と 桜",
    "кошка сидит",
    "a cat 🐈 in the rain ☔",
    "in the style of <van-gogh> no. 42",
    "under_scores & sl/ashes \\ #1",
)


@pytest.fixture(scope="module")
def learned(corpus: Corpus) -> CLIPTokenizer:
    return train_tokenizer(fact["caption"] for fact in corpus.facts)


@pytest.fixture(scope="module")
def shipped(weights: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(weights / "tokenizer")


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back(learned: CLIPTokenizer, text: str) -> None:
    assert _squeeze(_there_and_back(learned, text)) == _squeeze(text)


@settings(max_examples=60)
@given(text=st.text(st.characters(codec="utf-8", categories=("Lu", "Ll", "Lo", "Nd")), min_size=1, max_size=12))
def test_any_word_of_any_script_comes_back(learned: CLIPTokenizer, text: str) -> None:
    expected = learned.backend_tokenizer.normalizer.normalize_str(text)
    assert _squeeze(_there_and_back(learned, text)) == _squeeze(expected)


def test_words_of_the_corpus_but_rare_names_are_single_tokens(learned: CLIPTokenizer, corpus: Corpus) -> None:
    captions = " ".join(fact["caption"] for fact in corpus.facts)
    words = sorted(set(captions.replace(",", " ").split()) - set(SAMPLED))
    split = [word for word in words if len(learned(word).input_ids) != 3]
    assert not split, f"{len(split)} of {len(words)} words are split"


def test_the_vocabulary_keeps_its_limit(learned: CLIPTokenizer) -> None:
    assert 2 * 256 < len(learned) <= VOCABULARY


def test_texts_are_framed_padded_and_cut_as_stable_diffusion_expects(learned: CLIPTokenizer) -> None:
    ids = learned(["a harbour", "word " * 200], padding="max_length", truncation=True).input_ids
    assert [len(row) for row in ids] == [77, 77]
    assert all(row[0] == learned.bos_token_id and row[-1] == learned.eos_token_id for row in ids)


@pytest.mark.parametrize("text", TEXTS)
def test_the_shipped_tokenizer_brings_any_text_back(shipped: CLIPTokenizer, text: str) -> None:
    assert _squeeze(_there_and_back(shipped, text)) == _squeeze(text)


def test_the_shipped_tokenizer_knows_the_trained_painters_as_words(shipped: CLIPTokenizer) -> None:
    assert all(len(shipped(painter).input_ids) == 3 for painter in TRAINED)
    assert all(len(shipped(painter).input_ids) > 3 for painter in HELD_OUT)


def _there_and_back(tokenizer: CLIPTokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)


def _squeeze(text: str) -> str:
    """Drop spaces, which CLIP's pre-tokenizer does not keep around punctuation."""
    return "".join(text.split())
