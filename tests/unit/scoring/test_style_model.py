"""The style score of a CSD: its values, its reference in a bank's files, and the conversion of published weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import layer_norm, multi_head_attention_forward, normalize
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

from artbank.errors import BankError, BaseModelError
from artbank.mini import WEIGHTS
from artbank.mini.drawing.painters import paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.scoring.clip import Scorer
from artbank.scoring.optional_measures import OptionalMeasures
from artbank.scoring.spread import Ceiling
from artbank.scoring.style_model import StyleModel
from artbank.scoring.style_reference import CsdReference, StyleReference, measure_reference
from tests.support.paths import ROOT
from tests.support.scoring_models import save_csd, save_dinov2, save_processor, small_csd_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_csd(tmp_path_factory.mktemp("models") / "csd")


@pytest.fixture(scope="module")
def model(folder: Path) -> StyleModel:
    return StyleModel.load(str(folder), CPU)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [draw_scene(22_000_000 + i, width_px=48, height_px=32).image for i in range(6)]


@pytest.fixture(scope="module")
def artworks(scenes: list[np.ndarray]) -> list[np.ndarray]:
    return [paint(scene, "Tovar", i) for i, scene in enumerate(scenes)]


@pytest.fixture(scope="module")
def reference(model: StyleModel, artworks: list[np.ndarray]) -> StyleReference:
    return measure_reference(Scorer.load("mini", CPU), "Tovar", artworks[:4], artworks[4:], style_model=model)


def embed_plainly(folder: Path, images: list[np.ndarray]) -> np.ndarray:
    """Return unit embeddings by way of Pillow and transformers."""
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    pixels = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = CLIPVisionModelWithProjection.from_pretrained(folder).eval()(pixels).image_embeds
    return normalize(found.double(), dim=1).numpy()


def test_scores_are_cosines_with_the_mean_of_the_artworks(
    folder: Path, model: StyleModel, reference: StyleReference, scenes: list[np.ndarray], artworks: list[np.ndarray]
) -> None:
    seen, held_out = embed_plainly(folder, artworks[:4]), embed_plainly(folder, artworks[4:])
    centroid = seen.mean(0) / np.linalg.norm(seen.mean(0))
    assert reference.csd is not None and reference.csd.model == model.id
    assert reference.csd.ceiling.mean == pytest.approx(float((held_out @ centroid).mean()), abs=1e-4)
    photo, picture = (torch.tensor(image).permute(2, 0, 1) for image in (scenes[5], artworks[5]))
    measures = OptionalMeasures(None, model)
    [scores] = measures.score(reference, measures.view([photo]), [picture])
    floor, style = embed_plainly(folder, [scenes[5], artworks[5]]) @ centroid
    assert (scores.csd_style, scores.csd_style_floor) == (
        pytest.approx(style, abs=1e-4),
        pytest.approx(floor, abs=1e-4),
    )
    assert (scores.style_model, scores.structure_model, scores.dino_structure) == (model.id, None, None)


def test_a_style_without_a_reference_of_this_model_has_no_score_and_a_warning_says_so(
    model: StyleModel, reference: StyleReference, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = StyleModel.load(str(save_csd(tmp_path / "other", seed=1)), CPU)
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    plain = StyleReference(**{**vars(reference), "csd": None})
    for chosen, known, found in ((other, reference, model.id), (model, plain, "no style model")):
        measures = OptionalMeasures(None, chosen)
        [scores] = measures.score(known, measures.view([picture]), [picture])
        assert (scores.csd_style, scores.csd_style_floor, scores.style_model) == (None, None, chosen.id)
        caplog.clear()
        measures.warn_of("tovar", known)
        assert "style tovar gets no csd_style" in caplog.text and found in caplog.text
    caplog.clear()
    OptionalMeasures(None, model).warn_of("tovar", reference)
    assert not caplog.text


def test_a_reference_keeps_the_style_embedding_and_without_it_its_bytes_are_as_before(
    reference: StyleReference,
) -> None:
    read = StyleReference.from_bytes(reference.to_bytes())
    assert read.csd is not None and reference.csd is not None
    assert torch.equal(read.csd.mean, reference.csd.mean)
    assert (read.csd.model, read.csd.ceiling) == (reference.csd.model, reference.csd.ceiling)
    plain = StyleReference(**{**vars(reference), "csd": None})
    assert b"csd" not in plain.to_bytes() and StyleReference.from_bytes(plain.to_bytes()).csd is None
    broken = CsdReference("a@1", torch.full((4,), torch.nan), Ceiling(0.5))
    with pytest.raises(BankError, match="not finite"):
        StyleReference.from_bytes(StyleReference(**{**vars(reference), "csd": broken}).to_bytes())


def test_a_mix_has_the_style_embedding_only_if_all_its_banks_have_it(reference: StyleReference) -> None:
    assert reference.csd is not None
    other = StyleReference(**{**vars(reference), "csd": CsdReference(reference.csd.model, torch.ones(16), None)})
    mixed = StyleReference.mix([(reference, 0.75), (other, 0.25)]).csd
    assert mixed is not None and mixed.ceiling is None
    assert torch.allclose(mixed.mean, 0.75 * reference.csd.mean + 0.25)
    for csd in (None, CsdReference("another@1", torch.ones(16), None)):
        foreign = StyleReference(**{**vars(reference), "csd": csd})
        assert StyleReference.mix([(reference, 0.5), (foreign, 0.5)]).csd is None


def test_a_wrong_folder_is_one_line(tmp_path: Path) -> None:
    for wrong, found in ((WEIGHTS / "clip", "clip"), (save_dinov2(tmp_path / "dino"), "dinov2")):
        with pytest.raises(BaseModelError) as caught:
            StyleModel.load(str(wrong), CPU)
        assert "\n" not in str(caught.value)
        assert f"expected a model of type 'clip_vision_model', found '{found}'" in str(caught.value)


def see_as_published(state: dict[str, Tensor], pixels: Tensor, num_heads: int) -> Tensor:
    """Return the style embedding of a picture [1, 3, S, S] by the published names, written after OpenAI's CLIP."""

    def pair(name: str) -> tuple[Tensor, Tensor]:
        return state[f"module.backbone.{name}.weight"], state[f"module.backbone.{name}.bias"]

    conv = state["module.backbone.conv1.weight"]
    x = torch.nn.functional.conv2d(pixels, conv, stride=conv.shape[-1]).flatten(2).mT
    x = torch.cat([state["module.backbone.class_embedding"][None, None], x], 1)
    x = x + state["module.backbone.positional_embedding"]
    x = layer_norm(x, x.shape[-1:], *pair("ln_pre"))
    for layer in range(2):
        block = f"transformer.resblocks.{layer}"
        y = layer_norm(x, x.shape[-1:], *pair(f"{block}.ln_1")).transpose(0, 1)
        weight = state[f"module.backbone.{block}.attn.in_proj_weight"]
        bias = state[f"module.backbone.{block}.attn.in_proj_bias"]
        out = pair(f"{block}.attn.out_proj")
        width = x.shape[-1]
        y, _ = multi_head_attention_forward(y, y, y, width, num_heads, weight, bias, None, None, False, 0.0, *out)
        x = x + y.transpose(0, 1)
        y = torch.nn.functional.linear(layer_norm(x, x.shape[-1:], *pair(f"{block}.ln_2")), *pair(f"{block}.mlp.c_fc"))
        x = x + torch.nn.functional.linear(y * torch.sigmoid(1.702 * y), *pair(f"{block}.mlp.c_proj"))
    x = layer_norm(x[:, 0], x.shape[-1:], *pair("ln_post"))
    return normalize(x @ state["module.last_layer_style"], dim=1)


def publish(width: int = 32, hidden: int = 64, dims: int = 16) -> dict[str, Any]:
    """Return a random checkpoint with the names of the published one."""
    torch.manual_seed(3)
    shapes: dict[str, tuple[int, ...]] = {
        "class_embedding": (width,),
        "positional_embedding": (17, width),
        "conv1.weight": (width, 3, 8, 8),
    }
    for norm in ("ln_pre", "ln_post", *(f"transformer.resblocks.{i}.ln_{k}" for i in range(2) for k in (1, 2))):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for i in range(2):
        block = f"transformer.resblocks.{i}"
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        shapes |= {f"{block}.attn.out_proj.weight": (width, width), f"{block}.attn.out_proj.bias": (width,)}
        shapes |= {f"{block}.mlp.c_fc.weight": (hidden, width), f"{block}.mlp.c_fc.bias": (hidden,)}
        shapes |= {f"{block}.mlp.c_proj.weight": (width, hidden), f"{block}.mlp.c_proj.bias": (width,)}
    state = {f"module.backbone.{name}": 0.3 * torch.randn(shape) for name, shape in shapes.items()}
    heads = {f"module.last_layer_{kind}": torch.randn(width, dims) for kind in ("style", "content")}
    return {"model_state_dict": state | heads, "epoch": 1}


def test_the_documented_conversion_gives_the_published_embeddings(tmp_path: Path, scenes: list[np.ndarray]) -> None:
    text = (ROOT / "docs/howto/measures.md").read_text()
    [block] = re.findall(r"```python\n(.*?def convert\(.*?)```", text, re.DOTALL)
    known: dict[str, Any] = {"__name__": "recipe"}
    exec(block.partition("# for the published weights")[0], known)
    checkpoint = publish()
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    known["convert"](tmp_path / "checkpoint.pth", tmp_path / "csd", small_csd_config())
    save_processor(tmp_path / "csd", 32)
    model = StyleModel.load(str(tmp_path / "csd"), CPU)
    image = scenes[0][:32, :32]
    picture = torch.tensor(image).permute(2, 0, 1)
    pixels = model._preprocessor.preprocess([picture])
    expected = see_as_published(checkpoint["model_state_dict"], pixels, num_heads=2)
    assert torch.allclose(model.embed_tensors([picture]), expected, atol=1e-5)
