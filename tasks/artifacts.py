"""What a run shows in Prefect: a table of its banks, a report of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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


def show_forecast(forecast: Forecast) -> None:
    """Leave what a run would do."""
    create_markdown_artifact(forecast.text, key="forecast", description="What a run would do")


def show_outcome(outcome: Outcome, public_url: str | None = None) -> None:
    """Leave a run's report, and links to its page and its contact sheet.

    Args:
        outcome: What the run came to.
        public_url: Where the output's folder can be opened in a browser; its links lead there if given.
    """
    create_markdown_artifact(outcome.text, key="stylized", description="Pictures of this run")
    for what, key, description in _LINKS:
        if place := outcome.places.get(what):
            link, note = _link(place, outcome.places["pictures"], public_url)
            create_link_artifact(link, link_text=what, key=key, description=description + note)


_LINKS = (
    ("page", "page", "Photos and pictures, scores and failures"),
    ("contact sheet", "contact-sheet", "Photos and pictures"),
)


def _link(place: str, output_uri: str, public_url: str | None) -> tuple[str, str]:
    """Return where a browser finds a file of the output, and what is to be said of that."""
    if public_url:
        return f"{public_url.rstrip('/')}/{quote(place.removeprefix(output_uri).strip('/'))}", ""
    if "://" not in place:
        return Path(place).as_uri(), ""
    return place, "; no browser opens such a link: serve the output and give its address as public_url"
