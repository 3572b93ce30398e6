"""A run with `reach_style` draws pictures again that show too little of their style, and says what it found."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq
import pytest

from artbank.recipes import StylizeRecipe
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_fixtures import Place
from tests.support.flow_runs import run
from tests.support.small_inputs import (
    STYLIZE as DEFAULT,
)
from tests.support.small_inputs import (
    add_collection,
    ceilings_without_error,
    draw_photo,
    listing,
    stylizing,
    training,
)

STYLES = ("novak", "ferrante")
STYLIZE = DEFAULT.model_copy(update={"structure": 0.5, "colour": "free", "colour_strength": 1.0})


@pytest.fixture(scope="module")
def trained(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two collections and their banks, whose ceilings have no error: four artworks are too few for a gain else."""
    root = tmp_path_factory.mktemp("trained")
    for name in STYLES:
        add_collection(Store.open(str(root / "gallery")), name, name.capitalize())
    with ceilings_without_error():
        return Place(root, run(train_banks, training(str(root / "gallery"), str(root / "store"))))


def stylize(root: Path, store: str, recipe: StylizeRecipe, output: str) -> tuple[Any, dict[tuple[str, str], Any]]:
    """Stylize three photos in two styles; returns the run's outcome, and its rows by photo and style."""
    config = stylizing(str(root / "photos"), str(root / output), store, *STYLES, recipe=recipe, batch_size=2)
    outcome = run(stylize_archive, config).result()
    rows = pq.read_table(root / output / "results.parquet").to_pylist()
    return outcome, {(row["key"], row["style"]): row for row in rows}


@pytest.mark.faults
def test_the_gain_rises_where_it_is_asked_for_and_a_second_run_writes_the_same_bytes(
    trained: Place, tmp_path: Path
) -> None:
    Store.open(str(tmp_path / "photos")).write_many({f"{seed}.png": draw_photo(seed, ".png") for seed in (3, 2, 5)})
    wanted = 0.3
    _, before = stylize(tmp_path, trained.store, STYLIZE, "plain")
    recipe = STYLIZE.model_copy(update={"reach_style": wanted})
    outcome, after = stylize(tmp_path, trained.store, recipe, "reached")
    redrawn = [name for name, row in after.items() if row["strength"] == 1.0]
    kept = [name for name, row in after.items() if row["strength"] != 1.0]
    assert redrawn and kept and len(after) == 6
    assert all(after[name]["clip_style"] > before[name]["clip_style"] for name in redrawn)
    assert fmean(after[name]["clip_style"] - before[name]["clip_style"] for name in redrawn) > 0.02
    assert all(after[name]["file_sha256"] == before[name]["file_sha256"] for name in kept)
    faint = [name for name, row in after.items() if "faint" in row["flags"]]
    assert all((row["gain"] < wanted) == (name in faint) for name, row in after.items())
    assert faint and f"{len(faint)} faint" in outcome.text

    _, again = stylize(tmp_path, trained.store, recipe, "again")
    names = [row["file_name"] for row in after.values()]
    assert all((tmp_path / "again" / n).read_bytes() == (tmp_path / "reached" / n).read_bytes() for n in names)
    found = ("structure", "strength", "gain", "flags", "seed")
    assert [[row[c] for c in found] for row in again.values()] == [[row[c] for c in found] for row in after.values()]
    files = listing(tmp_path / "reached")
    outcome, _ = stylize(tmp_path, trained.store, recipe, "reached")
    assert outcome.num_new == 0 and listing(tmp_path / "reached") == files


def test_a_dry_run_says_what_further_drawings_cost_at_most(trained: Place, tmp_path: Path) -> None:
    Store.open(str(tmp_path / "photos")).write("a.jpg", draw_photo(0))
    places = str(tmp_path / "photos"), str(tmp_path / "output"), trained.store
    recipe = STYLIZE.model_copy(update={"reach_style": 0.5})
    forecast = run(stylize_archive, stylizing(*places, *STYLES, recipe=recipe, dry_run=True)).result()
    assert (forecast.num_evaluations, forecast.num_further_evaluations) == (2 * 3, 2 * 2 * 5)
    assert "6 evaluations of the UNet, and up to 20 more for pictures that are drawn again" in forecast.text
    plain = run(stylize_archive, stylizing(*places, *STYLES, dry_run=True)).result()
    assert plain.num_further_evaluations == 0 and "again" not in plain.text
