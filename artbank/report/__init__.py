"""What people look at: contact sheets, previews, cards of banks and summaries of runs."""

from __future__ import annotations

from artbank.report.cards import bank_card
from artbank.report.costs import cost_facts, cost_markdown, forecast_markdown, training_markdown
from artbank.report.sheets import contact_sheet, preview_grid
from artbank.report.summaries import SUMMARY_COLUMNS, results_summary, summary_markdown

__all__ = [
    "SUMMARY_COLUMNS",
    "bank_card",
    "contact_sheet",
    "cost_facts",
    "cost_markdown",
    "forecast_markdown",
    "preview_grid",
    "results_summary",
    "summary_markdown",
    "training_markdown",
]
