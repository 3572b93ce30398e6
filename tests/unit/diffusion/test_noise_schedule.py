"""The noise schedule has the numbers of diffusers' scheduler, bit by bit, and leaves that as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.noise_schedule import NoiseSchedule

TIMESTEPS: Any = torch.tensor([0, 1, 500, 999])


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    clean, noise = torch.randn(2, len(TIMESTEPS), 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return clean, noise


@pytest.mark.parametrize("ends_in_noise", [False, True])
def test_noise_and_velocity_are_those_of_diffusers(base: BaseModel, ends_in_noise: bool) -> None:
    scheduler = DDIMScheduler.from_config(base.scheduler.config, rescale_betas_zero_snr=ends_in_noise)
    schedule = NoiseSchedule(scheduler)
    clean, noise = draw()
    noisy, velocity = (found(clean, noise, TIMESTEPS) for found in (scheduler.add_noise, scheduler.get_velocity))
    assert torch.equal(schedule.add_noises(clean, noise, TIMESTEPS), noisy)
    assert torch.equal(schedule.velocities(clean, noise, TIMESTEPS), velocity)
    for number, timestep in enumerate(TIMESTEPS.tolist()):
        one = slice(number, number + 1)
        torch.testing.assert_close(schedule.add_noise(clean[one], noise[one], timestep), noisy[one])
    alphas = scheduler.alphas_cumprod[TIMESTEPS]
    assert torch.equal(schedule.signal_to_noise(TIMESTEPS), alphas / (1 - alphas))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_true_prediction_implies_its_picture_and_its_noise(base: BaseModel, prediction_type: str) -> None:
    schedule = NoiseSchedule(DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction_type))
    clean, noise = draw()
    noisy = schedule.add_noises(clean, noise, TIMESTEPS)
    truth = noise if prediction_type == "epsilon" else schedule.velocities(clean, noise, TIMESTEPS)
    for number, timestep in enumerate(TIMESTEPS.tolist()):
        picture = schedule.implied_picture(truth[number], noisy[number], timestep)
        torch.testing.assert_close(picture, clean[number], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(schedule.implied_noise(truth[number], noisy[number], timestep), noise[number])


def test_a_schedule_whose_table_was_moved_is_read_all_the_same(base: BaseModel) -> None:
    scheduler = DDIMScheduler.from_config(base.scheduler.config)
    schedule = NoiseSchedule(scheduler)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to("meta")
    assert schedule.scales(999) == base.noise_schedule.scales(999)
