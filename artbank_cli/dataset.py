"""`artbank dataset`: write the dataset card of an output."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from artbank.errors import ConfigError
from artbank.results.layout import DATASET_CARD, RESULTS
from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json

if TYPE_CHECKING:
    from pyarrow import Table

    from artbank.store.objects import Store

_OUTDATED = (
    f"{RESULTS} does not have all pictures yet, because a run has not ended; run its stylize command again, then this "
    "one with --replace"
)
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
    from artbank.report.dataset_card import CARD_COLUMNS, dataset_card
    from artbank.report.markdown import visible
    from artbank.results.tables import read_finished
    from artbank.store.objects import Store

    output = Store.open(output_uri)
    rows = read_finished(output, Result.SCHEMA, CARD_COLUMNS)
    if output.exists(DATASET_CARD) and not replace:
        raise ConfigError(f"{output.uri_of(DATASET_CARD)} is there already; rename it, or pass --replace")
    name = title or output.uri.rstrip("/").rpartition("/")[2]
    output.write(DATASET_CARD, dataset_card(rows, name, licence).encode())
    notes = _list_notes(output, rows)
    if as_json:
        say_json({"card": output.uri_of(DATASET_CARD), "title": name, "licence": licence, "notes": notes})
        return
    say(output.uri_of(DATASET_CARD))
    say(f"to publish: {_describe_upload(output_uri)}")
    for note in notes:
        say(f"note: {visible(note)}")
    if not licence:
        say("licence: none is named; pass --licence")


def _list_notes(output: Store, rows: Table) -> list[str]:
    """Return what a person should know before the output is published, one sentence each."""
    from artbank.report.dataset_card import describe_altered_names, describe_unnamed
    from artbank.results.output_place import find_unnamed, is_outdated

    altered = describe_altered_names(rows)
    notes = [altered] if altered else []
    if is_outdated(output):
        return [*notes, _OUTDATED]
    return [*notes, *describe_unnamed(*find_unnamed(output, rows))]


def _describe_upload(output_uri: str) -> str:
    """Return the command that publishes an output; it reads a folder alone."""
    is_remote = "://" in output_uri
    folder = "FOLDER" if is_remote else shlex.quote(output_uri)
    excluded = " ".join(f"--exclude '{folder}/*'" for folder in _NOT_PUBLISHED)
    command = f"hf upload USER/NAME {folder} . --repo-type dataset {excluded}"
    return f"copy {output_uri} to a FOLDER, then {command}" if is_remote else command
