"""A ControlNet that does not fit is refused in a line, before its weights are read; the doctor says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.depth_model import DepthModel
from artbank.doctor.controls import check_control_net, check_depth
from artbank.errors import BaseModelError
from artbank.parameters.control_specs import parse_control
from artbank.parameters.run_config import RunConfig
from artbank.store.objects import Store
from tests.support.controlnets import load, save_control, save_depth_model
from tests.support.model_folders import edit_json

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(base: BaseModel, tmp_path: Path) -> Path:
    """A ControlNet for the embedded model."""
    return save_control(tmp_path / "edges", base)


def change(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop("controlnet_mid_block.weight")
    save_file(tensors, folder / WEIGHTS)


def make_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.bin")


def test_the_embedded_controlnet_fits_the_embedded_model_as_the_kind_that_it_sees(base: BaseModel) -> None:
    controls = load(base, "gray=mini:0.5")
    assert [(one.kind, one.name, one.weight) for one in controls.used] == [("gray", "mini/controlnet", 0.5)]
    wanted = "control tile=mini: expected kind gray, which the embedded ControlNet sees, found tile; pass gray=mini"
    with pytest.raises(BaseModelError, match=wanted):
        load(base, "tile=mini")
    said = {kind: list(check_control_net(RunConfig(), parse_control(f"{kind}=mini"), 1)) for kind in ("gray", "tile")}
    assert {result.level for result in said["gray"]} == {"OK"}
    assert [result.text for result in said["tile"] if result.level == "problem"] == [wanted]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: change(folder, _class_name="T2IAdapter"), "found 'T2IAdapter'; pass a ControlNet of Stable"),
        (lambda folder: change(folder, _class_name="SD3ControlNetModel"), "found 'SD3ControlNetModel'"),
        (
            lambda folder: change(folder, cross_attention_dim=768),
            "with text width 192, .* found one with 768; take one",
        ),
        (lambda folder: change(folder, global_pool_conditions=True), "found one with global_pool_conditions True"),
        (lambda folder: change(folder, conditioning_channels=6), "found one with conditioning_channels 6"),
        (lambda folder: change(folder, down_block_types=["AttnDownBlock2D"] * 3), "found one with AttnDownBlock2D"),
        (lambda folder: change(folder, down_block_types=3), "its config.json cannot be read"),
        (
            lambda folder: change(folder, conditioning_embedding_out_channels=[4, 8, 8, 8]),
            "reduced 4 times, .* found 8 times",
        ),
        (
            make_pickle,
            r"found no diffusion_pytorch_model\.safetensors; its weights are pickles, which are never loaded",
        ),
        (drop_tensor, "1 tensor is missing.* controlnet_mid_block.weight"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"0123456789"), "expected a safetensors file, found damage"),
    ],
)
def test_one_that_does_not_fit_is_refused_and_the_doctor_says_so(
    base: BaseModel, folder: Path, damage: Any, words: str
) -> None:
    [fit] = [
        told for told in check_control_net(RunConfig(), parse_control(f"canny={folder}"), 1) if "fits" in told.text
    ]
    assert fit.level == "OK"
    damage(folder)
    with pytest.raises(BaseModelError, match=words) as error:
        load(base, f"canny={folder}")
    assert "\n" not in str(error.value)
    *_, problem = check_control_net(RunConfig(), parse_control(f"canny={folder}"), 1)
    assert problem.level == "problem" and "--control canny=" in problem.advice


def test_a_union_is_refused_for_kinds_that_it_does_not_know(sdxl: BaseModel, base: BaseModel, tmp_path: Path) -> None:
    union = save_control(tmp_path / "union", sdxl, union_types=6)
    with pytest.raises(
        BaseModelError, match="Union of 6 types, which are canny, depth, found tile; tile takes the ProM"
    ):
        load(sdxl, f"tile={union}")
    with pytest.raises(BaseModelError, match="found gray; take another kind"):
        load(sdxl, f"gray={union}")
    with pytest.raises(BaseModelError, match="ControlNet for Stable Diffusion 1.x or 2.x with text width 192, .* 64"):
        load(base, f"canny={union}")


def test_one_in_a_store_is_copied_and_checked_by_its_settings(base: BaseModel, folder: Path, tmp_path: Path) -> None:
    (folder / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a variant")
    store = Store.open(f"memory://controls-{tmp_path.name}")
    store.write_many({f"edges/{path.name}": path.read_bytes() for path in folder.iterdir()})
    spec = parse_control(f"canny={store.uri}/edges")
    texts = [told.text for told in check_control_net(RunConfig(), spec, 1)]
    assert any("fits the base model" in text for text in texts)
    near, far = load(base, f"canny={folder}"), load(base, f"canny={spec.source}")
    assert near.used[0].sha256 == far.used[0].sha256 and near.used[0].name == far.used[0].name


def test_a_model_of_depth_is_checked(tmp_path: Path) -> None:
    assert [told.level for told in check_depth(str(save_depth_model(tmp_path / "depth")), 1)] == ["OK", "warning"]
    meters = save_depth_model(tmp_path / "meters", depth_estimation_type="metric")
    *_, problem = check_depth(str(meters), 1)
    assert problem.level == "problem" and "found one of meters" in problem.text


def test_a_model_of_depth_without_a_tensor_or_with_settings_that_make_no_sense_is_refused(tmp_path: Path) -> None:
    folder = save_depth_model(tmp_path / "depth")
    tensors = load_file(folder / "model.safetensors")
    save_file(dict(list(tensors.items())[1:]), folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match=r"depth model folder .*: 1 tensor is missing in its weights, such as "):
        DepthModel(folder, torch.device("cpu"))
    edit_json(folder / "config.json", patch_size=None)
    with pytest.raises(BaseModelError, match=r"depth model folder .* cannot be read: .*; fetch it again"):
        DepthModel(folder, torch.device("cpu"))


def test_another_weight_takes_the_same_network(base: BaseModel, folder: Path) -> None:
    one, other = (load(base, f"canny={folder}:{weight}").controls[0] for weight in (0.5, 1.5))
    assert one.network is other.network and [one.specs[0].weight, other.specs[0].weight] == [0.5, 1.5]
    assert one.network.copy_in_float32() is not one.network
    images = torch.zeros(1, 3, 32, 48, dtype=torch.uint8)
    assert one.network.embed_images(images, "canny").planes.shape == (1, 64, 8, 12)
