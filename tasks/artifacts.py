"""Prefect artifacts of a run: tables of banks and styles, reports, links, contact sheets.

Names, reasons and URIs come from a store that others may write to, so they are escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from artbank.credentials import redact
from artbank.records.bank_records import BankRecord
from artbank.report.costs import pictures_text, training_text
from artbank.runs.outcome import Outcome, StyleTotals, StylizeForecast, TrainForecast
from artbank.runtime.counts import number_text

_MAX_LISTED = 100  # banks with links
_PAGE = "Photos and pictures, scores and failures"
_WEB_SCHEMES = ("http://", "https://", "file://")
_NOT_A_WEB_LINK = "; browsers cannot open this link: serve the output over HTTP and pass its address as public_url"


def show_banks(
    trained: Sequence[BankRecord],
    current: Sequence[str],
    failed: Mapping[str, str],
    index_uri: str | None,
    *,
    display_names: Mapping[str, str],
    num_skipped: int,
) -> None:
    """Create a table with the result of every collection, and links to the new banks.

    Args:
        trained: The new banks.
        current: Collections whose bank was up to date.
        failed: Reasons for failure, by collection.
        index_uri: URI of the page that lists all banks; None if it could not be updated.
        display_names: Names of the collections by id; one without a name is shown by its id.
        num_skipped: Files of the gallery that are neither artworks nor captions, or cannot be listed.
    """
    rows = [_bank_row(bank) for bank in trained]
    outcomes = dict.fromkeys(current, "up to date")
    outcomes |= {name: f"failed: {plain(reason)}" for name, reason in failed.items()}
    rows += [
        {**_collection(name, display_names.get(name, name)), "outcome": outcome} for name, outcome in outcomes.items()
    ]
    counts = f"{number_text(len(trained), 'bank')} trained, {len(current)} up to date, {len(failed)} failed"
    counts += f"; {number_text(num_skipped, 'file')} skipped"
    create_table_artifact(table=rows, key="banks", description=f"Banks of this run: {counts}")
    if trained:
        text = _list_banks(trained, index_uri)
        create_markdown_artifact(text, key="bank-files", description="Cards and files of the new banks")


def show_forecast(forecast: StylizeForecast | TrainForecast) -> None:
    """Create an artifact with the forecast of a dry run, and log its main line."""
    if isinstance(forecast, StylizeForecast):
        photos = f"{number_text(forecast.num_tasks, 'photo')} of {forecast.num_photos:,}"
        work = f"to stylize: {photos}, {pictures_text(forecast.num_pictures, forecast.pace)}"
    else:
        work = f"to train: {number_text(len(forecast.collections), 'collection')}, {training_text(forecast)}"
    get_run_logger().info("nothing is written in a dry run; %s", work)
    create_markdown_artifact(forecast.text, key="forecast", description="What a run would do, and how long it may take")


def show_outcome(outcome: Outcome, public_url: str | None) -> None:
    """Create artifacts with a run's report, a table of its styles, and links to its files.

    Args:
        outcome: Outcome of the run.
        public_url: Web address of the output's folder, for links to its files.
    """
    counts = (
        f"{outcome.num_done:,} done, {outcome.num_failed:,} failed; {number_text(outcome.num_skipped, 'file')} skipped"
    )
    if outcome.num_deleted:
        counts += f"; {number_text(outcome.num_deleted, 'picture')} of removed photos deleted"
    create_markdown_artifact(outcome.text, key="stylized", description=f"Pictures of this run: {counts}")
    if outcome.styles:
        create_table_artifact(
            table=[_style_row(style) for style in outcome.styles],
            key="styles",
            description="Pictures of the output by style, from all runs",
        )
    links = {name: _link(place, outcome.places["pictures"], public_url) for name, place in outcome.places.items()}
    create_markdown_artifact(list_places(outcome.places, links), key="places", description="Where to find the results")
    if page := links.get("page"):
        note = "" if page.startswith(_WEB_SCHEMES) else _NOT_A_WEB_LINK
        create_link_artifact(page, link_text="page", key="page", description=f"{_PAGE}{note}")


def show_contact_sheet(sheet: bytes, description: str) -> None:
    """Create an artifact with a contact sheet in it, which the run's page shows without any other request.

    Args:
        sheet: A JPEG of at most `MOST_SHEET_BYTES`.
        description: Description of the artifact.

    Raises:
        ValueError: The sheet is larger: Prefect's server would keep all of it in its database.
    """
    from artbank.report.contact_sheet import MOST_SHEET_BYTES

    if len(sheet) > MOST_SHEET_BYTES:
        raise ValueError(f"expected a contact sheet of at most {MOST_SHEET_BYTES:,} bytes, found {len(sheet):,}")
    url = f"data:image/jpeg;base64,{b64encode(sheet).decode()}"
    create_image_artifact(url, key="contact-sheet", description=description)


def plain(text: str) -> str:
    """Return text for a table cell (no Markdown there): one line, invisible characters replaced."""
    from artbank.report.markdown import plain as show_plain

    return show_plain(text)


def link_of(place: str) -> str:
    """Return a place as a link: paths become file:// URLs, and special characters are quoted."""
    if "://" not in place:
        return f"file://{quote(str(Path(place).absolute()))}"
    scheme, _, path = redact(place).partition("://")
    return f"{scheme}://{quote(path, safe='/:@!$*,;=~+%?&#-._')}"


def list_places(places: Mapping[str, str], links: Mapping[str, str]) -> str:
    """Return a table of places as Markdown, each with its link."""
    from artbank.report.markdown import escape

    lines = [f"| {escape(name)} | [{escape(redact(place))}]({links[name]}) |" for name, place in places.items()]
    return "\n".join(["# Where to find the results", "", "| what | where |", "| --- | --- |", *lines]) + "\n"


def _link(place: str, output_uri: str, public_url: str | None) -> str:
    """Return a place as a link; files of the output are linked below `public_url` if it is given."""
    folder = f"{output_uri.rstrip('/')}/"
    if public_url and f"{place}/".startswith(folder):
        return f"{public_url.rstrip('/')}/{quote(place.removeprefix(folder.rstrip('/')).strip('/'))}"
    return link_of(place)


def _collection(name: str, display_name: str) -> dict[str, object]:
    return {"collection": plain(display_name), "id": plain(name)}


def _bank_row(bank: BankRecord) -> dict[str, object]:
    from artbank.report.markdown import score_text, share_text

    return {
        **_collection(bank.collection, bank.title),
        "outcome": f"version {bank.version}",
        "artworks": bank.num_artworks,
        "validation loss": round(bank.validation_loss, 4),
        "clip_style": score_text(bank.clip_style),
        "style gain": share_text(bank.clip_style_gain),
        "steps": bank.steps,
        "device seconds": round(bank.seconds, 1),
        "device": bank.device,
        "warnings": len(bank.warnings),
    }


def _style_row(style: StyleTotals) -> dict[str, object]:
    from artbank.report.markdown import score_text, share_text

    seconds = style.seconds_per_picture
    return {
        "style": plain(style.name),
        "pictures": style.num_done,
        "failed": style.num_failed,
        "device seconds a picture": None if seconds is None else round(seconds, 3),
        "clip_style": score_text(style.clip_style),
        "style gain": share_text(style.gain),
    }


def _list_banks(banks: Sequence[BankRecord], index_uri: str | None) -> str:
    from artbank.catalog.bank_files import files_id
    from artbank.report.markdown import escape
    from artbank.runtime.durations import seconds_text

    lines = ["# New banks", ""]
    for bank in banks[:_MAX_LISTED]:
        folder = bank.weights_uri.rpartition("/")[0]
        links = {"page": f"{folder.removesuffix(f'/{files_id(bank)}')}/index.html"}
        links |= {name: f"{folder}/{file}" for name, file in _BANK_FILES.items()}
        linked = ", ".join(f"[{name}]({link_of(place)})" for name, place in links.items())
        name = escape(f"{bank.title}, version {bank.version}")
        facts = f"{bank.name}, {seconds_text(bank.seconds)} on {bank.device}, {bank.steps:,} steps"
        lines += [f"* **{name}** ({escape(facts)}): {linked}", f"  {escape(folder)}"]
    num_more = len(banks) - _MAX_LISTED
    if num_more > 0:
        lines.append(f"* and {num_more} more; `artbank banks` lists them")
    if index_uri:
        lines += ["", f"[All banks]({link_of(index_uri)})"]
    return "\n".join(lines) + "\n"


_BANK_FILES = {"card": "card.md", "preview": "preview.jpg", "bank": "bank.safetensors"}
