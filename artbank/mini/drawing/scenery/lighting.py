"""The light of a scene: time of day and weather, shared by every subject.

Shape legend: H, W canvas height and width in px; images float32 [H, W, 3] linear light, colours float32 [3].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from artbank.mini.drawing.scenery.textures import color, fractal_noise, grid, mix, normalize, smoothstep


@dataclass(frozen=True)
class Light:
    """One light a scene is seen in.

    Attributes:
        phrase: Its words in a caption, e.g. "at dusk".
        zenith: Colour of the sky overhead.
        horizon: Colour of the sky at the horizon; also the colour that distance and fog fade to.
        sun: Colour and strength of the direct light.
        ambient: Colour and strength of the light from everywhere; what shadows show.
        elevation: Height of the sun, 0 at the horizon to 1 overhead.
        side: Where the sun stands, -1 left to 1 right; set for each scene.
        haze: How fast distance fades to the horizon's colour, 0..1.
        clouds: Share of the sky that is clouded, 0..1.
    """

    phrase: str
    zenith: np.ndarray
    horizon: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray
    elevation: float
    haze: float
    clouds: float
    side: float = 0.0

    @property
    def is_night(self) -> bool:
        """Whether lamps and windows are lit."""
        return self.phrase == "at night"


LIGHTS: dict[str, Light] = {
    light.phrase: light
    for light in (
        Light("at dawn", color(0.42, 0.55, 0.78), color(0.98, 0.78, 0.72), 0.9 * color(1.0, 0.8, 0.7),
              0.45 * color(0.7, 0.75, 0.95), 0.2, 0.55, 0.3),
        Light("at noon", color(0.18, 0.42, 0.8), color(0.72, 0.85, 0.95), 1.0 * color(1.0, 0.97, 0.9),
              0.42 * color(0.72, 0.85, 1.0), 0.8, 0.25, 0.3),
        Light("at dusk", color(0.28, 0.25, 0.5), color(1.0, 0.55, 0.25), 0.95 * color(1.0, 0.62, 0.35),
              0.34 * color(0.7, 0.6, 0.8), 0.12, 0.45, 0.45),
        Light("at night", color(0.04, 0.07, 0.18), color(0.13, 0.2, 0.36), 0.2 * color(0.65, 0.75, 1.0),
              0.12 * color(0.5, 0.62, 1.0), 0.5, 0.35, 0.2),
        Light("in fog", color(0.72, 0.75, 0.78), color(0.82, 0.83, 0.83), 0.35 * color(1.0, 0.97, 0.93),
              0.62 * color(0.9, 0.93, 0.95), 0.5, 1.0, 0.0),
        Light("under grey clouds", color(0.45, 0.5, 0.56), color(0.74, 0.77, 0.78), 0.4 * color(0.95, 0.97, 1.0),
              0.5 * color(0.85, 0.9, 0.97), 0.6, 0.4, 0.9),
    )
}  # fmt: skip


def draw_light(rng: np.random.Generator, phrase: str | None = None) -> Light:
    """Draw a light, with a little variation in colour, strength and the sun's place.

    Args:
        rng: Source of the choice.
        phrase: One of `LIGHTS`; drawn when None.

    Raises:
        KeyError: `phrase` is no light.
    """
    light = LIGHTS[phrase if phrase is not None else list(LIGHTS)[rng.integers(len(LIGHTS))]]

    def vary(value: np.ndarray, spread: float) -> np.ndarray:
        return (value * np.exp(rng.normal(0, spread, 3) + rng.normal(0, spread))).astype(np.float32)

    return replace(
        light,
        zenith=vary(light.zenith, 0.1),
        horizon=vary(light.horizon, 0.07),
        sun=vary(light.sun, 0.08),
        ambient=vary(light.ambient, 0.08),
        elevation=float(np.clip(light.elevation + rng.normal(0, 0.06), 0.05, 0.95)),
        clouds=float(np.clip(light.clouds + rng.normal(0, 0.2), 0, 1)),
        side=float(rng.uniform(-1, 1)),
    )


def draw_sky(light: Light, rng: np.random.Generator, height: int, width: int, horizon: float) -> np.ndarray:
    """Paint the sky over the whole canvas: gradient, sun or moon with its glow, lit clouds.

    Args:
        light: The scene's light.
        rng: Source of the clouds.
        height: Rows, px.
        width: Columns, px.
        horizon: Height of the horizon, 0..1 from the top; below it the gradient stays at the horizon's colour.

    Returns:
        [H, W, 3] linear light.
    """
    y, x = grid(height, width)
    rise = np.clip(1 - y / max(horizon, 1e-3), 0, 1)  # 0 at the horizon, 1 at the top
    image = mix(np.broadcast_to(light.horizon, (height, width, 3)), light.zenith, rise**0.75)
    aspect = width / height
    distance = np.hypot((x - sun_place(light)) * aspect, y - horizon * (1 - light.elevation * 0.9))
    glow = np.exp(-distance * 6)[..., None] * light.sun * (0.2 if light.haze > 0.9 or light.clouds > 0.8 else 0.7)
    image = image + glow
    if light.elevation < 0.7 and light.clouds < 0.7 and light.haze < 0.9:
        image = mix(image, 4 * light.sun + 0.2, smoothstep(0.032, 0.024, distance) * 0.9)
    return _add_clouds(image, light, rng, rise, horizon)


def sun_place(light: Light) -> float:
    """Return the sun's x on the canvas, 0..1."""
    return 0.5 + 0.42 * light.side


def _add_clouds(
    image: np.ndarray, light: Light, rng: np.random.Generator, rise: np.ndarray, horizon: float
) -> np.ndarray:
    if light.clouds < 0.08:
        return image
    height, width = rise.shape
    flat = float(rng.uniform(1.2, 3.0))
    body = fractal_noise(rng, height, width, cells=rng.uniform(1.5, 3.5), octaves=6, gain=0.55, stretch=(flat, 1))
    toward_sun = np.roll(body, int(4 * np.sign(light.side) or 4), axis=1)
    threshold = 1.02 - 0.85 * light.clouds
    cover = smoothstep(threshold, threshold + 0.3, body) * smoothstep(0.0, 0.25, rise)
    relief = normalize(body - 0.8 * toward_sun - 0.25 * np.roll(body, 6, axis=0))
    shade = mix(light.ambient * 1.1 + 0.25 * light.horizon, light.sun * 0.75 + light.horizon * 0.55, relief)
    return mix(image, shade, cover * 0.92)


def fade(image: np.ndarray, light: Light, distance: np.ndarray | float) -> np.ndarray:
    """Fade an image to the horizon's colour by aerial perspective; `distance` 0 near to 1 far, number or [H, W]."""
    return mix(image, light.horizon, 1 - np.exp(-2.2 * light.haze * np.asarray(distance, np.float32) ** 1.3))


def shade(albedo: np.ndarray, light: Light, facing: np.ndarray | float) -> np.ndarray:
    """Light a surface: `albedo` [H, W, 3] or [3] linear 0..1, `facing` 0 in shadow to 1 toward the sun."""
    weight = np.asarray(facing, np.float32)
    weight = weight[..., None] if weight.ndim == 2 else weight
    return (albedo * (light.ambient + light.sun * weight)).astype(np.float32)
