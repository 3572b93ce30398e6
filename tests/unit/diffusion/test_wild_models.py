"""Folders of models as they are in the wild: other names, other files, and settings or headers that cost minutes.

Each loads, or is refused in a line; the doctor says the same as a run.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file

from artbank.diffusion.fetch import fetch_base_model
from artbank.doctor.scoring_models import check_scorer
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.parameters.run_config import RunConfig
from artbank.scoring.clip import Scorer
from tests.support.model_folders import diagnose, edit_json, load
from tests.support.text_encoders import text_width

WEIGHTS_OF = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A model's folder that the test may change."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def refuse(folder: Path) -> str:
    """Return why a run refuses a model; the doctor must refuse it too."""
    with pytest.raises(BaseModelError) as caught:
        load(folder)
    assert len(diagnose(folder)) == 1
    return str(caught.value)


def write_many_tensors(path: Path, count: int) -> None:
    """Write a safetensors file that lists many empty tensors."""
    entries = {f"tensor {n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(count)}
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("longest", [None, 10**30, 512])
def test_a_tokenizer_without_a_longest_text_gets_that_of_the_text_encoder(folder: Path, longest: int | None) -> None:
    path = folder / "tokenizer/tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings.pop("model_max_length", None)
    path.write_text(json.dumps(settings | ({} if longest is None else {"model_max_length": longest})))
    base = load(folder)
    assert base.encode_prompts(["a house by the sea"]).shape == (1, 77, text_width(base))
    assert diagnose(folder) == []


def split_tokenizer(folder: Path) -> Path:
    """Write a tokenizer as older folders have it, as `vocab.json` and `merges.txt`."""
    path = folder / "tokenizer.json"
    model = json.loads(path.read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    path.unlink()
    return folder


def test_a_tokenizer_in_two_files_is_the_same(folder: Path) -> None:
    expected = load(folder).prompt_encoder.tokenize("a house by the sea", 0)
    split_tokenizer(folder / "tokenizer")
    assert load(folder).prompt_encoder.tokenize("a house by the sea", 0) == expected
    assert diagnose(folder) == []


def test_a_tokenizer_without_its_words_is_refused(folder: Path) -> None:
    tokenizer = split_tokenizer(folder / "tokenizer")
    (tokenizer / "merges.txt").write_text("")
    assert "found one that does not know the words of 'a painting" in refuse(folder)
    (tokenizer / "merges.txt").unlink()
    assert "found no tokenizer/merges.txt; fetch it again" in refuse(folder)
    (tokenizer / "vocab.json").unlink()
    assert "found no tokenizer/vocab.json, tokenizer/merges.txt; fetch it again" in refuse(folder)


@pytest.mark.parametrize(
    "name",
    ["vae/diffusion_pytorch_model.safetensors", "vae/config.json", "tokenizer/tokenizer.json", "tokenizer/added.json"],
)
def test_a_link_to_a_file_that_is_not_there_is_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("../../../blobs/0123")
    told = refuse(folder)
    assert "found no" in told and (name in told or "tokenizer/vocab.json" in told) and "fetch it again" in told


def test_a_broken_link_to_a_variant_that_is_not_used_does_not_matter(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.fp16.safetensors").symlink_to("../../../blobs/0123")
    load(folder)
    assert diagnose(folder) == []


def test_a_scorer_without_words_or_with_a_broken_link_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "clip", tmp_path / "clip"))
    split_tokenizer(folder)
    Scorer.load(str(folder), torch.device("cpu"))
    (folder / "merges.txt").write_text("")
    with pytest.raises(BaseModelError, match="does not know the words of"):
        Scorer.load(str(folder), torch.device("cpu"))
    (folder / "merges.txt").unlink()
    weights = next(iter(folder.glob("model*.safetensors")))
    weights.unlink()
    weights.symlink_to("../blobs/0123")
    with pytest.raises(BaseModelError, match=r"found no weights as safetensors, merges\.txt; fetch"):
        Scorer.load(str(folder), torch.device("cpu"))
    [found] = check_scorer(RunConfig(scorer=str(folder)), 1)
    assert found.level == "problem" and "found no weights as safetensors" in found.text


def test_each_part_may_be_another_variant(folder: Path) -> None:
    fp16 = folder / "unet/diffusion_pytorch_model.fp16.safetensors"
    (folder / "unet" / WEIGHTS_OF["unet"]).rename(fp16)
    before = fetch_base_model(str(folder))
    assert load(before).unet.config.cross_attention_dim == 24
    (folder / "text_encoder/model.safetensors").rename(folder / "text_encoder/model.non_ema.safetensors")
    assert text_width(load(folder)) == 24
    assert diagnose(folder) == []


def test_one_variant_for_all_parts_is_preferred_to_a_mix(folder: Path, tmp_path: Path) -> None:
    plain = load(folder)
    for part, name in WEIGHTS_OF.items():
        tensors = {key: torch.zeros_like(value) for key, value in load_file(folder / part / name).items()}
        save_file(tensors, folder / part / name.replace(".safetensors", ".fp16.safetensors"))
    assert load(folder).hash == plain.hash  # all parts have one without a variant
    (folder / "unet" / WEIGHTS_OF["unet"]).unlink()
    base = load(folder)
    assert not any(value.any() for value in (*base.unet.parameters(), *base.vae.parameters()))
    assert diagnose(folder) == []


def test_a_vae_with_the_older_names_of_attention_is_whole(folder: Path) -> None:
    path = folder / "vae" / WEIGHTS_OF["vae"]
    older = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = load_file(path)
    for new, old in older.items():
        tensors = {name.replace(new, old): value for name, value in tensors.items()}
    save_file(tensors, path)
    assert any(".proj_attn." in name for name in tensors)
    load(folder)
    assert diagnose(folder) == []


def test_weights_of_another_shape_than_the_settings_are_refused(folder: Path) -> None:
    edit_json(folder / "vae/config.json", block_out_channels=[8, 8, 8, 16])
    assert "cannot be loaded" in refuse(folder)


def test_a_folder_saved_with_dpm_solver_keeps_its_noise_schedule(folder: Path) -> None:
    before = load(folder).scheduler.alphas_cumprod
    saved = DPMSolverMultistepScheduler.from_pretrained(folder / "scheduler")
    saved.save_pretrained(folder / "scheduler")
    assert "-Infinity" in (folder / "scheduler/scheduler_config.json").read_text()
    assert torch.equal(load(folder).scheduler.alphas_cumprod, before)
    assert diagnose(folder) == []


@pytest.mark.parametrize("kind", [EDMEulerScheduler, FlowMatchEulerDiscreteScheduler, None])
def test_a_schedule_without_betas_is_not_replaced_by_another_one(folder: Path, kind: Any) -> None:
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    if kind is not None:
        kind().save_pretrained(folder / "scheduler")
    assert "EDM, flow and consistency models are not supported" in refuse(folder)


def test_a_schedule_that_is_drawn_as_a_flow_is_refused(folder: Path) -> None:
    edit_json(folder / "scheduler/scheduler_config.json", use_flow_sigmas=True)
    assert "EDM, flow and consistency models are not supported" in refuse(folder)


def test_betas_of_its_own_are_a_schedule(folder: Path) -> None:
    betas = [0.001 + 0.00001 * step for step in range(1000)]
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps({"trained_betas": betas}))
    assert load(folder).scheduler.alphas_cumprod[0].item() == pytest.approx(1 - betas[0])


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("text_encoder/config.json", {"num_hidden_layers": 10_000_000}, "num_hidden_layers of at most 200, found"),
        ("unet/config.json", {"layers_per_block": 10_000_000}, "layers_per_block of at most 32, found 10,000,000"),
        ("unet/config.json", {"transformer_layers_per_block": [1, [1, 9000], 1, 1]}, "transformer_layers_per_block of"),
        ("vae/config.json", {"block_out_channels": [8] * 5000}, "a list of block_out_channels of at most 16"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, "num_train_timesteps of at most"),
        ("text_encoder/config.json", {"vocab_size": 1e300}, "vocab_size of at most 10,000,000"),
    ],
)
def test_settings_beyond_all_measure_are_refused_before_anything_is_built(
    folder: Path, name: str, values: dict[str, object], message: str
) -> None:
    edit_json(folder / name, **values)
    told = refuse(folder)
    assert f"{name} cannot be loaded: expected" in told and message in told


@pytest.mark.parametrize("count", [20_001, 150_000])
def test_a_header_of_too_many_tensors_is_refused(folder: Path, count: int) -> None:
    write_many_tensors(folder / "vae" / WEIGHTS_OF["vae"], count)
    told = refuse(folder)
    assert "vae/diffusion_pytorch_model.safetensors cannot be loaded" in told
    assert ("expected at most 20,000 tensors" if count < 10**5 else "expected a header of 1 to 10000000 bytes") in told


def test_a_large_file_of_settings_is_not_read(folder: Path) -> None:
    with (folder / "unet/config.json").open("ab") as file:
        file.truncate(20_000_000)
    assert "expected at most 10,000,000 bytes, found 20,000,000" in refuse(folder)


def test_a_scorer_has_the_same_limits(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "clip", tmp_path / "clip"))
    settings = json.loads((folder / "config.json").read_text())
    settings["vision_config"]["num_hidden_layers"] = 10_000_000
    (folder / "config.json").write_text(json.dumps(settings))
    for _ in range(2):
        with pytest.raises(BaseModelError, match="cannot be loaded: expected"):
            Scorer.load(str(folder), torch.device("cpu"))
        [found] = check_scorer(RunConfig(scorer=str(folder)), 1)
        assert found.level == "problem"
        shutil.copy(WEIGHTS / "clip/config.json", folder / "config.json")
        write_many_tensors(next(iter(folder.glob("model*.safetensors"))), 20_001)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_quantized_weights_are_refused(folder: Path, part: str) -> None:
    edit_json(folder / part / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    told = refuse(folder)
    assert f"{part}/config.json cannot be loaded: expected weights that are not quantized" in told


def test_a_vae_of_another_class_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4).save_pretrained(
        folder / "vae"
    )
    told = refuse(folder)
    assert "vae: expected a VAE of class AutoencoderKL, found AutoencoderTiny, which is not supported" in told
