"""Folders of SDXL: whole ones are loaded, others are refused in a line; the doctor says the same as a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.weights import select_files
from artbank.doctor.weights import check_base
from artbank.errors import BaseModelError
from artbank.parameters.run_config import RunConfig
from tests.support.model_folders import edit_json


@pytest.fixture
def folder(tiny_sdxl: Path, tmp_path: Path) -> Path:
    """A model's folder that the test may change."""
    return Path(shutil.copytree(tiny_sdxl, tmp_path / "model"))


def refuse(folder: Path) -> str:
    """Return why a run refuses a model; the doctor must refuse it too."""
    with pytest.raises(BaseModelError) as caught:
        BaseModel.load(str(folder), device="cpu")
    [problem] = [found.text for found in check_base(RunConfig(base_model=str(folder)), 1) if found.level == "problem"]
    assert problem == str(caught.value)
    return problem


def test_the_doctor_tells_family_and_widths(tiny_sdxl: Path) -> None:
    found = list(check_base(RunConfig(base_model=str(tiny_sdxl)), 1))
    assert not [one.text for one in found if one.level == "problem"]
    said = "SDXL: predicts epsilon, native size 64 px, text encoders of widths 24 and 40"
    assert said in [one.text for one in found]


def test_every_file_of_the_folder_is_fetched_from_the_hub(tiny_sdxl: Path) -> None:
    files = [path.relative_to(tiny_sdxl).as_posix() for path in tiny_sdxl.rglob("*") if path.is_file()]
    assert len(files) > 10 and select_files([*files, "vae_1_0/config.json"]) == sorted(files)


def test_a_changed_second_text_encoder_changes_the_hash(folder: Path, sdxl: BaseModel) -> None:
    assert BaseModel.load(str(folder), device="cpu").hash == sdxl.hash
    edit_json(folder / "text_encoder_2/config.json", note="changed")
    assert BaseModel.load(str(folder), device="cpu").hash != sdxl.hash


def test_a_folder_that_lacks_parts_of_the_second_text_encoder_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer_2")
    (folder / "text_encoder_2/model.safetensors").unlink()
    said = refuse(folder)
    assert "expected an SDXL in diffusers' layout, found no tokenizer_2/tokenizer_config.json, " in said
    assert "tokenizer_2/vocab.json, tokenizer_2/merges.txt, text_encoder_2/model.safetensors; fetch it again" in said


def test_a_refiner_is_refused(folder: Path) -> None:
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    edit_json(folder / "unet/config.json", cross_attention_dim=40, projection_class_embeddings_input_dim=40 + 5 * 8)
    assert refuse(folder) == f"{folder}: expected a base model, found the refiner of SDXL; take the base of SDXL"


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("vae", {"latents_mean": [0.0] * 4}, "found one with a mean or shift of its own"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "expected prediction type v_prediction for a schedule"),
        ("scheduler", {"trained_betas": [0.001] * 999 + [1.0]}, "expected prediction type v_prediction for a schedule"),
        ("scheduler", {"prediction_type": "flow_prediction"}, "found flow_prediction"),
    ],
)
def test_kinds_that_would_draw_nonsense_are_refused(
    folder: Path, name: str, values: dict[str, object], said: str
) -> None:
    edit_json(folder / name / ("scheduler_config.json" if name == "scheduler" else "config.json"), **values)
    assert said in refuse(folder)


@pytest.mark.parametrize(("settings", "dtype"), [({}, torch.float32), ({"force_upcast": False}, torch.float16)])
def test_the_vae_stays_in_float32_unless_it_is_safe_in_float16(
    folder: Path, settings: dict[str, object], dtype: torch.dtype
) -> None:
    edit_json(folder / "vae/config.json", **settings)
    base = BaseModel.load(str(folder), device="cpu", dtype="float16")
    assert (base.vae.dtype, base.dtype, base.text_encoder.dtype) == (dtype, torch.float16, torch.float16)
