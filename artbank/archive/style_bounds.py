"""The floors and ceilings of styles: of this run's styles, and of those that earlier runs drew into the same output."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artbank.catalog.bank_files import load_reference
from artbank.catalog.catalog import Catalog
from artbank.errors import BankError
from artbank.records.bank_records import BankRecord
from artbank.report.summaries import FLOORS, Bounds
from artbank.scoring.spread import ScoreBounds, mix_ceilings
from artbank.scoring.style_reference import CsdReference
from artbank.scoring.texture import TextureReference
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

WeightedBanks = Sequence[tuple[BankRecord, float]]
"""Rows of banks with their weights, which sum to 1."""


@dataclass(frozen=True)
class EarlierStyle:
    """A style of an output that this run did not draw.

    Attributes:
        name: Name of its folder and in its rows.
        banks: Its banks, as the catalog still has them.
        bounds: Floor and ceiling by score.
    """

    name: str
    banks: WeightedBanks
    bounds: Bounds


def find_bounds(store: Store, name: str, banks: WeightedBanks, rows: pa.Table) -> Bounds:
    """Return the floor and the ceiling of a style by score.

    Args:
        store: Holds the files of the banks.
        name: The style's name in the rows.
        banks: The style's banks.
        rows: Results of this style, and perhaps of others.

    Raises:
        BankError: A reference is missing or damaged.
        OSError: The store failed.
    """
    own_rows = rows.filter(pc.equal(rows["style"], name))
    references = [(load_reference(store, bank), weight) for bank, weight in banks]
    csd = CsdReference.mix([(reference.csd, weight) for reference, weight in references])
    texture = TextureReference.mix([(reference.texture, weight) for reference, weight in references])
    ceilings = {
        "clip_style": mix_ceilings([(reference.ceiling, weight) for reference, weight in references]),
        "csd_style": csd and csd.ceiling,
        "clip_texture": texture and texture.ceiling,
    }
    return {score: ScoreBounds(pc.mean(own_rows[floor]).as_py(), ceilings[score]) for score, floor in FLOORS.items()}


def find_earlier_styles(store: Store, rows: pa.Table, names: Collection[str]) -> list[EarlierStyle]:
    """Find the banks and the bounds of the styles that earlier runs drew.

    A style is left out where the catalog no longer has its banks, or where these cannot be read.

    Args:
        store: Holds the catalog and the files of the banks.
        rows: Results with at least `style`, `bank_ids` and `created_at`.
        names: The styles of this run, which are not looked up.

    Raises:
        OSError: The store failed.
    """
    others = sorted(set(pc.unique(rows["style"]).to_pylist()) - set(names))
    known = Catalog(store).inspect()[0] if others else []
    found = []
    for name in others:
        own_rows = rows.filter(pc.equal(rows["style"], name))
        newest = own_rows.slice(pc.index(own_rows["created_at"], pc.max(own_rows["created_at"])).as_py(), 1)
        banks = match_banks(name, newest["bank_ids"][0].as_py() or (), known)
        try:
            if banks:
                found.append(EarlierStyle(name, banks, find_bounds(store, name, banks, own_rows)))
        except BankError as error:
            logger.warning("the page shows no ceiling for style %s of an earlier run: %s", name, error)
    return found


def match_banks(style: str, bank_ids: Sequence[str], known: Sequence[BankRecord]) -> WeightedBanks:
    """Return the banks of a style with their weights, from the name of its folder; empty if they cannot be told.

    Args:
        style: Such as `monet`, `monet@2`, or `monet_0.7+hokusai_0.3`.
        bank_ids: Ids of its banks, in the order of its name.
        known: Rows of the catalog.
    """
    parts = [style] if len(bank_ids) == 1 else style.split("+")
    if not bank_ids or len(parts) != len(bank_ids):
        return ()
    matched = []
    for part, bank_id in zip(parts, bank_ids, strict=True):
        same = [(bank, _weigh(part, bank)) for bank in known if bank.bank_id == bank_id]
        fitting = [(bank, weight) for bank, weight in same if weight is not None]
        if not fitting:
            return ()
        matched.append(fitting[0])
    total = sum(weight for _, weight in matched)
    return tuple((bank, weight / total) for bank, weight in matched)


def _weigh(part: str, bank: BankRecord) -> float | None:
    """Return the weight that a part of a style's name gives a bank; None if it names another one."""
    for name in (bank.collection, f"{bank.collection}@{bank.version}"):
        if part == name:
            return 1.0
        if part.startswith(f"{name}_"):
            try:
                weight = float(part.removeprefix(f"{name}_"))
            except ValueError:
                continue
            return weight if 0 < weight < float("inf") else None
    return None
