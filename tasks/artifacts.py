"""What a run shows in Prefect: a table of its banks, a report of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from artbank.records import BankRecord, Forecast, Outcome


def show_banks(trained: Sequence[BankRecord], current: Sequence[str], failed: Mapping[str, str]) -> None:
    """Leave a table of what became of every collection."""
    rows = [
        {
            "collection": bank.collection,
            "outcome": f"version {bank.version}",
            "validation loss": round(bank.validation_loss, 4),
            "style gain": None if bank.clip_style_gain is None else round(bank.clip_style_gain, 2),
            "steps": bank.steps,
            "seconds": round(bank.seconds),
            "warnings": len(bank.warnings),
        }
        for bank in trained
    ]
    rows += [{"collection": name, "outcome": "up to date"} for name in current]
    rows += [{"collection": name, "outcome": f"failed: {reason}"} for name, reason in failed.items()]
    create_table_artifact(table=rows, key="banks", description="Banks of this run")


def show_pages(trained: Sequence[BankRecord], index_uri: str, pages: Mapping[str, str]) -> None:
    """Leave links to the pages of the banks of this run, and to the index of all.

    Args:
        trained: Banks of this run.
        index_uri: Of the index.
        pages: URI of each bank's page, by bank id.
    """
    from artbank.report.markdown import escape

    links = [
        f"- [{escape(f'{bank.collection}, version {bank.version}')}]({_link(pages[bank.bank_id])})"
        for bank in trained
        if bank.bank_id in pages
    ]
    text = "\n".join([*links, f"- [all banks]({_link(index_uri)})"])
    create_markdown_artifact(text, key="bank-pages", description="Pages of the banks of this run")


def show_forecast(forecast: Forecast) -> None:
    """Leave what a run would do."""
    create_markdown_artifact(forecast.text, key="forecast", description="What a run would do")


def show_outcome(outcome: Outcome) -> None:
    """Leave a run's report, and a link to its contact sheet."""
    create_markdown_artifact(outcome.text, key="stylized", description="Pictures of this run")
    if sheet := outcome.places.get("contact sheet"):
        create_link_artifact(
            _link(sheet), link_text="contact sheet", key="contact-sheet", description="Photos and pictures"
        )


def _link(uri: str) -> str:
    """Return a URI as a link; a path is one on this machine."""
    kind, separator, rest = uri.partition("://")
    return f"{kind}://{quote(rest)}" if separator else f"file://{quote(uri)}"
