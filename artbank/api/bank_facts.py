"""The main facts of a bank, for one line of text and for notebooks."""

from __future__ import annotations

from artbank.records.bank_records import BankRecord
from artbank.report.bank_card import LORA, describe_content
from artbank.report.markdown import score_text
from artbank.runtime.durations import seconds_text


def list_facts(record: BankRecord) -> dict[str, str]:
    """Return the main facts of a bank by their names."""
    content = {"vectors": f"{record.num_tokens} x {record.width}"}
    if record.kind == LORA:
        content = {"content": describe_content(record)}
    gains = {"style gain": record.clip_style_gain, "beyond colours": record.gain_beyond_colours}
    return {
        "artworks": str(record.num_artworks),
        **content,
        "steps": str(record.steps),
        "validation loss": score_text(record.validation_loss),
        **{name: f"{gain:.2f}" for name, gain in gains.items() if gain is not None},
        "trained in": seconds_text(record.seconds),
        "base model": record.base_model,
    }
