"""A run over an archive writes every picture and row once; later runs do only what is new."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import datasets
import pytest
from PIL import Image

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.catalog.catalog import Catalog
from artbank.diffusion import shared_base_model
from artbank.results import ledger
from artbank.runs.outcome import Tally
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import artifacts, id_of, log_of, read_run, run, task_runs
from tests.support.small_inputs import STYLIZE, TRAIN, add_collection, draw_photo, listing, stylizing, training
from tests.support.stylized_archive import BROKEN, PHOTOS, Archive


def no_model(*_: Any) -> None:
    raise AssertionError("a model was loaded")


def test_every_photo_has_one_row_in_every_style(stylized: Archive) -> None:
    keys = (*PHOTOS, BROKEN)
    rows = stylized.rows()
    assert rows.keys() == {(key, style) for key in keys for style in ("novak", "ferrante@1")}
    assert [rows[key, "novak"]["status"] for key in keys] == ["done", "done", "done", "failed"]
    assert len(ledger.read_ledger(Store.open(str(stylized.output)))) == len(rows)


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


def test_a_run_leaves_a_summary_and_artifacts(stylized: Archive) -> None:
    assert stylized.state
    outcome, run_id = stylized.state.result(), id_of(stylized.state)
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (6, 2, 4)
    [folder] = (stylized.output / "runs").iterdir()
    facts = json.loads((folder / "summary.json").read_text())
    assert facts["counts"] == {"done": 6, "failed": 2, "skipped": 0}
    assert [entry["style"] for entry in facts["styles"]] == ["ferrante@1", "novak"]
    report = (folder / "summary.md").read_text()
    assert report == outcome.text and "6 done, 2 failed" in report
    sheet, page, places, styles, text, progress = artifacts(run_id)
    with urlopen(str(sheet.data)) as opened:  # of the data in the URL
        assert opened.read() == (folder / "contact-sheet.jpg").read_bytes()
    assert (sheet.type, sheet.key, outcome.places["contact sheet"]) == (
        *("image", "contact-sheet"),
        str(folder / "contact-sheet.jpg"),
    )
    assert (text.key, text.data) == ("stylized", report)
    assert (page.key, Path(outcome.places["page"]).as_uri() in str(page.data)) == ("page", True)
    assert "ferrante@1" in Path(outcome.places["page"]).read_text()
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
    with caplog.at_level("INFO", "artbank.archive.shard"):
        assert stylize_shard(config, plan, shard, lambda done, total: told.append((done, total))) == 8
    assert {total for _, total in told} == {8}
    done = [done for done, _ in told]
    assert done == sorted(done) and done[-1] == 8 and len(set(done)) >= 6
    assert f"shard {shard.id}: 8 of 8 pictures" in caplog.text


def test_run_and_task_names_tell_archive_and_shard(stylized: Archive) -> None:
    assert stylized.state
    run_id, [manifest] = id_of(stylized.state), (stylized.output / "manifests").iterdir()
    assert read_run(run_id).name == f"{stylized.root.name}/photos in novak, ferrante@1"
    names = [one.name for one in task_runs(run_id, at_least=5)]
    assert names[3:] == [f"stylize-{manifest.stem}-00000", f"stylize-{manifest.stem}-00001"]


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
    monkeypatch.setattr(shared_base_model, "_load_base_model", no_model)
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


def test_a_run_with_reused_features_that_goes_on_later_writes_the_bytes_of_one_run(
    archive: Archive, tmp_path: Path
) -> None:
    recipe = STYLIZE.model_copy(update={"steps": 8, "guidance": 2.0, "reuse": 2})
    config = archive.config(recipe=recipe, shard_size=1)
    outputs = [tmp_path / name for name in ("stopped", "whole")]
    configs = [config.model_copy(update={"output_uri": str(output)}) for output in outputs]
    assert run(stylize_archive, configs[0].model_copy(update={"limit": 2})).result().num_new == 2
    assert run(stylize_archive, configs[0]).result().num_new == 2
    assert run(stylize_archive, configs[1]).result().num_new == 4
    stopped, whole = ({key: (output / "novak" / key).read_bytes() for key in PHOTOS} for output in outputs)
    assert stopped == whole
    exactly = config.model_copy(update={"recipe": recipe.model_copy(update={"reuse": 1})})
    assert run(stylize_archive, exactly).result().num_new == 4
    assert all((archive.output / "novak" / key).read_bytes() != whole[key] for key in PHOTOS)


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_base_model, "_load_base_model", no_model)
    before = listing(archive.root)
    config = archive.config("novak", "ferrante", recipe=STYLIZE.model_copy(update={"seed": 6}), shard_size=3)
    state = run(stylize_archive, config.model_copy(update={"dry_run": True}))
    forecast = state.result()
    assert (forecast.num_photos, forecast.num_tasks, forecast.num_pictures, forecast.num_shards) == (4, 4, 8, 2)
    assert forecast.first_shards == [(3, "a.jpg", "roll 1/torn.jpg"), (1, "roll 1/été/c.webp", "roll 1/été/c.webp")]
    assert forecast.seconds == pytest.approx(8 * forecast.seconds_a_picture) and forecast.seconds > 0
    assert [one.key for one in artifacts(id_of(state))] == ["forecast"]
    log_of(id_of(state), "nothing is written in a dry run; to stylize: 4 photos of 4, 8 pictures, about ")
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
