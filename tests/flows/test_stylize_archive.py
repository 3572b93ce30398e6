from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from drawn import STYLIZE, TRAIN, add_collection, draw_photo, listing, stylizing, training
from PIL import Image
from prefect import State
from prefect.exceptions import ParameterTypeError
from runs import artifacts, id_of, log_of, read_run, run, task_runs

import flows.stylize_archive
from artbank import results, worker
from artbank.accounts import Tally
from artbank.archives import plan_archive
from artbank.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.errors import CatalogError, ConfigError, ResultsError
from artbank.shards import stylize_shard
from artbank.storage import Store
from flows.stylize_archive import stylize_archive
from flows.train_banks import train_banks

PHOTOS = ("a.jpg", "roll 1/b.png", "roll 1/été/c.webp")
BROKEN = "roll 1/torn.jpg"


@dataclass(frozen=True)
class Archive:
    """Photos, what a run made of them, and where its banks are."""

    root: Path
    store: str
    state: State[Any] | None = None

    @property
    def photos(self) -> Path:
        return self.root / "photos"

    @property
    def output(self) -> Path:
        return self.root / "output"

    def config(self, *styles: str, **values: Any) -> StylizeConfig:
        return stylizing(str(self.photos), str(self.output), self.store, *(styles or ("novak",)), **values)

    def rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the rows of the present by photo and style; each pair has exactly one."""
        rows = pq.read_table(self.output / "results.parquet").to_pylist()
        assert len({(row["key"], row["style"]) for row in rows}) == len(rows)
        return {(row["key"], row["style"]): row for row in rows}

    def pictures(self, style: str = "novak") -> dict[str, tuple[int, int]]:
        return listing(self.output / style)


def no_model(*_: Any) -> None:
    raise AssertionError("a model was loaded")


@pytest.fixture(scope="module")
def stylized(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Three photos and a torn one in two styles, one of them by its version; not to be changed."""
    archive = Archive(tmp_path_factory.mktemp("stylized"), trained.store)
    photos = {key: draw_photo(seed, key[key.rindex(".") :]) for seed, key in enumerate(PHOTOS)}
    Store.open(str(archive.photos)).write_many({**photos, BROKEN: photos["a.jpg"][:200]})
    state = run(stylize_archive, archive.config("novak", "ferrante@1", shard_size=3))
    return Archive(archive.root, archive.store, state)


@pytest.fixture
def archive(stylized: Archive, tmp_path: Path) -> Archive:
    """A copy of it, times of change included, which a test may change."""
    for name in ("photos", "output"):
        shutil.copytree(stylized.root / name, tmp_path / name)
    return Archive(tmp_path, stylized.store)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shards be tried again without a wait."""
    task = flows.stylize_archive.stylize_shard
    patient = task.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(flows.stylize_archive, "stylize_shard", patient)


def fail_on(function: Callable[..., Any], error: Exception, *numbers: int) -> Callable[..., Any]:
    """Return a function of which some calls, counted from 1, fail."""
    calls = count(1)

    def spy(*args: Any, **values: Any) -> Any:
        if next(calls) in numbers:
            raise error
        return function(*args, **values)

    return spy


def test_every_photo_has_one_row_in_every_style(stylized: Archive) -> None:
    keys = (*PHOTOS, BROKEN)
    rows = stylized.rows()
    assert rows.keys() == {(key, style) for key in keys for style in ("novak", "ferrante@1")}
    assert [rows[key, "novak"]["status"] for key in keys] == ["done", "done", "done", "failed"]
    assert len(results.ledger(Store.open(str(stylized.output)))) == len(rows)


def test_pictures_keep_the_names_and_the_tree_of_the_photos(stylized: Archive) -> None:
    for style in ("novak", "ferrante@1"):
        assert stylized.pictures(style).keys() == set(PHOTOS)
        for key in PHOTOS:
            with Image.open(stylized.output / style / key) as picture, Image.open(stylized.photos / key) as photo:
                assert picture.format == photo.format
                assert (picture.width > picture.height) == (photo.width > photo.height)
    assert {Path(name).parts[0] for name in listing(stylized.output)} == {
        "novak", "ferrante@1", "results", "results.parquet", "metadata.parquet", "manifests", "runs", "report",
    }  # fmt: skip


def test_a_broken_file_is_a_row_with_the_reason(stylized: Archive) -> None:
    row = stylized.rows()[BROKEN, "novak"]
    assert (row["status"], row["file_name"], row["clip_style"]) == ("failed", None, None)
    assert row["reason"] and "\n" not in row["reason"] and row["failure"] == "unreadable"


def test_a_run_leaves_a_summary_a_contact_sheet_and_artifacts(stylized: Archive) -> None:
    assert stylized.state
    outcome, run_id = stylized.state.result(), id_of(stylized.state)
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (6, 2, 4)
    [folder] = (stylized.output / "runs").iterdir()
    facts = json.loads((folder / "summary.json").read_text())
    assert facts["counts"] == {"done": 6, "failed": 2}
    assert [entry["style"] for entry in facts["styles"]] == ["ferrante@1", "novak"]
    report = (folder / "summary.md").read_text()
    assert report == outcome.text and "6 done, 2 failed" in report
    with Image.open(outcome.places["contact sheet"]) as sheet:
        sheet.load()
        assert (sheet.format, min(sheet.size) > 200) == ("JPEG", True)
    link, page, places, styles, text, progress = artifacts(run_id)
    assert (text.key, text.data) == ("stylized", report)
    assert (page.key, Path(outcome.places["page"]).as_uri() in str(page.data)) == ("page", True)
    assert "ferrante@1" in Path(outcome.places["page"]).read_text()
    assert (link.key, outcome.places["contact sheet"] in str(link.data)) == ("contact-sheet", True)
    assert all(what in str(places.data) for what in outcome.places) and places.key == "places"
    assert [row["style"] for row in json.loads(str(styles.data))] == ["ferrante@1", "novak"]
    assert (progress.key, progress.data) == ("stylizing-progress", 100.0)
    assert "8 of 8 pictures, 2 failed" in str(progress.description)


def test_what_is_done_of_a_shard_is_told_picture_by_picture_and_logged(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    config = archive.config("novak", "ferrante", recipe=STYLIZE.model_copy(update={"seed": 7}), batch_size=1)
    plan, (shard,), _ = plan_archive(config)
    told: list[tuple[int, int]] = []
    with caplog.at_level("INFO", "artbank.shards"):
        assert stylize_shard(config, plan, shard, lambda done, total: told.append((done, total))) == 8
    assert {total for _, total in told} == {8}
    done = [done for done, _ in told]
    assert done == sorted(done) and done[-1] == 8 and len(set(done)) >= 6
    assert f"shard {shard.id}: 8 of 8 pictures" in caplog.text


def test_run_and_task_names_tell_archive_and_shard(stylized: Archive) -> None:
    assert stylized.state
    run_id, [manifest] = id_of(stylized.state), (stylized.output / "manifests").iterdir()
    assert read_run(run_id).name == f"{stylized.root.name}/photos in novak, ferrante@1"
    names = [one.name for one in task_runs(run_id, at_least=4)]
    assert names[2:] == [f"stylize-{manifest.stem}-00000", f"stylize-{manifest.stem}-00001"]


def test_the_output_loads_as_an_image_folder(
    stylized: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(stylized.output), split="train")
    assert {(row["key"], row["style"]) for row in loaded} == {
        (key, style) for key in PHOTOS for style in ("novak", "ferrante@1")
    }
    assert all(min(row["image"].size) == 32 for row in loaded)


def test_a_second_run_writes_nothing_and_loads_no_model(stylized: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(stylized.root)
    monkeypatch.setattr(worker, "_load_base", no_model)
    outcome = run(stylize_archive, stylized.config("novak", "ferrante@1")).result()
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (6, 2, 0)
    assert listing(stylized.root) == before


def test_only_what_changed_in_the_archive_is_done_again(archive: Archive) -> None:
    before, rows = archive.pictures(), archive.rows()
    (archive.photos / "new.jpg").write_bytes(draw_photo(7))
    (archive.photos / "a.jpg").write_bytes(draw_photo(8))
    (archive.photos / "roll 1/été/c.webp").unlink()
    (archive.photos / "roll 1/b.png").touch()
    outcome = run(stylize_archive, archive.config("novak", "ferrante@1")).result()
    after, now = archive.pictures(), archive.rows()
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (6, 2, 3)
    assert {key for key, style in now if style == "novak"} == {"a.jpg", "new.jpg", "roll 1/b.png", BROKEN}
    assert after["a.jpg"] != before["a.jpg"] and "new.jpg" in after
    assert after["roll 1/b.png"] == before["roll 1/b.png"]
    touched, old = now["roll 1/b.png", "novak"], rows["roll 1/b.png", "novak"]
    assert touched["etag"] != old["etag"] and touched["created_at"] > old["created_at"]
    assert {**touched, "etag": "", "created_at": ""} == {**old, "etag": "", "created_at": ""}
    assert run(stylize_archive, archive.config("novak", "ferrante@1")).result().num_new == 0


def test_a_style_or_a_mix_that_is_added_leaves_the_others_alone(archive: Archive) -> None:
    before = archive.pictures()
    outcome = run(stylize_archive, archive.config("novak", "novak:0.7+ferrante:0.3")).result()
    assert (outcome.num_done, outcome.num_new, archive.pictures()) == (6, 4, before)
    assert archive.pictures("novak_0.7+ferrante_0.3").keys() == set(PHOTOS)
    row = archive.rows()["a.jpg", "novak_0.7+ferrante_0.3"]
    assert len(row["bank_ids"]) == 2 and row["clip_style"] is not None


def test_another_recipe_does_all_anew(archive: Archive) -> None:
    before = archive.pictures()
    recipe = archive.config().recipe.model_copy(update={"seed": 1})
    outcome = run(stylize_archive, archive.config(recipe=recipe)).result()
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (3, 1, 4)
    after = archive.pictures()
    assert all(after[key] != before[key] for key in PHOTOS)
    assert {row["seed"] is None for (_, style), row in archive.rows().items() if style == "novak"} == {True, False}


def test_failed_photos_are_tried_again_only_where_that_is_asked_for(archive: Archive) -> None:
    assert run(stylize_archive, archive.config()).result().num_new == 0
    (archive.photos / "new.jpg").write_bytes(draw_photo(7))
    assert run(stylize_archive, archive.config(retry_failed=True)).result().num_new == 1
    other = archive.config(retry_failed=True, failures=("too_large",))
    assert run(stylize_archive, other).result().num_new == 0
    assert ("new.jpg", "novak") not in archive.rows()
    assert archive.rows()[BROKEN, "novak"]["status"] == "failed"


def test_globs_and_a_limit_choose_what_is_worked_on_and_leave_the_other_rows(archive: Archive) -> None:
    another = STYLIZE.model_copy(update={"seed": 5})
    before = archive.rows()
    chosen = run(stylize_archive, archive.config(recipe=another, include=("roll 1/**",), exclude=("**/*.jpg",)))
    assert chosen.result().num_new == 2
    after = archive.rows()
    assert after.keys() == before.keys()
    renewed = {key for key in after if after[key]["recipe_id"] != before[key]["recipe_id"]}
    assert renewed == {(key, "novak") for key in PHOTOS if key.startswith("roll 1/")}
    assert run(stylize_archive, archive.config(recipe=another, limit=1)).result().num_new == 1
    assert run(stylize_archive, archive.config(recipe=another)).result().num_new == 1


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_load_base", no_model)
    before = listing(archive.root)
    config = archive.config("novak", "ferrante", recipe=STYLIZE.model_copy(update={"seed": 6}), shard_size=3)
    state = run(stylize_archive, config.model_copy(update={"dry_run": True}))
    forecast = state.result()
    assert (forecast.num_photos, forecast.num_tasks, forecast.num_pictures, forecast.num_shards) == (4, 4, 8, 2)
    assert forecast.first_shards == [(3, "a.jpg", "roll 1/torn.jpg"), (1, "roll 1/été/c.webp", "roll 1/été/c.webp")]
    assert forecast.seconds == pytest.approx(8 * forecast.seconds_a_picture) and forecast.seconds > 0
    assert [one.key for one in artifacts(id_of(state))] == ["forecast"]
    assert listing(archive.root) == before


def test_a_run_says_what_its_pictures_took_of_the_device_and_of_the_clock(stylized: Archive) -> None:
    assert stylized.state
    cost, done = stylized.state.result().cost, [row for row in stylized.rows().values() if row["status"] == "done"]
    assert (cost.tally.done, cost.tally.failed, cost.tally.kept, cost.num_photos) == (6, 2, 0, 4)
    assert cost.tally.seconds == pytest.approx(sum(row["seconds"] for row in done))
    assert 0 < cost.utilisation < 1 and cost.num_workers == 1
    [folder] = (stylized.output / "runs").iterdir()
    facts = json.loads((folder / "summary.json").read_text())["run"]
    assert facts["device_seconds_per_photo"] == pytest.approx(cost.tally.seconds / 4)
    assert "| utilisation |" in (folder / "summary.md").read_text()


def test_the_first_run_over_an_archive_is_forecast_by_the_samples_of_banks(archive: Archive) -> None:
    shutil.rmtree(archive.output)
    forecast = run(stylize_archive, archive.config(dry_run=True)).result()
    [bank] = [one for one in Catalog(Store.open(archive.store)).banks("novak") if one.sample_seconds]
    samples = [one for one in Catalog(Store.open(archive.store)).banks() if one.sample_seconds]
    scale = 3 / bank.sample_evaluations * (32 / bank.sample_px) ** 2  # two steps without guidance, and the inversion
    assert forecast.seconds == pytest.approx(4 * scale * sum(one.sample_seconds for one in samples) / len(samples))
    assert (forecast.num_evaluations, archive.output.exists()) == (12, False)


def test_without_pictures_and_samples_a_dry_run_says_how_to_learn_the_cost(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(archive.output)
    old = [replace(bank, sample_seconds=None) for bank in Catalog(Store.open(archive.store)).banks()]
    monkeypatch.setattr(Catalog, "banks", lambda self, name=None: [b for b in old if name in (None, b.collection)])
    forecast = run(stylize_archive, archive.config(dry_run=True)).result()
    assert forecast.seconds is None and "--limit" in forecast.text


def test_what_was_kept_is_no_cost_of_the_run(archive: Archive) -> None:
    (archive.photos / "roll 1/b.png").touch()
    tally = run(stylize_archive, archive.config()).result().cost.tally
    assert tally == Tally(done=1, failed=0, kept=1, seconds=pytest.approx(0.0, abs=1e-9))


def test_a_run_that_broke_off_before_its_part_is_completed_by_the_next(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(archive.output)
    cut = fail_on(results.commit, RuntimeError("a power cut"), 1, *range(3, 8))  # the first shard, in every round
    monkeypatch.setattr(results, "commit", cut)
    broken = run(stylize_archive, archive.config(shard_size=2))
    with pytest.raises(ResultsError, match=r"1 of 2 shards failed: \w+-00000 \(RuntimeError: a power cut\); run it"):
        broken.result()
    assert archive.pictures().keys() == set(PHOTOS)  # written, but no row vouches for all of them
    assert len(archive.rows()) == 2
    outcome = run(stylize_archive, archive.config(shard_size=2)).result()
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (3, 1, 2)
    assert len(results.ledger(Store.open(str(archive.output)))) == len(archive.rows()) == 4


def test_a_shard_whose_worker_was_lost_gets_a_second_round(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(archive.output)
    monkeypatch.setattr(results, "commit", fail_on(results.commit, RuntimeError("the worker died"), 1))
    state = run(stylize_archive, archive.config(shard_size=2))
    assert (state.result().num_done, state.result().num_failed) == (3, 1)
    assert any(
        "-00000 failed in round 1: RuntimeError: the worker died" in line for line in log_of(id_of(state), "round")
    )
    assert len(task_runs(id_of(state), at_least=6)) == 6  # plan, three shards, what has no part, finish


def test_a_shard_that_was_finished_before_its_worker_was_lost_is_done(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(archive.output)

    def commit_and_die(*args: Any) -> None:
        commit(*args)
        raise RuntimeError("the worker died")

    commit = results.commit
    monkeypatch.setattr(results, "commit", commit_and_die)
    assert run(stylize_archive, archive.config()).result().num_done == 3


def test_trouble_with_the_store_is_tried_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    shutil.rmtree(archive.output)
    read_many, store = Store.read_many, str(archive.photos)
    failed: list[str] = []

    def spy(self: Store, keys: Any) -> Any:
        if self.uri == store and not failed:
            failed.append(store)
            raise OSError("the store hung up")
        return read_many(self, keys)

    monkeypatch.setattr(Store, "read_many", spy)
    state = run(stylize_archive, archive.config())
    assert (failed, state.result().num_done) == ([store], 3)
    assert {one.run_count for one in task_runs(id_of(state), at_least=3)} == {1, 2}


def test_a_damaged_bank_is_not_tried_again(archive: Archive, place: Any, at_once: None) -> None:
    shutil.rmtree(archive.output)
    [bank] = Path(place.store).glob("banks/novak/*/bank.safetensors")
    bank.write_bytes(bank.read_bytes()[:-1] + b"?")
    state = run(stylize_archive, Archive(archive.root, place.store).config())
    with pytest.raises(ResultsError, match=r"1 of 1 shards failed: \S+ \(BankError: bank novak@1: .* not the file"):
        state.result()
    assert {one.run_count for one in task_runs(id_of(state), at_least=3)} == {1}


@pytest.mark.parametrize(
    ("style", "error", "message"),
    [
        ("monet", CatalogError, "no bank monet in .*: there is ferrante, novak"),
        ("novak@7", CatalogError, "there is novak@1; name one of these"),
        ("novak:much", ConfigError, "'novak:much' cannot be read; expected NAME, NAME@VERSION or"),
    ],
)
def test_a_style_that_is_not_there_fails_before_anything_is_written(
    archive: Archive, style: str, error: type[Exception], message: str
) -> None:
    before = listing(archive.root)
    with pytest.raises(error, match=message):
        run(stylize_archive, archive.config(style)).result()
    assert listing(archive.root) == before


def test_a_wrong_parameter_never_starts(archive: Archive) -> None:
    before = listing(archive.root)
    wrong = archive.config().model_dump() | {"recipe": {"strength": 1.5}}
    with pytest.raises(ParameterTypeError, match=r"config.recipe.strength: .*less than or equal to 1"):
        stylize_archive(wrong)  # type: ignore[arg-type]
    assert listing(archive.root) == before


def test_both_flows_run_from_bucket_to_bucket(_server: None, s3_store: str) -> None:
    bucket = Store.open(s3_store)
    add_collection(bucket.child("gallery"), "novak", count=3)
    bucket.write_many({"photos/a.jpg": draw_photo(1), "photos/roll 1/b.png": draw_photo(2, ".png")})
    places = {name: bucket.uri_of(name) for name in ("gallery", "store", "photos", "output")}
    train = training(places["gallery"], places["store"], recipe=TRAIN.model_copy(update={"max_steps": 1}))
    stylize = stylizing(places["photos"], places["output"], places["store"], "novak")
    assert run(train_banks, train).result().trained == {"novak": 1}
    assert run(stylize_archive, stylize).result().num_done == 2
    before = bucket.list()
    assert {"output/novak/a.jpg", "output/novak/roll 1/b.png"} < {stored.key for stored in before}
    assert run(train_banks, train).result().trained == {}
    assert run(stylize_archive, stylize).result().num_new == 0
    assert bucket.list() == before
