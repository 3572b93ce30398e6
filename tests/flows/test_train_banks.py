from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from prefect.exceptions import ParameterTypeError
from pydantic import ValidationError

from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.diffusion import shared_base_model
from artbank.errors import ConfigError, TrainBanksError
from artbank.gallery.plan import plan_training
from artbank.pages.banks import build as bank_pages
from artbank.store.objects import Store
from artbank_prefect.flows.train_banks import train_banks
from tests.support.bank_stores import vectors, versions
from tests.support.flow_runs import artifacts, id_of, log_of, read_run, run, task_runs
from tests.support.small_inputs import add_collection, draw_artwork, listing, training


def no_model(*_: Any) -> None:
    raise AssertionError("a model was loaded")


def test_every_collection_gets_a_bank_in_the_catalog(trained: Any) -> None:
    summary = trained.state.result()
    assert (summary.trained, summary.current) == ({"ferrante": 1, "novak": 1}, ())
    assert versions(trained.store) == [("ferrante", 1, None), ("novak", 1, None)]
    assert vectors(trained.store, "novak").shape == (2, vectors(trained.store, "ferrante").shape[1])
    assert not (vectors(trained.store, "novak") == vectors(trained.store, "ferrante")).any()


def test_no_checkpoint_is_left_where_all_is_done(trained: Any) -> None:
    assert not [name for name in listing(trained.store) if name.startswith("checkpoints")]


def test_run_and_task_names_tell_gallery_and_collection(trained: Any) -> None:
    run_id = id_of(trained.state)
    assert read_run(run_id).name == f"{trained.root.name}/gallery"
    names = [one.name for one in task_runs(run_id, at_least=4)]
    assert names[-1] == "train-ferrante, novak"


def test_a_run_leaves_a_table_of_its_banks(trained: Any) -> None:
    files, table, sheet, progress = artifacts(id_of(trained.state))
    assert (sheet.type, sheet.key, str(sheet.data)[:23]) == ("image", "contact-sheet", "data:image/jpeg;base64,")
    assert len(str(sheet.data)) <= 128_100
    assert (files.key, progress.key, progress.data) == ("bank-files", "training-progress", 100.0)
    assert f"file://{trained.store}/banks/novak/" in str(files.data)
    rows = json.loads(str(table.data))
    assert (table.type, table.key) == ("table", "banks")
    assert [(row["collection"], row["outcome"]) for row in rows] == [("ferrante", "version 1"), ("novak", "version 1")]
    assert all(row["validation loss"] > 0 and row["steps"] == 3 for row in rows)


def test_a_run_leaves_a_page_of_each_bank_and_links_to_them(trained: Any) -> None:
    links, *_ = artifacts(id_of(trained.state))
    pages = [unquote(link) for link in re.findall(r"\]\(file://([^)]+/index\.html)\)", str(links.data))]
    told = [Path(page).read_text() for page in pages]
    assert [re.findall("<h1>(.*)</h1>", html) for html in told] == [
        ["ferrante, version 1"],
        ["novak, version 1"],
        ["Banks"],
    ]
    assert pages[-1] == str(Path(trained.store, "index.html"))
    assert all("album/artwork-03.webp" in html and "Loss" in html and "Nearest words" in html for html in told[:2])


def test_pages_that_cannot_be_written_fail_no_run_and_the_next_one_writes_them(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError("not yours")

    config = training(trained.gallery, str(tmp_path), collections=("novak",))
    with monkeypatch.context() as patched:
        patched.setattr(bank_pages, "build", fail)
        state = run(train_banks, config)
    assert state.result().trained == {"novak": 1} and not Path(tmp_path, "index.html").exists()
    log_of(id_of(state), "the pages are not up to date (PermissionError: not yours; ")
    assert run(train_banks, config).result().current == ("novak",)
    assert Path(tmp_path, "index.html").exists()


def test_what_the_core_logs_is_in_the_log_of_the_run(trained: Any) -> None:
    lines = log_of(id_of(trained.state), "registered novak@1")
    assert any(line.startswith("artbank.bank.train_state: step 3: validation loss") for line in lines)
    assert any(line.startswith("artbank.gallery.train: novak: only 4 artworks") for line in lines)


def test_a_second_run_finds_nothing_to_do(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(trained.root)
    monkeypatch.setattr(shared_base_model, "_load_base_model", no_model)
    state = run(train_banks, training(trained.gallery, trained.store))
    assert (state.result().trained, state.result().current) == ({}, ("ferrante", "novak"))
    assert listing(trained.root) == before
    assert [one.name.split("-")[0] for one in task_runs(id_of(state), at_least=2)] == ["build", "plan"]
    assert artifacts(id_of(state)) == []
    engines = ("Beginning flow run", "View at", "Finished in state")  # Prefect's own, which every run has
    lines = log_of(id_of(state), "nothing to train")
    ours = [line for line in lines if not line.partition(": ")[2].startswith(engines)]
    assert ours == ["prefect.flow_runs: nothing to train: 2 collections are up to date"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "9.png").write_bytes(draw_artwork(9)),
        lambda folder: (folder / "0.png").unlink(),
        lambda folder: (folder / "0.png").write_bytes(draw_artwork(9)),
        lambda folder: (folder / "0.png").rename(folder / "a name of its own.png"),
        lambda folder: (folder / "0.txt").write_text("a caption"),
    ],
    ids=["added", "removed", "replaced", "renamed", "captioned"],
)
def test_a_change_of_artworks_makes_only_its_collection_stale(place: Any, change: Callable[[Path], object]) -> None:
    change(Path(place.gallery, "novak"))
    plan = plan_training(training(place.gallery, place.store))
    assert ([job.collection.name for job in plan.jobs], plan.current) == (["novak"], ("ferrante",))


def test_what_was_only_touched_or_is_no_artwork_changes_nothing(place: Any) -> None:
    Path(place.gallery, "novak", "0.png").touch()
    Path(place.gallery, "novak", "notes.md").write_text("bought in spring")
    assert plan_training(training(place.gallery, place.store)).jobs == ()


def test_another_recipe_makes_every_collection_stale(trained: Any) -> None:
    plan = plan_training(training(trained.gallery, trained.store, recipe={"seed": 5}))
    assert [job.collection.name for job in plan.jobs] == ["ferrante", "novak"]


def test_a_changed_collection_gets_a_second_version_and_force_a_third(place: Any) -> None:
    Path(place.gallery, "novak", "9.png").write_bytes(draw_artwork(9))
    assert run(train_banks, training(place.gallery, place.store)).result().trained == {"novak": 2}
    assert versions(place.store) == [("ferrante", 1, None), ("novak", 1, None), ("novak", 2, 1)]
    forced = training(place.gallery, place.store, force=True, collections=("novak",))
    assert run(train_banks, forced).result().trained == {"novak": 3}
    assert versions(place.store)[1:] == [("novak", 1, None), ("novak", 2, 1), ("novak", 3, 2)]
    assert run(train_banks, training(place.gallery, place.store)).result().trained == {}


def test_a_failing_collection_is_named_and_spares_the_others(tmp_path: Path) -> None:
    gallery, store = str(tmp_path / "gallery"), str(tmp_path / "store")
    add_collection(Store.open(gallery), "good")
    add_collection(Store.open(gallery), "bad", count=1)
    Path(gallery, "bad", "torn.png").write_bytes(draw_artwork(1)[:100])
    state = run(train_banks, training(gallery, store))
    with pytest.raises(TrainBanksError, match=r"1 of 2 collections failed: bad \(CollectionError: 1 artwork can be"):
        state.result()
    assert versions(store) == [("good", 1, None)]
    files, table, _, progress = artifacts(id_of(state))
    assert "bad" not in str(files.data) and "1 failed" in str(progress.description) and progress.data == 100.0
    assert [row["outcome"].split(":")[0] for row in json.loads(str(table.data))] == ["version 1", "failed"]
    [both] = [one for one in task_runs(id_of(state), at_least=2) if one.name == "train-bad, good"]
    assert both.run_count == 1  # what is deterministic is not tried again


def test_a_gallery_that_is_not_there_fails_with_the_reason(tmp_path: Path) -> None:
    state = run(train_banks, training(str(tmp_path / "nowhere"), str(tmp_path / "store")))
    with pytest.raises(ConfigError, match="nowhere, found nothing there"):
        state.result()


def test_a_wrong_parameter_never_starts(tmp_path: Path) -> None:
    wrong = {"gallery_uri": "gallery", "store_uri": str(tmp_path / "store"), "recipe": {"max_steps": 0}}
    with pytest.raises(ValidationError, match=r"(?s)recipe.max_steps.*greater than or equal to 1.*input_value=0"):
        TrainConfig.model_validate(wrong)
    with pytest.raises(ParameterTypeError, match=r"config.recipe.max_steps: .*greater than or equal to 1"):
        train_banks(wrong)  # type: ignore[arg-type]
    assert listing(tmp_path) == {}


def test_an_unknown_parameter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterTypeError, match=r"config.max_step: Extra inputs are not permitted"):
        train_banks({"gallery_uri": "gallery", "store_uri": "store", "max_step": 3})  # type: ignore[arg-type]


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_collection_that_lost_many_artworks_is_a_question_and_keeps_its_bank(place: Any, is_dry: bool) -> None:
    for number in (1, 2):
        (Path(place.gallery) / f"novak/{number}.png").unlink()
    before = listing(place.store)
    state = run(train_banks, training(place.gallery, place.store, dry_run=is_dry))
    with pytest.raises(TrainBanksError, match=r"1 of 1 collections failed: novak .*: 2 of the 4 artworks"):
        state.result()
    assert [bank.version for bank in Catalog(Store.open(place.store)).banks("novak")] == [1]
    assert not is_dry or listing(place.store) == before
