"""`artbank banks`, and what else is about the banks of a store: their files for other programs, their pages."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from artbank.errors import ArtbankError, ConfigError
from artbank_cli.options import JsonOption, StoreOption

app = typer.Typer(help="Look into the catalog of banks and choose default versions.")


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
    rows = _catalog(store).table().to_pylist()
    if as_json:
        print(json.dumps(rows, default=str))
        return
    print(f"{'bank':<28} {'status':<10} {'created':<17} {'artworks':>8} {'steps':>6} {'val. loss':>9} {'gain':>6}")
    for row in rows:
        gain = "" if row["clip_style_gain"] is None else f"{row['clip_style_gain']:.2f}"
        name = f"{row['collection']}@{row['version']}"
        print(
            f"{name:<28} {row['status']:<10} {row['created_at']:%Y-%m-%d %H:%M}  "
            f"{row['num_artworks']:>8} {row['steps']:>6} {row['validation_loss']:>9.4f} {gain:>6}"
        )


@app.command()
def show(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Print the card of a bank: NAME or NAME@VERSION."""
    from artbank.catalog.bank_files import load_card
    from artbank.store.objects import Store

    uri = store or context.obj
    print(load_card(Store.open(_required(uri)), _catalog(uri).find(name)))


@app.command()
def promote(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Make NAME@VERSION the version that NAME stands for."""
    event = _catalog(store or context.obj).promote(name)
    print(f"{event.collection} stands for version {event.version}")
    _refresh_site(store or context.obj)


@app.command()
def retire(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Let NAME no longer stand for NAME@VERSION; its number still finds it."""
    event = _catalog(store or context.obj).retire(name)
    print(f"{event.collection}@{event.version} is retired")
    _refresh_site(store or context.obj)


@app.command()
def compact(context: typer.Context, store: StoreOption = None) -> None:
    """Write the whole catalog into one Parquet file of its own, for readers of many banks."""
    print(_catalog(store or context.obj).compact())


def export(name: str, file: str, store: StoreOption = None) -> None:
    """Write a bank as a textual-inversion file, which diffusers, ComfyUI and A1111 load."""
    from artbank.catalog.bank_files import load_bank
    from artbank.store.objects import Store

    bank = load_bank(Store.open(_required(store)), _catalog(store).find(name))
    folder, _, last = file.rpartition("/")
    Store.open(folder or ("/" if file.startswith("/") else ".")).write(last, bank.to_textual_inversion())
    print(file)


def site(
    store_uri: Annotated[
        str, typer.Argument(metavar="STORE_URI", help="Folder or s3:// prefix of the catalog and the banks.")
    ],
    out: Annotated[str | None, typer.Option("--out", help="Folder or s3:// prefix of the pages: the store.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Write every page, whatever is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a page for each bank of a store, and the index of them all; what is up to date stays."""
    from artbank.pages.banks.build import build
    from artbank.store.objects import Store

    built = build(Store.open(store_uri), Store.open(out) if out else None, anew=anew)
    if as_json:
        print(json.dumps(asdict(built)))
        return
    print(f"{built.num_written} of {len(built.pages) + 1} pages written")
    print(f"index: {built.index_uri}")


def _required(store: str | None) -> str:
    if not store:
        raise ConfigError("--store is missing; give the folder or s3:// prefix of the catalog, or set ARTBANK_STORE")
    return store


def _refresh_site(store: str | None) -> None:
    """Bring the pages of a store up to date; what was decided stands without them."""
    from artbank.pages.banks.build import build
    from artbank.store.objects import Store

    try:
        build(Store.open(_required(store)))
    except (ArtbankError, OSError) as error:
        print(f"the pages are not up to date ({error}); `artbank site` writes them", file=sys.stderr)


def _catalog(store: str | None) -> Any:
    from artbank.catalog.catalog import Catalog
    from artbank.store.objects import Store

    return Catalog(Store.open(_required(store)))
