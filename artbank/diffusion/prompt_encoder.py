"""CLIP's text encoder, for prompts in which the vectors of a bank stand for a style.

Shape legend: B prompts, L tokens of a prompt (77), D text width, V words of the vocabulary, P width of a pooled vector;
S styles of K vectors.

Source: new words beside a frozen vocabulary are textual inversion (Gal et al., ICLR 2023).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from artbank.diffusion.network_copies import copy_modules
from artbank.diffusion.tensors import copy_to_device
from artbank.diffusion.tokenizer_checks import ORDINARY_TEXT
from artbank.errors import ConfigError

STYLE_PLACEHOLDER = "{style}"
"""The part of a prompt that is replaced by the vectors of a bank."""

ClipText = CLIPTextModel | CLIPTextModelWithProjection


def without_placeholder(text: str) -> str:
    """Return a text of others that can stand in a prompt: without `{style}`, also where its removal would form it."""
    while STYLE_PLACEHOLDER in text:
        text = text.replace(STYLE_PLACEHOLDER, "")
    return text


class PromptEncoder:
    """A frozen text encoder and its tokenizer; several threads may encode at once."""

    def __init__(self, text_encoder: ClipText, tokenizer: CLIPTokenizer):
        """Wrap an encoder that is already on its device."""
        self._encoder = text_encoder
        self._tokenizer = tokenizer
        self._device = text_encoder.device
        self._max_tokens = tokenizer.model_max_length
        self._of_thread = threading.local()

    @property
    def width(self) -> int:
        """D, the width of a word's embedding and of a state."""
        return self._encoder.config.hidden_size

    @cached_property
    def vocabulary(self) -> Tensor:
        """The embeddings of the vocabulary's words, [V, D]."""
        return cast(nn.Embedding, self._encoder.get_input_embeddings()).weight

    @cached_property
    def layer_rms(self) -> float:
        """Root mean square of an ordinary word behind the encoder's first layer, to two digits.

        It is the unit in which banks are trained. The first layer adds so much to every word (on the embedded model
        30 times its own size) that a vector of the size of a word would hardly change what the later layers see.
        """
        ids = torch.tensor([self.tokenize(ORDINARY_TEXT, 0)], device=self._device)
        with torch.no_grad():
            behind = self._encoder(ids, output_hidden_states=True).hidden_states[1][0]  # [L, D]
        words = behind[1 : ids[0].tolist().index(self._tokenizer.eos_token_id)]
        return float(f"{words.float().square().mean().sqrt().item():.2g}")

    def embed_words(self, words: str) -> Tensor:
        """Look up the embeddings [k, D] of the tokens of some words; the text encoder does not run.

        Raises:
            ConfigError: The words have no tokens.
        """
        ids = self._tokenizer(words, add_special_tokens=False).input_ids
        if not ids:
            raise ConfigError(f"expected at least one word, found {words!r}; give a word such as 'painting'")
        return self.vocabulary[torch.tensor(ids, device=self._device)].float()

    def encode(
        self, prompts: Sequence[str], vectors: Tensor | None = None, style_numbers: Sequence[int] | None = None
    ) -> Tensor:
        """Encode prompts; `{style}` in a prompt is replaced by the rows of `vectors`, to which gradients flow.

        Args:
            prompts: B texts. A text that is too long loses words at its end, never the style.
            vectors: [K, D] in the vocabulary's scale, or [S, K, D] for S styles; None if no prompt has `{style}`.
            style_numbers: The style of each prompt, 0..S-1; 0 for all by default.

        Returns:
            [B, L, D] in the encoder's precision.

        Raises:
            ConfigError: A prompt has `{style}` twice, or has it without vectors.
        """
        rows = self._tokenize_all(prompts, vectors, style_numbers)
        return self._run(rows, vectors).last_hidden_state

    def encode_for_sdxl(
        self, prompts: Sequence[str], vectors: Tensor | None, style_numbers: Sequence[int] | None
    ) -> tuple[Tensor, Tensor | None]:
        """Encode prompts as SDXL takes them; see `encode`.

        Returns:
            The states before the last layer, [B, L, D], and the projection of the last state at each text's end,
            [B, P]; None from an encoder without a projection.
        """
        rows = self._tokenize_all(prompts, vectors, style_numbers)
        output = self._run(rows, vectors, output_hidden_states=True)
        states = output.hidden_states[-2]
        if not isinstance(self._encoder, CLIPTextModelWithProjection):
            return states, None
        # The library's own pooling takes the highest id for the end of a text if the settings are old: a vector's.
        end_token: Any = self._tokenizer.eos_token_id
        ends = copy_to_device(torch.tensor([row.index(end_token) for row in rows]), self._device)
        at_end = output.last_hidden_state[torch.arange(len(rows), device=self._device), ends]  # [B, D]
        return states, self._encoder.text_projection(at_end)

    def _tokenize_all(
        self, prompts: Sequence[str], vectors: Tensor | None, style_numbers: Sequence[int] | None
    ) -> list[list[int]]:
        num_vectors = 0 if vectors is None else vectors.shape[-2]
        numbers = style_numbers or [0] * len(prompts)
        return [self.tokenize(prompt, num_vectors, number) for prompt, number in zip(prompts, numbers, strict=True)]

    def _run(self, rows: list[list[int]], vectors: Tensor | None, **options: Any) -> Any:
        """Run the encoder on the token ids of B prompts, with vectors as further words."""
        ids = copy_to_device(torch.tensor(rows), self._device)  # [B, L]
        if vectors is None:
            return self._encoder(ids, **options)
        new_words = copy_to_device(vectors.flatten(0, -2), self._device).to(self.vocabulary.dtype)  # [S * K, D]
        weights = {self._embedding_name: torch.cat([self.vocabulary, new_words])}  # [V + S * K, D]
        return functional_call(self._own_encoder(), weights, (ids,), options)

    def _own_encoder(self) -> ClipText:
        """Return this thread's encoder: a copy of the modules that shares their weights.

        `functional_call` puts the style into the module for the length of a call, where another thread would find it.
        """
        if not hasattr(self._of_thread, "encoder"):
            self._of_thread.encoder = copy_modules(self._encoder)
        return self._of_thread.encoder

    def tokenize(self, prompt: str, num_vectors: int, style_number: int = 0) -> list[int]:
        """Return the L token ids of a prompt; `{style}` becomes the ids V + style_number * num_vectors and following.

        Raises:
            ConfigError: The prompt has `{style}` twice, or has it while `num_vectors` is 0.
        """
        texts = prompt.split(STYLE_PLACEHOLDER)
        has_style = len(texts) > 1
        if has_style and not num_vectors:
            raise ConfigError(f"prompt {prompt!r} asks for a style, but no bank was given; name a style")
        if len(texts) > 2:
            raise ConfigError(
                f"expected {STYLE_PLACEHOLDER} at most once in a prompt, found it {len(texts) - 1} times in {prompt!r}"
            )
        words = [self._tokenize_text(text) for text in texts]
        style: list[int] = []
        if has_style:
            first = len(self.vocabulary) + style_number * num_vectors
            style = list(range(first, first + num_vectors))
        room = self._max_tokens - 2 - len(style)  # without the start and end tokens
        after = words[1][:room] if has_style else []
        before = words[0][: room - len(after)]
        ids = [self._tokenizer.bos_token_id, *before, *style, *after, self._tokenizer.eos_token_id]
        return ids + [self._tokenizer.pad_token_id] * (self._max_tokens - len(ids))

    def _tokenize_text(self, text: str) -> list[int]:
        if not text.strip():
            return []
        # Not verbose: a warning of errors that a text beyond the limit would cause, but `tokenize` shortens it.
        return self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    @cached_property
    def _embedding_name(self) -> str:
        """The name of the vocabulary among the encoder's parameters."""
        table = self._encoder.get_input_embeddings()
        return next(f"{name}.weight" for name, module in self._encoder.named_modules() if module is table)
