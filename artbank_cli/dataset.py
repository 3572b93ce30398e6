"""`artbank dataset`: write the dataset card of an output."""

from __future__ import annotations

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
    from artbank.report.dataset_card import CARD_COLUMNS, dataset_card
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
    if as_json:
        say_json({"card": output.uri_of(DATASET_CARD), "title": name, "licence": licence})
        return
    excluded = " ".join(f"--exclude '{folder}/*'" for folder in _NOT_PUBLISHED)
    say(output.uri_of(DATASET_CARD))
    say(f"to publish: hf upload USER/NAME {output_uri} . --repo-type dataset {excluded}")
    if not licence:
        say("licence: none is named; pass --licence")
