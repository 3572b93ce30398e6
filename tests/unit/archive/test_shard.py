"""A shard's work: its stages overlap, its memory is bounded, and what goes wrong with one photo is that photo's row."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.archive.styles import load_style
from artbank.config import StylizeConfig
from artbank.errors import StopRequested
from artbank.images.codec import decode, resize
from artbank.records import Result
from artbank.results import attempts, ledger
from artbank.scoring.clip import Scorer, load_scorer
from artbank.scoring.scores import Cosines, Scores, score
from artbank.store.objects import Store
from artbank.stylization.stylizer import Stylizer
from tests.support import crashing_decoder, rgw
from tests.support.flaky import run_flaky
from tests.support.image_files import chunk, heif, raw, save, with_chunks
from tests.support.paths import CRASHES, ROOT
from tests.support.small_inputs import STYLIZE, draw_photo, stylizing
from tests.support.waiting import wait_for

_SCRIPT = """
import sys
from artbank.archive.plan import plan_archive
from artbank.config import StylizeConfig
from artbank.archive.shard import stylize_shard
if __name__ == "__main__":
    config = StylizeConfig.model_validate_json(sys.argv[1])
    plan, shards, _ = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard)
"""


@pytest.fixture
def photos(tmp_path: Path) -> Store:
    """An archive of six photos, small files on disk."""
    store = Store.open(str(tmp_path / "photos"))
    store.write_many({f"{seed}.jpg": draw_photo(seed) for seed in range(6)})
    return store


def asked(photos: Store, shelf: str, **values: Any) -> StylizeConfig:
    output = values.pop("output", str(Path(photos.uri).parent / "output"))
    return stylizing(photos.uri, output, shelf, "novak", **{"batch_size": 2, **values})


def work(config: StylizeConfig, **options: Any) -> dict[str, Result]:
    """Do all shards of a run; returns the current rows by key."""
    plan, shards, _ = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard, **options)
    return rows(config)


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


def rows(config: StylizeConfig) -> dict[str, Result]:
    found = Result.from_table(ledger.latest_rows(ledger.read_ledger(Store.open(config.output_uri))))
    assert len({row.key for row in found}) == len(found)
    return {row.key: row for row in found}


def pictures(config: StylizeConfig) -> dict[str, bytes]:
    folder = Path(config.output_uri) / "novak"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_row_says_what_its_file_is(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    for row in work(config).values():
        data = (Path(config.output_uri) / str(row.file_name)).read_bytes()
        assert (row.file_size, row.file_sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_photos_of_telephones_and_cameras_are_drawn_and_a_conversion_is_noted(shelf: str, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "photos"))
    photo = Image.open(io.BytesIO(draw_photo(0)))
    bright = with_chunks(save(photo, "PNG"), chunk(b"cICP", b"\x09\x10\0\1"))
    store.write_many({"a.heic": heif(photo), "b.nef": raw(96, 64), "c.png": bright})
    rows = work(asked(store, shelf))
    assert [rows[key].status for key in ("a.heic", "b.nef", "c.png")] == ["done"] * 3
    assert (rows["b.nef"].width_px, rows["b.nef"].height_px) == (rows["a.heic"].width_px, rows["a.heic"].height_px)
    assert rows["a.heic"].notes == [] and rows["c.png"].notes == ["mapped from high dynamic range (PQ) to sRGB"]


def test_the_best_of_several_candidates_is_kept_and_the_row_has_the_scores_of_all(
    photos: Store, shelf: str, tmp_path: Path
) -> None:
    single = [
        work(asked(photos, shelf, output=str(tmp_path / f"{seed}"), recipe=STYLIZE.model_copy(update={"seed": seed})))
        for seed in (5, 6, 7)
    ]
    best = work(asked(photos, shelf, recipe=STYLIZE.model_copy(update={"seed": 5, "candidates": 3})))
    kept = set()
    for key, row in best.items():
        drawn = [rows[key] for rows in single]
        scores = [(one.clip_style + one.clip_content) / 2 for one in drawn]  # pyright: ignore[reportOptionalOperand]
        assert row.candidates == pytest.approx(scores, abs=1e-6)
        chosen = scores.index(max(scores))
        assert (row.seed, row.file_sha256) == (drawn[chosen].seed, drawn[chosen].file_sha256)
        kept.add(chosen)
    assert len(kept) > 1, "some photo is better with another seed"
    assert all(row.candidates is None for row in single[0].values())


def test_a_row_has_the_structure_that_its_photo_took_and_says_where_it_was_not_enough(
    photos: Store, shelf: str
) -> None:
    held = {"strength": 1.0, "structure": 0.1, "keep_structure": 0.97}
    found = work(asked(photos, shelf, recipe=STYLIZE.model_copy(update=held)))
    for row in found.values():
        assert row.structure is not None and row.lightness is not None and row.ssim is not None
        assert ("loose" in row.flags) == (row.ssim < 0.97 - 5e-3), "JPEG moves the similarity a little"
        assert row.structure == 1.0 or "loose" not in row.flags
    assert any("loose" in row.flags for row in found.values())


@pytest.mark.parametrize("colour", ["free", "keep"])
def test_a_row_has_the_scores_that_its_picture_has_by_itself(shelf: str, tmp_path: Path, colour: str) -> None:
    photos = Store.open(str(tmp_path / "photos"))
    photos.write_many({f"{seed}.png": draw_photo(seed, ".png") for seed in range(3)})
    config = asked(photos, shelf, recipe=STYLIZE.model_copy(update={"colour": colour}))
    plan, _, _ = plan_archive(config)
    _, reference = load_style(Store.open(shelf), plan.styles[0])
    for row in work(config).values():
        picture = decode((Path(config.output_uri) / str(row.file_name)).read_bytes(), max_pixels=10**6).rgb
        photo = resize(decode(photos.read(row.key), max_pixels=10**6).rgb, row.width_px, row.height_px)
        [expected] = score(load_scorer(config), reference, [photo], [picture])
        found = Scores(
            **{name: getattr(row, name) for name in vars(expected) if name != "flags"}, flags=tuple(row.flags)
        )
        assert (found.ssim, found.flags) == (expected.ssim, expected.flags)
        for name in vars(Cosines(*[0.0] * 5)):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-5), name


def test_the_scorer_looks_at_a_photo_once_whatever_the_styles(
    photos: Store, shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, seen = Scorer.embed_tensors, []

    def watch(self: Scorer, images: Any) -> Any:
        seen.append(len(images))
        return look(self, images)

    config = stylizing(photos.uri, str(tmp_path / "output"), shelf, "novak", "novak:0.7+novak@1:0.3", batch_size=6)
    plan, [shard], _ = plan_archive(config)
    monkeypatch.setattr(Scorer, "embed_tensors", watch)
    assert stylize_shard(config, plan, shard) == 12
    assert seen == [6, 6, 6]


def test_pictures_at_the_photos_own_size_say_so(photos: Store, shelf: str) -> None:
    recipe = STYLIZE.model_copy(update={"size": "original"})
    assert {(row.width_px, row.height_px) for row in work(asked(photos, shelf, recipe=recipe)).values()} == {(96, 64)}


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
@pytest.mark.parametrize(("width_px", "failure"), [(97, "crashed"), (98, "timed_out")])
def test_a_photo_that_its_decoder_dies_of_or_never_ends_with_is_a_row(
    photos: Store, shelf: str, tmp_path: Path, width_px: int, failure: str
) -> None:
    undisturbed = asked(photos, shelf, output=str(tmp_path / "undisturbed"))
    work(undisturbed)
    photos.write("bad.jpg", draw_plain(width_px))
    config = asked(photos, shelf, decode_seconds=60.0 if failure == "crashed" else 10.0)
    work_with_crashes(config, tmp_path)
    found = rows(config)
    assert found["bad.jpg"].failure == failure and len(found) == 7
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
    assert found["3.jpg"].failure == "crashed" and "4 times" in str(found["3.jpg"].reason)
    assert pictures(config) == {name: data for name, data in whole.items() if name != "3.jpg"}
    assert attempts.find_unfinished(Store.open(config.output_uri)) == {}


def test_a_shard_that_is_asked_to_stop_is_given_back_before_its_next_batch(photos: Store, shelf: str) -> None:
    config, asks = asked(photos, shelf), iter([False, True])
    plan, [shard], _ = plan_archive(config)
    with pytest.raises(StopRequested):
        stylize_shard(config, plan, shard, should_stop=lambda: next(asks))
    mark = attempts.find_unfinished(Store.open(config.output_uri))[shard.id]
    assert mark.is_given_back and len(pictures(config)) == 2
    assert len(work(config)) == 6


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


def test_photos_are_read_and_pictures_written_while_the_model_draws(
    shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, size, num_batches = Store.open(str(tmp_path / "photos")), 4, 6
    photos.write_many({f"{seed:02}.jpg": draw_photo(seed % 4) for seed in range(num_batches * size)})
    read, begun, written = set[str](), list[int](), list[int]()
    draw, read_many, write_many = Stylizer.stylize_batch, Store.read_many, Store.write_many

    def read_photos(self: Store, keys: Sequence[str], *args: Any, **options: Any) -> Any:
        if self.uri == photos.uri:
            read.update(keys)
        return read_many(self, keys, *args, **options)

    def write_pictures(self: Store, files: Mapping[str, bytes], *args: Any, **options: Any) -> None:
        if any(key.endswith(".jpg") for key in files):
            number = len(written)
            written.append(number)
            wait_for(lambda: len(begun) >= min(number + 2, num_batches))  # the next batch is drawn meanwhile
        write_many(self, files, *args, **options)

    def draw_batch(self: Stylizer, *args: Any) -> Iterator[Any]:
        begun.append(len(begun))
        wait_for(lambda: len(read) >= min(len(begun) + 1, num_batches) * size)  # the next batch is read meanwhile
        yield from draw(self, *args)

    monkeypatch.setattr(Store, "read_many", read_photos)
    monkeypatch.setattr(Store, "write_many", write_pictures)
    monkeypatch.setattr(Stylizer, "stylize_batch", draw_batch)
    assert set(work(asked(photos, shelf, batch_size=size))) == read
    assert len(begun) == len(written) == num_batches


def test_another_worker_may_be_at_the_same_shard(photos: Store, shelf: str) -> None:
    config = asked(photos, shelf)
    plan, [shard], _ = plan_archive(config)
    again: list[int] = []

    def interfere(done: int, total: int) -> None:
        if not again:
            again.append(0)
            again[0] = stylize_shard(config, plan, shard)

    assert stylize_shard(config, plan, shard, interfere) == 6 and again == [6]
    assert len(rows(config)) == 6


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_who_comes_late_leaves_the_containers_of_a_shard_alone(photos: Store, shelf: str, form: str) -> None:
    """Pictures may have been taken out of them since."""
    config = asked(photos, shelf, format=form)
    plan, [shard], _ = plan_archive(config)
    trimmed: list[Path] = []

    def interfere(done: int, total: int) -> None:
        if not trimmed:
            trimmed.append(Path())
            assert stylize_shard(config, plan, shard) == 6
            [trimmed[0]] = (Path(config.output_uri) / "novak").iterdir()
            trimmed[0].write_bytes(b"trimmed")

    assert stylize_shard(config, plan, shard, interfere) == 6
    assert trimmed[0].read_bytes() == b"trimmed"


def test_no_container_is_written_before_all_its_pictures_are_there(photos: Store, shelf: str) -> None:
    config, asks = asked(photos, shelf, format="webdataset"), iter([False, True])
    plan, [shard], _ = plan_archive(config)
    with pytest.raises(StopRequested):
        stylize_shard(config, plan, shard, should_stop=lambda: next(asks))
    assert not (Path(config.output_uri) / "novak").exists()
    names = {row.file_name for row in work(config).values()}
    assert names == {f"novak/{name}" for name in pictures(config)} and len(names) == 1
