"""Draw photos in one style with the parts that a run over an archive uses, in this process and without an output.

A run decodes photos in processes of their own, which a file that hangs or crashes a decoder ends. Here threads decode
them: a program that uses the API then needs no guard of its main module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from artbank.api.drawn_picture import DrawnPicture
from artbank.api.photo_inputs import NamedPhoto
from artbank.api.progress import Progress
from artbank.archive.batch_drawing import BatchDrawer, cut_batches
from artbank.archive.drawing_resources import DrawingResources, make_decode_options
from artbank.archive.drawn_pictures import ScoredPicture
from artbank.archive.photo_reader import DecodedPhoto, too_large_error
from artbank.diffusion.shared_base_model import load_base_model
from artbank.errors import ImageError
from artbank.images.codec_jobs import DecodeOptions, decode_photo
from artbank.images.similarity import sanity_flags, ssim_luma
from artbank.parameters.draw_config import DrawConfig
from artbank.records.photo_records import PhotoTask
from artbank.results.filenames import output_name
from artbank.runtime.cores import count_cores
from artbank.runtime.hashing import full_hash
from artbank.runtime.prefetch import prefetch
from artbank.scoring.scores import Scores
from artbank.scoring.spread import ScoreBounds
from artbank.scoring.structure_model import load_structure_model
from artbank.scoring.style_reference import StyleReference
from artbank.store.explanations import explain
from artbank.stylization.controls import load_controls
from artbank.stylization.style import Style

_NO_LIMIT = float("inf")


class PhotoDrawer:
    """Draws photos in one style by one recipe."""

    def __init__(self, config: DrawConfig, style: Style, reference: StyleReference):
        """Load the models, unless this process has them, and encode the prompts.

        Args:
            config: How to draw, and the models and the device.
            style: The style.
            reference: The reference of its collections.

        Raises:
            BankError: A bank was trained on another base model.
            BaseModelError: A model is missing or damaged, or a LoRA or ControlNet is for another base model.
            OSError: A store or the hub failed.
        """
        self._config = config
        self._style = style.name
        base = load_base_model(config)
        controls = load_controls(config.control_specs, config.depth_model, base, is_offline=config.offline)
        structure_model = load_structure_model(config)
        styles = [(style, reference)]
        self._resources = DrawingResources.load(
            config, base, styles, config.recipe, structure_model, controls, with_texture=config.texture
        )

    def draw(
        self, photos: Sequence[NamedPhoto], batch_size: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[int, DrawnPicture]]:
        """Yield the number of each photo and its picture, as they are finished.

        No picture depends on the other photos. Photos of one key are drawn in different batches.

        Args:
            photos: The photos.
            batch_size: Photos that go through the model at once; by default as many as suit the device.
            progress: Called after each picture.
        """
        size = self._resources.choose_batch_size(batch_size)
        self._resources.compiler.expect(len(photos), or_more=True)
        done = 0
        for numbers in _cut_rounds(photos):
            by_key = {photos[number].key: number for number in numbers}
            for picture in self._draw_round([photos[number] for number in numbers], size):
                done += 1
                if progress is not None:
                    progress(done, len(photos))
                number = by_key[picture.key]
                yield number, replace(picture, source=photos[number].source)

    def _draw_round(self, photos: Sequence[NamedPhoto], size: int) -> Iterator[DrawnPicture]:
        """Draw photos whose keys differ; those that cannot be decoded come last."""
        failed: dict[str, ImageError] = {}
        drawer = BatchDrawer(self._resources)
        for batch in cut_batches(self._decode(photos, failed, ahead=2 * size), size):
            drawn = drawer.draw(batch, {photo.photo.key for photo in batch})
            failed |= {key: error for (key, _), error in drawn.failures.items()}
            for scored in drawer.score(drawn):
                yield from map(self._finish, scored)
        for key, error in failed.items():
            yield DrawnPicture(key, self._style, self._config.recipe, error=error)

    def _decode(
        self, photos: Iterable[NamedPhoto], failed: dict[str, ImageError], *, ahead: int
    ) -> Iterator[DecodedPhoto]:
        """Read and decode photos ahead of the model, in order; adds to `failed` those that cannot be used."""
        options = make_decode_options(self._config, self._config.recipe, self._resources.stylizer, _NO_LIMIT)
        decode = partial(_decode_one, options, self._style, self._config.max_bytes)
        with ThreadPoolExecutor(count_cores()) as pool:
            for photo in prefetch(photos, lambda given: pool.submit(decode, given).result, depth=ahead):
                if isinstance(photo, DecodedPhoto):
                    yield photo
                else:
                    key, error = photo
                    failed[key] = error

    def _finish(self, scored: ScoredPicture) -> DrawnPicture:
        job = scored.make_encode_job(self._config.recipe, output_name(scored.key))
        ceiling = self._resources.references[self._style].ceiling
        return DrawnPicture(
            key=scored.key,
            style=self._style,
            recipe=self._config.recipe,
            seed=scored.picture.seed,
            scores=Scores(
                **vars(scored.cosines),
                ssim=ssim_luma(job.rgb, job.photo),
                flags=tuple(scored.list_flags(sanity_flags(job.rgb))),
            ),
            gain=ScoreBounds(scored.cosines.clip_style_floor, ceiling).gain(scored.cosines.clip_style),
            gain_beyond_colours=ScoreBounds(scored.recoloured, ceiling).gain(scored.cosines.clip_style),
            more_scores=scored.more_scores,
            candidates=scored.candidates,
            caption=scored.photo.caption and scored.photo.caption.text,
            found_settings=scored.found_settings,
            notes=tuple(scored.notes),
            seconds=scored.seconds,
            job=job,
        )


def _cut_rounds(photos: Sequence[NamedPhoto]) -> Iterator[list[int]]:
    """Yield the numbers of the photos in as few rounds as give no two photos of one key to the same round."""
    numbers_of: dict[str, list[int]] = defaultdict(list)
    for number, photo in enumerate(photos):
        numbers_of[photo.key].append(number)
    for place in range(max(map(len, numbers_of.values()), default=0)):
        yield sorted(numbers[place] for numbers in numbers_of.values() if place < len(numbers))


def _decode_one(
    options: DecodeOptions, style: str, max_bytes: int, photo: NamedPhoto
) -> DecodedPhoto | tuple[str, ImageError]:
    try:
        data = photo.read()
        if len(data) > max_bytes:
            raise too_large_error(len(data), max_bytes)
        decoded = decode_photo(photo.key, data, options)
    except ImageError as error:
        return photo.key, error
    except OSError as error:
        return photo.key, ImageError(explain(error), "store_error")
    task = PhotoTask(key=photo.key, size=len(data), etag="", styles=[style], known_sha256=None, caption=photo.caption)
    digest = full_hash(data)
    return DecodedPhoto.of(task, digest, decoded)
