"""The pretraining corpus: every scene as a photograph and as paintings, with captions, rendered to blocks on disk.

Shape legend: n pictures in a block; S side of a picture, px; images uint8 [n, S, S, 3] sRGB.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from artbank.mini.drawing.manners.space import describe_manner
from artbank.mini.drawing.painters import SAMPLED, TRAINED, paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.mini.drawing.snapshots import take_snapshot

logger = logging.getLogger(__name__)

SIDE_PX = 192
SCENES_PER_BLOCK = 10
SAMPLED_PER_SCENE = 6  # paintings by painters of `SAMPLED`
PAINTINGS_PER_SCENE = 1 + SAMPLED_PER_SCENE  # one by each painter of `TRAINED` in turn
HELD_OUT_SEEDS = 10_000_000  # scenes from this seed on are never in the corpus
TONES = ("in warm tones", "in cold tones", "in pale tones", "in dark tones", "in vivid tones", "in black and white")
_TONED = 0.25  # share of pictures that are graded
_SNAPSHOTS = 0.75  # share of scenes that are made more like real photographs
_IN_WORDS = 0.5  # share of sampled manners that a caption describes; it names the others


@dataclass(frozen=True)
class Example:
    """One picture of the corpus with its labels.

    Attributes:
        image: [S, S, 3] uint8.
        subject: One of `scenes.SUBJECTS`.
        painter: One of `painters.TRAINED` or `painters.SAMPLED`; empty for a photograph.
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
    seed: int,
    painters: tuple[str, ...],
    *,
    side_px: int = SIDE_PX,
    toned: float = _TONED,
    snapshots: float = 0.0,
    in_words: float = 0.0,
) -> list[Example]:
    """Draw one scene as a photograph, then once in the manner of each of `painters`.

    Args:
        seed: Seed of the scene.
        painters: Names, see `painters.PAINTERS`.
        side_px: Side of the square pictures, px.
        toned: Share of the pictures that get a colour grade and its words, 0..1.
        snapshots: Share of the scenes that become snapshots (`snapshots.take_snapshot`), 0..1.
        in_words: Share of sampled manners that the caption describes instead of naming the painter, 0..1.
    """
    rng = np.random.default_rng([seed, 1])
    scene = draw_scene(seed, width_px=side_px, height_px=side_px)
    snapshot_rng = np.random.default_rng([seed, 3])
    photo = take_snapshot(scene.image, snapshot_rng) if snapshot_rng.random() < snapshots else scene.image
    examples = []
    for painter in ("", *painters):
        image = paint(photo, painter, seed) if painter else photo
        tone = str(rng.choice(TONES)) if rng.random() < toned else ""
        described = painter in SAMPLED and snapshot_rng.random() < in_words
        manner = describe_manner(SAMPLED[painter]) if described else name_painter(painter)
        caption, brief = (write_caption(seen, manner, tone) for seen in (scene.caption, scene.brief))
        examples.append(Example(grade(image, tone), scene.subject, painter, tone, caption, brief))
    return examples


def name_painter(painter: str) -> str:
    """Return the words of a caption that name a painter, "in the manner of Tovar"; none for a photograph, ""."""
    return f"in the manner of {painter}" if painter else ""


def write_caption(seen: str, manner: str = "", tone: str = "") -> str:
    """Write a caption: the scene, the manner if it is a painting ("in the manner of Tovar"), tones if it is graded."""
    seen = f"{seen}, {manner}" if manner else f"a photograph of {seen}"
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
        folder: Receives `block-00000.npy` (pictures) with `block-00000.json` (labels) and so on, each of
            `SCENES_PER_BLOCK` scenes.
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
    return folder / f"block-{block:05d}.npy"


def _render_block(folder: Path, block: int) -> None:
    """Write the captions, then the pictures: a block is there when its pictures are."""
    cv2.setNumThreads(1)
    examples = list(_block_examples(block))
    facts = [{name: value for name, value in vars(e).items() if name != "image"} for e in examples]
    path = _block_path(folder, block)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps(facts), encoding="utf-8")
    partial.replace(path.with_suffix(".json"))
    with partial.open("wb") as file:
        np.save(file, np.stack([e.image for e in examples]))
    partial.replace(path)


def _block_examples(block: int) -> Iterator[Example]:
    for seed in range(block * SCENES_PER_BLOCK, (block + 1) * SCENES_PER_BLOCK):
        rng = np.random.default_rng([seed, 2])
        sampled = rng.choice(tuple(SAMPLED), SAMPLED_PER_SCENE, replace=False)
        painters = (TRAINED[seed % len(TRAINED)], *(str(name) for name in sampled))
        yield from draw_examples(seed, painters, snapshots=_SNAPSHOTS, in_words=_IN_WORDS)


@dataclass(frozen=True)
class Corpus:
    """The rendered corpus; its pictures stay on disk until they are looked at.

    Attributes:
        images: n pictures, each [S, S, 3] uint8.
        facts: A dict per picture: subject, painter, tone, caption, brief.
    """

    images: Sequence[np.ndarray]
    facts: list[dict[str, str]]

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Open all blocks under `folder`.

        Raises:
            FileNotFoundError: There is no block yet; render first.
        """
        paths = sorted(folder.glob("block-*.npy"))
        if not paths:
            raise FileNotFoundError(f"no corpus blocks in {folder}; render them first (stage `corpus`)")
        images: list[np.ndarray] = []
        facts: list[dict[str, str]] = []
        for path in paths:
            images.extend(np.load(path, mmap_mode="r"))
            facts += json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return cls(images, facts)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def photographs(self) -> list[np.ndarray]:
        """For each picture the photograph of its scene, which may be itself; a scene begins with it."""
        photographs: list[np.ndarray] = []
        for image, fact in zip(self.images, self.facts, strict=True):
            photographs.append(photographs[-1] if fact["painter"] else image)
        return photographs
