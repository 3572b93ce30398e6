"""`delete_removed` deletes every picture of photos that left the archive, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from artbank.archive.forecast import forecast_archive
from artbank.archive.local_run import stylize_archive
from artbank.config import StylizeConfig
from artbank.errors import ConfigError
from artbank.records.photo_records import Result
from artbank.results.containers import unpack
from artbank.results.recorded_runs import Operator
from artbank.results.verification.verify import verify
from artbank.runs.outcome import Outcome
from artbank.store.objects import Store
from artbank.store.parquet import read_table
from tests.support.shards import asked, rows

GONE = ("1.jpg", "4.jpg")


def run(config: StylizeConfig, **changes: Any) -> Outcome:
    return stylize_archive(config.model_copy(update={"delete_removed": True, "allow_missing": True, **changes}))


def check(config: StylizeConfig) -> None:
    """Check that an output is as its rows say."""
    report = verify(Store.open(config.output_uri), Operator())
    assert not len(report.problems), report.problems.to_pylist()


def test_pictures_of_removed_photos_are_deleted_with_all_that_shows_them(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf, shard_size=3)
    first = stylize_archive(config)
    assert "contact sheet" in first.places
    output = Store.open(config.output_uri)
    before = {file.key: output.read(file.key) for file in output.list()}
    photos.delete_many(GONE)
    outcome = run(config)
    after = {file.key: output.read(file.key) for file in output.list()}
    assert (outcome.num_deleted, outcome.num_done, outcome.num_new) == (2, 4, 0)
    assert {key for key in before if key.startswith("novak/")} - after.keys() == {f"novak/{name}" for name in GONE}
    assert all(after[key] == data for key, data in before.items() if key.startswith("novak/") and key in after)
    sheets = {key for key in before if key.endswith("/contact-sheet.jpg")}
    assert sheets and not sheets & after.keys()
    shown = {key for key in before if key.startswith("report/pictures/")}
    assert len(shown - after.keys()) == 2 * len(GONE)  # a photo and its picture
    found = read_table(output.read("results.parquet"), Result.SCHEMA)
    assert found["key"].to_pylist() == ["0.jpg", "2.jpg", "3.jpg", "5.jpg"]
    voided = rows(config)["1.jpg"]
    assert (voided.status, voided.failure, voided.file_name, voided.file_sha256) == ("failed", "removed", None, None)
    check(config)


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_pictures_leave_their_containers(photos: Store, shelf: str, format: str) -> None:
    config = asked(photos, shelf, shard_size=3, format=format)
    stylize_archive(config)
    photos.delete_many(["0.jpg", "1.jpg", "2.jpg", "4.jpg"])  # the first shard, and one of the second
    output = Store.open(config.output_uri)
    assert run(config).num_deleted == 4
    [container] = [file.key for file in output.list("novak")]
    assert [picture.key for picture in unpack(container, output.read(container))] == ["3.jpg", "5.jpg"]
    check(config)


def test_all_is_deleted_also_if_a_run_is_stopped_between_its_steps(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = asked(photos, shelf)
    stylize_archive(config)
    photos.delete_many(GONE)
    output = Store.open(config.output_uri)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for step in ("tables.update_tables_and_vacuum", "delete_files"):
        with monkeypatch.context() as patch:
            patch.setattr(f"artbank.archive.finish.{step}", stop)
            with pytest.raises(KeyboardInterrupt):
                run(config)
        assert output.exists("novak/1.jpg")
    run(config)
    assert not any(output.exists(f"novak/{name}") for name in GONE)
    check(config)


def test_a_photo_that_comes_back_is_drawn_again_to_the_same_bytes(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf, batch_size=1)  # in a batch of another size pixels may move by 2
    stylize_archive(config)
    output = Store.open(config.output_uri)
    picture, photo = output.read("novak/1.jpg"), photos.read("1.jpg")
    photos.delete_many(["1.jpg"])
    run(config)
    photos.write("1.jpg", photo)
    assert run(config).num_new == 1
    assert output.read("novak/1.jpg") == picture


def test_without_it_pictures_stay_and_a_dry_run_deletes_nothing(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    stylize_archive(config)
    photos.delete_many(["1.jpg"])
    output = Store.open(config.output_uri)
    assert stylize_archive(config).num_deleted == 0
    forecast = forecast_archive(config.model_copy(update={"delete_removed": True}))
    assert forecast.num_to_delete == 1 and "1 picture of removed photos would be deleted" in forecast.text
    assert forecast_archive(config).num_to_delete == 0
    assert output.exists("novak/1.jpg")


def test_an_archive_that_may_not_be_mounted_deletes_nothing(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    stylize_archive(config)
    photos.delete_many(GONE)
    with pytest.raises(ConfigError, match="2 of the 6 photos of the last run are missing"):
        run(config, allow_missing=False)
    assert Store.open(config.output_uri).exists("novak/1.jpg")


def test_photos_that_a_rule_skips_or_no_glob_includes_are_not_removed(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    stylize_archive(config)
    run(config, skip=("1.jpg",))
    run(config, include=("2.jpg",))
    assert all(Store.open(config.output_uri).exists(f"novak/{seed}.jpg") for seed in range(6))


def test_the_caption_of_a_removed_photo_leaves_its_latest_row(photos: Store, shelf: str) -> None:
    photos.write("1.txt", b"my aunt Wilhelmina")
    config = asked(photos, shelf, recipe={"photo_captions": True})
    stylize_archive(config)
    assert rows(config)["1.jpg"].caption == "my aunt Wilhelmina"
    photos.delete_many(["1.jpg", "1.txt"])
    run(config)
    assert rows(config)["1.jpg"].caption is None
