"""Recoloured photos are scored as any picture is."""

from __future__ import annotations

import pytest
import torch

from artbank.mini.drawing.painters import paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.scoring.clip import Scorer
from artbank.scoring.recoloured import score_recoloured
from artbank.scoring.scores import score
from artbank.scoring.style_reference import measure_reference
from artbank.stylization.colours import match_palette


def test_recoloured_photos_are_scored_as_pictures_in_the_colours_of_the_artworks() -> None:
    scorer = Scorer.load("mini", torch.device("cpu"))
    artworks = [paint(draw_scene(20_000_200 + number).image, "Tovar", number) for number in range(4)]
    reference = measure_reference(scorer, "Tovar", artworks[1:], artworks[:1])
    photos = [draw_scene(20_000_300 + number, width_px=128, height_px=96).image for number in range(2)]
    tensors = [torch.from_numpy(photo).permute(2, 0, 1) for photo in photos]
    recoloured = [match_palette(photo, reference.palette).permute(1, 2, 0).numpy() for photo in tensors]
    expected = [own.clip_style for own in score(scorer, reference, photos, recoloured)]
    assert score_recoloured(scorer, reference, tensors) == pytest.approx(expected, abs=1e-6)
    assert expected != pytest.approx([own.clip_style for own in score(scorer, reference, photos, photos)], abs=1e-3)
