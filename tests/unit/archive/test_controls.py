"""ControlNets of a run decide which pictures are current, and its rows name them; the API draws the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artbank
from artbank.archive import run_resources
from artbank.archive.plan import load_range, plan_archive
from artbank.archive.run_resources import RunResources
from artbank.archive.styles import load_style
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BaseModelError, ConfigError
from artbank.images.codec import decode
from artbank.records.photo_records import Result
from artbank.scoring.spread import Ceiling
from artbank.store.objects import Store
from tests.support.controlnets import save_control, save_depth_model
from tests.support.shards import asked, pictures, rows, work
from tests.support.small_inputs import STYLIZE, draw_photo


@pytest.fixture
def photo(tmp_path: Path) -> Store:
    """An archive of one photo."""
    store = Store.open(str(tmp_path / "photos"))
    store.write_many({"0.png": draw_photo(0, ".png")})
    return store


def test_content_weight_and_interval_decide_which_pictures_are_current(
    photo: Store, shelf: str, base: BaseModel, tmp_path: Path
) -> None:
    edges, depth = save_control(tmp_path / "edges", base), save_control(tmp_path / "depth", base, seed=1)
    depth_model = str(save_depth_model(tmp_path / "depth-model"))
    seen = []

    def count_new(*controls: str, depth_model: str | None = None) -> int:
        config = asked(photo, shelf, controls=controls or None, depth_model=depth_model)
        num_new = plan_archive(config)[0].num_tasks
        work(config)
        seen.append((rows(config)["0.png"], pictures(config)["0.png"]))
        return num_new

    assert [count_new(), count_new("gray=mini:0.7")] == [1, 0], "the embedded model's is the default"
    assert [count_new(f"canny={edges}:0.8"), count_new(f"canny={edges}:0.8:0-1")] == [1, 0]
    shutil.copytree(edges, tmp_path / "copy")
    assert count_new(f"canny={tmp_path / 'copy'}:0.8") == 0, "the content counts, not the name"
    assert count_new(f"canny={edges}:0.8:0-0.5") == 1
    both = (f"depth={depth}", f"canny={edges}:0.8")
    assert [count_new(*both, depth_model=depth_model), count_new(*both[::-1], depth_model=depth_model)] == [1, 0]
    save_control(edges, base, seed=2)
    assert count_new(f"canny={edges}:0.8") == 1, "the weights have changed"
    assert count_new("none") == 1
    drawn = [one for number, one in enumerate(seen) if number in (0, 2, 5, 6, 8, 9)]
    assert len({row.recipe_id for row, _ in drawn}) == len({data for _, data in drawn}) == 6
    [default] = drawn[0][0].controls or ()
    assert default.startswith("gray=mini") and default.endswith(":0.7:0-1")
    assert drawn[5][0].controls == []
    assert [title.split("@")[0] for title in drawn[3][0].controls or ()] == ["canny=edges", "depth=depth"]
    assert drawn[3][0].controls[0].endswith(":0.8:0-1")  # pyright: ignore[reportOptionalSubscript]

    bank = artbank.open_store(shelf, device="cpu")["novak"]
    settings = STYLIZE.model_dump(include=STYLIZE.model_fields_set)
    found = bank.stylize(str(tmp_path / "photos/0.png"), control=f"canny={edges}:0.8", **settings)
    assert np.array_equal(found.array, decode(drawn[4][1], max_pixels=10**6).rgb), "the API draws what a run draws"
    for number, control in {0: {}, 5: {"control": "none"}}.items():
        found = bank.stylize(str(tmp_path / "photos/0.png"), **control, **settings)
        assert np.array_equal(found.array, decode(drawn[number][1], max_pixels=10**6).rgb)
    for wrong, words in {"pose=x": "expected KIND=SOURCE", "depth=x": "depth_model"}.items():
        with pytest.raises(ConfigError, match=words):
            bank.stylize(str(tmp_path / "photos/0.png"), control=wrong, **settings)


def test_a_worker_with_other_weights_draws_nothing(photo: Store, shelf: str, base: BaseModel, tmp_path: Path) -> None:
    config = asked(photo, shelf, controls=(f"tile={save_control(tmp_path / 'tile', base)}",))
    plan, _, _ = plan_archive(config)
    again, shards = load_range(config, plan.run_id, 0, 1)
    assert again.controls == plan.controls and len(shards) == 1
    other = replace(plan, controls=(replace(plan.controls[0], sha256="0" * 64),))
    with pytest.raises(
        BaseModelError, match=r"expected the ControlNets that this run was planned with, tile=tile@0000"
    ):
        RunResources(config, other)


def test_candidates_and_further_drawings_are_controlled_as_a_single_drawing(
    photo: Store, shelf: str, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture that is kept is that of a run without the goal, with the seed or the settings that were found."""

    def load_with_ceiling(*args: Any) -> Any:
        style, reference = load_style(*args)
        return style, replace(reference, ceiling=Ceiling(1.0))

    monkeypatch.setattr(run_resources, "load_style", load_with_ceiling)
    edges = save_control(tmp_path / "edges", base)
    recipe = STYLIZE.model_copy(update={"structure": 0.5, "colour": "free"})

    def draw(output: str, **settings: float) -> tuple[Result, bytes]:
        options = {"output": str(tmp_path / output), "recipe": recipe.model_copy(update=settings)}
        config = asked(photo, shelf, controls=(f"canny={edges}:1.5",), **options)
        return work(config)["0.png"], pictures(config)["0.png"]

    best, data = draw("candidates", candidates=2)
    assert best.candidates is not None and len(best.candidates) == 2
    assert draw("seed", seed=best.candidates.index(max(best.candidates)))[1] == data
    further, data = draw("reach", reach_style=0.99)
    assert further.flags == ["faint"] and further.structure is not None and further.strength is not None
    assert draw("settings", structure=further.structure, strength=further.strength)[1] == data
    assert len({draw("settings", structure=s, strength=n)[1] for s, n in ((0.5, 0.5), (0.35, 1.0), (0.0, 1.0))}) == 3
