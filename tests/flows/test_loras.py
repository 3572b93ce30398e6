"""LoRAs of a run decide which pictures are current, by their content and weight, and its rows and page name them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from artbank.archive.plan import load_range
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BaseModelError
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import run
from tests.support.lora_files import draw_factors, list_layers, save_diffusers
from tests.support.small_inputs import add_collection, draw_photo, stylizing, training


@pytest.fixture(scope="module")
def root(prefect_server: str, base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a bank, a photo, and two LoRAs for the embedded model."""
    root = tmp_path_factory.mktemp("loras")
    add_collection(Store.open(str(root / "gallery")), "novak")
    run(train_banks, training(str(root / "gallery"), str(root / "store")))
    Store.open(str(root / "photos")).write_many({"a.png": draw_photo(0, ".png")})
    for seed, name in enumerate(("ink", "oil")):
        save_diffusers(root / f"{name}.safetensors", draw_factors(list_layers(base.unet), seed=seed))
    return root


def test_a_lora_makes_other_pictures_and_its_content_and_weight_decide_which_are_current(root: Path) -> None:
    rows: list[dict[str, Any]] = []

    def stylize(*loras: str) -> int:
        config = stylizing(str(root / "photos"), str(root / "art"), str(root / "store"), "novak", loras=loras)
        outcome = run(stylize_archive, config).result()
        [row] = pq.read_table(root / "art" / "results.parquet").to_pylist()
        rows.append(row)
        return outcome.num_new

    ink = str(root / "ink.safetensors")
    assert (stylize(), stylize()) == (1, 0)
    assert (stylize(f"{ink}:0.8"), stylize(f"{ink}:0.8")) == (1, 0)
    shutil.copy(ink, root / "copy.safetensors")
    assert stylize(f"{root / 'copy.safetensors'}:0.8") == 0, "the content counts, not the name"
    assert stylize(f"{ink}:0.5") == 1
    shutil.copy(root / "oil.safetensors", ink)
    assert stylize(f"{ink}:0.5") == 1, "the file has changed"
    drawn = [row for number, row in enumerate(rows) if number in (0, 2, 5, 6)]
    assert len({row["recipe_id"] for row in drawn}) == len({row["file_sha256"] for row in drawn}) == 4
    assert drawn[0]["loras"] == [] and drawn[1]["loras"][0].startswith("ink.safetensors@")
    assert drawn[1]["base_model_hash"] == drawn[0]["base_model_hash"], "the bank of the base model still fits"
    facts = [json.loads(path.read_text())["config"]["loras"] for path in (root / "art/runs").glob("*/summary.json")]
    assert [f"{ink}:0.8"] in facts


def test_a_worker_with_another_file_draws_nothing(root: Path) -> None:
    from artbank.archive.plan import plan_archive
    from artbank.archive.run_resources import RunResources

    shutil.copy(root / "oil.safetensors", root / "moving.safetensors")
    asked = {"loras": (f"{root / 'moving.safetensors'}:2",)}
    config = stylizing(str(root / "photos"), str(root / "other"), str(root / "store"), "novak", **asked)
    plan, _, _ = plan_archive(config)
    again, shards = load_range(config, plan.run_id, 0, 1)
    assert (again.loras, len(shards)) == (plan.loras, 1)
    (root / "moving.safetensors").write_bytes((root / "copy.safetensors").read_bytes())
    with pytest.raises(BaseModelError, match="expected the LoRAs that this run was planned with, moving.safetensors@"):
        RunResources(config, plan)
