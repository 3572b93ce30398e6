"""Rows as runs write them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from artbank.catalog.catalog import Catalog
from artbank.records.bank_records import BankRecord
from artbank.records.photo_records import Result

START = datetime(2026, 1, 1, tzinfo=UTC)


def bank_record(bank_id: str = "0000000000000001", collection: str = "monet", **values: Any) -> BankRecord:
    """Return a row of a bank; `register` fills in its version."""
    facts: dict[str, Any] = {
        "bank_id": bank_id,
        "collection": collection,
        "version": 0,
        "created_at": START,
        "gallery_uri": "gallery",
        "fingerprint": "f" * 64,
        "num_artworks": 7,
        "base_model": "mini",
        "base_model_hash": "b" * 64,
        "num_tokens": 8,
        "width": 64,
        "attention": "ssam",
        "recipe": "{}",
        "attempt": 0,
        "steps": 400,
        "train_loss": 0.1,
        "validation_loss": 0.2,
        "clip_style": 0.7,
        "clip_style_floor": 0.5,
        "clip_style_ceiling": 0.9,
        "clip_style_gain": 0.5,
        "scorer": None,
        "seconds": 12.5,
        "device": "cpu",
        "weights_uri": f"banks/{collection}/{bank_id}/bank.safetensors",
        "weights_sha256": "a" * 64,
        "previous_version": None,
        "code_version": "0.1.0",
        "warnings": [],
    }
    return BankRecord(**{**dict.fromkeys(BankRecord.SCHEMA.names), **facts, **values})


def register(catalog: Catalog, record: BankRecord) -> BankRecord:
    """Register a bank under the next version of its collection, as a run does."""
    version = catalog.reserve_version(record.collection, record.bank_id)
    return catalog.register(replace(record, version=version.number, previous_version=version.previous))


def result(key: str = "a.jpg", style: str = "monet", *, minute: int = 0, **values: Any) -> Result:
    """Return a row of a photo, written `minute` minutes after `START`."""
    facts: dict[str, Any] = {
        "key": key,
        "size": 3,
        "etag": "e1",
        "sha256": "s1",
        "style": style,
        "recipe_id": "r1",
        "status": "done",
        "reason": None,
        "file_name": f"{style}/{key}",
        "width_px": 8,
        "height_px": 8,
        "seed": 1,
        "clip_style": 0.5,
        "clip_text": 0.3,
        "clip_content": 0.8,
        "clip_direction": 0.1,
        "ssim": 0.6,
        "flags": [],
        "scorer": "clip",
        "bank_ids": ["0000000000000001"],
        "base_model": "mini",
        "base_model_hash": "b" * 64,
        "recipe": "{}",
        "seconds": 0.5,
        "created_at": START + timedelta(minutes=minute),
    }
    return Result(**{**dict.fromkeys(Result.SCHEMA.names), **facts, **values})
