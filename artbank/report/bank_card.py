"""The card of a bank as Markdown: facts, scores, usage, provenance."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from artbank.records.bank_records import BankRecord
from artbank.report.markdown import escape, fence, score_text, share_text, table
from artbank.runtime.counts import number_text
from artbank.runtime.durations import seconds_text

LORA = "lora"
"""The kind of banks that change the UNet; see `bank_records.BankRecord`."""

_LONGEST_LINE = 1000  # characters of what was found in the collection, which names its artworks
_PYTHON = """
import artbank

bank = artbank.open_store("STORE")[{style}]
bank.stylize("photo.jpg").save("stylized.png")
"""


def bank_card(record: BankRecord, status: str, preview_name: str | None) -> str:
    """Return a bank's card as Markdown.

    Args:
        record: The bank's row in the catalog.
        status: Status of the bank in a word, e.g. "available".
        preview_name: File name of its preview, next to the card; None without one.
    """
    title = f"{record.title}, version {record.version}"
    sections = [
        f"# {escape(title)}",
        f"![Artworks of the collection, and photos in its style]({quote(preview_name)})" if preview_name else "",
        _facts(record, status),
        f"## What it is worth\n\n{_worth(record)}",
        f"## How to use it\n\n{_usage(record)}",
        f"## The collection\n\n{_bullets(record.warnings, 'Nothing was found that speaks against it.')}",
        f"## How it was trained\n\n{_recipe(record)}",
        f"## Where it comes from\n\n{_provenance(record)}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def describe_content(record: BankRecord) -> str:
    """Return what a bank holds: `8 vectors of 768 numbers`, or `a LoRA of rank 16`."""
    if record.kind != LORA:
        return f"{number_text(record.num_tokens, 'vector')} of {record.widths} numbers"
    rank = record.read_recipe().get("rank")
    return f"a LoRA of rank {rank}" if isinstance(rank, int) else "a LoRA"


def _facts(record: BankRecord, status: str) -> str:
    model = escape(record.base_model)
    use = (
        f"that changes the attention layers of {model}"
        if record.kind == LORA
        else (f"that stand for words in the prompt of {model}")
    )
    return (
        f"A style learned from {record.num_artworks} artworks: {describe_content(record)} {use}. "
        "It works with that base model only.\n\n"
        f"Status: **{escape(status)}**. Trained on {record.created_at:%d %B %Y} in {seconds_text(record.seconds)} "
        f"on {escape(record.device)}."
    )


def _worth(record: BankRecord) -> str:
    learned = "" if record.train_loss is None else f"{record.train_loss:.4f} on artworks it learned from and "
    steps = f"After {number_text(record.steps, 'step')}"
    losses = f"{steps} the loss is {learned}{record.validation_loss:.4f} on artworks kept from it."
    if record.clip_style is None:
        return f"It was not scored. {losses}"
    values = (record.clip_style_floor, record.clip_style, record.clip_style_ceiling)
    names = ("untouched photos (floor)", "photos in this style", "held-out artworks (ceiling)")
    measured = table(["clip_style of", "mean"], zip(names, map(score_text, values), strict=True))
    gain = "The ceiling is not clearly above the floor, so how far the style comes cannot be told. "
    if record.clip_style_gain is not None:
        gain = f"The style comes **{share_text(record.clip_style_gain)}** of the way from floor to ceiling. "
    if record.gain_beyond_colours is not None:
        beyond = share_text(record.gain_beyond_colours)
        gain += f"From photos in the artworks' colours, with nothing painted, it comes **{beyond}** of the way. "
    return (
        f"{measured}\n\n{gain}`clip_style` is the cosine between a picture and the mean of the artworks, as seen by "
        f"the scorer {escape(record.scorer)}; scores of another scorer do not compare.\n\n{losses}"
    )


def _usage(record: BankRecord) -> str:
    style = shlex.quote(record.name)
    command = (
        f"artbank stylize photos pictures --store STORE \\\n"
        f"    --base-model {shlex.quote(record.base_model)} --style {style}"
    )
    python = _PYTHON.format(style=json.dumps(record.name))
    return (
        "A folder of photos, where `STORE` is the folder that holds this catalog:\n\n"
        f"{fence(command, 'sh')}\n\nOne photo in Python:\n\n{fence(python, 'python')}"
    )


def _recipe(record: BankRecord) -> str:
    recipe = record.read_recipe()
    if not recipe:
        return fence(record.recipe)
    return table(["setting", "value"], ((name, "none" if v is None else v) for name, v in recipe.items()))


def _provenance(record: BankRecord) -> str:
    replaces = "nothing" if record.previous_version is None else f"version {record.previous_version}"
    rows = {
        "bank id": record.bank_id,
        "gallery": record.gallery_uri or "none, its artworks were given one by one",
        "fingerprint of the artworks": record.fingerprint,
        "base model": record.base_model,
        "its SHA-256": record.base_model_hash,
        "its licence": record.base_model_licence or "unknown: the files beside it name none",
        "weights": record.weights_uri,
        "their SHA-256": record.weights_sha256,
        "replaces": replaces,
        "attempt": record.attempt,
        "code": record.code_version,
        "trained at": record.created_at.isoformat(timespec="seconds"),
    }
    return table(["", ""], rows.items(), numbers_from=2)


def _bullets(lines: Sequence[str], otherwise: str) -> str:
    return "\n".join(f"- {escape(line, _LONGEST_LINE)}" for line in lines) or otherwise
