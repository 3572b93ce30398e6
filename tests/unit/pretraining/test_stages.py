"""What the stages of the pretraining learn from: batches, prompts, losses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from artbank.pretraining.control_stage import ControlStage, vary_tones
from artbank.pretraining.corpus import PAINTINGS_PER_SCENE, Corpus
from artbank.pretraining.latents import Latents
from artbank.pretraining.networks import build_controlnet, build_scheduler, load_text_encoder
from artbank.pretraining.stages import VisionStage, painter_loss
from artbank.pretraining.unet_stage import UnetStage


def test_painters_have_several_works_in_a_batch_of_the_vision_tower(corpus: Corpus, weights: Path) -> None:
    stage = VisionStage(CLIPModel.from_pretrained(weights / "clip"), _tokenizer(weights), corpus, 24)
    painters = [corpus.facts[pick]["painter"] for pick in stage._pick(torch.Generator().manual_seed(0)).tolist()]
    assert len(painters) == 24
    assert sum(count >= 4 for count in Counter(painters).values()) >= 4


def test_pictures_of_one_painter_near_each_other_lose_less_than_pictures_of_two() -> None:
    painters = torch.tensor([0, 0, 1, 1, 2])  # the last has no partner
    together = F.one_hot(painters).float()
    apart = F.one_hot(torch.tensor([0, 1, 0, 1, 2])).float()
    # By hand: a partner at cosine 1 and three others at 0, by a temperature of 0.1.
    assert painter_loss(together, painters).item() == pytest.approx(np.log(1 + 3 * np.exp(-10)), rel=1e-3)
    assert painter_loss(apart, painters).item() == pytest.approx(10 + np.log(1 + 3 * np.exp(-10)), rel=1e-3)


def test_most_paintings_have_vectors_in_their_prompts_and_photographs_never(corpus: Corpus, weights: Path) -> None:
    stage = _unet_stage(corpus, weights)
    generator = torch.Generator().manual_seed(0)
    written = {painted: [] for painted in (True, False)}
    for facts in corpus.facts * 10:
        prompt, number = stage._write_prompt(facts, generator)
        written[bool(facts["painter"])].append(prompt)
        assert number == (list(stage.painters).index(facts["painter"]) if facts["painter"] else 0)
    shares = {painted: np.mean(["{style}" in prompt for prompt in some]) for painted, some in written.items()}
    assert shares[False] == 0
    assert shares[True] == pytest.approx(0.75 * 0.9, abs=0.05)
    assert np.mean([prompt == "" for some in written.values() for prompt in some]) == pytest.approx(0.1, abs=0.03)


def test_a_painters_vectors_get_a_gradient_from_his_pictures_alone(corpus: Corpus, weights: Path) -> None:
    stage = _unet_stage(corpus, weights)
    shown = {number for facts in corpus.facts[:12] if (number := stage.painters.get(facts["painter"])) is not None}
    text = stage._encode_prompts(torch.arange(12), torch.Generator().manual_seed(0))
    text.sum().backward()
    learns = stage.vectors.shares.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert text.shape == (12, 77, 192)
    assert learns
    assert set(learns) <= shown


def test_the_timesteps_of_a_batch_are_spread_over_the_schedule() -> None:
    generator = torch.Generator().manual_seed(0)
    stage = UnetStage.__new__(UnetStage)
    stage.scheduler = build_scheduler()
    draws = torch.stack([stage._draw_timesteps(4, generator) for _ in range(500)])
    assert (draws // 250 == torch.arange(4)).all()
    assert draws[:, 0].float().std() == pytest.approx(250 / 12**0.5, rel=0.1)


def test_errors_weigh_the_same_at_all_noise_but_the_least() -> None:
    stage = UnetStage.__new__(UnetStage)
    stage.scheduler = build_scheduler()
    t = torch.tensor([0, 20, 200, 600, 999])
    alphas = stage.scheduler.alphas_cumprod[t]
    weights = stage._weigh(t)
    assert weights[2:].tolist() == pytest.approx([1, 1, 1])
    assert weights[:2].tolist() == pytest.approx((20 * (1 - alphas) / alphas)[:2].tolist(), rel=1e-4)
    assert weights[0] < weights[1] < 1


def test_a_controlnet_sees_the_lightness_of_the_photograph_of_each_painting(corpus: Corpus, weights: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(weights / "unet").float()
    latents = Latents({128: torch.zeros(len(corpus), 4, 32, 32)})
    encoder = load_text_encoder(weights / "clip").float()
    stage = ControlStage(build_controlnet(unet), unet, encoder, _tokenizer(weights), corpus, latents, 12)
    first = PAINTINGS_PER_SCENE + 1  # the photograph of the second scene, with its paintings after it
    picks = torch.tensor([first, first + 1, first + PAINTINGS_PER_SCENE])
    chance = torch.Generator().manual_seed(0)
    seen = stage._show(latents.draw_cuts(128, (128, 128), picks, chance), chance)
    photo = cv2.resize(corpus.images[first], (128, 128), interpolation=cv2.INTER_AREA)
    wanted = torch.from_numpy(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)) / 255
    assert not corpus.facts[first]["painter"]
    assert torch.equal(seen, seen[:, :1].expand(3, 3, -1, -1))
    order = wanted.flatten().argsort()
    assert (seen[:, 0].flatten(1)[:, order].diff() > -1e-6).all()  # in other tones, what is lighter stays so
    assert (seen[0] != seen[1]).any()


def test_the_errors_of_a_controlnet_weigh_more_the_more_the_noise_hides() -> None:
    stage = ControlStage.__new__(ControlStage)
    stage.scheduler = build_scheduler()
    weights = stage._weigh(torch.tensor([20, 400, 550, 999]))
    assert weights.diff().min() > 0
    assert weights[-1] == 5


def test_tones_vary_in_their_share_of_the_pictures_and_never_change_what_is_lighter() -> None:
    ramps = torch.linspace(0, 1, 11).expand(200, 1, 1, -1)
    varied = vary_tones(ramps, 0.75, torch.Generator().manual_seed(0))
    assert 0.65 < (varied != ramps).any(-1).float().mean() < 0.85
    assert (varied.diff(dim=-1) > 0).all()
    assert varied.min() >= 0 and varied.max() <= 1
    assert varied[..., 0].max() > 0.25 and varied[..., -1].min() < 0.75  # black and white become greys
    assert varied[..., 5].min() < 0.35 and varied[..., 5].max() > 0.65  # and middle greys lighter or darker
    assert torch.equal(vary_tones(ramps, 0, torch.Generator().manual_seed(0)), ramps)


def _tokenizer(weights: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(weights / "tokenizer")


def _unet_stage(corpus: Corpus, weights: Path) -> UnetStage:
    unet = UNet2DConditionModel.from_pretrained(weights / "unet")
    encoder = load_text_encoder(weights / "clip").float()
    return UnetStage(unet.float(), encoder, _tokenizer(weights), corpus.facts, Latents({}), 12)
