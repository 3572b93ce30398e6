"""The scores, against formulas written a second time."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoImageProcessor

from artbank.errors import BankError, BaseModelError, ConfigError
from artbank.images.palette import Palette
from artbank.mini import WEIGHTS
from artbank.mini.drawing.painters import paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.scoring import clip_preprocess
from artbank.scoring.clip import Scorer
from artbank.scoring.scores import Scores, score
from artbank.scoring.spread import Ceiling
from artbank.scoring.style_reference import StyleReference, measure_reference

PAINTER, OTHER = "Tovar", "Maurel"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load("mini", CPU)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [draw_scene(20_000_000 + i, width_px=96 + 32 * i, height_px=128).image for i in range(4)]


@pytest.fixture(scope="module")
def painted(photos: list[np.ndarray]) -> list[np.ndarray]:
    return [paint(photo, PAINTER, 1) for photo in photos]


def describe_painter(scorer: Scorer, painter: str, num_held_out: int = 2) -> StyleReference:
    artworks = [paint(draw_scene(20_000_100 + i).image, painter, i) for i in range(6)]
    return measure_reference(scorer, painter, artworks[num_held_out:], artworks[:num_held_out])


@pytest.fixture(scope="module")
def reference(scorer: Scorer) -> StyleReference:
    return describe_painter(scorer, PAINTER)


def as_row(scores: Scores) -> list[float]:
    values = (getattr(scores, name) for name in vars(scores) if name != "flags")
    return [math.nan if value is None else value for value in values]


def test_a_style_is_told_from_the_untouched_photo_and_from_another_style(scorer, reference, photos, painted):
    other = describe_painter(scorer, OTHER)
    own, foreign = (score(scorer, r, photos, painted) for r in (reference, other))
    for mine, theirs in zip(own, foreign, strict=True):
        assert mine.clip_style > max(mine.clip_style_floor, theirs.clip_style)
        assert mine.clip_text > theirs.clip_text


def test_groups_of_pictures_are_embedded_in_one_wait_to_the_bits_that_each_has_alone(
    scorer: Scorer, photos: list[np.ndarray], painted: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [torch.from_numpy(one).permute(2, 0, 1) for one in (*photos, *painted)]
    groups = [pictures[:3], [], pictures[3:]]
    alone = [scorer.embed_tensors(group) for group in groups]
    singles = [scorer.embed_tensors([one]) for one in pictures]
    copies: list[int] = []

    def copy_to_host(tensors: list[torch.Tensor]) -> list[np.ndarray]:
        copies.append(len(tensors))
        return [tensor.numpy() for tensor in tensors]

    monkeypatch.setattr("artbank.scoring.networks.copy_to_host", copy_to_host)
    for own, found in zip(alone, scorer.embed_groups(groups), strict=True):
        assert torch.equal(own, found)
    assert torch.equal(torch.cat(singles), torch.cat(scorer.embed_groups(groups, at_once=1)))
    assert copies == [2, 8]


def test_the_scores_are_the_cosines_of_the_module(scorer, reference, photos, painted):
    c, y = (scorer.embed_images([images[0]])[0].double().numpy() for images in (photos, painted))
    mean = reference.mean.double().numpy()
    text = scorer.embed_texts([f"a painting in the style of {PAINTER}"])[0].double().numpy()

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    found = score(scorer, reference, photos[:1], painted[:1])[0]
    assert found.clip_style == pytest.approx(cosine(y, mean), abs=1e-5)
    assert found.clip_style_floor == pytest.approx(cosine(c, mean), abs=1e-5)
    assert found.clip_text == pytest.approx(cosine(y, text), abs=1e-5)
    assert found.clip_content == pytest.approx(cosine(y, c), abs=1e-5)
    assert found.clip_direction == pytest.approx(cosine(y - c, mean - c), abs=1e-5)


def test_a_score_does_not_depend_on_the_other_pictures_of_the_call(scorer, reference, photos, painted):
    together = score(scorer, reference, photos, painted)
    for i, expected in enumerate(together):
        alone = score(scorer, reference, photos[i : i + 1], painted[i : i + 1])[0]
        assert as_row(alone) == pytest.approx(as_row(expected), abs=1e-5)


def test_a_text_embeds_alike_beside_a_longer_one(scorer):
    together = scorer.embed_texts(["the sea", "a long caption of a harbour at dusk with many boats " * 9])
    assert torch.allclose(together[0], scorer.embed_texts(["the sea"])[0], atol=1e-5)


def test_an_untouched_photo_scores_its_floor_and_went_in_no_direction(scorer, reference, photos):
    for found in score(scorer, reference, photos, photos):
        assert found.clip_style == pytest.approx(found.clip_style_floor, abs=1e-5)
        assert (found.clip_content, found.ssim) == pytest.approx((1, 1), abs=1e-5)
        assert found.clip_direction is None


def test_a_photo_and_its_picture_may_differ_in_size(scorer, reference, photos, painted):
    enlarged = cv2.resize(photos[1], None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    near, same = (score(scorer, reference, [photo], painted[1:2])[0] for photo in (enlarged, photos[1]))
    assert near.ssim == pytest.approx(same.ssim, abs=0.05)


def test_pictures_of_any_shape_are_embedded(scorer):
    shapes = [(1, 1), (1, 300), (3, 40), (300, 3), (700, 600)]
    embedded = scorer.embed_images([np.full((*shape, 3), 90, np.uint8) for shape in shapes])
    assert embedded.shape == (5, 128) and embedded.dtype == torch.float32
    assert torch.allclose(embedded.norm(dim=1), torch.ones(5), atol=1e-5)


def test_a_large_picture_embeds_as_its_reduction_does(scorer, photos):
    large = cv2.resize(photos[0], None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
    assert scorer.embed_images([large])[0] @ scorer.embed_images([photos[0]])[0] > 0.97


def _see_with_pillow(scorer: Scorer, images: list[np.ndarray]) -> torch.Tensor:
    """Return unit embeddings by way of Pillow and transformers, as the references of older banks were made."""
    processor = AutoImageProcessor.from_pretrained(WEIGHTS / "clip", local_files_only=True, backend="pil")
    pictures = [Image.fromarray(image) for image in images]
    reduced = [p.reduce(max(min(p.size) // (2 * processor.size["shortest_edge"]), 1)) for p in pictures]
    pixels = processor(images=reduced, return_tensors="pt")["pixel_values"]
    return torch.nn.functional.normalize(scorer._clip.get_image_features(pixels).pooler_output, dim=1)


def test_pictures_are_seen_as_pillow_and_transformers_show_them(scorer, photos, painted):
    large = [
        cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_CUBIC)
        for image, k in zip(photos, (3, 4.3, 7, 0.3), strict=True)
    ]
    images = [*photos, *painted, *large]
    cosines = (scorer.embed_images(images) * _see_with_pillow(scorer, images)).sum(1)
    assert cosines.min() > 1 - 1e-4


def test_a_picture_is_seen_alike_in_float_arithmetic_as_on_a_gpu(scorer, photos, monkeypatch):
    images = [torch.tensor(image).permute(2, 0, 1) for image in photos]
    expected, resize = scorer._preprocessor.preprocess(images), clip_preprocess.interpolate
    monkeypatch.setattr(clip_preprocess, "interpolate", lambda batch, **options: resize(batch.float(), **options))
    assert (scorer._preprocessor.preprocess(images) - expected).abs().max() <= 1.01 * 2 / 255


def test_an_image_processor_that_does_something_else_is_refused(tmp_path):
    folder = shutil.copytree(WEIGHTS / "clip", tmp_path / "clip")
    config = json.loads((folder / "processor_config.json").read_text())
    config["image_processor"]["do_center_crop"] = False
    (folder / "processor_config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match="expected an image processor"):
        Scorer.load(str(folder), CPU)


def test_nothing_embeds_to_nothing(scorer):
    assert scorer.embed_images([]).shape == scorer.embed_texts([]).shape == (0, 128)


def test_a_scorer_of_a_folder_has_the_id_of_its_content(scorer, tmp_path):
    folder = shutil.copytree(WEIGHTS / "clip", tmp_path / "mine")
    copy = Scorer.load(str(folder), CPU)
    assert copy.id == scorer.id.replace("mini/clip", "mine")
    config = json.loads((folder / "processor_config.json").read_text())
    config["image_processor"]["image_mean"] = [0.4, 0.5, 0.5]
    (folder / "processor_config.json").write_text(json.dumps(config))
    assert Scorer.load(str(folder), CPU).id != copy.id


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "weights as safetensors"),
        ("processor_config.json", "preprocessor_config.json"),
        ("tokenizer.json", "tokenizer.json or vocab.json, merges.txt"),
    ],
)
def test_a_folder_without_a_part_is_refused_by_the_name_of_the_part(tmp_path: Path, file: str, part: str):
    folder = shutil.copytree(WEIGHTS / "clip", tmp_path / "clip")
    (folder / file).unlink()
    with pytest.raises(BaseModelError, match=f"found no {part};"):
        Scorer.load(str(folder), CPU)


def test_damaged_or_foreign_weights_are_refused(tmp_path):
    folder = shutil.copytree(WEIGHTS / "clip", tmp_path / "clip")
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        Scorer.load(str(folder), CPU)
    (folder / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(BaseModelError, match="found 'siglip'"):
        Scorer.load(str(folder), CPU)


@pytest.mark.parametrize("source", ["nowhere", "./nowhere/clip", "a/b/c"])
def test_a_source_that_is_neither_folder_nor_hub_id_is_refused(source: str):
    with pytest.raises(BaseModelError, match="is no folder"):
        Scorer.load(source, CPU)


def test_a_reference_of_another_scorer_is_refused(scorer, reference, photos):
    foreign = StyleReference(**{**vars(reference), "scorer": "other@1"})
    with pytest.raises(ConfigError, match=r"measured by scorer other@1, this run uses mini/clip@"):
        score(scorer, foreign, photos, photos)
    with pytest.raises(ConfigError, match="one scorer"):
        StyleReference.mix([(reference, 0.5), (foreign, 0.5)])


def test_a_reference_survives_its_file(reference):
    read = StyleReference.from_bytes(reference.to_bytes())
    assert torch.equal(read.mean, reference.mean) and torch.equal(read.text, reference.text)
    for name in ("collection", "scorer", "ceiling", "palette"):
        assert getattr(read, name) == getattr(reference, name)


@given(st.binary(max_size=200), st.integers(0, 4000))
def test_a_damaged_reference_is_a_bank_error(noise: bytes, place: int):
    whole = StyleReference(
        "a", "b@1", torch.ones(8), torch.ones(8), Ceiling(0.5), Palette((50.0, 0.0, 1.0), (10.0, 5.0, 5.0))
    ).to_bytes()
    cut = whole[: place % len(whole)]
    for data in (noise, cut):
        with pytest.raises(BankError, match="style reference"):
            StyleReference.from_bytes(data)
    with suppress(BankError):  # other bytes at the end may be other numbers, but raise nothing else
        assert StyleReference.from_bytes(cut + noise).mean.isfinite().all()


def test_a_reference_with_values_that_are_not_finite_is_a_bank_error(reference):
    broken = StyleReference(**{**vars(reference), "mean": torch.full_like(reference.mean, torch.nan)})
    with pytest.raises(BankError, match="not finite"):
        StyleReference.from_bytes(broken.to_bytes())


def test_a_mix_lies_between_its_parts(scorer, reference, painted):
    other = describe_painter(scorer, OTHER)
    mixed = StyleReference.mix([(reference, 0.75), (other, 0.25)])
    own, foreign, between = (
        float((scorer.embed_images(painted) @ r.centroid).mean()) for r in (reference, other, mixed)
    )
    assert foreign < between < own
    assert mixed.ceiling.mean == pytest.approx(0.75 * reference.ceiling.mean + 0.25 * other.ceiling.mean)
    assert mixed.palette.mean[0] == pytest.approx(0.75 * reference.palette.mean[0] + 0.25 * other.palette.mean[0])
    assert float(mixed.centroid.norm()) == pytest.approx(1, abs=1e-5)


def test_a_mix_of_one_is_that_one(reference):
    assert StyleReference.mix([(reference, 1.0)]) is reference


def test_without_held_out_artworks_the_ceiling_leaves_each_artwork_out(scorer):
    artworks = [paint(draw_scene(20_000_100 + i).image, PAINTER, i) for i in range(3)]
    phi = scorer.embed_images(artworks).double()
    expected = []
    for i in range(3):
        others = phi[[j for j in range(3) if j != i]].mean(0)
        expected.append(float(phi[i] @ others / others.norm()))
    alone = measure_reference(scorer, PAINTER, artworks, [])
    assert alone.ceiling.mean == pytest.approx(np.mean(expected), abs=1e-5)
    assert alone.ceiling.error == pytest.approx(np.std(expected, ddof=1) / 3**0.5, abs=1e-5)
    fewer = measure_reference(scorer, PAINTER, artworks, artworks[:1])
    assert fewer.ceiling.error == pytest.approx(np.std(expected, ddof=1), abs=1e-5)
    assert measure_reference(scorer, PAINTER, artworks[:1], []).ceiling is None


def test_the_error_of_a_mixed_ceiling_is_that_of_its_parts(reference):
    parts = [(StyleReference(**{**vars(reference), "ceiling": Ceiling(0.6, error)}), 0.5) for error in (0.03, 0.04)]
    assert StyleReference.mix(parts).ceiling == pytest.approx((0.6, 0.025))
