"""The facts about a run that the page of its output shows: parameters, styles, and the command of a retry."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from artbank.archive.plan import StylizePlan
from artbank.archive.stores import RunStores
from artbank.archive.style_bounds import EarlierStyle, WeightedBanks
from artbank.config import StylizeConfig
from artbank.pages.outcome.page import RunFacts, StyleFacts
from artbank.records.bank_records import BankRecord
from artbank.report.marks import MARK_TEXTS, METADATA_TEXTS
from artbank.report.summaries import Bounds
from artbank.results import layout
from artbank.store.objects import Store


def describe_run(
    config: StylizeConfig,
    plan: StylizePlan,
    stores: RunStores,
    bounds: Mapping[str, Bounds],
    earlier: Sequence[EarlierStyle],
) -> RunFacts:
    """Return the facts that the page shows about a run.

    Args:
        config: The run's configuration.
        plan: The run's plan.
        stores: The run's stores.
        bounds: Floor and ceiling by score, for each style of the run.
        earlier: The styles of earlier runs.
    """
    archive_uri = stores.archive.uri
    recipe = config.recipe
    facts = (
        ("Photos", archive_uri),
        ("Banks", stores.banks.uri),
        ("Base model", f"{config.base_model}, {plan.base_model_hash[:12]}"),
        ("Preset", recipe.preset),
        ("Strength", f"{recipe.strength:g}"),
        ("Solver", f"{recipe.solver}, {recipe.steps} steps"),
        ("Guidance", f"{recipe.guidance:g}"),
        ("Inversion", recipe.inversion),
        ("Prompt", recipe.prompt),
        ("Colour", recipe.colour),
        ("Size", recipe.size),
        ("Seed", f"{recipe.seed}"),
        ("Mark of new pictures", MARK_TEXTS[recipe.mark]),
        ("Kept of the photos’ metadata", METADATA_TEXTS[recipe.metadata]),
    )
    models = (("Structure model", config.structure_model), ("Style model", config.style_model))
    facts += tuple(("LoRA", lora.title) for lora in plan.loras)
    facts += tuple(("ControlNet", control.title) for control in plan.controls)
    facts += tuple((term, source) for term, source in models if source is not None)
    styles = [StyleFacts(style.name, _describe_banks(style.banks), bounds[style.name]) for style in plan.styles]
    styles += [
        StyleFacts(style.name, f"{_describe_banks(style.banks)}, of an earlier run", style.bounds) for style in earlier
    ]
    heading = archive_uri.rstrip("/").rpartition("/")[2] or archive_uri
    return RunFacts(heading, plan.run_id, facts, styles, config.max_pixels, _retry_command(stores.output, plan.run_id))


def _retry_command(output: Store, run_id: str) -> str:
    """Return the command that tries the failed photos of a run again, with all its options; empty without a run."""
    if not run_id:
        return ""
    recorded = output.uri_of(layout.run_key(run_id, layout.CONFIG))
    if "://" not in recorded:
        return f"artbank stylize --parameters {shlex.quote(recorded)} --retry-failed"
    return f"# save {recorded} as config.json first\nartbank stylize --parameters config.json --retry-failed"


def _describe_banks(banks: WeightedBanks) -> str:
    return " + ".join(_describe_bank(bank, weight) for bank, weight in banks)


def _describe_bank(bank: BankRecord, weight: float) -> str:
    share = "" if weight == 1 else f" at {weight:.0%}"
    return f"{bank.title}, version {bank.version}{share}"
