"""A photo that goes wrong becomes a failed row, and the others of its shard are drawn."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.diffusion.base_model import BaseModel
from artbank.errors import ResultsError
from artbank.results import attempts
from artbank.store.objects import Store
from artbank.stylization.stylizer import Stylizer
from tests.support import crashing_decoder, rgw
from tests.support.flaky import run_flaky
from tests.support.paths import CRASHES, ROOT
from tests.support.shards import asked, pictures, rows, work
from tests.support.small_inputs import draw_photo, stylizing

_SCRIPT = """
if __name__ == "__main__":  # nothing above it: the processes that decode import this file again
    import sys
    from artbank.archive.plan import plan_archive
    from artbank.config import StylizeConfig
    from artbank.archive.shard import stylize_shard

    config = StylizeConfig.model_validate_json(sys.argv[1])
    plan, shards, _ = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard)
"""


def draw_plain(width_px: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width_px, 60), (80, 90, 100)).save(file, "JPEG")
    return file.getvalue()


def work_with_crashes(config: StylizeConfig, folder: Path) -> None:
    """Do all shards of a run in a process whose decoders meet what `crashes/sitecustomize.py` does to them."""
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    paths = os.pathsep.join([str(CRASHES), str(ROOT)])
    command = [sys.executable, str(script), config.model_dump_json()]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=True)


def test_a_file_above_the_limit_of_bytes_is_not_even_read(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.write("huge.jpg", draw_photo(0) + bytes(200_000))
    read, seen = Store.read_many, []

    def watch(self: Store, keys: Any) -> dict[str, bytes | Exception]:
        seen.extend(keys)
        return read(self, keys)

    monkeypatch.setattr(Store, "read_many", watch)
    found = work(asked(photos, shelf, max_megabytes=0.1))
    assert found["huge.jpg"].failure == "too_large"
    assert found["huge.jpg"].reason == (
        f"the file has {(len(draw_photo(0)) + 200_000) / 1e6:.4g} MB, more than the limit of 0.1 MB; "
        "raise max_megabytes to take it"
    )
    assert "huge.jpg" not in seen and "0.jpg" in seen
    assert [row.status for key, row in found.items() if key != "huge.jpg"] == ["done"] * 6


@pytest.mark.faults
def test_photos_that_their_decoder_dies_of_or_never_ends_with_are_rows(
    photos: Store, shelf: str, tmp_path: Path
) -> None:
    undisturbed = asked(photos, shelf, output=str(tmp_path / "undisturbed"))
    work(undisturbed)
    photos.write_many({"deadly.jpg": draw_plain(97), "endless.jpg": draw_plain(98)})
    config = asked(photos, shelf, decode_seconds=10.0)
    work_with_crashes(config, tmp_path)
    found = rows(config)
    assert (found["deadly.jpg"].failure, found["endless.jpg"].failure, len(found)) == ("crashed", "timed_out", 8)
    assert pictures(config) == pictures(undisturbed)


def test_a_photo_that_crashes_its_decoder_is_a_row_and_spares_the_others(
    photos: Store, shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = asked(photos, shelf, output=str(tmp_path / "undisturbed"))
    work(undisturbed)
    photos.write("bad.jpg", draw_plain(crashing_decoder.DEADLY_PX))
    monkeypatch.setattr("artbank.images.pool.decode_photo", crashing_decoder.die_or_decode)
    config = asked(photos, shelf)
    found = work(config)
    assert found["bad.jpg"].failure == "crashed" and len(found) == 7
    assert pictures(config) == pictures(undisturbed)


def test_a_photo_that_the_model_always_fails_on_is_found_out_and_spares_the_others(
    photos: Store, shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = asked(photos, shelf, output=str(tmp_path / "undisturbed"))
    work(undisturbed)
    draw = Stylizer._stylize_batch

    def fail(self: Stylizer, batch: Any, styles: Any) -> Iterator[Any]:
        if any(photo.key == "3.jpg" and photo.padded.any() for photo in batch):
            raise RuntimeError("an illegal instruction")
        yield from draw(self, batch, styles)

    monkeypatch.setattr(Stylizer, "_stylize_batch", fail)
    config = asked(photos, shelf)
    plan, [shard], _ = plan_archive(config)
    for _ in range(4):
        with pytest.raises(RuntimeError, match="illegal"):
            stylize_shard(config, plan, shard)
    assert stylize_shard(config, plan, shard) == 6
    found, whole = rows(config), pictures(undisturbed)
    assert found["3.jpg"].failure == "crashed"
    assert str(found["3.jpg"].reason) == (
        "4 attempts at this photo failed, two of them at this photo alone; "
        "the last error was RuntimeError: an illegal instruction"
    )
    assert pictures(config) == {name: data for name, data in whole.items() if name != "3.jpg"}
    assert attempts.find_unfinished(Store.open(config.output_uri)) == {}


@pytest.mark.parametrize("num_attempts", [4, 5, 8])
def test_an_error_that_blank_photos_meet_too_is_no_photos_fault(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch, num_attempts: int
) -> None:
    def fail(self: Stylizer, batch: Any, styles: Any) -> Iterator[Any]:
        raise RuntimeError("no kernel image")

    config = asked(photos, shelf)
    plan, [shard], _ = plan_archive(config)
    with monkeypatch.context() as patch:
        patch.setattr(Stylizer, "_stylize_batch", fail)
        for _ in range(num_attempts):
            with pytest.raises(RuntimeError, match="no kernel"):
                stylize_shard(config, plan, shard)
    assert stylize_shard(config, plan, shard) == 6
    assert {row.status for row in rows(config).values()} == {"done"}


def test_after_an_error_of_the_device_blank_photos_are_no_evidence(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Stylizer, batch: Any, styles: Any) -> Iterator[Any]:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    config = asked(photos, shelf)
    plan, [shard], _ = plan_archive(config)
    with monkeypatch.context() as patch:
        patch.setattr(Stylizer, "_stylize_batch", fail)
        for _ in range(4):
            with pytest.raises(RuntimeError, match="illegal"):
                stylize_shard(config, plan, shard)
    assert stylize_shard(config, plan, shard) == 6
    assert [row.failure for row in rows(config).values() if row.status == "failed"] == ["crashed"]


def test_a_device_without_room_for_any_photo_fails_the_shard_and_no_photo(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: BaseModel, images: torch.Tensor) -> Any:
        raise torch.OutOfMemoryError("another program has it all")

    config = asked(photos, shelf)
    plan, [shard], _ = plan_archive(config)
    with monkeypatch.context() as patch:
        patch.setattr(BaseModel, "encode_images", fail)
        for _ in range(5):
            with pytest.raises(
                ResultsError, match="expected memory for a blank photo of 32 x 32 px, found less; free it"
            ):
                stylize_shard(config, plan, shard)
    assert stylize_shard(config, plan, shard) == 6
    assert {row.status for row in rows(config).values()} == {"done"}


def test_a_photo_too_large_for_the_memory_is_a_row_and_the_next_run_tries_it_again(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.write("wide.jpg", draw_plain(180))
    encode = BaseModel.encode_images

    def encode_small(self: BaseModel, images: torch.Tensor) -> Any:
        if images.shape[-1] > 64:
            raise torch.OutOfMemoryError("no memory for a panorama")
        return encode(self, images)

    config = asked(photos, shelf)
    with monkeypatch.context() as patch:
        patch.setattr(BaseModel, "encode_images", encode_small)
        found = work(config)
    assert [(key, row.failure) for key, row in found.items() if row.status == "failed"] == [
        ("wide.jpg", "out_of_memory")
    ]
    assert len(found) == 7
    plan, shards, _ = plan_archive(config)
    assert plan.num_tasks == 1
    assert [stylize_shard(config, plan, shard) for shard in shards] == [1]
    assert rows(config)["wide.jpg"].status == "done"


@pytest.mark.faults
def test_one_file_that_the_store_never_gives_is_a_row_once_that_is_sure(
    shelf: str, s3_store: str, s3_endpoint: rgw.Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Store.open(s3_store).write_many({f"{seed}.jpg": draw_photo(seed) for seed in range(4)})
    with run_flaky(s3_endpoint) as flaky:
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        config = stylizing(s3_store, str(tmp_path / "output"), shelf, "novak")
        plan, [shard], _ = plan_archive(config)
        flaky.lost_key = "2.jpg"
        for _ in range(3):
            with pytest.raises(Exception, match=r"(?i)reduce|again|internal|error"):
                stylize_shard(config, plan, shard)
        assert stylize_shard(config, plan, shard) == 4
        assert {key: row.failure for key, row in rows(config).items()} == {
            **dict.fromkeys(("0.jpg", "1.jpg", "3.jpg")),
            "2.jpg": "store_error",
        }
        flaky.lost_key = ".jpg"  # a store that gives nothing is down, and no photo is to blame
        config = stylizing(s3_store, str(tmp_path / "other"), shelf, "novak")
        plan, [shard], _ = plan_archive(config)
        for _ in range(5):
            with pytest.raises(Exception, match=r"(?i)reduce|again|internal|error"):
                stylize_shard(config, plan, shard)
