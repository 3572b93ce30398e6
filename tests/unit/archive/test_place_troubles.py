"""What is wrong with an output or an archive as a whole is held against no photo."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.store.objects import Store
from tests.support.shards import asked, rows, work
from tests.support.small_inputs import STYLIZE

_MANY = 6  # attempts; a photo that four fail on gets a failed row


def fail_often(config: StylizeConfig, error: type[OSError]) -> None:
    for _ in range(_MANY):
        plan, [shard], _ = plan_archive(config)
        with pytest.raises(error):
            stylize_shard(config, plan, shard)


def test_a_file_in_the_place_of_a_folder_is_no_photos_fault(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    obstacle = Path(config.output_uri) / "novak"
    obstacle.parent.mkdir()
    obstacle.write_bytes(b"")
    fail_often(config, NotADirectoryError)
    obstacle.unlink()
    assert {row.status for row in work(config).values()} == {"done"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_an_output_without_room_is_no_photos_fault(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_many = Store.write_many

    def refuse_pictures(self: Store, files: dict[str, bytes]) -> None:
        if any(key.startswith("novak/") for key in files):
            raise OSError(number, "not here")
        write_many(self, files)

    config = asked(photos, shelf)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_many", refuse_pictures)
        fail_often(config, OSError)
    assert {row.status for row in work(config).values()} == {"done"}


@pytest.mark.parametrize("is_mounted_empty", [False, True])
def test_an_archive_that_is_gone_during_a_run_has_no_removed_photos(
    photos: Store, shelf: str, is_mounted_empty: bool
) -> None:
    work(asked(photos, shelf))
    again = asked(photos, shelf, recipe=STYLIZE.model_copy(update={"seed": 1}))
    plan, [shard], _ = plan_archive(again)
    kept, folder = Path(photos.uri).with_name("kept"), Path(photos.uri)
    folder.rename(kept)
    if is_mounted_empty:
        folder.mkdir()
    for _ in range(_MANY):
        with pytest.raises(OSError, match=r"expected the photos of this run in .*photos, found nothing there any more"):
            stylize_shard(again, plan, shard)
    if is_mounted_empty:
        folder.rmdir()
    kept.rename(folder)
    assert stylize_shard(again, plan, shard) == 6
    assert {row.status for row in rows(again).values()} == {"done"}


def test_photos_that_are_removed_during_a_run_are_rows(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    plan, [shard], _ = plan_archive(config)
    for seed in range(5):
        (Path(photos.uri) / f"{seed}.jpg").unlink()
    assert stylize_shard(config, plan, shard) == 6
    assert {key: row.failure for key, row in rows(config).items()} == {
        **{f"{seed}.jpg": "removed" for seed in range(5)},
        "5.jpg": None,
    }
