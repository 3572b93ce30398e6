"""The commands about registered banks: `artbank banks`, `artbank export` and `artbank site`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from artbank.errors import ArtbankError, ConfigError
from artbank.store.explanations import explain
from artbank_cli.options import JsonOption, StoreOption
from artbank_cli.output import say, say_json, say_lines

if TYPE_CHECKING:  # the commands import what they need, so that `artbank --help` stays fast
    from artbank.catalog.catalog import Catalog
    from artbank.store.objects import Store

app = typer.Typer(help="List the registered banks, and choose the default version of each collection.")


@app.callback()
def list_banks(
    context: typer.Context,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or s3:// prefix of the catalog.", envvar="ARTBANK_STORE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the banks of a catalog."""
    if context.invoked_subcommand:
        context.obj = store
        return
    rows = _catalog(_open(store)).table().to_pylist()
    if as_json:
        say_json(rows)
        return
    from artbank.report.markdown import visible

    say(f"{'bank':<28} {'status':<10} {'created':<17} {'artworks':>8} {'steps':>6} {'val. loss':>9} {'gain':>6}  name")
    for row in rows:
        gain = "" if row["clip_style_gain"] is None else f"{row['clip_style_gain']:.2f}"
        name = f"{row['collection']}@{row['version']}"
        say(
            f"{name:<28} {row['status']:<10} {row['created_at']:%Y-%m-%d %H:%M}  "
            f"{row['num_artworks']:>8} {row['steps']:>6} {row['validation_loss']:>9.4f} {gain:>6}  "
            f"{visible(row['display_name'] or row['collection'])}"
        )


@app.command()
def show(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Print the card of a bank, named NAME or NAME@VERSION."""
    from artbank.catalog.bank_files import load_card

    opened = _open(store or context.obj)
    say_lines(load_card(opened, _catalog(opened).find(name)))


@app.command()
def promote(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Make NAME@VERSION the default version of NAME."""
    opened = _open(store or context.obj)
    event = _catalog(opened).promote(name)
    say(f"{event.collection}@{event.version} is the default version")
    _refresh_site(opened)


@app.command()
def retire(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Retire NAME@VERSION: it is no longer a default version, but can still be named by its number."""
    opened = _open(store or context.obj)
    event = _catalog(opened).retire(name)
    say(f"{event.collection}@{event.version} is retired")
    _refresh_site(opened)


def export(name: str, file: str, store: StoreOption = None) -> None:
    """Write a bank as a textual-inversion file, which diffusers, ComfyUI and A1111 can load."""
    from artbank.catalog.bank_files import export_bank
    from artbank.store.objects import Store

    opened = _open(store)
    folder, _, last = file.rpartition("/")
    if not folder:
        folder = "/" if file.startswith("/") else "."
    target = Store.open(folder)
    if opened.contains(target):
        raise ConfigError(f"{file} lies in the store {opened.uri}, whose files it could replace; name a place outside")
    target.write(last, export_bank(opened, _catalog(opened).find(name)))
    say(file)


def site(
    store_uri: Annotated[
        str, typer.Argument(metavar="STORE_URI", help="Folder or s3:// prefix of the catalog and the banks.")
    ],
    out: Annotated[
        str | None, typer.Option("--out", help="Folder or s3:// prefix for the pages; the store if not given.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Write every page again, even if it is up to date.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a page for each bank of a store, and their index; pages that are up to date are kept."""
    from artbank.pages.banks.build import build
    from artbank.store.objects import Store

    store = _open(store_uri)
    target = Store.open(out) if out else store
    if store.contains(target) and target.contains(store):
        target = store
    elif store.contains(target):
        raise ConfigError(f"--out {target.uri} lies in the store {store.uri}; name a place outside, or leave it out")
    built = build(store, target, anew=anew)
    if as_json:
        say_json(asdict(built))
        return
    say(f"{built.num_written} of {len(built.pages) + 1} pages written")
    say(f"index: {built.index_uri}")


def _open(uri: str | None) -> Store:
    from artbank.catalog.store_check import check_has_banks
    from artbank.store.objects import Store

    if not uri:
        raise ConfigError("--store is missing; give the folder or s3:// prefix of the catalog, or set ARTBANK_STORE")
    store = Store.open(uri)
    check_has_banks(store)
    return store


def _refresh_site(store: Store) -> None:
    """Update the pages of a store; the change to the catalog is kept even if that fails."""
    from artbank.pages.banks.build import build

    try:
        build(store)
    except (ArtbankError, OSError) as error:
        say(f"the pages could not be updated ({explain(error)}); run `artbank site` to write them", to_stderr=True)


def _catalog(store: Store) -> Catalog:
    from artbank.catalog.catalog import Catalog

    return Catalog(store)
