"""What a run shows in Prefect: a table of its banks, a report of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def show_forecast(forecast: Forecast) -> None:
    """Leave what a run would do."""
    create_markdown_artifact(forecast.text, key="forecast", description="What a run would do")


def show_outcome(outcome: Outcome) -> None:
    """Leave a run's report, and a link to its contact sheet."""
    create_markdown_artifact(outcome.text, key="stylized", description="Pictures of this run")
    if sheet := outcome.places.get("contact sheet"):
        link = sheet if "://" in sheet else f"file://{sheet}"
        create_link_artifact(link, link_text="contact sheet", key="contact-sheet", description="Photos and pictures")
