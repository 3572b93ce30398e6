"""`artbank export-picks`: copy the pictures that were picked on the page of an output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json

_EXAMPLES = 5


def export_picks(
    output_uri: Annotated[str, typer.Argument(help="Folder or prefix that `stylize` wrote to.")],
    picks: Annotated[Path, typer.Argument(metavar="PICKS", help="List or CSV, downloaded from the output's page.")],
    target: Annotated[str, typer.Argument(help="Folder, s3:// prefix or .zip file for the copies.")],
    stars: Annotated[
        int | None,
        typer.Option(
            "--stars",
            min=1,
            max=5,
            metavar="NUMBER",
            help="Copy what has at least so many stars and is not rejected, in place of what is picked; needs the CSV.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the pictures that were picked on an output's page to a folder or into a zip file."""
    from artbank.report.markdown import plain
    from artbank.results.picked_copies import export_folder, export_zip, find_rows, read_picks
    from artbank.runtime.counts import number_text
    from artbank.store.objects import Store

    output = Store.open(output_uri)
    rows, missing = find_rows(output, read_picks(picks, stars))
    if target.lower().endswith(".zip") and "://" not in target:
        outcome = export_zip(output, rows, Path(target))
    else:
        outcome = export_folder(output, rows, Store.open(target))
    failed = [*missing, *outcome.failed]
    if as_json:
        say_json({"target": target, "written": outcome.num_written, "failed": failed})
    else:
        say(f"{number_text(outcome.num_written, 'picture')} copied to {target}, {len(failed):,} failed")
        for text in failed[:_EXAMPLES]:
            say(f"failed: {plain(text)}")
        if len(failed) > _EXAMPLES:
            say(f"and {len(failed) - _EXAMPLES:,} more; --json lists all")
    if failed:
        raise typer.Exit(1)
