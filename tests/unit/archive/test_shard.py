"""A shard's work: rows tell what its pictures are, its stages overlap, and several workers may be at it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artbank.archive.plan import plan_archive
from artbank.archive.run_resources import load_resources
from artbank.archive.shard import stylize_shard
from artbank.archive.styles import load_style
from artbank.errors import StopRequested
from artbank.images.codec import decode, resize
from artbank.results import attempts
from artbank.scoring.clip import Scorer, load_scorer
from artbank.scoring.scores import Cosines, Scores, score
from artbank.store.objects import Store
from artbank.stylization.stylizer import Stylizer
from tests.support.image_files import chunk, heif, raw, save, with_chunks
from tests.support.shards import asked, pictures, rows, work
from tests.support.small_inputs import STYLIZE, draw_photo, stylizing
from tests.support.waiting import wait_for


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
        is_below = row.ssim < 0.97
        assert ("loose" in row.flags) == is_below or abs(row.ssim - 0.97) < 5e-3, "JPEG moves the similarity a little"
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


def test_the_scorer_looks_at_a_photo_once_and_at_the_pictures_of_all_styles_together(
    photos: Store, shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, seen = Scorer.embed_groups, []

    def watch(self: Scorer, groups: Any, at_once: int) -> Any:
        seen.append([len(group) for group in groups])
        return look(self, groups, at_once)

    config = stylizing(photos.uri, str(tmp_path / "output"), shelf, "novak", "novak:0.7+novak@1:0.3", batch_size=6)
    plan, [shard], _ = plan_archive(config)
    monkeypatch.setattr(Scorer, "embed_groups", watch)
    assert stylize_shard(config, plan, shard) == 12
    assert seen == [[6, 12, 12]], "the photos once, the pictures of both styles, and the photos in the colours of both"


def test_pictures_at_the_photos_own_size_say_so(photos: Store, shelf: str) -> None:
    recipe = STYLIZE.model_copy(update={"size": "original"})
    config = asked(photos, shelf, recipe=recipe)
    assert {(row.width_px, row.height_px) for row in work(config).values()} == {(96, 64)}
    plain = asked(
        photos, shelf, recipe=recipe.model_copy(update={"detail": 0.0}), output=f"{config.output_uri}-enlarged"
    )
    work(plain)
    assert pictures(plain).keys() == pictures(config).keys()
    assert not set(pictures(plain).values()) & set(pictures(config).values()), "the photos' detail is in every picture"


def test_a_shard_that_is_asked_to_stop_is_given_back_before_its_next_batch(photos: Store, shelf: str) -> None:
    config, asks = asked(photos, shelf), chain([False], repeat(True))
    plan, [shard], _ = plan_archive(config)
    with pytest.raises(StopRequested):
        stylize_shard(config, plan, shard, should_stop=lambda: next(asks))
    mark = attempts.find_unfinished(Store.open(config.output_uri))[shard.id]
    assert mark.is_given_back and len(pictures(config)) == 2
    assert len(work(config)) == 6


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
            load_resources.clear()  # the other worker has its own
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
            load_resources.clear()  # who comes late is another worker
            assert stylize_shard(config, plan, shard) == 6
            [trimmed[0]] = (Path(config.output_uri) / "novak").iterdir()
            trimmed[0].write_bytes(b"trimmed")

    assert stylize_shard(config, plan, shard, interfere) == 6
    assert trimmed[0].read_bytes() == b"trimmed"


def test_no_container_is_written_before_all_its_pictures_are_there(photos: Store, shelf: str) -> None:
    config, asks = asked(photos, shelf, format="webdataset"), chain([False], repeat(True))
    plan, [shard], _ = plan_archive(config)
    with pytest.raises(StopRequested):
        stylize_shard(config, plan, shard, should_stop=lambda: next(asks))
    assert not (Path(config.output_uri) / "novak").exists()
    names = {row.file_name for row in work(config).values()}
    assert names == {f"novak/{name}" for name in pictures(config)} and len(names) == 1
