"""The noise schedule of a base model, and what a prediction of its UNet implies at a timestep.

Shape legend: B batch, C x h x w latents, float32, scaled.

Latents at a timestep t are x_t = alpha_t x0 + sigma_t eps, with alpha_t^2 + sigma_t^2 = 1; the velocity is
v = alpha_t eps - sigma_t x0. A schedule with zero terminal SNR ends with alpha_t = 0: its last latents are noise alone,
and only the velocity tells their picture. So nothing here divides by alpha_t for a model that predicts velocity.

Source: velocity, Salimans and Ho, ICLR 2022; zero terminal SNR, Lin et al., WACV 2024.
"""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from artbank.diffusion.tensors import copy_to_device


class NoiseSchedule:
    """The shares of picture and noise at each timestep.

    For a timestep that is a number they are numbers, and for timesteps on a device they are read from a table there. So
    the host waits for no device. The methods of diffusers' scheduler would move its own table to the device, from which
    a number can be read only by waiting.
    """

    def __init__(self, scheduler: DDIMScheduler):
        """Read the schedule of diffusers' scheduler."""
        self.predicts_velocity: bool = scheduler.config.prediction_type == "v_prediction"
        self._squares: list[float] = scheduler.alphas_cumprod.tolist()
        self._first_square = float(scheduler.final_alpha_cumprod)
        self._tables: dict[torch.device, Tensor] = {}

    @property
    def first_scales(self) -> tuple[float, float]:
        """Alpha and sigma of latents without noise, where a solver ends; not quite 1 and 0 with most models."""
        return _take_roots(self._first_square)

    def scales(self, timestep: int) -> tuple[float, float]:
        """Return alpha_t and sigma_t, the shares of picture and noise at a timestep of 0..999."""
        return _take_roots(self._squares[timestep])

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Return q_sample, the latents [B, C, h, w] at a timestep of a picture and noise of that shape."""
        alpha_t, sigma_t = self.scales(timestep)
        return alpha_t * clean + sigma_t * noise

    def add_noises(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return latents [B, C, h, w] as `add_noise` does, at timesteps [B] on their device."""
        alpha_t, sigma_t = self._scales_of_each(timesteps)
        return alpha_t * clean + sigma_t * noise

    def velocities(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the velocities [B, C, h, w] of pictures and noise of that shape at timesteps [B] on their device."""
        alpha_t, sigma_t = self._scales_of_each(timesteps)
        return alpha_t * noise - sigma_t * clean

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        """Return alpha_t^2 / sigma_t^2 at timesteps [B], [B] on their device."""
        squares = self._squares_of_each(timesteps)
        return squares / (1 - squares)

    def implied_noise(self, predicted: Tensor, latents: Tensor, timestep: int) -> Tensor:
        """Return the noise in latents [B, C, h, w] at a timestep that the UNet's prediction of that shape implies."""
        if not self.predicts_velocity:
            return predicted
        alpha_t, sigma_t = self.scales(timestep)
        return alpha_t * predicted + sigma_t * latents

    def implied_picture(self, predicted: Tensor, latents: Tensor, timestep: int) -> Tensor:
        """Return the picture in latents [B, C, h, w] at a timestep that the UNet's prediction of that shape implies."""
        alpha_t, sigma_t = self.scales(timestep)
        if self.predicts_velocity:
            return alpha_t * latents - sigma_t * predicted
        return (latents - sigma_t * predicted) / alpha_t

    def _scales_of_each(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha_t and sigma_t at timesteps [B], each [B, 1, 1, 1]."""
        squares = self._squares_of_each(timesteps)[:, None, None, None]
        return squares**0.5, (1 - squares) ** 0.5

    def _squares_of_each(self, timesteps: Tensor) -> Tensor:
        """Return alpha_t^2 at timesteps [B], [B]; the table is copied to their device once."""
        device = timesteps.device
        if device not in self._tables:
            self._tables[device] = copy_to_device(torch.tensor(self._squares), device)
        return self._tables[device][timesteps]


def _take_roots(square: float) -> tuple[float, float]:
    return square**0.5, (1 - square) ** 0.5
