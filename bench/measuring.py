"""Measure stylized photos: similarity and edges against the photo, style against held-out artworks.

Pictures are uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import cv2
import numpy as np
import torch
from torch import Tensor

from artbank.bank.lora_bank import AnyBank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import to_images, upload
from artbank.images.similarity import ssim_luma
from artbank.mini import WEIGHTS
from artbank.pretraining.judge import Judge
from artbank.recipes import StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.scores import measure_cosines
from artbank.scoring.spread import Ceiling, ScoreBounds
from artbank.scoring.style_reference import StyleReference
from artbank.stylization.controls import Controls, load_default_controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from bench.galleries import middle_square

_JUDGE_PX = 128


@dataclass(frozen=True)
class Marks:
    """The means of one recipe on one collection; see `compare_recipes`.

    A gain is None where held-out artworks are not clearly nearer to the collection than the photos are.
    """

    ssim: float
    edges: float
    style: float | None
    texture: float | None
    clip: float | None


class StyleJudge:
    """Measures style by the embedded model's judge, a classifier with no part in training or drawing.

    The style of a picture is the Gram matrix of the features of each block. Its distance to a collection is the
    Frobenius norm of the difference to the mean matrix of artworks, relative to that one's norm, summed over blocks.

    Source: Gatys et al., CVPR 2016.
    """

    def __init__(self, folder: Path = WEIGHTS / "judge"):
        """Load the judge from a folder."""
        self._blocks = Judge.load(folder).trunk

    def distances(self, pictures: Sequence[np.ndarray], artworks: Sequence[np.ndarray]) -> list[float]:
        """Return the distance of each picture to the mean style of artworks."""
        wanted = [grams.mean(0) for grams in self._grams(artworks)]
        own = self._grams(pictures)
        parts = [(one - mean).norm(dim=(1, 2)) / mean.norm() for one, mean in zip(own, wanted, strict=True)]
        return torch.stack(parts).sum(0).tolist()

    @torch.no_grad()
    def _grams(self, pictures: Sequence[np.ndarray]) -> list[Tensor]:
        """Return a matrix [n, C, C] of each block, the mean products of features over the places of a picture."""
        small = [middle_square(picture, _JUDGE_PX) for picture in pictures]
        features = to_images(upload(small, torch.device("cpu")))
        found = []
        for block in self._blocks:
            features = block(features)
            places = features.flatten(2)  # [n, C, h * w]
            found.append(places @ places.transpose(1, 2) / places.shape[2])
        return found


@dataclass(frozen=True)
class Measuring:
    """The photos and networks that all contenders are measured with.

    Attributes:
        scorer: CLIP.
        judge: The independent network.
        photos: Square photos of one size, by name.
    """

    scorer: Scorer
    judge: StyleJudge
    photos: Mapping[str, np.ndarray]

    def measure(
        self,
        base: BaseModel,
        bank: AnyBank,
        held_out: Sequence[np.ndarray],
        reference: StyleReference,
        recipe: StylizeRecipe,
    ) -> Marks:
        """Stylize the photos with a bank, and measure the pictures."""
        return self.mark(self.draw(base, bank, reference, recipe), held_out, reference)

    def draw(
        self,
        base: BaseModel,
        bank: AnyBank,
        reference: StyleReference,
        recipe: StylizeRecipe,
        controls: Controls | None = None,
    ) -> list[np.ndarray]:
        """Stylize the photos; returns their pictures in the same order.

        The ControlNets are those of a run that names none, unless others are given.
        """
        if controls is None:
            controls = load_default_controls(base, recipe)
        side_px = next(iter(self.photos.values())).shape[0]
        style = Style(reference.collection, ((bank, 1.0),), reference.palette)
        stylizer = Stylizer(base, [style], recipe.model_copy(update={"resolution_px": side_px}), controls)
        prepared = (stylizer.prepare(key, photo) for key, photo in self.photos.items())
        made = {one.key: one.rgb for one in stylizer.stylize(prepared)}
        pictures = [picture for key in self.photos if (picture := made[key]) is not None]
        assert len(pictures) == len(self.photos), "a photo gave no picture"
        return pictures

    def mark(self, pictures: Sequence[np.ndarray], held_out: Sequence[np.ndarray], reference: StyleReference) -> Marks:
        """Measure pictures of the photos."""
        photos = list(self.photos.values())
        before = self.scorer.embed_images(photos)
        cosines = measure_cosines(self.scorer, reference, before, self.scorer.embed_images(pictures))
        floor = fmean(one.clip_style_floor for one in cosines)
        bounds = ScoreBounds(floor, reference.ceiling)
        pairs = list(zip(pictures, photos, strict=True))
        return Marks(
            ssim=fmean(ssim_luma(*pair) for pair in pairs),
            edges=fmean(correlate_edges(*pair) for pair in pairs),
            style=self._gain(photos, pictures, held_out),
            texture=self._gain(*([_to_grey(one) for one in some] for some in (photos, pictures, held_out))),
            clip=bounds.gain(fmean(one.clip_style for one in cosines)),
        )

    def _gain(
        self, photos: Sequence[np.ndarray], pictures: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
    ) -> float | None:
        """Return how far pictures have come from the photos to artworks, by the judge."""
        far, near, own = (self.judge.distances(some, held_out) for some in (photos, held_out, pictures))
        bounds = ScoreBounds(-fmean(far), Ceiling(-fmean(near), stdev(near) / len(near) ** 0.5))
        return bounds.gain(-fmean(own))


def mean_cells(marks: Sequence[object], columns: Sequence[str], digits: int = 2) -> str:
    """Return the means of columns of marks as cells of a Markdown row; marks that are None are left out."""
    known = [[value for one in marks if (value := getattr(one, column)) is not None] for column in columns]
    return " | ".join(f"{fmean(values):.{digits}f}" if values else "" for values in known)


def correlate_edges(picture: np.ndarray, photo: np.ndarray) -> float:
    """Return the correlation, -1..1, of the edge strengths of two pictures of one size, blurred by 1 px."""
    return float(np.corrcoef(*(_edges(one).ravel() for one in (picture, photo)))[0, 1])


def _to_grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _edges(picture: np.ndarray) -> np.ndarray:
    luma = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    return np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))
