"""Resolve styles such as `monet`, `Van Gogh@3` or `monet:0.7+hokusai:0.3` to banks of the catalog.

A plan holds `StyleChoice`s: small, and fixed to bank ids, so that a bank registered during a run changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artbank.catalog.bank_files import load_bank, load_reference
from artbank.catalog.catalog import Catalog
from artbank.errors import ConfigError
from artbank.parameters.control_specs import UsedControl
from artbank.parameters.lora_specs import MergedLora
from artbank.recipes import StylizeRecipe
from artbank.records.bank_records import BankRecord
from artbank.runtime.collection_ids import collection_id
from artbank.runtime.hashing import short_hash
from artbank.runtime.style_names import parse_style, split_version, style_folder
from artbank.store.objects import Store

if TYPE_CHECKING:  # these load torch and diffusers, which planning a run does without
    from artbank.scoring.style_reference import StyleReference
    from artbank.stylization.style import Style

RESERVED = frozenset({"results", "manifests", "runs", "report"})
"""Folders of an output that hold no pictures; no style may be named so."""


@dataclass(frozen=True)
class StyleChoice:
    """One style of a run, resolved to banks.

    Attributes:
        name: Folder of its pictures.
        banks: Rows of the banks with their weights, which sum to 1.
        recipe_id: 16 hex digits, equal exactly where the same photo would give the same picture.
    """

    name: str
    banks: tuple[tuple[BankRecord, float], ...]
    recipe_id: str

    @property
    def bank_ids(self) -> list[str]:
        """Ids of its banks, in the order of the request."""
        return [bank.bank_id for bank, _ in self.banks]


def resolve_styles(
    catalog: Catalog,
    specs: Sequence[str],
    recipe: StylizeRecipe,
    base_model_hash: str,
    loras: Sequence[MergedLora] = (),
    controls: Sequence[UsedControl] = (),
) -> tuple[StyleChoice, ...]:
    """Look up styles in the catalog.

    Raises:
        CatalogError: There is no such bank.
        ConfigError: A style is malformed, two styles share a folder, or a bank was trained on another base model.
    """
    choices = tuple(_resolve(catalog, spec, recipe, base_model_hash, loras, controls) for spec in specs)
    folders = [choice.name.lower() for choice in choices]
    for choice in choices:
        if folders.count(choice.name.lower()) > 1 or choice.name.lower() in RESERVED:
            raise ConfigError(
                f"style {choice.name!r} would share its folder with another style or with artbank's own files; "
                "name its version, as NAME@VERSION"
            )
    return choices


def hash_recipe(
    recipe: StylizeRecipe,
    base_model_hash: str,
    banks: Sequence[tuple[BankRecord, float]],
    loras: Sequence[MergedLora],
    controls: Sequence[UsedControl],
) -> str:
    """Return the recipe id of a style, see `StyleChoice`; LoRAs and ControlNets count by content and weight."""
    facts: list[Any] = [recipe.digest(), base_model_hash]
    facts += [[bank.weights_sha256, round(weight, 6)] for bank, weight in banks]
    facts += [["lora", lora.sha256, round(lora.weight, 6)] for lora in loras]
    facts += [control.facts for control in controls]
    return short_hash(json.dumps(facts))


def load_style(store: Store, choice: StyleChoice) -> tuple[Style, StyleReference]:
    """Load the banks of a style, and the mixed reference of their collections.

    Raises:
        BankError: A bank is missing or damaged.
        ConfigError: Its banks were measured by different scorers.
        OSError: The store failed.
    """
    from artbank.scoring.style_reference import StyleReference
    from artbank.stylization.style import Style

    reference = StyleReference.mix([(load_reference(store, bank), weight) for bank, weight in choice.banks])
    banks = tuple((load_bank(store, bank), weight) for bank, weight in choice.banks)
    return Style(choice.name, banks, reference.palette), reference


def _resolve(
    catalog: Catalog,
    spec: str,
    recipe: StylizeRecipe,
    base_model_hash: str,
    loras: Sequence[MergedLora],
    controls: Sequence[UsedControl],
) -> StyleChoice:
    names = [(spec, 1.0)] if _is_one_name(catalog, spec) else parse_style(spec)
    banks = tuple((catalog.find(name), weight) for name, weight in names)
    for bank, _ in banks:
        if bank.base_model_hash != base_model_hash:
            raise ConfigError(
                f"bank {bank.title}@{bank.version} was trained on {bank.base_model} "
                f"({bank.base_model_hash[:12]}), this run uses ({base_model_hash[:12]}); "
                f"train it again or pass base_model={bank.base_model}"
            )
    return StyleChoice(style_folder(spec), banks, hash_recipe(recipe, base_model_hash, banks, loras, controls))


def _is_one_name(catalog: Catalog, spec: str) -> bool:
    """Return whether a style with `+` or `:` in it is the name of a collection, such as `Gilbert + George`."""
    collection, _ = split_version(spec)
    return ("+" in spec or ":" in spec) and bool(catalog.banks(collection_id(collection)))
