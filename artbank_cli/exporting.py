"""The command `artbank export`: a bank as a file for other programs, and how each of them uses it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from artbank.errors import ArtbankError, ConfigError
from artbank.runtime.counts import number_text
from artbank_cli.banks import open_catalog, open_store
from artbank_cli.options import JsonOption, StoreOption
from artbank_cli.output import say, say_json

if TYPE_CHECKING:
    from artbank.catalog.bank_export import BankExport

_SUFFIX = ".safetensors"
_FITS = {(768,): "Stable Diffusion 1.x", (1024,): "Stable Diffusion 2.x", (768, 1280): "SDXL"}  # by widths


def export(
    name: str,
    file: str,
    store: StoreOption = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="Word for the style in prompts of diffusers; by default the collection's name. Not for a LoRA.",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="Licence to name in the file; by default that of the base model, if known."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a bank as a textual-inversion or LoRA file, and print how diffusers, A1111 and ComfyUI use it."""
    from artbank.catalog.bank_export import describe_export, export_bank, name_style
    from artbank.catalog.bank_files import load_bank_file
    from artbank.store.places import open_file

    opened = open_store(store)
    target, last = open_file(file)
    if opened.contains(target):
        raise ConfigError(f"{file} lies in the store {opened.uri}, whose files it could replace; name a place outside")
    record = open_catalog(opened).find(name)
    _check_suffix(last)
    bank = load_bank_file(opened, record)
    word = name_style(bank, record, token)
    facts = describe_export(bank, record, word, _find_licence(record.base_model) if licence is None else licence)
    target.write(last, export_bank(bank, record, facts))
    if as_json:
        say_json({"file": file, **asdict(facts)})
        return
    for line in (file, *_describe(facts), *_explain_use(file, facts)):
        say(line)


def _check_suffix(name: str) -> None:
    """Check that other programs take a file for what it is: by its name they choose how to load it."""
    if PurePosixPath(name).suffix != _SUFFIX:
        raise ConfigError(
            f"expected a file that ends in {_SUFFIX}, found {name}; A1111 and ComfyUI load it by that name alone, so "
            "rename it"
        )


def _describe(facts: BankExport) -> list[str]:
    """Return the lines about a file."""
    model = [
        f"base model: {facts.base_model} ({facts.base_model_hash[:12]})",
        f"licence:    {facts.licence or 'unknown; name one with --licence'}",
    ]
    if facts.kind == "lora":
        return [f"word:       {facts.token}", f"LoRA:       rank {facts.rank}; fits only {facts.base_model}", *model]
    fits = _FITS.get(facts.widths, f"only {facts.base_model}")
    widths = " and ".join(map(str, facts.widths))
    return [
        f"token:      {facts.token}",
        f"width:      {widths}, {number_text(facts.num_vectors, 'vector')}; fits {fits}",
        *model,
    ]


def _explain_use(file: str, facts: BankExport) -> list[str]:
    """Return a line for each program; A1111 and ComfyUI take the file's name as the word."""
    path = PurePosixPath(file)
    is_remote = "://" in file
    fetch = "fetch it, " if is_remote else ""
    literal = _quote(path.name if is_remote else file)
    if facts.kind == "lora":
        prompt = f'prompt "..., in the style of {facts.token}"'
        return [
            f"diffusers:  {fetch}pipeline.load_lora_weights({literal}), {prompt}",
            f'A1111:      put it into models/Lora/, prompt "..., in the style of {facts.token} <lora:{path.stem}:1>"',
            f"ComfyUI:    put it into models/loras/, a node Load LoRA, {prompt}",
        ]
    spaced = any(character.isspace() for character in path.stem)
    word = "-".join(path.stem.split())
    renamed = f"rename it to {word}{path.suffix}, " if spaced else ""
    load = f"pipeline.load_textual_inversion({literal}, token={_quote(facts.token)})"
    if len(facts.widths) > 1:
        load = "load clip_l and clip_g, one for each text encoder (docs/howto/banks-elsewhere.md)"
    return [
        f'diffusers:  {fetch}{load}, prompt "..., in the style of {facts.token}"',
        f'A1111:      put it into embeddings/, prompt "..., in the style of {path.stem}"',
        f'ComfyUI:    {renamed}put it into models/embeddings/, prompt "..., in the style of embedding:{word}"',
    ]


def _quote(text: str) -> str:
    """Return a text as a string literal of Python, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _find_licence(base_model: str) -> str:
    """Return the licence of a base model by its files on this machine; empty if they do not tell it."""
    from artbank.diffusion.fetch import find_local
    from artbank.diffusion.licences import name_licence

    try:
        return name_licence(base_model, find_local(base_model))
    except (ArtbankError, OSError):
        return ""
