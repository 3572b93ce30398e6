"""A bank as a textual inversion or a LoRA for other programs: its trigger, and what its file says of itself.

Source: the metadata follow Stability AI's model spec 1.0.0, which A1111, ComfyUI and model sites show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from artbank.bank.bank_file import BankFile, to_lora, to_textual_inversion
from artbank.errors import ConfigError
from artbank.parameters.bank_recipe import BankKind
from artbank.records.bank_records import BankRecord
from artbank.runtime.readable_text import drop_invisible

_LONGEST_TOKEN = 100  # characters
_ARCHITECTURES = {  # by the widths of vectors
    (192,): "artbank-mini",
    (768,): "stable-diffusion-v1",
    (1024,): "stable-diffusion-v2",
    (768, 1280): "stable-diffusion-xl-v1-base",
}
_LORA_ARCHITECTURES = {"sdxl": "stable-diffusion-xl-v1-base"}  # by families; 1.x and 2.x are one
_DATE = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class BankExport:
    """The facts that people need to use an exported bank.

    Attributes:
        token: Stands for the style in a prompt of diffusers; for a LoRA in prompts of all programs.
        num_vectors: Vectors in the file; 0 in a LoRA.
        widths: Length of each for each text encoder of the base model; none in a LoRA.
        base_model: The base model that it was trained with, as the run named it.
        base_model_hash: SHA-256 of that model's files.
        licence: The licence as the user gave it, or else that of the base model; empty if unknown.
        kind: `tokens` or `lora`.
        rank: Rank of a LoRA; None for kind tokens.
    """

    token: str
    num_vectors: int
    widths: tuple[int, ...]
    base_model: str
    base_model_hash: str
    licence: str
    kind: BankKind = "tokens"
    rank: int | None = None


def default_token(record: BankRecord) -> str:
    """Return the trigger token of a bank: the name of its collection as people know it, in lower case."""
    name = "".join(character for character in drop_invisible(record.title) if character not in "<>")
    return f"<{' '.join(name.lower().split())[: _LONGEST_TOKEN - 2]}>"


def check_token(token: str) -> str:
    """Return a trigger token that a user gave, without spaces around it.

    CLIP's tokenizer lowers prompts. diffusers would find a token with capital letters, but only the first of its
    vectors.

    Raises:
        ConfigError: The token is empty, too long, or has capital letters or invisible characters.
    """
    word = token.strip()
    if not word or len(word) > _LONGEST_TOKEN or not word.isprintable():
        raise ConfigError(f"expected a token of 1 to {_LONGEST_TOKEN} printable characters, found {token!r}")
    if word != word.lower():
        raise ConfigError(
            f"expected a token in lower case, found {word!r}, of which diffusers would load one vector only; "
            f"pass --token '{word.lower()}'"
        )
    return word


def name_style(bank: BankFile, record: BankRecord, given: str | None) -> str:
    """Return the token of an exported bank, as a user gave it or by default; of a LoRA the word that it learned with.

    Raises:
        ConfigError: The token is wrong, see `check_token`, or was given for a LoRA.
    """
    if bank.kind == "tokens":
        return default_token(record) if given is None else check_token(given)
    if given is not None and given != bank.word:
        raise ConfigError(f"a LoRA has learned with the word {bank.word!r}, found --token {given!r}; leave it out")
    return bank.word


def describe_export(bank: BankFile, record: BankRecord, token: str, licence: str) -> BankExport:
    """Return what people must know to use an exported bank."""
    model = (record.base_model, record.base_model_hash, drop_invisible(licence))
    if bank.kind == "lora":
        return BankExport(token, 0, (), *model, bank.kind, bank.recipe.rank)
    return BankExport(token, record.num_tokens, tuple(record.encoder_widths or [record.width]), *model)


def export_bank(bank: BankFile, record: BankRecord, facts: BankExport) -> bytes:
    """Return the file of an exported bank; equal banks and facts give equal bytes."""
    if bank.kind == "lora":
        return to_lora(bank.tensors, bank.recipe.rank, _describe_file(bank, record, facts))
    return to_textual_inversion(facts.token, bank.tensors, _describe_file(bank, record, facts))


def _describe_file(bank: BankFile, record: BankRecord, facts: BankExport) -> Mapping[str, str]:
    is_lora = bank.kind == "lora"
    architecture = _LORA_ARCHITECTURES.get(bank.family) if is_lora else _ARCHITECTURES.get(facts.widths)
    description = f"a style learned from {record.num_artworks} artworks by artbank {record.code_version}"
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/{'lora' if is_lora else 'textual-inversion'}"
        if architecture
        else "",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": f"{record.title}, version {record.version}",
        "modelspec.description": description,
        "modelspec.date": record.created_at.strftime(_DATE),
        "modelspec.trigger_phrase": facts.token,
        "modelspec.license": facts.licence,
        "artbank.bank_id": record.bank_id,
        "artbank.base_model": facts.base_model,
        "artbank.base_model_hash": facts.base_model_hash,
    }
    return {name: drop_invisible(text) for name, text in metadata.items() if text}
