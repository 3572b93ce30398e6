"""Base models in one file, as A1111 and ComfyUI have them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.single_file import _find_prediction
from artbank.doctor.weights import check_base
from artbank.errors import BaseModelError
from artbank.parameters.run_config import RunConfig
from artbank.store.objects import Store
from tests.support.model_fixtures import save_tiny
from tests.support.model_folders import edit_json, load
from tests.support.single_files import save_single_file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/converted"


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of each kind of model that exists as single files."""
    if request.param == "sdxl":
        yield request.getfixturevalue("tiny_sdxl")
    else:
        yield save_tiny(tmp_path_factory.mktemp("models") / request.param, second=request.param == "sd2")


@pytest.fixture
def file(tiny_sdxl: Path, tmp_path: Path) -> Path:
    """A single file of an SDXL that the test may change."""
    return save_single_file(tiny_sdxl, tmp_path / "files/model.safetensors")


def rewrite(path: Path, **change: torch.Tensor | None) -> None:
    """Change, add or leave out tensors of a file."""
    tensors = {name: value for name, value in (load_file(path) | change).items() if value is not None}
    save_file(tensors, path)


def test_a_single_file_is_the_same_model_as_its_folder(model: Path, tmp_path: Path, cache: Path) -> None:
    path = save_single_file(model, tmp_path / "files/model.safetensors")
    whole, base = load(model), load(path)
    for name, network in whole.networks.items():
        expected, found = network.state_dict(), base.networks[name].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[one], expected[one]) for one in expected), name
    assert base.scheduler.config.prediction_type == whole.scheduler.config.prediction_type
    prompts = base.encode_prompts(["a house by the sea"])
    assert torch.equal(prompts, whole.encode_prompts(["a house by the sea"]))
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(base.predict(latents, 300, prompts), whole.predict(latents, 300, prompts))
    [converted] = cache.iterdir()
    assert fetch_base_model(str(path)) == converted, "converted once"
    assert [found.level for found in check_base(RunConfig(base_model=str(path)), 1)][:2] == ["OK", "OK"]


def test_the_hash_is_that_of_the_file_and_its_settings(file: Path, cache: Path) -> None:
    first = load(file).hash
    shutil.rmtree(cache)
    assert load(file).hash == first
    settings = file.with_suffix("") / "scheduler/scheduler_config.json"
    edit_json(settings, prediction_type="v_prediction")
    second = load(file)
    assert second.hash != first and second.prediction_type == "v_prediction"
    rewrite(file, extra=torch.zeros(1))
    assert load(file).hash not in (first, second.hash)


def test_marks_of_velocity_and_of_a_schedule_without_signal_are_followed(tiny_sdxl: Path, tmp_path: Path) -> None:
    base = load(save_single_file(tiny_sdxl, tmp_path / "files/v.safetensors", marks=("v_pred", "ztsnr")))
    assert base.prediction_type == "v_prediction"
    assert base.scheduler.config.timestep_spacing == "trailing"
    assert base.noise_schedule.scales(999)[0] < 1e-6


@pytest.mark.parametrize(("told", "found"), [("v", "v_prediction"), ("epsilon", "epsilon"), ("", None)])
def test_the_metadata_of_a_file_tell_what_it_predicts(told: str, found: str | None) -> None:
    settings = _find_prediction({"modelspec.prediction_type": told}, {})
    assert settings == ({} if found is None else {"prediction_type": found})


def test_a_file_in_a_store_is_fetched_with_the_settings_beside_it(file: Path) -> None:
    store = Store.open("memory://single-files")
    files = [path for path in file.parent.rglob("*") if path.is_file()]
    store.write_many({path.relative_to(file.parent).as_posix(): path.read_bytes() for path in files})
    config = RunConfig(base_model="memory://single-files/model.safetensors")
    assert "fetched and converted when first used" in [found.text for found in check_base(config, 1)][0]
    assert load("memory://single-files/model.safetensors").hash == load(file).hash
    with pytest.raises(BaseModelError, match="found none; correct the URI"):
        load("memory://single-files/other.safetensors")


def test_a_doctor_tells_the_kind_of_a_file_that_was_not_converted(file: Path, cache: Path) -> None:
    [found] = check_base(RunConfig(base_model=str(file)), 1)
    assert found.level == "OK" and "SDXL" in found.text and "converted when first used" in found.text
    assert not cache.exists()


def refuse(file: Path) -> str:
    """Return why a run refuses a file; the doctor must say the same."""
    with pytest.raises(BaseModelError) as caught:
        load(file)
    [found] = check_base(RunConfig(base_model=str(file)), 1)
    assert (found.level, found.text) == ("problem", str(caught.value))
    return found.text


def test_files_of_other_kinds_are_refused_in_a_line(file: Path, tmp_path: Path) -> None:
    first = "model.diffusion_model.input_blocks.0.0.weight"
    tensors = load_file(file)
    rewrite(file, **{first: tensors[first].repeat(1, 2, 1, 1)})
    assert "inpainting and depth models are not supported" in refuse(file)
    second = {name: value for name, value in tensors.items() if name.startswith("conditioner.embedders.1.")}
    refiner = {name.replace("embedders.1.", "embedders.0."): value for name, value in second.items()}
    save_file({first: tensors[first], **refiner}, file)
    assert "found the refiner of SDXL" in refuse(file)
    save_file({"double_blocks.0.img_attn.norm": torch.zeros(1)}, file)
    assert "found other tensors, such as double_blocks" in refuse(file)
    file.write_bytes(b"\x80\x04")
    assert "expected a safetensors file, found damage" in refuse(file)
    assert "is no file" in refuse(tmp_path / "missing.safetensors")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edm_vpred.sigma_max", "found an EDM model, such as CosXL or Playground v2.5"),
        ("edm_mean", "found an EDM model"),
        ("model.diffusion_model.time_embed.cond_proj.weight", "found a consistency model that takes the guidance as"),
        ("model.diffusion_model.out.2.scale_weight", "weights that are quantized with scales"),
        ("model.diffusion_model.out.3.weight", "expected a UNet of 408 tensors by the settings of"),
    ],
)
def test_tensors_that_would_be_left_out_are_refused_by_the_run_and_the_doctor(
    file: Path, cache: Path, name: str, message: str
) -> None:
    rewrite(file, **{name: torch.ones(1)})
    assert message in refuse(file)
    assert not list(cache.glob("*"))


def test_a_file_without_a_vae_or_a_tensor_of_its_unet_is_refused(file: Path) -> None:
    whole = load_file(file)
    rewrite(file, **{"model.diffusion_model.out.2.weight": None})
    assert "expected a UNet of 408 tensors by the settings of" in refuse(file)
    save_file({name: value for name, value in whole.items() if not name.startswith("first_stage_model.")}, file)
    assert "found no VAE, whose tensors begin with first_stage_model.; take" in refuse(file)


def test_tensors_that_nothing_needs_change_nothing(file: Path) -> None:
    before = load(file)
    others = {"model_ema.decay": torch.ones(1), "betas": torch.ones(9), "first_stage_model.loss.logvar": torch.ones(1)}
    position = "conditioner.embedders.0.transformer.text_model.embeddings.position_ids"
    rewrite(file, **others, **{position: torch.arange(77)[None].half()})
    after = load(file)
    for name, network in before.networks.items():
        found = after.networks[name].state_dict()
        assert all(torch.equal(value, found[one]) for one, value in network.state_dict().items())


def test_the_older_names_of_a_text_encoder_are_read(tmp_path: Path) -> None:
    file = save_single_file(save_tiny(tmp_path / "model"), tmp_path / "files/model.safetensors")
    before = load(file)
    tensors = load_file(file).items()
    save_file({name.replace(".transformer.text_model.", ".transformer."): value for name, value in tensors}, file)
    after = load(file)
    assert before.hash != after.hash
    assert torch.equal(before.encode_prompts(["a house"]), after.encode_prompts(["a house"]))


@pytest.mark.parametrize("place", ["link", "target"])
def test_the_settings_of_a_link_lie_beside_it_or_beside_the_file(file: Path, tmp_path: Path, place: str) -> None:
    blob = tmp_path / "blobs/0123abc.safetensors"
    blob.parent.mkdir()
    link = tmp_path / "links/painterly.safetensors"
    link.parent.mkdir()
    link.symlink_to(blob)
    settings = link if place == "link" else blob
    shutil.copytree(file.with_suffix(""), settings.with_suffix(""))
    file.rename(blob)
    assert load(link).text_widths == {"clip_l": 24, "clip_g": 40}
    shutil.rmtree(settings.with_suffix(""))
    shutil.rmtree(tmp_path / "cache")
    assert str(link) in refuse(link) and "a folder painterly beside it" in refuse(link)


def test_a_file_without_settings_or_with_those_of_another_kind_is_refused(file: Path) -> None:
    settings = file.with_suffix("")
    shutil.rmtree(settings / "tokenizer_2")
    words = "tokenizer_2/tokenizer_config.json, tokenizer_2/vocab.json, tokenizer_2/merges.txt"
    assert f"found no {words}; copy those of stabilityai/stable-diffusion-xl-base-1.0" in refuse(file)
    shutil.rmtree(settings)
    assert "put them into a folder model beside it" in refuse(file)


def test_the_doctor_says_where_the_settings_come_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(file.with_suffix(""))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    [found] = check_base(RunConfig(base_model=str(file)), 1)
    assert found.level == "OK" and "with the settings of stabilityai/stable-diffusion-xl-base-1.0 from" in found.text
    [found] = check_base(RunConfig(base_model=str(file), offline=True), 1)
    assert found.level == "problem" and "put them into a folder model beside it" in found.text


@pytest.mark.parametrize(
    ("part", "lost", "name"),
    [
        (
            "vae",
            "first_stage_model.encoder.down.0.block.0.norm1.weight",
            "encoder.down_blocks.0.resnets.0.norm1.weight",
        ),
        ("vae", "first_stage_model.decoder.up.1.upsample.conv.bias", "decoder.up.1.upsample.conv.bias"),
        (
            "text_encoder",
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
            "final_layer_norm.bias",
        ),
        ("text_encoder_2", "conditioner.embedders.1.model.ln_final.weight", "final_layer_norm.weight"),
        (
            "text_encoder_2",
            "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_bias",
            "encoder.layers.1.self_attn.k_proj.bias",
        ),
    ],
)
def test_a_file_without_a_tensor_is_refused(file: Path, cache: Path, part: str, lost: str, name: str) -> None:
    assert lost in load_file(file)
    rewrite(file, **{lost: None})
    told = refuse(file)
    assert f"{file}: tensors of its {part} are missing: {name}" in told and told.endswith("; take another file")
    assert not list(cache.glob("*"))


def test_settings_of_another_width_of_text_are_refused(tmp_path: Path, cache: Path) -> None:
    first, second = (save_tiny(tmp_path / name, second=name == "sd2") for name in ("sd1", "sd2"))
    file = save_single_file(first, tmp_path / "files/model.safetensors")
    shutil.rmtree(file.with_suffix(""))
    shutil.copytree(second, file.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    told = refuse(file)
    assert f"in its unet by the settings of {file.with_suffix('')}, found [" in told and "of the same model" in told
    assert not list(cache.glob("*"))


def test_tensors_of_odd_shapes_are_refused(file: Path) -> None:
    rewrite(file, **{"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": torch.ones(1)})
    assert "tensors of its text_encoder_2 cannot be read" in refuse(file)
    data = file.read_bytes()
    length = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:length]) | {"odd": {"dtype": "F32", "shape": [0, 2**70], "data_offsets": [0, 0]}}
    header = json.dumps(entries).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + data[length:])
    assert "tensors of a size that cannot be" in refuse(file)
