"""The pretraining corpus: every scene as a photograph and as paintings, with captions, rendered to blocks on disk.

Shape legend: n pictures in a block; S side of a picture, px; images uint8 [n, S, S, 3] sRGB.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from artbank.mini.drawing.painters import TRAINED, paint
from artbank.mini.drawing.scenes import draw_scene

logger = logging.getLogger(__name__)

SIDE_PX = 144  # crops of 128 px move a little over it
SCENES_PER_BLOCK = 50
PAINTINGS_PER_SCENE = 3
HELD_OUT_SEEDS = 10_000_000  # scenes from this seed on are never in the corpus
TONES = ("in warm tones", "in cold tones", "in pale tones", "in dark tones", "in vivid tones", "in black and white")
_TONED = 0.25  # share of pictures that are graded


@dataclass(frozen=True)
class Example:
    """One picture of the corpus with its labels.

    Attributes:
        image: [S, S, 3] uint8.
        subject: One of `scenes.SUBJECTS`.
        painter: One of `painters.TRAINED`; empty for a photograph.
        tone: One of `TONES`; empty if the picture is not graded.
        caption: Describes all that is in the picture.
        brief: The caption without the detail.
    """

    image: np.ndarray
    subject: str
    painter: str
    tone: str
    caption: str
    brief: str


def draw_examples(
    seed: int, painters: tuple[str, ...], *, side_px: int = SIDE_PX, toned: float = _TONED
) -> list[Example]:
    """Draw one scene as a photograph, then once in the manner of each of `painters`.

    Args:
        seed: Seed of the scene.
        painters: Names, see `painters.PAINTERS`.
        side_px: Side of the square pictures, px.
        toned: Share of the pictures that get a colour grade and its words.
    """
    rng = np.random.default_rng([seed, 1])
    scene = draw_scene(seed, width_px=side_px, height_px=side_px)
    examples = []
    for painter in ("", *painters):
        image = paint(scene.image, painter, seed) if painter else scene.image
        tone = str(rng.choice(TONES)) if rng.random() < toned else ""
        caption, brief = (write_caption(seen, painter, tone) for seen in (scene.caption, scene.brief))
        examples.append(Example(grade(image, tone), scene.subject, painter, tone, caption, brief))
    return examples


def write_caption(seen: str, painter: str, tone: str = "") -> str:
    """Write a caption: the scene, its painter if it is a painting, and its tones if it is graded."""
    seen = f"{seen}, in the manner of {painter}" if painter else f"a photograph of {seen}"
    return f"{seen}, {tone}" if tone else seen


def grade(image: np.ndarray, tone: str) -> np.ndarray:
    """Grade an image uint8 [H, W, 3] by one of `TONES`; an empty tone does not change it."""
    if not tone:
        return image
    rgb = image.astype(np.float32) / 255
    luma = (rgb @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    graded = {
        "in warm tones": lambda: rgb * (1.12, 1.0, 0.72) + (0.03, 0.01, 0.0),
        "in cold tones": lambda: rgb * (0.72, 0.95, 1.15) + (0.0, 0.01, 0.05),
        "in pale tones": lambda: 0.42 + 0.55 * (luma + 0.7 * (rgb - luma)),
        "in dark tones": lambda: 0.8 * rgb**1.7,
        "in vivid tones": lambda: luma + 1.8 * (rgb - luma),
        "in black and white": lambda: np.repeat(luma, 3, axis=2),
    }[tone]()
    return np.round(np.clip(graded, 0, 1) * 255).astype(np.uint8)


def render(folder: Path, num_scenes: int, *, num_processes: int | None = None) -> None:
    """Render the blocks of the corpus that are missing in a folder; run it again to resume.

    Args:
        folder: Receives `block-00000.npz` and so on, each of `SCENES_PER_BLOCK` scenes.
        num_scenes: Scenes in the corpus, rounded up to whole blocks.
        num_processes: Processes that draw; one per core when None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [block for block in range(-(-num_scenes // SCENES_PER_BLOCK)) if not _block_path(folder, block).exists()]
    with ProcessPoolExecutor(num_processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(_render_block, [folder] * len(blocks), blocks), start=1):
            if done % 10 == 0 or done == len(blocks):
                logger.info("rendered %d of %d blocks", done, len(blocks))


def _block_path(folder: Path, block: int) -> Path:
    return folder / f"block-{block:05d}.npz"


def _render_block(folder: Path, block: int) -> None:
    cv2.setNumThreads(1)
    examples = list(_block_examples(block))
    facts = [{name: value for name, value in vars(e).items() if name != "image"} for e in examples]
    path = _block_path(folder, block)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    with partial.open("wb") as file:
        np.savez(file, images=np.stack([e.image for e in examples]), facts=np.array(json.dumps(facts)))
    partial.replace(path)


def _block_examples(block: int) -> Iterator[Example]:
    for seed in range(block * SCENES_PER_BLOCK, (block + 1) * SCENES_PER_BLOCK):
        rng = np.random.default_rng([seed, 2])
        names = tuple(str(name) for name in rng.choice(TRAINED, PAINTINGS_PER_SCENE, replace=False))
        yield from draw_examples(seed, names)


@dataclass(frozen=True)
class Corpus:
    """The rendered corpus in memory.

    Attributes:
        images: [n, S, S, 3] uint8.
        facts: A dict per picture: subject, painter, tone, caption, brief.
    """

    images: np.ndarray
    facts: list[dict[str, str]]

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Read all blocks under `folder`.

        Raises:
            FileNotFoundError: There is no block yet; render first.
        """
        paths = sorted(folder.glob("block-*.npz"))
        if not paths:
            raise FileNotFoundError(f"no corpus blocks in {folder}; render them first (stage `corpus`)")
        images = []
        facts = []
        for path in paths:
            with np.load(path) as block:
                images.append(block["images"])
                facts += json.loads(str(block["facts"]))
        return cls(np.concatenate(images), facts)

    def __len__(self) -> int:
        return len(self.images)
