"""The texture score: colours and tones do not count, strokes do; its reference is kept in a bank's files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from artbank.errors import BankError
from artbank.mini.drawing.painters import paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.scoring.clip import Scorer
from artbank.scoring.optional_measures import OptionalMeasures
from artbank.scoring.style_reference import StyleReference, measure_reference
from artbank.scoring.texture import TextureReference, cut_patches, embed_textures
from artbank.stylization.colours import match_palette

PX = 96


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load("mini", torch.device("cpu"))


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [draw_scene(23_000_000 + i, width_px=PX * 3 // 2, height_px=PX).image for i in range(12)]


@pytest.fixture(scope="module")
def reference(scorer: Scorer, photos: list[np.ndarray]) -> StyleReference:
    """The engravings of Marchetti, of other scenes than those that are scored."""
    artworks = [paint(photo, "Marchetti", i) for i, photo in enumerate(photos[:8])]
    return measure_reference(scorer, "marchetti", artworks[:6], artworks[6:], texture_px=PX)


def tensors(pictures: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.tensor(picture).permute(2, 0, 1) for picture in pictures]


def test_patches_are_grey_of_one_mean_and_spread_and_small_beside_the_picture() -> None:
    picture = torch.randint(40, 90, (3, 200, 300), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    patches = cut_patches(picture, short_px=80)
    assert {tuple(patch.shape) for patch in patches} == {(3, 20, 20)}
    assert len(patches) == 12, "every second of 4 x 6"
    lumas = torch.stack(patches).float()
    assert torch.equal(lumas[:, 0], lumas[:, 1]) and torch.equal(lumas[:, 0], lumas[:, 2])
    assert abs(lumas.mean() - 128) < 3 and abs(lumas.std() - 50) < 3
    brighter = (picture.float() * 1.5 + 20).round().to(torch.uint8)
    moved = torch.stack(cut_patches(brighter, short_px=80)).float() - lumas
    assert moved.abs().mean() < 2, "tones do not count"


def test_a_small_and_a_plain_picture_have_patches() -> None:
    assert len(cut_patches(torch.full((3, 2, 3), 7, dtype=torch.uint8), short_px=80)) == 3
    assert all(patch.eq(128).all() for patch in cut_patches(torch.full((3, 64, 64), 7, dtype=torch.uint8), 80))


def test_strokes_gain_and_recoloured_photos_do_not(
    scorer: Scorer, reference: StyleReference, photos: list[np.ndarray]
) -> None:
    unseen = photos[8:]
    recoloured = [match_palette(photo, reference.palette) for photo in tensors(unseen)]
    painted = tensors([paint(photo, "Marchetti", 100 + i) for i, photo in enumerate(unseen)])
    measures = OptionalMeasures(None, None, scorer, [reference])
    views = measures.view(tensors(unseen))
    floors = [score.clip_texture_floor or 0.0 for score in measures.score(reference, views, recoloured)]
    of_colours = [score.clip_texture or 0.0 for score in measures.score(reference, views, recoloured)]
    of_strokes = [score.clip_texture or 0.0 for score in measures.score(reference, views, painted)]
    assert reference.texture and reference.texture.ceiling
    way = reference.texture.ceiling.mean - np.mean(floors)
    assert way > 0.05
    assert abs(np.mean(of_colours) - np.mean(floors)) < 0.2 * way
    assert np.mean(of_strokes) - np.mean(floors) > 0.7 * way


def test_a_score_does_not_depend_on_the_other_pictures(scorer: Scorer, photos: list[np.ndarray]) -> None:
    together = embed_textures(scorer, tensors(photos), PX)
    for number in (0, 11):
        torch.testing.assert_close(
            embed_textures(scorer, tensors(photos)[number : number + 1], PX)[0], together[number]
        )


def test_it_is_kept_in_the_banks_file(reference: StyleReference) -> None:
    back = StyleReference.from_bytes(reference.to_bytes())
    assert back.texture and reference.texture
    assert (back.texture.short_px, back.texture.ceiling) == (PX, reference.texture.ceiling)
    assert torch.equal(back.texture.mean, reference.texture.mean)
    older = dataclasses.replace(reference, texture=None)
    assert StyleReference.from_bytes(older.to_bytes()).texture is None


@pytest.mark.parametrize("change", [{"short_px": 0}, {"mean": torch.full((128,), torch.nan)}, {"mean": torch.ones(3)}])
def test_nonsense_in_the_file_is_refused(reference: StyleReference, change: dict) -> None:
    assert reference.texture
    wrong = dataclasses.replace(reference, texture=dataclasses.replace(reference.texture, **change))
    with pytest.raises(BankError, match="expected a style reference"):
        StyleReference.from_bytes(wrong.to_bytes())


def test_a_mix_has_textures_if_all_its_banks_saw_them_at_one_size(reference: StyleReference) -> None:
    texture = reference.texture
    assert texture and texture.ceiling
    mixed = TextureReference.mix([(texture, 0.5), (dataclasses.replace(texture, mean=-texture.mean), 0.5)])
    assert mixed and torch.equal(mixed.mean, torch.zeros_like(texture.mean))
    assert TextureReference.mix([(texture, 0.5), (dataclasses.replace(texture, short_px=512), 0.5)]) is None
    assert StyleReference.mix([(reference, 0.5), (dataclasses.replace(reference, texture=None), 0.5)]).texture is None


def test_a_style_without_it_is_told_and_gets_no_score(
    scorer: Scorer, reference: StyleReference, photos: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    older = dataclasses.replace(reference, texture=None)
    measures = OptionalMeasures(None, None, scorer, [older])
    with caplog.at_level("WARNING"):
        measures.warn_of("marchetti", older)
    assert "style marchetti gets no clip_texture" in caplog.text
    [score] = measures.score(older, measures.view(tensors(photos[:1])), tensors(photos[:1]))
    assert (score.clip_texture, score.clip_texture_floor) == (None, None)
