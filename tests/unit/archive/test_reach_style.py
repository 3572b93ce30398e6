"""Of the drawings of a photo the first is kept that reaches the recipe's style gain, whatever else is in its batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from artbank.archive import run_resources
from artbank.archive.drawn_pictures import (
    NO_CEILING,
    NO_ROOM,
    ScoredPicture,
    StyleReach,
    keep_best,
    keep_first_reached,
    measure_reach,
)
from artbank.archive.photo_reader import DecodedPhoto
from artbank.archive.plan import plan_archive
from artbank.archive.styles import load_style
from artbank.config import StylizeConfig
from artbank.errors import ImageError
from artbank.images.framing import Photo
from artbank.parameters.control_specs import EMBEDDED_CONTROL
from artbank.records.photo_records import Result
from artbank.results.attempts import Attempt
from artbank.scoring.scores import Cosines
from artbank.scoring.spread import Ceiling
from artbank.store.objects import Store
from artbank.stylization.stylizer import Stylized, Stylizer
from tests.support import small_inputs
from tests.support.shards import asked, work
from tests.support.small_inputs import add_collection, ceilings_without_error, train_all, training

STYLIZE = small_inputs.STYLIZE.model_copy(update={"structure": 0.5, "colour": "free"})
SETTINGS = [(0.5, 0.5), (0.35, 1.0), (0.0, 1.0)]
"""Structure and strength of the first drawing and of the two further ones."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the bank `novak`, whose ceiling has no error: four artworks are too few for a gain else."""
    root = tmp_path_factory.mktemp("shelf")
    add_collection(Store.open(str(root / "gallery")), "novak")
    config = training(str(root / "gallery"), str(root / "store"))
    with ceilings_without_error():
        train_all(config)
    return config.store_uri


def scored(gain: float | None, *, wanted: float = 0.5, score: float = 0.0, number: int = 0) -> ScoredPicture:
    reach = StyleReach(0.5, 0.9, gain, gain is None or gain >= wanted)
    picture = Stylized("a.jpg", "novak", number, np.zeros((1, 1, 3), np.uint8))
    return ScoredPicture(cast(DecodedPhoto, None), picture, Cosines(score, 0, 0, score, None), 0.0, reach)


def measured(rows: dict[str, Result], ceiling: float) -> dict[str, float]:
    """Return the gain of each picture by the columns of its row."""
    return {
        key: (row.clip_style - row.clip_style_floor) / (ceiling - row.clip_style_floor)  # pyright: ignore
        for key, row in rows.items()
    }


def find_ceiling(config: StylizeConfig) -> float:
    plan, _, _ = plan_archive(config)
    ceiling = load_style(Store.open(config.store_uri), plan.styles[0])[1].ceiling
    assert ceiling is not None
    return ceiling.mean


@pytest.mark.parametrize(
    ("gains", "kept"),
    [
        ((0.6, 0.9), 0),  # the first that reaches it has the most of its photo
        ((0.4, 0.5), 1),
        ((0.4, 0.3), 0),
        ((-2.0, -1.0), 1),
        ((0.4, 0.4), 0),
        ((None, 0.9), 0),
    ],
)
def test_the_first_drawing_that_reaches_the_gain_is_kept_else_the_one_with_most_of_it(
    gains: tuple[float | None, float], kept: int
) -> None:
    drawings = [scored(gain) for gain in gains]
    assert keep_first_reached(*drawings) is drawings[kept]


@pytest.mark.parametrize(
    ("candidates", "kept"),
    [
        ([(0.6, 0.2), (0.5, 0.3), (0.4, 0.9)], 1),  # the best score of those that reach it
        ([(0.1, 0.9), (0.4, 0.1)], 1),  # none does: the highest gain
        ([(None, 0.3), (None, 0.4)], 1),  # without a gain the score decides
    ],
)
def test_of_candidates_those_that_reach_the_gain_come_first(
    candidates: Sequence[tuple[float | None, float]], kept: int
) -> None:
    [best] = keep_best([scored(gain, score=score, number=n) for n, (gain, score) in enumerate(candidates)])
    assert best.picture.seed == kept
    assert best.candidates == pytest.approx([score for _, score in candidates])


def test_a_gain_is_measured_only_where_the_ceiling_is_above_the_photo() -> None:
    cosines = Cosines(0.5, 0.4, 0, 0, None)
    settings = {"structure": 0.35, "strength": 1.0}
    half = measure_reach(cosines, Ceiling(0.6), 0.5 - 1e-9, **settings)
    assert (half.gain, half.is_reached, half.structure, half.strength) == (pytest.approx(0.5), True, 0.35, 1.0)
    assert not measure_reach(cosines, Ceiling(0.6), 0.6, **settings).is_reached
    for ceiling, note in ((None, NO_CEILING), (Ceiling(0.4), NO_ROOM), (Ceiling(0.5, 0.06), NO_ROOM)):
        found = measure_reach(cosines, ceiling, 0.5, **settings)
        assert (found.gain, found.is_reached, found.note) == (None, True, note)


def test_each_photo_gets_the_first_picture_that_reaches_the_gain_as_if_it_were_drawn_by_itself(
    photos: Store, shelf: str, tmp_path: Any
) -> None:
    """The pictures of runs without a goal, in which all photos are drawn with the same settings, are the reference."""
    drawn: list[dict[str, Result]] = []
    gains: list[dict[str, float]] = []
    for number, (structure, strength) in enumerate(SETTINGS):
        recipe = STYLIZE.model_copy(update={"structure": structure, "strength": strength})
        settings = {"recipe": recipe, "controls": (EMBEDDED_CONTROL,)}  # the goal's run has it at every structure
        config = asked(photos, shelf, output=str(tmp_path / f"{number}"), batch_size=3, **settings)
        drawn.append(work(config))
        gains.append(measured(drawn[-1], find_ceiling(config)))
    ordered = sorted(gains[0].values())
    wanted = (ordered[-2] + ordered[-3]) / 2  # two photos reach it at once
    assert 0 < wanted <= 1
    found = work(asked(photos, shelf, recipe=STYLIZE.model_copy(update={"reach_style": wanted}), batch_size=3))
    kept = []
    for key, row in found.items():
        own = [one[key] for one in gains]
        reached = [number for number, gain in enumerate(own) if gain >= wanted]
        number = reached[0] if reached else own.index(max(own))
        kept.append(number)
        assert row.file_sha256 == drawn[number][key].file_sha256, key
        assert (row.structure, row.strength) == pytest.approx(SETTINGS[number])
        assert row.gain == pytest.approx(own[number], abs=1e-5)
        assert ("faint" in row.flags) == (not reached)
        assert (row.seconds > drawn[0][key].seconds / 100) and row.notes == []
    assert kept.count(0) >= 2 and len(set(kept)) > 1, "some photos were drawn again, and others not"
    assert any("faint" in row.flags for row in found.values())


def test_photos_are_drawn_again_together_in_a_batch_of_the_same_composition_also_after_a_crash(
    photos: Store, shelf: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, batches = Stylizer.stylize_batch, []

    def watch(self: Stylizer, batch: Sequence[Photo], styles: Sequence[str]) -> Iterator[Stylized]:
        batches.append((self.recipe.strength, {one.key: bool(one.padded.any()) for one in batch}))
        yield from draw(self, batch, styles)

    monkeypatch.setattr(Stylizer, "stylize_batch", watch)
    recipe = STYLIZE.model_copy(update={"reach_style": 0.15})
    found = work(asked(photos, shelf, recipe=recipe, batch_size=6))
    assert [list(keys) for _, keys in batches] == [[f"{seed}.jpg" for seed in range(6)]] * 3
    first, second, third = ([key for key, is_drawn in keys.items() if is_drawn] for _, keys in batches)
    assert first == list(found) and 0 < len(third) < len(second) < 6
    assert [key for key, row in found.items() if row.strength == 0.5 and "faint" not in row.flags] == [
        key for key in first if key not in second
    ]
    batches.clear()
    monkeypatch.setattr(Attempt, "strikes", lambda self, key: 2)  # now each photo is drawn alone, with five blank ones
    alone = work(asked(photos, shelf, output=str(tmp_path / "alone"), recipe=recipe, batch_size=6))
    assert all(len(keys) == 6 and sum(keys.values()) == 1 for _, keys in batches) and len(batches) > 6
    columns = ("file_sha256", "structure", "strength", "gain", "flags")
    for key, row in found.items():
        assert [getattr(alone[key], name) for name in columns] == [getattr(row, name) for name in columns]


@pytest.mark.parametrize(("ceiling", "note"), [(None, NO_CEILING), (Ceiling(-1.0), NO_ROOM)])
def test_where_the_gain_cannot_be_measured_nothing_is_drawn_again_and_the_row_says_why(
    photos: Store,
    shelf: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ceiling: Ceiling | None,
    note: str,
) -> None:
    def load_other(*args: Any) -> Any:
        style, reference = load_style(*args)
        return style, replace(reference, ceiling=ceiling)

    draw, calls = Stylizer.stylize_batch, []

    def watch(self: Stylizer, *args: Any) -> Iterator[Stylized]:
        calls.append(self.recipe.structure)
        yield from draw(self, *args)

    monkeypatch.setattr(run_resources, "load_style", load_other)
    monkeypatch.setattr(Stylizer, "stylize_batch", watch)
    found = work(asked(photos, shelf, recipe=STYLIZE.model_copy(update={"reach_style": 1.0}), batch_size=6))
    assert calls == [0.5]
    for row in found.values():
        assert (row.gain, row.structure, row.flags, row.notes) == (None, 0.5, [], [note])
    warnings = [text for text in caplog.messages if "cannot be measured" in text]
    assert len(warnings) == (1 if ceiling is None else 0)


def test_a_further_drawing_that_fails_leaves_the_picture_that_is_there(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Stylizer.stylize_batch

    def fail(self: Stylizer, batch: Sequence[Photo], styles: Sequence[str]) -> Iterator[Stylized]:
        for one in draw(self, batch, styles):
            is_first = self.recipe.structure == 0.5
            yield one if is_first else replace(one, rgb=None, error=ImageError("no memory", "out_of_memory"))

    monkeypatch.setattr(Stylizer, "stylize_batch", fail)
    found = work(asked(photos, shelf, recipe=STYLIZE.model_copy(update={"reach_style": 1.0})))
    assert len(found) == 6
    for row in found.values():
        assert (row.status, row.structure, row.flags) == ("done", 0.5, ["faint"])
