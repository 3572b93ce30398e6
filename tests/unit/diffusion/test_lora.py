"""LoRA files against the formula of what they change, and those that nobody should merge."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from artbank.config import StylizeConfig
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.lora import merge_loras
from artbank.diffusion.lora_files import fetch_loras
from artbank.errors import BaseModelError
from artbank.parameters.lora_specs import parse_lora
from tests.support.lora_files import KOHYA_SDXL, draw_factors, list_layers, save_diffusers, save_kohya

DIGEST = "0" * 64


@pytest.fixture(scope="module")
def plain(tiny: Path) -> BaseModel:
    return BaseModel.load(str(tiny), device="cpu", dtype="float32")


def load(tiny: Path, *loras: str) -> BaseModel:
    return BaseModel.load(str(tiny), device="cpu", dtype="float32", loras=fetch_loras(loras))


def check_changed(
    plain: BaseModel,
    merged: BaseModel,
    changes: dict[str, torch.Tensor],
    networks: tuple[str, ...] = ("unet", "text_encoder"),
) -> None:
    """Check that the weights of layers have changed by a matrix, and nothing else has."""
    for network in networks:
        before, after = getattr(plain, network).state_dict(), getattr(merged, network).state_dict()
        assert before.keys() == after.keys(), "nothing of PEFT stays"
        for name, weight in before.items():
            change = changes.get(f"{network}.{name.removesuffix('.weight')}", torch.zeros(()))
            torch.testing.assert_close(after[name], weight + change, rtol=1e-5, atol=1e-6)


def test_loras_of_both_layouts_change_their_layers_by_the_formula(plain: BaseModel, tiny: Path, tmp_path: Path) -> None:
    layers = list_layers(plain.unet, plain.text_encoder)
    one, two = draw_factors(layers, seed=1), draw_factors(list_layers(plain.unet), rank=3, seed=2)
    first = save_kohya(tmp_path / "first.safetensors", one, alpha=1.0)
    second = save_diffusers(tmp_path / "second.safetensors", two)
    merged = load(tiny, f"{first}:0.8", f"{second}:-0.5")
    changes = {name: 0.8 * (1.0 / 2) * up @ down for name, (down, up) in one.items()}
    for name, (down, up) in two.items():
        changes[name] = changes[name] - 0.5 * up @ down
    assert any(name.startswith("text_encoder") for name in changes) and len(two) > 4
    check_changed(plain, merged, changes)
    assert merged.hash == plain.hash, "banks of the base model go on fitting"
    assert [lora.title.partition("@")[0] for lora in merged.loras] == ["first.safetensors", "second.safetensors"]
    assert [lora.weight for lora in merged.loras] == [0.8, -0.5]
    assert not torch.equal(merged.encode_prompts(["a house"]), plain.encode_prompts(["a house"]))


def test_loras_change_both_text_encoders_of_an_sdxl(sdxl: BaseModel, tiny_sdxl: Path, tmp_path: Path) -> None:
    layers = list_layers(sdxl.unet, sdxl.text_encoder, sdxl.text_encoder_2)
    one, two = draw_factors(layers, seed=1), draw_factors(layers, rank=3, seed=2)
    first = save_kohya(tmp_path / "first.safetensors", one, 1.0, KOHYA_SDXL)
    second = save_diffusers(tmp_path / "second.safetensors", two)
    merged = load(tiny_sdxl, f"{first}:0.8", str(second))
    changes = {name: 0.8 * (1.0 / 2) * up @ down + two[name][1] @ two[name][0] for name, (down, up) in one.items()}
    assert {name.partition(".")[0] for name in changes} == {"unet", "text_encoder", "text_encoder_2"}
    check_changed(sdxl, merged, changes, ("unet", "text_encoder", "text_encoder_2"))


def test_the_rank_and_alpha_of_a_header_count_and_its_other_settings_do_not(
    plain: BaseModel, tiny: Path, tmp_path: Path
) -> None:
    factors = draw_factors(list_layers(plain.unet))
    modules = [name.removeprefix("unet.") for name in factors]
    config = {"unet.r": 2, "unet.lora_alpha": 6, "unet.target_modules": modules}
    harmful = {"unet.megatron_config": {"a": 1}, "unet.megatron_core": "this", "unet.init_lora_weights": "eva"}
    header = {"lora_adapter_metadata": json.dumps(config | harmful)}
    path = save_diffusers(tmp_path / "a.safetensors", factors, header)
    changes = {name: 3 * up @ down for name, (down, up) in factors.items()}
    check_changed(plain, load(tiny, str(path)), changes)
    odd = {"lora_adapter_metadata": json.dumps(config | {"unet.target_modules": "(a+)+$"})}
    with pytest.raises(BaseModelError, match="expected rank, alpha and layers in its header"):
        load(tiny, str(save_diffusers(tmp_path / "b.safetensors", factors, odd)))


def test_a_lora_in_a_store_is_fetched_once_and_its_content_is_what_counts(
    plain: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    factors = draw_factors(list_layers(plain.unet))
    local = save_diffusers(tmp_path / "ink.safetensors", factors)
    memory = fsspec.filesystem("memory")
    memory.pipe("/loras-of-a-test/ink.safetensors", local.read_bytes())
    [fetched] = fetch_loras(["memory://loras-of-a-test/ink.safetensors:0.5"])
    [own] = fetch_loras([str(local)])
    assert fetch_loras([f"{local}@sha256:{own.sha256}:0.5"])[0].sha256 == own.sha256
    with pytest.raises(BaseModelError, match=f"LoRA .*: expected the SHA-256 {DIGEST}, found {own.sha256}; correct"):
        fetch_loras([f"memory://loras-of-a-test/ink.safetensors@sha256:{DIGEST}:0.5"])
    assert fetched.path.is_relative_to(tmp_path / "cache") and fetched.sha256 == own.sha256
    assert (fetched.merged.title, own.merged.weight) == (f"ink.safetensors@{own.sha256[:12]}:0.5", 1.0)
    made = fetched.path.stat().st_mtime_ns
    fetched.path.write_bytes(b"altered")
    [again] = fetch_loras(["memory://loras-of-a-test/ink.safetensors:0.5"])
    assert again.path.read_bytes() == local.read_bytes() and again.path.stat().st_mtime_ns != made
    with pytest.raises(BaseModelError, match="expected a LoRA at memory://loras-of-a-test/oil.safetensors, found no"):
        fetch_loras(["memory://loras-of-a-test/oil.safetensors"])


def test_a_lora_of_another_model_is_refused_and_leaves_the_networks_as_they_were(
    plain: BaseModel, tmp_path: Path
) -> None:
    unet, text_encoder = copy.deepcopy(plain.unet), copy.deepcopy(plain.text_encoder)
    layers = list_layers(unet)
    wide = {name: (torch.zeros(2, 99), torch.zeros(up.shape)) for name, (_, up) in draw_factors(layers).items()}
    more = draw_factors(layers) | {"unet.down_blocks.7.attentions.0.proj_in": (torch.zeros(2, 8), torch.zeros(8, 2))}
    for number, factors in enumerate((wide, more)):
        path = save_diffusers(tmp_path / f"{number}.safetensors", factors)
        with pytest.raises(BaseModelError, match="take one for this model"):
            merge_loras(unet, {"text_encoder": text_encoder}, fetch_loras([str(path)]))
        for name, weight in plain.unet.state_dict().items():
            assert torch.equal(unet.state_dict()[name], weight)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"unet.a.lora_A.weight": torch.full((2, 2), float("nan"))}, "expected finite values"),
        ({"unet.(a+)+.lora_A.weight": torch.zeros(2, 2)}, "expected plain names of tensors"),
        ({"lora_unet_a.hada_w1_a": torch.zeros(2, 2)}, "found a LoHa"),
        ({"lora_unet_a.lora_down.weight": torch.zeros(2, 2), "lora_unet_a.dora_scale": torch.zeros(2)}, "a DoRA"),
        ({"model.diffusion_model.out.0.weight": torch.zeros(2)}, "expected only tensors of a LoRA, found a tensor mod"),
        ({}, "found no tensors"),
    ],
)
def test_files_that_are_no_loras_are_refused(
    plain: BaseModel, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(BaseModelError, match=message):
        merge_loras(plain.unet, {"text_encoder": plain.text_encoder}, fetch_loras([str(path)]))


def test_a_damaged_a_large_and_a_missing_file_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(BaseModelError, match="found no file"):
        fetch_loras([str(path)])
    path.write_bytes(b"\x80\x04pickle" * 10)
    with pytest.raises(BaseModelError, match="expected a safetensors file, found damage"):
        fetch_loras([str(path)])
    monkeypatch.setattr("artbank.diffusion.lora_files._LARGEST_BYTES", 50)
    with pytest.raises(BaseModelError, match="expected at most 50 bytes, found 80"):
        fetch_loras([str(path)])


@pytest.mark.parametrize(
    ("text", "uri", "weight"),
    [
        ("ink.safetensors", "ink.safetensors", 1.0),
        ("models/ink.safetensors:0.8", "models/ink.safetensors", 0.8),
        ("s3://museum/ink.safetensors", "s3://museum/ink.safetensors", 1.0),
        ("s3://museum/ink.safetensors:-1.5", "s3://museum/ink.safetensors", -1.5),
        (f"ink.safetensors@sha256:{DIGEST}", "ink.safetensors", 1.0),
        (f"s3://museum/ink.safetensors@sha256:{DIGEST}:0.8", "s3://museum/ink.safetensors", 0.8),
    ],
)
def test_a_lora_is_a_file_and_a_weight(text: str, uri: str, weight: float) -> None:
    spec = parse_lora(text)
    assert (spec.uri, spec.weight, spec.name) == (uri, weight, "ink.safetensors")
    assert spec.pinned == (DIGEST if "@" in text else None)
    facts = {"archive_uri": "a", "output_uri": "o", "store_uri": "s", "styles": ("novak",)}
    assert StylizeConfig(**facts, loras=(text,)).loras == (text,)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ink.ckpt:0.8", "such as pickles, are never loaded"),
        ("", "expected FILE.safetensors"),
        ("ink.safetensors:", "expected a weight of -4 to 4 and not 0, found"),
        ("ink.safetensors:0", "expected a weight"),
        ("ink.safetensors:nan", "expected a weight"),
        ("ink.safetensors:8", "expected a weight"),
        ("ink.safetensors@sha256:12:0.8", "expected 64 hex digits after @sha256:, found '12'"),
        ("ink.safetensors@sha256:0", "expected 64 hex digits after @sha256:, found '0'"),
        (f"ink.safetensors@sha256:{DIGEST}:8", "expected a weight"),
    ],
)
def test_a_wrong_lora_never_starts_a_run(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_lora(text)
