"""`artbank dataset`: write the dataset card of an output."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from artbank.errors import ConfigError
from artbank.results.layout import DATASET_CARD, RESULTS
from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json

_NOT_PUBLISHED = ("runs", "manifests", "results", "report")  # they name places of the run, and hold old rows


def dataset(
    output_uri: Annotated[str, typer.Argument(help="Folder or prefix that `stylize` wrote to.")],
    title: Annotated[str | None, typer.Option("--title", help="Name of the dataset; the folder's by default.")] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Licence by its id on the hub, such as cc-by-4.0; none by default.")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help=f"Replace a {DATASET_CARD} that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset card beside an output, so that its folder can be pushed to the Hugging Face hub."""
    from artbank.records.photo_records import Result
    from artbank.report.dataset_card import CARD_COLUMNS, dataset_card, describe_altered_names
    from artbank.report.markdown import visible
    from artbank.store.objects import Store
    from artbank.store.parquet import read_table

    output = Store.open(output_uri)
    if not output.exists(RESULTS):
        raise ConfigError(f"expected an output of stylize, found no {RESULTS} in {output.uri}; correct its name")
    if output.exists(DATASET_CARD) and not replace:
        raise ConfigError(f"{output.uri_of(DATASET_CARD)} is there already; rename it, or pass --replace")
    rows = read_table(output.read(RESULTS), Result.SCHEMA, CARD_COLUMNS)
    name = title or output.uri.rstrip("/").rpartition("/")[2]
    output.write(DATASET_CARD, dataset_card(rows, name, licence).encode())
    note = describe_altered_names(rows)
    if as_json:
        notes = [note] if note else []
        say_json({"card": output.uri_of(DATASET_CARD), "title": name, "licence": licence, "notes": notes})
        return
    say(output.uri_of(DATASET_CARD))
    say(f"to publish: {_describe_upload(output_uri)}")
    if note:
        say(f"note: {visible(note)}")
    if not licence:
        say("licence: none is named; pass --licence")


def _describe_upload(output_uri: str) -> str:
    """Return the command that publishes an output; it reads a folder alone."""
    is_remote = "://" in output_uri
    folder = "FOLDER" if is_remote else shlex.quote(output_uri)
    excluded = " ".join(f"--exclude '{folder}/*'" for folder in _NOT_PUBLISHED)
    command = f"hf upload USER/NAME {folder} . --repo-type dataset {excluded}"
    return f"copy {output_uri} to a FOLDER, then {command}" if is_remote else command
