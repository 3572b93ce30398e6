"""Where data comes from, as events of Prefect's: collections -> bank, photos and banks -> stylized archive.

A self-hosted server has no page for assets, see docs/monitor.md; its automations can be triggered by these events.
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
from artbank.records import BankRecord
from artbank.runs.outcome import Outcome

_REFUSED = re.compile(r"""[\s\0#?&%"'<>\[\]{}|\\^`]""")  # by Prefect, in an asset's key
_LONGEST_KEY = 512
_TOOL = "artbank"


def asset_key(uri: str, *parts: str) -> str:
    """Return what Prefect calls something at a URI: signs that it refuses become `-`, and a path begins with file://."""
    whole = "/".join([redact(uri).rstrip("/"), *parts])
    scheme, separator, path = whole.partition("://")
    if not separator:
        scheme, path = "file", str(Path(whole).absolute())
    return _REFUSED.sub("-", f"{scheme.lower()}://{path}")[:_LONGEST_KEY]


def emit_banks(gallery_uri: str, banks: Collection[BankRecord]) -> None:
    """Tell that banks were made, each of its collection."""
    for bank in banks:
        facts = {
            "collection": bank.collection,
            "version": bank.version,
            "bank_id": bank.bank_id,
            "num_artworks": bank.num_artworks,
            "validation_loss": bank.validation_loss,
        }
        _emit(asset_key(bank.weights_uri), [asset_key(gallery_uri, bank.collection)], facts)


def emit_archive(archive_uri: str, output_uri: str, bank_uris: Collection[str], outcome: Outcome) -> None:
    """Tell that an archive was stylized with some banks."""
    facts = {"num_done": outcome.num_done, "num_failed": outcome.num_failed, "num_new": outcome.num_new}
    made_of = [asset_key(archive_uri), *sorted(map(asset_key, bank_uris))]
    _emit(asset_key(output_uri), made_of, facts)


def _emit(made: str, made_of: Sequence[str], facts: dict[str, Any]) -> None:
    AssetContext(
        direct_asset_dependencies={Asset(key=key) for key in made_of},
        downstream_assets={Asset(key=made)},
        materialized_by=_TOOL,
        materialization_metadata={made: facts},
    ).emit_events(Completed())
