"""The commands about registered banks: `artbank banks` and `artbank site`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artbank.errors import ArtbankError, ConfigError
from artbank.store.explanations import explain
from artbank_cli.help_pages import HelpedCommand, HelpedGroup
from artbank_cli.options import JsonOption, StoreOption
from artbank_cli.output import say, say_json, say_lines

if TYPE_CHECKING:  # the commands import what they need, so that `artbank --help` stays fast
    from artbank.catalog.catalog import Catalog
    from artbank.store.objects import Store


class _BanksGroup(HelpedGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find a command; says how banks are listed, since their store is an option here."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:  # typer has a click of its own, whose errors have no public name
            if "No such command" in getattr(error, "message", ""):
                error.message += " `artbank banks --store STORE_URI` lists the banks."  # pyright: ignore[reportAttributeAccessIssue]
            raise


app = typer.Typer(cls=_BanksGroup, help="List the registered banks, and choose the default version of each collection.")


@app.callback()
def list_banks(
    context: typer.Context,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the banks of a catalog."""
    if context.invoked_subcommand:
        context.obj = store
        return
    opened = open_store(store)
    rows = open_catalog(opened).table().to_pylist()
    if as_json:
        say_json(rows)
        return
    if not rows:
        say(f"no bank is registered in {opened.uri} yet; `artbank train` registers them")
        return
    from artbank.report.markdown import visible

    say(
        f"{'bank':<28} {'status':<10} {'created':<17} {'artworks':>8} {'steps':>6} {'val. loss':>9} {'gain':>6} "
        f"{'beyond colours':>14}  name"
    )
    for row in rows:
        gain, beyond = (
            "" if gain is None else f"{gain:.2f}" for gain in (row["clip_style_gain"], row["gain_beyond_colours"])
        )
        name = f"{row['collection']}@{row['version']}"
        say(
            f"{name:<28} {row['status']:<10} {row['created_at']:%Y-%m-%d %H:%M}  "
            f"{row['num_artworks']:>8} {row['steps']:>6} {row['validation_loss']:>9.4f} {gain:>6} {beyond:>14}  "
            f"{visible(row['display_name'] or row['collection'])}"
        )


def _choose_store(context: typer.Context, store: str | None) -> str | None:
    """Return the store of a command, or else of `banks`, whose option wins over the environment and `artbank.toml`."""
    return store if _is_given(context, "store") else context.obj or store


def _is_given(context: typer.Context, name: str) -> bool:
    """Return whether a parameter stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.command(cls=HelpedCommand)
def show(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Print the card of a bank, named NAME or NAME@VERSION."""
    from artbank.catalog.bank_files import load_card

    opened = open_store(_choose_store(context, store))
    say_lines(load_card(opened, open_catalog(opened).find(name)))


@app.command(cls=HelpedCommand)
def promote(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Make NAME@VERSION the default version of NAME."""
    opened = open_store(_choose_store(context, store))
    event = open_catalog(opened).promote(name)
    say(f"{event.collection}@{event.version} is the default version")
    _refresh_site(opened)


@app.command(cls=HelpedCommand)
def retire(context: typer.Context, name: str, store: StoreOption = None) -> None:
    """Retire NAME@VERSION: it is no longer a default version, but can still be named by its number."""
    opened = open_store(_choose_store(context, store))
    event = open_catalog(opened).retire(name)
    say(f"{event.collection}@{event.version} is retired")
    _refresh_site(opened)


def site(
    context: typer.Context,
    store_uri: Annotated[
        str | None,
        typer.Argument(
            metavar="STORE_URI", help="Folder or s3:// prefix of the catalog and the banks; the same as --store."
        ),
    ] = None,
    store: StoreOption = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Folder or s3:// prefix for the pages; the store if not given.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Write every page again, even if it is up to date.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a page for each bank of a store, and their index; pages that are up to date are kept."""
    from artbank.pages.banks.build import build
    from artbank.store.objects import Store

    if store_uri and _is_given(context, "store"):
        raise ConfigError(f"the command names two stores, {store_uri} and --store {store}; leave one of them out")
    banks = open_store(store_uri or store)
    target = Store.open(out) if out else banks
    if banks.contains(target) and target.contains(banks):
        target = banks
    else:
        _check_place_of_pages(banks, target)
    built = build(banks, target, anew=anew)
    if as_json:
        say_json(asdict(built))
        return
    say(f"{built.num_written} of {len(built.pages) + 1} pages written")
    say(f"index: {built.index_uri}")


def _check_place_of_pages(store: Store, target: Store) -> None:
    """Check that pages may be written to a place outside of their store.

    Raises:
        ConfigError: It lies in the store or in a gallery, or is another store, whose pages would be lost.
        OSError: A store failed.
    """
    from artbank.catalog.store_places import check_outside_galleries, has_catalog

    if store.contains(target):
        raise ConfigError(f"--out {target.uri} lies in the store {store.uri}; name a place outside, or leave it out")
    if has_catalog(target):
        raise ConfigError(f"--out {target.uri} is a store itself, whose pages would be replaced; name another place")
    check_outside_galleries(target, "--out", open_catalog(store).banks())


def open_store(uri: str | None) -> Store:
    """Open the store of the catalog.

    Raises:
        ConfigError: None is named, or it has no banks.
        OSError: The store failed.
    """
    from artbank.catalog.store_places import check_has_banks
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


def open_catalog(store: Store) -> Catalog:
    """Return the catalog of a store."""
    from artbank.catalog.catalog import Catalog

    return Catalog(store)
