from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from artbank.bank.nearest_tokens import find_nearest_words
from artbank.diffusion.base_model import BaseModel


def token_of(tokenizer: CLIPTokenizer, word: str) -> int:
    [token] = tokenizer(word, add_special_tokens=False).input_ids
    return token


@pytest.mark.parametrize("word", ["house", "lake", "blue"])
def test_a_vector_that_is_a_words_embedding_has_that_word_first_whatever_its_length(base: BaseModel, word: str) -> None:
    vector = 7.5 * base.prompt_encoder.vocabulary[token_of(base.tokenizer, word)]
    [near] = find_nearest_words(base.prompt_encoder.vocabulary, base.tokenizer, vector[None])
    assert near[0].text == word and near[0].cosine == pytest.approx(1, abs=1e-5)
    assert len(near) == 5 and [one.cosine for one in near] == sorted((one.cosine for one in near), reverse=True)


def test_each_vector_has_words_of_its_own_and_no_more_than_were_asked_for(base: BaseModel) -> None:
    tokens = [token_of(base.tokenizer, word) for word in ("house", "lake")]
    near = find_nearest_words(
        base.prompt_encoder.vocabulary, base.tokenizer, base.prompt_encoder.vocabulary[tokens], most=2
    )
    assert [[one.text for one in words][0] for words in near] == ["house", "lake"]
    assert [len(words) for words in near] == [2, 2]


def test_texts_are_words_for_people_each_once_and_never_the_ends_of_a_prompt(base: BaseModel) -> None:
    tokenizer = base.tokenizer
    [near] = find_nearest_words(
        base.prompt_encoder.vocabulary, tokenizer, base.prompt_encoder.vocabulary[[tokenizer.bos_token_id]], most=900
    )
    texts = [one.text for one in near]
    assert len(texts) > 300 and len(set(texts)) == len(texts)
    assert all(text == text.strip() and text and "\ufffd" not in text for text in texts)
    assert not any("</w>" in text or "endoftext" in text or "startoftext" in text for text in texts)


def test_a_token_that_ends_a_word_and_one_that_does_not_are_one_word(base: BaseModel) -> None:
    vocabulary, tokenizer = base.prompt_encoder.vocabulary.clone(), base.tokenizer
    ends = token_of(tokenizer, "blue")
    inner = int(tokenizer.convert_tokens_to_ids("bl"))
    vocabulary[inner] = vocabulary[ends]
    [near] = find_nearest_words(vocabulary, tokenizer, vocabulary[[ends]])
    assert {near[0].text, near[1].text} == {"blue", "bl"}
    again = int(tokenizer.convert_tokens_to_ids("a")), int(tokenizer.convert_tokens_to_ids("a</w>"))
    vocabulary[again[0]] = vocabulary[again[1]]
    [near] = find_nearest_words(vocabulary, tokenizer, vocabulary[[again[0]]])
    assert [one.text for one in near].count("a") == 1


def test_the_vocabularies_of_the_large_models_are_read_too(large_shape: Path) -> None:
    large = BaseModel.load(str(large_shape), device="cpu")
    [near] = find_nearest_words(
        large.prompt_encoder.vocabulary,
        large.tokenizer,
        large.prompt_encoder.vocabulary[[token_of(large.tokenizer, "house")]],
    )
    assert near[0].text == "house"
