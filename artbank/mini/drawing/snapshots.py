"""Traits of real photographs that are missing in drawn scenes: a chance view, things in the way, texture, blur, noise,
JPEG.

A snapshot keeps the subject of its scene, so the scene's caption still holds.

Shape legend: H, W height and width, px; images float32 [H, W, 3] sRGB 0..1 until `take_snapshot` returns uint8.
"""

from __future__ import annotations

import cv2
import numpy as np

from artbank.mini.drawing.scenery.textures import blur, fractal_noise, grid, mix, smoothstep

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def take_snapshot(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn a drawn scene into one that is nearer to a real photograph.

    Args:
        image: [H, W, 3] uint8 sRGB, short side at least 64 px.
        rng: Decides what happens to it; the same state gives the same bytes.

    Returns:
        [H, W, 3] uint8 sRGB.
    """
    pixels = _change_view(image.astype(np.float32) / 255, rng)
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            pixels = _add_thing(pixels, rng)
    if rng.random() < 0.8:
        pixels = _add_texture(pixels, rng)
    if rng.random() < 0.3:
        pixels = _defocus(pixels, rng)
    pixels = _develop(pixels, rng)
    return _compress(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8), rng)


def _change_view(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Look closer, aside and slightly askew, so that some things are cut by the frame."""
    height, width = pixels.shape[:2]
    zoom = 1 + 0.45 * rng.random() ** 2
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 1.5)), zoom)
    room = (zoom - 1) / 2
    turn[:, 2] += rng.uniform(-room, room, 2) * (width, height)
    return cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _add_thing(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a rounded or angular thing with its shadow somewhere, often half out of the frame."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    centre = rng.uniform(-0.05, 1.05, 2) * (width, height)
    radius = short * 0.05 * 4 ** rng.random()
    num_corners = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, num_corners))
    reach = radius * rng.uniform(0.6, 1.4, num_corners)
    corners = centre + np.stack([np.cos(angles), rng.uniform(0.5, 1.5) * np.sin(angles)], 1) * reach[:, None]
    mask = np.zeros((height, width), np.float32)
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
    if rng.random() < 0.5:  # round the corners off
        mask = smoothstep(0.4, 0.6, blur(mask, radius * 0.35))
    mask = blur(mask, 0.5)
    shadow = blur(np.roll(mask, (int(radius * 0.2), int(radius * rng.uniform(-0.3, 0.3))), (0, 1)), radius * 0.25)
    darker = pixels * (1 - rng.uniform(0.1, 0.6) * shadow[..., None])
    return mix(darker, _cover(pixels, centre, radius, rng), mask)


def _cover(pixels: np.ndarray, centre: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Return a surface [H, W, 3] for a thing: part of the picture in other colours, or one colour, lit from a side."""
    height, width = pixels.shape[:2]
    if rng.random() < 0.5:
        surface = pixels[::-1, ::-1] if rng.random() < 0.5 else pixels[:, ::-1]
        surface = mix(surface @ _LUMA[:, None] * rng.uniform(0.3, 1.5, 3).astype(np.float32), surface, rng.random())
    else:
        surface = np.broadcast_to(rng.uniform(0.02, 0.95, 3).astype(np.float32), pixels.shape)
    y, x = grid(height, width)
    direction = rng.uniform(0, 2 * np.pi)
    slope = (x * width - centre[0]) * np.cos(direction) + (y * height - centre[1]) * np.sin(direction)
    light = 1 + rng.uniform(0.1, 0.6) * np.tanh(slope / radius)
    return (surface * light[..., None]).astype(np.float32)


def _add_texture(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary the lightness at several scales, more in some places than in others."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    texture = np.zeros((height, width), np.float32)
    for scale_px in (0.6, 1.2, 2.5, 5.0, 11.0):
        stretched = np.exp(rng.normal(0, 0.5))
        noise = rng.standard_normal((height, width)).astype(np.float32)
        size = scale_px * short / 192
        noise = cv2.GaussianBlur(noise, (0, 0), size * stretched, sigmaY=size / stretched)
        texture += rng.uniform(0.3, 1) * noise / max(float(noise.std()), 1e-6)
    texture /= max(float(texture.std()), 1e-6)
    places = smoothstep(-0.6, 0.8, _clouds(height, width, rng))
    amount = rng.uniform(0.05, 0.4)
    return pixels * np.exp(amount * texture * places)[..., None]


def _clouds(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    clouds = fractal_noise(rng, height, width, cells=4.0)
    return (clouds - clouds.mean()) / max(float(clouds.std()), 1e-6)


def _defocus(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur what is off the plane of focus: a band of rows, or all around one place."""
    height, width = pixels.shape[:2]
    y, x = grid(height, width)
    if rng.random() < 0.5:
        away = np.abs(y - rng.uniform(0.2, 0.9))
    else:
        away = np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.3, 0.7))
    out = smoothstep(0.1, 0.5, away)
    soft = blur(pixels, min(height, width) * rng.uniform(0.006, 0.03))
    return mix(pixels, soft, out)


def _develop(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary exposure, contrast, colour and noise as cameras and their owners do."""
    sharpened = pixels + rng.uniform(0.2, 1.6) * (pixels - blur(pixels, min(pixels.shape[:2]) / 160))
    exposed = np.clip(sharpened, 0, 1) ** np.exp(rng.normal(-0.2, 0.25))
    luma = (exposed @ _LUMA)[..., None]
    coloured = luma + np.exp(rng.normal(-0.6, 0.5)) * (exposed - luma)
    contrast = np.exp(rng.normal(0.15, 0.2))
    toned = (coloured - 0.5) * contrast + 0.5 + rng.normal(0, 0.03)
    toned = toned * np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
    noise = rng.standard_normal(toned.shape).astype(np.float32)
    return toned + rng.choice([0.0, 0.006, 0.015, 0.03]) * noise


def _compress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    quality = int(rng.integers(35, 98))
    if rng.random() < 0.3:
        return image
    _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
