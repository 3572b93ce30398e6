"""Optional models score pictures of a run beside CLIP, change none of them, and are shown where the scores are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from artbank.catalog.bank_files import load_reference
from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.images.codec import decode, resize
from artbank.report.markdown import score_text
from artbank.scoring.clip import load_scorer
from artbank.scoring.structure_model import StructureModel
from artbank.scoring.style_model import StyleModel
from artbank.scoring.texture import embed_textures
from artbank.store.objects import Store
from artbank.stylization.colours import match_palette
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import run
from tests.support.scoring_models import save_csd, save_dinov2
from tests.support.small_inputs import STYLIZE, add_collection, draw_photo, stylizing, training
from tests.support.stylized_archive import Archive

CPU = torch.device("cpu")
OPTIONAL = (
    *("dino_structure", "structure_model", "csd_style", "csd_style_floor", "style_model"),
    *("clip_texture", "clip_texture_floor"),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("models")
    return {"structure_model": str(save_dinov2(root / "dino")), "style_model": str(save_csd(root / "csd"))}


@pytest.fixture(scope="module")
def root(prefect_server: str, models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a bank that was trained with the style model, and two photos."""
    root = tmp_path_factory.mktemp("measured")
    add_collection(Store.open(str(root / "gallery")), "novak")
    run(train_banks, training(str(root / "gallery"), str(root / "store"), style_model=models["style_model"]))
    photos = {"a.png": draw_photo(0, ".png"), "b.png": draw_photo(1, ".png")}
    Store.open(str(root / "photos")).write_many(photos)
    return root


def asked(root: Path, output: str, **values: Any) -> StylizeConfig:
    return stylizing(str(root / "photos"), str(root / output), str(root / "store"), "novak", **values)


def rows_of(config: StylizeConfig) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(Path(config.output_uri) / "results.parquet").to_pylist()}


def test_rows_have_the_scores_that_their_pictures_have_by_themselves(root: Path, models: dict[str, str]) -> None:
    config = asked(root, "both", **models, texture=True)
    outcome = run(stylize_archive, config).result()
    structure, style = StructureModel.load(models["structure_model"], CPU), StyleModel.load(models["style_model"], CPU)
    store = Store.open(config.store_uri)
    reference = load_reference(store, Catalog(store).find("novak"))
    centroid, texture = reference.csd_centroid(style.id), reference.texture
    assert centroid is not None and texture is not None
    scorer = load_scorer(config)
    rows = rows_of(config)
    for key, row in rows.items():
        picture = decode((Path(config.output_uri) / row["file_name"]).read_bytes(), max_pixels=10**6).rgb
        whole = decode((root / "photos" / key).read_bytes(), max_pixels=10**6).rgb
        photo = resize(whole, row["width_px"], row["height_px"])
        drawn, seen = (torch.tensor(image).permute(2, 0, 1) for image in (picture, photo))
        [expected] = structure.compare(structure.describe([seen]), [drawn])
        assert row["dino_structure"] == pytest.approx(expected, abs=1e-4)
        assert row["csd_style"] == pytest.approx(float(style.embed_tensors([drawn])[0] @ centroid), abs=1e-4)
        assert row["csd_style_floor"] == pytest.approx(float(style.embed_tensors([seen])[0] @ centroid), abs=1e-4)
        assert (row["structure_model"], row["style_model"]) == (structure.id, style.id)
        textures = embed_textures(scorer, [drawn, seen], texture.short_px) @ texture.centroid
        assert [row["clip_texture"], row["clip_texture_floor"]] == pytest.approx(textures.tolist(), abs=1e-3)
    [summary] = (Path(config.output_uri) / "runs").glob("*/summary.json")
    facts = json.loads(summary.read_text())
    scores = facts["styles"][0]["scores"]
    assert reference.csd is not None and scores["csd_style"]["ceiling"] == pytest.approx(reference.csd.ceiling.mean)
    floor = sum(row["csd_style_floor"] for row in rows.values()) / len(rows)
    assert (scores["csd_style"]["n"], scores["csd_style"]["floor"]) == (2, pytest.approx(floor))
    assert texture.ceiling and scores["clip_texture"]["ceiling"] == pytest.approx(texture.ceiling.mean)
    assert scores["clip_texture"]["n"] == 2 and scores["clip_texture"]["floor"] is not None
    assert scores["dino_structure"]["n"] == 2 and facts["structure_models"] == [structure.id]
    assert "dino_structure" in outcome.text and f"`csd_style` is by {style.id}" in outcome.text
    page = Path(outcome.places["page"]).read_text()
    assert "Structure kept, by a DINOv2" in page and "Likeness to the style, by a CSD" in page
    assert "Likeness to the style’s texture" in page
    metadata = pq.read_table(Path(config.output_uri) / "metadata.parquet").to_pylist()
    assert {one["key"]: one["dino_structure"] for one in metadata} == {
        key: row["dino_structure"] for key, row in rows.items()
    }


def test_they_change_no_picture_and_without_them_there_is_no_score(root: Path, models: dict[str, str]) -> None:
    measured, plain = asked(root, "measured", **models, texture=True), asked(root, "plain")
    page = run(stylize_archive, plain).result().places["page"]
    run(stylize_archive, measured)
    bare = rows_of(plain)
    assert all(row[name] is None for row in bare.values() for name in OPTIONAL)
    assert "by a DINOv2" not in Path(page).read_text()
    for key, row in rows_of(measured).items():
        assert (row["file_sha256"], row["recipe_id"]) == (bare[key]["file_sha256"], bare[key]["recipe_id"])
    assert run(stylize_archive, plain.model_copy(update=models)).result().num_new == 0, "earlier rows stay"


def test_rows_tell_what_the_photo_scores_in_the_collections_colours(root: Path) -> None:
    config = asked(root, "colours")
    text = run(stylize_archive, config).result().text
    store = Store.open(config.store_uri)
    reference = load_reference(store, Catalog(store).find("novak"))
    scorer = load_scorer(config)
    rows = rows_of(config)
    for key, row in rows.items():
        whole = decode((root / "photos" / key).read_bytes(), max_pixels=10**6).rgb
        photo = torch.tensor(resize(whole, row["width_px"], row["height_px"])).permute(2, 0, 1)
        [embedded] = scorer.embed_tensors([match_palette(photo, reference.palette)])
        assert row["clip_style_recoloured"] == pytest.approx(float(embedded @ reference.centroid), abs=1e-4)
        assert row["clip_style_recoloured"] != pytest.approx(row["clip_style_floor"], abs=1e-3)
    mean = sum(row["clip_style_recoloured"] for row in rows.values()) / len(rows)
    assert f"in the collection's colours, not painted: novak {score_text(mean)}" in text


def test_a_bank_that_the_style_model_has_not_measured_is_told(
    archive: Archive, models: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    config = archive.config(style_model=models["style_model"], recipe=STYLIZE.model_copy(update={"seed": 7}))
    with caplog.at_level("WARNING"):
        outcome = run(stylize_archive, config).result()
    assert "style novak gets no csd_style" in caplog.text
    assert "3 pictures in novak got no `csd_style`" in outcome.text
    done = [row for (_, style), row in archive.rows().items() if (style, row["status"]) == ("novak", "done")]
    assert len(done) == 3 and all(row["style_model"] and row["csd_style"] is None for row in done)


def test_a_wrong_folder_fails_the_run_in_one_line(root: Path, models: dict[str, str]) -> None:
    state = run(stylize_archive, asked(root, "wrong", structure_model=models["style_model"]))
    assert state.is_failed() and "expected a model of type 'dinov2'" in str(state.message)
