"""Endless captioned "photographs", drawn by code and fixed by a seed.

A scene is a subject in a light, drawn at twice its size in linear light, then taken through a small camera: exposure,
tone curve, lens, vignette, grain.

Shape legend: H, W canvas height and width, px; images float32 [H, W, 3] linear light until `photograph` returns them
as uint8 [h, w, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from artbank.mini.drawing.scenery.animals import draw_animal
from artbank.mini.drawing.scenery.blossoms import draw_flowers
from artbank.mini.drawing.scenery.harbours import draw_harbour
from artbank.mini.drawing.scenery.houses import draw_house
from artbank.mini.drawing.scenery.lakes import draw_lake
from artbank.mini.drawing.scenery.landscapes import draw_desert, draw_mountains
from artbank.mini.drawing.scenery.lighting import LIGHTS, Light, draw_light
from artbank.mini.drawing.scenery.night_sky import draw_night_sky
from artbank.mini.drawing.scenery.portraits import draw_portrait
from artbank.mini.drawing.scenery.seas import draw_sea
from artbank.mini.drawing.scenery.still_lifes import draw_still_life
from artbank.mini.drawing.scenery.streets import draw_street
from artbank.mini.drawing.scenery.textures import blur, grid, mix, smoothstep
from artbank.mini.drawing.scenery.waterfront import draw_bridge
from artbank.mini.drawing.scenery.woods import draw_forest, draw_meadow

Draw = Callable[[Light, np.random.Generator, int, int], tuple[np.ndarray, str]]

_DRAW: dict[str, Draw] = {
    "the sea": draw_sea,
    "mountains": draw_mountains,
    "a forest": draw_forest,
    "a meadow": draw_meadow,
    "a lake": draw_lake,
    "a desert": draw_desert,
    "the night sky": draw_night_sky,
    "a harbour": draw_harbour,
    "a street": draw_street,
    "a house": draw_house,
    "a bridge": draw_bridge,
    "a still life": draw_still_life,
    "flowers": draw_flowers,
    "an animal": draw_animal,
    "a portrait": draw_portrait,
}
SUBJECTS: tuple[str, ...] = tuple(_DRAW)
SUPERSAMPLING = 2
_KEY = {"at night": 0.07, "in fog": 0.3, "at dusk": 0.14}  # log-average luminance that the camera aims at, else 0.18


@dataclass(frozen=True)
class Scene:
    """One drawn photograph.

    Attributes:
        image: [h, w, 3] uint8 sRGB.
        subject: One of `SUBJECTS`, with its article, e.g. "a harbour".
        light: One of `LIGHTS`, e.g. "at dusk"; empty for the night sky.
        detail: What else is seen, e.g. "with a fishing boat"; may be empty.
    """

    image: np.ndarray
    subject: str
    light: str
    detail: str

    @property
    def caption(self) -> str:
        """The words for what is seen, e.g. "a harbour at dusk with a fishing boat"."""
        return f"{self.brief} {self.detail}".strip()

    @property
    def brief(self) -> str:
        """The caption without the detail, e.g. "a harbour at dusk"."""
        return f"{self.subject} {self.light}".strip()


def draw_scene(
    seed: int,
    subject: str | None = None,
    *,
    light: str | None = None,
    width_px: int = 128,
    height_px: int = 128,
) -> Scene:
    """Draw the scene of a seed.

    Args:
        seed: Any integer >= 0; the same seed and arguments give the same bytes.
        subject: One of `SUBJECTS`; drawn from the seed when None.
        light: One of `LIGHTS`; drawn from the seed when None.
        width_px: Width of the picture, px.
        height_px: Height of the picture, px.

    Raises:
        KeyError: No such subject or light.
    """
    rng = np.random.default_rng([seed, 0])
    drawn = SUBJECTS[rng.integers(len(SUBJECTS))]
    subject = drawn if subject is None else subject
    setting = draw_light(rng, light)
    image, detail = _DRAW[subject](setting, rng, height_px * SUPERSAMPLING, width_px * SUPERSAMPLING)
    words = "" if subject == "the night sky" else setting.phrase
    return Scene(photograph(image, setting, rng), subject, words, detail)


def photograph(image: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Take a picture of a linear-light canvas: [H, W, 3] to uint8 sRGB [H / 2, W / 2, 3]."""
    height, width = image.shape[:2]
    exposed = _expose(np.maximum(image, 0), light, rng)
    y, x = grid(height, width)
    falloff = 1 - rng.uniform(0.05, 0.4) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    bloom = blur(np.maximum(exposed - 1, 0), 0.02 * height)
    exposed = blur((exposed + 0.6 * bloom) * falloff[..., None], rng.choice([0.0, 0.8, 1.3]) * height / 288)
    small = cv2.resize(exposed, (width // SUPERSAMPLING, height // SUPERSAMPLING), interpolation=cv2.INTER_AREA)
    srgb = _tone(small, contrast=rng.uniform(0.1, 0.4) if light.phrase == "in fog" else rng.uniform(0.35, 0.9))
    noise = rng.standard_normal(srgb.shape).astype(np.float32) * rng.uniform(0.0, 0.015)
    return np.round(np.clip(srgb + noise, 0, 1) * 255).astype(np.uint8)


def _expose(image: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    luminance = image @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    average = float(np.exp(np.log(luminance + 1e-3).mean()))
    aim = _KEY.get(light.phrase, 0.18) * float(np.exp(rng.normal(0, 0.15)))
    gain = (aim / average) ** 0.7  # part of the way: a bright scene stays brighter than a dark one
    balance = np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)
    return image * np.float32(gain) * balance


def _tone(image: np.ndarray, contrast: float) -> np.ndarray:
    """Roll off highlights, encode, then steepen the middle: linear >= 0 to sRGB 0..1."""
    rolled = image * (1 + image / 9.0) / (1 + image * 0.75)  # extended Reinhard (2002), white at about 3
    srgb = np.clip(1.12 * rolled, 0, 1) ** (1 / 2.2)
    return mix(srgb, smoothstep(0.03, 0.97, srgb), contrast)


__all__ = ["LIGHTS", "SUBJECTS", "Scene", "draw_scene", "photograph"]
