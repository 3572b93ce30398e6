"""Compare the drawn photographs with real ones: colours, contrast and detail.

    python -m artbank.pretraining.photo_statistics --photos FOLDER

Prints a table of means and spreads over pictures; the real photos are only measured, never trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from artbank.mini.drawing.scenes import draw_scene
from artbank.mini.drawing.snapshots import take_snapshot
from artbank.pretraining.corpus import SIDE_PX
from artbank.pretraining.trials import read_photos

STATISTICS = ("lightness", "contrast", "chroma", "hues", "detail 1 px", "detail 2 px", "detail 4 px", "detail 8 px")


def measure_photo(image: np.ndarray) -> np.ndarray:
    """Measure a picture [H, W, 3] uint8 sRGB.

    Returns:
        [8] as in `STATISTICS`: mean and standard deviation of CIE L (0..100), mean chroma, circular spread of hue
        weighted by chroma (0..1), and the standard deviation of L in octave bands of 1 to 8 px.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0]
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    direction = lab[..., 1:].reshape(-1, 2).sum(0) / max(float(chroma.sum()), 1e-6)
    bands = []
    fine = lightness
    for sigma_px in (1, 2, 4, 8):
        coarse = cv2.GaussianBlur(lightness, (0, 0), sigma_px)
        bands.append(float((fine - coarse).std()))
        fine = coarse
    return np.array(
        [lightness.mean(), lightness.std(), chroma.mean(), 1 - float(np.hypot(*direction)), *bands], np.float64
    )


def compare_photos(photos: np.ndarray, num_scenes: int, first_seed: int) -> str:
    """Return a Markdown table of the statistics of real photos, drawn scenes and snapshots of these scenes.

    Args:
        photos: [n, H, W, 3] uint8 sRGB, square and at the corpus's size.
        num_scenes: Number of scenes to draw.
        first_seed: Seed of the first scene.
    """
    scenes = [draw_scene(first_seed + i, width_px=SIDE_PX, height_px=SIDE_PX).image for i in range(num_scenes)]
    snapshots = [take_snapshot(scene, np.random.default_rng([first_seed + i, 3])) for i, scene in enumerate(scenes)]
    groups = {"real photos": list(photos), "drawn scenes": scenes, "snapshots of them": snapshots}
    lines = ["| pictures | " + " | ".join(STATISTICS) + " |", "|---" * (len(STATISTICS) + 1) + "|"]
    for name, pictures in groups.items():
        measured = np.stack([measure_photo(picture) for picture in pictures])
        cells = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(measured.mean(0), measured.std(0), strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m artbank.pretraining.photo_statistics",
        description="Compare the drawn photographs with real ones.",
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of real photos")
    parser.add_argument("--scenes", type=int, default=100, help="scenes to draw")
    parser.add_argument("--seed", type=int, default=10_500_000, help="seed of the first scene")
    options = parser.parse_args(arguments)
    print(compare_photos(read_photos(options.photos, side_px=SIDE_PX), options.scenes, options.seed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
