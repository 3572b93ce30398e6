"""Pretraining: three steps of every stage from scratch, an export that loads, and resuming to the bit."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPModel

from artbank.pretraining import pretrain
from artbank.pretraining.control_stage import CONTROL_VIEWS, ControlStage
from artbank.pretraining.corpus import SCENES_PER_BLOCK, SIDE_PX, Corpus
from artbank.pretraining.crops import crop_images
from artbank.pretraining.loop import Schedule
from artbank.pretraining.networks import build_vae
from artbank.pretraining.plans import PLANS, Plan
from artbank.pretraining.pretrain import STAGES, Pretraining
from artbank.pretraining.stages import (
    ClipStage,
    JudgeStage,
    VaeStage,
    VisionStage,
    normalize_latents,
)
from artbank.pretraining.unet_stage import ALL_SIZES, DETAILS, UnetStage, View

THREE = Schedule(steps=3, batch_size=4, learning_rate=1e-3, warmup=1, checkpoint_every=1)
PLAN = Plan(SCENES_PER_BLOCK, vae=THREE, clip=THREE, vision=THREE, judge=THREE, unet=THREE, refine=THREE, control=THREE)
LEARNED = {
    "vae": VaeStage,
    "clip": ClipStage,
    "vision": VisionStage,
    "judge": JudgeStage,
    "unet": UnetStage,
    "refine": UnetStage,
    "control": ControlStage,
}


class Killed(BaseException):
    """The process ends here."""


class FewPictures(Corpus):
    """A corpus that reads only the first 12 of its pictures."""

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        return _shorten(Corpus.load(folder))


@pytest.fixture(scope="module", autouse=True)
def few_pictures() -> object:
    """Let the stages look at 12 pictures where they would look at all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "normalize_latents", partial(normalize_latents, num_pictures=12))
        patch.setattr(pretrain, "Corpus", FewPictures)
        yield


@pytest.fixture(scope="module")
def finished(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a run that was never stopped."""
    work = tmp_path_factory.mktemp("finished")
    (work / "corpus").mkdir()
    for name in ("block-00000.npy", "block-00000.json"):
        (work / "corpus" / name).symlink_to(corpus_folder / name)
    for name in ("corpus", *list(LEARNED)[:4], "latents", *list(LEARNED)[4:]):
        _run(work, name)
    return work


def test_three_steps_of_every_stage_leave_parts_that_export_and_load(finished: Path, tmp_path: Path) -> None:
    assert _open(finished).run_export(tmp_path)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a harbour", width=96, height=96, num_inference_steps=1).images[0].size == (96, 96)
    assert (tmp_path / "clip/model.safetensors").exists()
    assert (tmp_path / "judge/classes.json").exists()
    controlnet = ControlNetModel.from_pretrained(tmp_path / "controlnet", use_safetensors=True)
    assert controlnet.config.block_out_channels == pipeline.unet.config.block_out_channels
    assert "_name_or_path" not in (tmp_path / "controlnet/config.json").read_text()


# `vision`, `refine` and `control` are like `clip` and `unet`.
@pytest.mark.parametrize(
    "name",
    [
        "vae",
        "clip",
        "judge",
        "unet",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("vision", "refine", "control")),
    ],
)
def test_a_killed_stage_resumes_to_the_bits_of_one_that_was_not(
    name: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ("corpus", "tokenizer", "vae", "clip", "latents", "unet", "refine", "refine-painters.safetensors")
    for part in parts:
        if part != name:
            (tmp_path / part).symlink_to(finished / part)
    with monkeypatch.context() as patch:
        _kill_at_step(2, LEARNED[name], patch)
        with pytest.raises(Killed):
            _run(tmp_path, name)
    folder = Path("checkpoints", name)
    assert [path.name for path in (tmp_path / folder).iterdir()] == ["step-0000002"]
    _run(tmp_path, name, seed=99)  # other initial weights, which the checkpoint must replace
    resumed, never_killed = _tensors(tmp_path / folder / "step-0000003"), _tensors(finished / folder / "step-0000003")
    assert resumed.keys() == never_killed.keys()
    assert all(torch.equal(resumed[key], never_killed[key]) for key in resumed)


def test_the_vision_tower_learns_on_beside_the_text_tower_as_it_was(finished: Path) -> None:
    before, after = (load_file(finished / folder / "model.safetensors") for folder in ("clip", "vision"))
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "vision_model" in moved
    assert not {"text_model", "text_projection"} & moved


def test_the_refinement_goes_on_with_the_vectors_of_the_stage_before(finished: Path) -> None:
    first, second = (load_file(finished / f"{name}-painters.safetensors")["shares"] for name in ("unet", "refine"))
    assert first.shape == second.shape
    assert 0 < (first - second).abs().max() < 0.01


def test_learning_on_keeps_tokenizer_and_autoencoder_and_changes_clip_and_unet(
    corpus_folder: Path, tmp_path: Path, weights: Path
) -> None:
    (tmp_path / "corpus").symlink_to(corpus_folder)
    run = Pretraining(tmp_path, PLAN, torch.device("cpu"), torch.float32, start=weights)
    for name in ("corpus", "vae", "clip", "latents", "unet"):
        assert STAGES[name](run)
    before, after = (AutoencoderKL.from_pretrained(folder / "vae").float() for folder in (weights, tmp_path))
    assert _distance(before, after) == 0
    assert (tmp_path / "tokenizer/tokenizer.json").read_text() == (weights / "tokenizer/tokenizer.json").read_text()
    for kind, part in ((CLIPModel, "clip"), (UNet2DConditionModel, "unet")):
        before, after = (kind.from_pretrained(folder / part).float() for folder in (weights, tmp_path))
        assert 0 < _distance(before, after) < 0.1


def test_weights_to_learn_on_from_are_never_a_pickle(tmp_path: Path, weights: Path) -> None:
    start = tmp_path / "start"
    (start / "vae").mkdir(parents=True)
    (start / "vae/config.json").write_bytes((weights / "vae/config.json").read_bytes())
    torch.save(AutoencoderKL.from_pretrained(weights / "vae").state_dict(), start / "vae/diffusion_pytorch_model.bin")
    run = Pretraining(tmp_path / "work", PLAN, torch.device("cpu"), torch.float32, start=start)
    with pytest.raises(OSError, match="safetensors"):
        run.run_vae()


def test_the_plan_to_train_further_keeps_the_text_tower(corpus_folder: Path, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "corpus").symlink_to(corpus_folder)
    (tmp_path / "tokenizer").symlink_to(weights / "tokenizer")
    assert Pretraining(tmp_path, PLANS["further"], torch.device("cpu"), torch.float32, start=weights).run_clip()
    before, after = (CLIPModel.from_pretrained(folder / "clip").float() for folder in (weights, tmp_path))
    assert _distance(before, after) == 0


def test_the_plan_for_a_controlnet_trains_it_on_for_the_finished_unet(
    corpus_folder: Path, tmp_path: Path, weights: Path
) -> None:
    (tmp_path / "corpus").symlink_to(corpus_folder)
    plan = replace(PLANS["control"], num_scenes=SCENES_PER_BLOCK, control=THREE)
    run = Pretraining(tmp_path, plan, torch.device("cpu"), torch.float32, start=weights)
    for name in ("corpus", "vae", "clip", "latents", "unet", "refine", "control"):
        assert STAGES[name](run)
    assert [folder.name for folder in (tmp_path / "latents").glob("*/*")] == ["128"]  # it sees no other sizes
    before, after = (
        UNet2DConditionModel.from_pretrained(folder).float() for folder in (weights / "unet", tmp_path / "refine")
    )
    assert _distance(before, after) == 0
    before, after = (
        ControlNetModel.from_pretrained(folder).float() for folder in (weights / "controlnet", tmp_path / "control")
    )
    assert 0 < _distance(before, after) < 0.1


def test_the_vision_tower_may_end_between_its_weights_before_and_after(finished: Path, tmp_path: Path) -> None:
    for part in ("corpus", "tokenizer", "clip", "checkpoints"):
        (tmp_path / part).symlink_to(finished / part)
    run = Pretraining(tmp_path, replace(PLAN, vision_share=0.25), torch.device("cpu"), torch.float32)
    assert run.run_vision()
    places = (finished / "clip", finished / "vision", tmp_path / "vision")
    before, after, mixed = (load_file(folder / "model.safetensors") for folder in places)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * after[name])


def test_the_controlnet_learns_for_a_unet_that_stays(finished: Path) -> None:
    masters = _tensors(finished / "checkpoints/control/step-0000003")
    unet = UNet2DConditionModel.from_pretrained(finished / "refine")
    controlnet = ControlNetModel.from_pretrained(finished / "control").float()
    weights = [p.detach() for p in controlnet.parameters()]
    learned = [masters[f"{number:04d}.master"] for number in range(len(weights))]
    for shipped, own in zip(weights, learned, strict=True):
        torch.testing.assert_close(shipped, own, atol=1e-3, rtol=1e-3)  # half precision
    assert len(masters) == 3 * (len(weights) + 1)  # and the painters' vectors, each with two moments; none of the UNet
    assert not torch.equal(controlnet.conv_in.weight, unet.conv_in.weight)
    assert controlnet.controlnet_mid_block.weight.abs().max() > 0  # it began at 0


@pytest.mark.parametrize("view", [*DETAILS, *ALL_SIZES, *CONTROL_VIEWS])
def test_a_view_is_a_part_of_the_picture_that_the_networks_can_halve_twice(view: View) -> None:
    assert max(view.size) <= view.side
    assert all(length % 16 == 0 for length in (view.side, *view.size))


def test_training_changes_every_network(finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    initial = build_vae().state_dict()
    trained = _tensors(finished / "checkpoints/vae/step-0000003")
    masters = [tensor for key, tensor in sorted(trained.items()) if key.endswith("master")]
    assert len(masters) == len(initial)
    moved = [not torch.equal(a, b) for a, b in zip(initial.values(), masters, strict=True)]
    assert np.mean(moved) > 0.9


def test_normalizing_keeps_reconstructions_and_sets_mean_and_spread(corpus: Corpus) -> None:
    torch.manual_seed(0)
    vae, few = build_vae().eval(), _shorten(corpus)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.decode(vae.encode(image).latent_dist.mean).sample
        std_before = vae.encode(image).latent_dist.std
        normalize_latents(vae, few, num_pictures=16)
        posterior = vae.encode(image).latent_dist
        after = vae.decode(posterior.mean).sample
        latents = vae.encode(_whole(few)).latent_dist.mean * vae.config.scaling_factor
    assert torch.allclose(before, after, atol=1e-3)
    assert not torch.allclose(std_before, posterior.std)  # the noise is scaled with the mean
    assert latents.mean((0, 2, 3)).abs().max() < 0.3
    assert 0.7 < latents.std((0, 2, 3)).min() <= latents.std((0, 2, 3)).max() < 1.4


def test_the_command_line_reports_a_stage_that_ran_out_of_time(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLANS, "cpu", PLAN)
    monkeypatch.setitem(STAGES, "judge", lambda run: False)
    arguments = ["--work", str(finished), "--device", "cpu", "--plan", "cpu"]
    assert pretrain.main(["judge", *arguments]) == 3
    assert pretrain.main(["corpus", *arguments]) == 0


def test_every_learned_stage_has_a_schedule() -> None:
    assert {*LEARNED} < {field.name for field in fields(Plan)}
    assert set(LEARNED) < set(STAGES)


def _distance(first: nn.Module, second: nn.Module) -> float:
    """Return the largest difference between two weights."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max((one.float() - other.float()).abs().max().item() for one, other in pairs)


def _open(work: Path, dtype: torch.dtype = torch.float32) -> Pretraining:
    return Pretraining(work, PLAN, torch.device("cpu"), dtype)


def _run(work: Path, name: str, seed: int = 0) -> None:
    torch.manual_seed(seed)
    dtype = torch.bfloat16 if name == "judge" else torch.float32  # bf16 is slow without instructions for it
    assert STAGES[name](_open(work, dtype))


def _kill_at_step(step: int, stage: type, patch: pytest.MonkeyPatch) -> None:
    loss = stage.loss

    def dying(self: object, generator: torch.Generator, progress: float) -> Tensor:
        if round(progress * THREE.steps) == step:
            raise Killed
        return loss(self, generator, progress)

    patch.setattr(stage, "loss", dying)


def _tensors(checkpoint: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in checkpoint.glob("*.safetensors"):
        tensors.update(load_file(path))
    return tensors


def _whole(corpus: Corpus) -> Tensor:
    return crop_images(corpus.images, torch.arange(len(corpus)), SIDE_PX, torch.Generator())


def _shorten(corpus: Corpus) -> Corpus:
    return Corpus(corpus.images[:12], corpus.facts[:12])
