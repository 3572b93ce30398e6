"""Draw and score batches of photos; again with more of the style, where a picture does not reach `reach_style`.

Some photos of a batch are drawn with blank photos in place of the others. So the composition of the batch stays the
same, and no picture depends on the other photos.

Shape legend: n pictures, C dimensions of CLIP's space.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from artbank.archive.drawing_resources import DrawingResources
from artbank.archive.drawn_pictures import DrawnBatch, ScoredPicture, keep_best, keep_first_reached, measure_reach
from artbank.archive.photo_reader import DecodedPhoto
from artbank.diffusion.tensors import upload
from artbank.errors import ResultsError
from artbank.images.framing import Photo
from artbank.runtime import telemetry
from artbank.runtime.prefetch import batch_by
from artbank.scoring.networks import BATCH_SIZE
from artbank.scoring.optional_measures import PhotoView
from artbank.scoring.recoloured import recolour
from artbank.scoring.scores import measure_cosines
from artbank.stylization.stylizer import Stylized


class BatchDrawer:
    """Draws and scores batches."""

    def __init__(self, resources: DrawingResources):
        """Use some stylizers, their scorer and their references."""
        self._resources = resources

    def draw(self, batch: Sequence[DecodedPhoto], keys: Collection[str]) -> DrawnBatch:
        """Draw some photos of a batch with the recipe's settings.

        Args:
            batch: Photos of equal size and styles.
            keys: Those to draw, at least one.
        """
        start = time.monotonic()
        composition = _keep_only([photo.photo for photo in batch], keys)
        styles = batch[0].task.styles
        with telemetry.time_stage("draw"):
            candidates = self._draw_candidates(0, composition, keys, styles)
        self._resources.compiler.advance(len(keys) * len(styles))
        pictures = [picture for picture in candidates if picture.error is None]
        has_picture = {(picture.key, picture.style) for picture in pictures}
        return DrawnBatch(
            photos={photo.photo.key: photo for photo in batch if photo.photo.key in keys},
            composition=composition,
            styles=styles,
            pictures=pictures,
            failures={
                (picture.key, picture.style): picture.error
                for picture in candidates
                if picture.error and (picture.key, picture.style) not in has_picture
            },
            seconds=(time.monotonic() - start) / (len(keys) * len(styles)),
        )

    def draw_blanks(self, batch: Sequence[DecodedPhoto]) -> None:
        """Draw a batch with blank photos in place of all, with each setting that its pictures may need.

        Raises:
            Exception: The run can draw no batch like this one, whatever its photos show.
        """
        blanks = _keep_only([photo.photo for photo in batch], ())
        for number in range(len(self._resources.drawings)):
            self._draw_candidates(number, blanks, (), batch[0].task.styles)

    def check_memory(self, style: str) -> None:
        """Check that a blank photo fits in memory: a square, the smallest of all working sizes.

        Args:
            style: The style to draw it in.

        Raises:
            ResultsError: It does not, so no photo is at fault.
        """
        stylizer = self._resources.stylizer
        side_px = stylizer.short_px
        blank = stylizer.prepare("blank", np.zeros((side_px, side_px, 3), np.uint8))
        [drawn] = stylizer.stylize_batch([blank], [style])
        if drawn.error is not None and drawn.error.failure == "out_of_memory":
            raise ResultsError(
                f"expected memory for a blank photo of {side_px} x {side_px} px, found less; free it if another "
                "program uses it, or lower resolution_px, and run it again"
            )

    def score(self, batch: DrawnBatch) -> Iterator[list[ScoredPicture]]:
        """Score the pictures of a batch, and yield those that are kept, style by style.

        Each photo is embedded once for all its styles, and the pictures of all styles together. Pictures that do not
        reach `reach_style` are drawn again.
        """
        with telemetry.time_stage("score"):
            images = self._upload_photos(batch.photos)
            views = dict(zip(images, self._resources.measures.view(list(images.values())), strict=True))
            recoloured = self._recolour_photos(batch, images)
            drawn = [_as_tensor(picture) for picture in batch.pictures]
            # Each [n, C].
            of_photos, of_pictures, of_recoloured = self._embed([*images.values()], drawn, [*recoloured.values()])
            photo_embeddings = dict(zip(images, of_photos, strict=True))
            recoloured_embeddings = dict(zip(recoloured, of_recoloured, strict=True))
        for style in batch.styles:
            numbers = [number for number, picture in enumerate(batch.pictures) if picture.style == style]
            if numbers:
                pictures = [batch.pictures[number] for number in numbers]
                best = self._choose_best(batch, 0, pictures, photo_embeddings, of_pictures[numbers], batch.seconds)
                kept = self._draw_further(batch, style, {picture.key: picture for picture in best}, photo_embeddings)
                yield self._finish_scores(style, list(kept.values()), recoloured_embeddings, views)

    def _draw_further(
        self, batch: DrawnBatch, style: str, kept: dict[str, ScoredPicture], photo_embeddings: Mapping[str, Tensor]
    ) -> dict[str, ScoredPicture]:
        """Draw the photos again whose pictures do not reach `reach_style`, together, with more of the style each time.

        Args:
            batch: The batch.
            style: One of its styles.
            kept: The pictures in that style by key.
            photo_embeddings: The CLIP embeddings of the photos by key.
        """
        for number in range(1, len(self._resources.drawings)):
            faint = {key for key, picture in kept.items() if picture.is_faint}
            if not faint:
                break
            start = time.monotonic()
            with telemetry.time_stage("draw"):
                candidates = self._draw_candidates(number, _keep_only(batch.composition, faint), faint, [style])
            seconds = (time.monotonic() - start) / len(faint)
            pictures = [picture for picture in candidates if picture.error is None]
            with telemetry.time_stage("score"):
                [embeddings] = self._embed([_as_tensor(picture) for picture in pictures])  # [n, C]
            redrawn = self._choose_best(batch, number, pictures, photo_embeddings, embeddings, 0.0)
            better = {picture.key: keep_first_reached(kept[picture.key], picture) for picture in redrawn}
            kept |= {
                key: replace(better.get(key, kept[key]), seconds=kept[key].seconds + seconds) for key in sorted(faint)
            }
        return kept

    def _draw_candidates(
        self, number: int, composition: Sequence[Photo], keys: Collection[str], styles: Sequence[str]
    ) -> list[Stylized]:
        """Return all candidates of some photos; drawing 0 is the first, with the recipe's own settings."""
        return [
            picture
            for candidate in self._resources.drawings[number]
            for picture in candidate.stylize_batch(composition, styles)
            if picture.key in keys
        ]

    def _choose_best(
        self,
        batch: DrawnBatch,
        number: int,
        pictures: Sequence[Stylized],
        photo_embeddings: Mapping[str, Tensor],
        embeddings: Tensor,
        seconds: float,
    ) -> list[ScoredPicture]:
        """Score the candidates of one drawing in one style; return the best of each photo.

        Args:
            batch: The batch.
            number: Number of the drawing, 0 for the first.
            pictures: The candidates, n of them.
            photo_embeddings: The CLIP embeddings of the photos by key.
            embeddings: The CLIP embeddings of the candidates, [n, C].
            seconds: Device seconds for each picture.
        """
        if not pictures:
            return []
        resources = self._resources
        reference = resources.references[pictures[0].style]
        with telemetry.time_stage("score"):
            photos = torch.stack([photo_embeddings[picture.key] for picture in pictures])  # [n, C]
            cosines = measure_cosines(resources.scorer, reference, photos, embeddings)
        scored = []
        recipe = resources.drawings[number][0].recipe
        for picture, cosine_scores in zip(pictures, cosines, strict=True):
            reach = None
            if recipe.reach_style is not None:
                reach = measure_reach(
                    cosine_scores,
                    reference.ceiling,
                    recipe.reach_style,
                    structure=recipe.structure,
                    strength=recipe.strength,
                )
            scored.append(ScoredPicture(batch.photos[picture.key], picture, cosine_scores, seconds, reach))
        return keep_best(scored)

    def _finish_scores(
        self,
        style: str,
        kept: Sequence[ScoredPicture],
        recoloured_embeddings: Mapping[tuple[str, str], Tensor],
        views: Mapping[str, PhotoView],
    ) -> list[ScoredPicture]:
        """Return the kept pictures of one style, with the scores that are measured only after the choice."""
        resources = self._resources
        reference = resources.references[style]
        with telemetry.time_stage("score"):
            embeddings = torch.stack([recoloured_embeddings[picture.key, style] for picture in kept])  # [n, C]
            recoloured_scores = (embeddings * reference.centroid).sum(1).tolist()
            pictures = [_as_tensor(scored.picture) for scored in kept]
            more_scores = resources.measures.score(reference, [views[scored.key] for scored in kept], pictures)
        return [
            picture.finish_scores(more, recoloured)
            for picture, more, recoloured in zip(kept, more_scores, recoloured_scores, strict=True)
        ]

    def _recolour_photos(self, batch: DrawnBatch, photos: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
        """Return photos in the colours of the styles that they were drawn in, by key and style."""
        pairs = dict.fromkeys((picture.key, picture.style) for picture in batch.pictures)
        palettes = {style: self._resources.references[style].palette for style in batch.styles}
        return {(key, style): recolour(photos[key], palettes[style]) for key, style in pairs}

    def _upload_photos(self, photos: Mapping[str, DecodedPhoto]) -> dict[str, Tensor]:
        """Return photos of equal size as uint8 [3, h, w] on the scorer's device, without their padding, by key."""
        padded = (
            upload([photo.photo.padded for photo in photos.values()], self._resources.scorer.device) if photos else []
        )
        frames = [photo.photo.frame for photo in photos.values()]
        images = [image[:, : frame.height_px, : frame.width_px] for image, frame in zip(padded, frames, strict=True)]
        return dict(zip(photos, images, strict=True))

    def _embed(self, *groups: Sequence[Tensor]) -> list[Tensor]:
        """Return the CLIP embeddings of groups of pictures uint8 [3, h, w], each [n, C]; the host waits once.

        If the embeddings decide which picture is kept, each is computed by itself: rounding differs with the batch
        size.
        """
        recipe = self._resources.recipe
        at_once = BATCH_SIZE if recipe.reach_style is None and recipe.candidates == 1 else 1
        return self._resources.scorer.embed_groups(groups, at_once)


def cut_batches(photos: Iterable[DecodedPhoto], size: int) -> Iterator[list[DecodedPhoto]]:
    """Cut photos into batches of equal size and styles; yield each when it is full, and the partial ones at the end.

    Args:
        photos: In any order.
        size: Photos in a full batch, 1 or more.
    """
    return batch_by(photos, _batch_key, size, max_waiting=4 * size)


def _batch_key(photo: DecodedPhoto) -> tuple[tuple[str, ...], tuple[int, int]]:
    return tuple(photo.task.styles), photo.photo.bucket


def _keep_only(photos: Sequence[Photo], keys: Collection[str]) -> list[Photo]:
    """Return the photos with blank ones in place of those without a key among `keys`."""
    return [photo if photo.key in keys else photo.blank for photo in photos]


def _as_tensor(picture: Stylized) -> Tensor:
    """Return a picture uint8 [3, h, w] on the model's device."""
    assert picture.on_device is not None
    return picture.on_device
