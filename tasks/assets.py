"""Lineage as Prefect asset events: collection -> bank; photos and banks -> stylized archive.

A self-hosted server has no page for assets (see docs/monitor.md), but the events can trigger its automations.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from prefect.assets import Asset
from prefect.context import AssetContext
from prefect.states import Completed

from artbank.credentials import redact
from artbank.records.bank_records import BankRecord
from artbank.runs.outcome import Outcome

_FORBIDDEN = re.compile(r"""[\s\0#?&%"'<>\[\]{}|\\^`]""")  # in Prefect's asset keys
_MAX_KEY_LENGTH = 512
_TOOL = "artbank"


def asset_key(uri: str, *parts: str) -> str:
    """Return the asset key of a URI: forbidden characters become `-`, and paths become file:// URLs."""
    address = "/".join([redact(uri).rstrip("/"), *parts])
    scheme, separator, path = address.partition("://")
    if not separator:
        scheme = "file"
        path = str(Path(address).absolute())
    return _FORBIDDEN.sub("-", f"{scheme.lower()}://{path}")[:_MAX_KEY_LENGTH]


def emit_banks(gallery_uri: str, banks: Collection[BankRecord]) -> None:
    """Emit an event for each new bank, with its collection as source."""
    for bank in banks:
        facts = {
            "collection": bank.collection,
            "display_name": bank.title,
            "version": bank.version,
            "bank_id": bank.bank_id,
            "num_artworks": bank.num_artworks,
            "validation_loss": bank.validation_loss,
        }
        _emit(asset_key(bank.weights_uri), [asset_key(gallery_uri, bank.title)], facts)


def emit_archive(archive_uri: str, output_uri: str, bank_uris: Collection[str], outcome: Outcome) -> None:
    """Emit an event for a stylized archive, with its photos and banks as sources."""
    facts = {name: getattr(outcome, name) for name in ("num_done", "num_failed", "num_skipped", "num_new")}
    sources = [asset_key(archive_uri), *sorted(map(asset_key, bank_uris))]
    _emit(asset_key(output_uri), sources, facts)


def _emit(asset: str, sources: Sequence[str], facts: dict[str, Any]) -> None:
    AssetContext(
        direct_asset_dependencies={Asset(key=key) for key in sources},
        downstream_assets={Asset(key=asset)},
        materialized_by=_TOOL,
        materialization_metadata={asset: facts},
    ).emit_events(Completed())
