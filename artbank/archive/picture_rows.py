"""The result rows of a shard's photos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from artbank.archive.drawn_pictures import ScoredPicture
from artbank.archive.photo_captions import PhotoCaption, choose_caption
from artbank.archive.run_resources import RunResources
from artbank.archive.styles import StyleChoice
from artbank.diffusion.prompt_encoder import without_placeholder
from artbank.errors import ImageError
from artbank.images.codec_jobs import EncodedPicture
from artbank.recipes import StylizeRecipe
from artbank.records.photo_records import PhotoTask, Result
from artbank.results.attempts import Attempt
from artbank.runs.outcome import Tally
from artbank.runtime import telemetry
from artbank.runtime.hashing import full_hash


@dataclass(frozen=True)
class FinishedRow:
    """A row that is ready for the shard's part.

    Attributes:
        row: One photo in one style.
        is_kept: Whether it is an older row of an unchanged photo, so nothing was drawn.
    """

    row: Result
    is_kept: bool = False

    @property
    def tally(self) -> Tally:
        """The row as a tally of one picture."""
        is_done = self.row.status == "done"
        return Tally(
            done=int(is_done),
            failed=int(not is_done),
            kept=int(is_done and self.is_kept),
            seconds=0.0 if self.is_kept else self.row.seconds,
        )


class RowWriter:
    """Makes the rows of one shard, and counts each for telemetry."""

    def __init__(self, run: RunResources, attempt: Attempt):
        """Use the run's facts and the attempt's clock."""
        self._run = run
        self._attempt = attempt

    def failed(
        self, task: PhotoTask, styles: Iterable[str], digest: str | None, error: ImageError
    ) -> list[FinishedRow]:
        """Return the rows of a photo that gets no picture in some styles.

        Args:
            task: The photo.
            styles: The styles.
            digest: SHA-256 of its file, hex; None if it was not read.
            error: The reason.
        """
        rows = []
        for style in styles:
            telemetry.count_picture(style, "failed", error.failure)
            row = self._row(task, style, digest)
            rows.append(FinishedRow(replace(row, status="failed", failure=error.failure, reason=error.reason)))
        return rows

    def unchanged(self, rows: Iterable[Result]) -> list[FinishedRow]:
        """Return the older rows of an unchanged photo."""
        kept = [FinishedRow(row, is_kept=True) for row in rows]
        for finished in kept:
            telemetry.count_picture(finished.row.style, "kept")
        return kept

    def done(
        self, scored: ScoredPicture, *, file_name: str, picture: EncodedPicture, size_px: tuple[int, int]
    ) -> FinishedRow:
        """Return the row of a picture.

        Args:
            scored: The picture as it was drawn, with its photo and its scores.
            file_name: Key of the picture, or of the container that holds it.
            picture: Its bytes, SSIM and flags.
            size_px: Its width and height.
        """
        photo, drawn = scored.photo, scored.picture
        telemetry.count_picture(drawn.style, "done", None, scored.seconds)
        recipe = self._recipe(photo.task)
        width, height = size_px
        return FinishedRow(
            replace(
                self._row(photo.task, drawn.style, photo.digest),
                file_name=file_name,
                file_size=len(picture.data),
                file_sha256=full_hash(picture.data),
                width_px=width,
                height_px=height,
                seed=drawn.seed,
                **vars(scored.cosines),
                **vars(scored.more_scores),
                clip_style_recoloured=scored.recoloured,
                ssim=picture.ssim,
                flags=scored.list_flags(picture.flags),
                scorer=self._run.drawing.scorer.id,
                **scored.found_settings,
                candidates=list(scored.candidates) or None,
                seconds=scored.seconds,
                mark=recipe.mark,
                metadata=recipe.metadata,
                kept_metadata=list(photo.metadata.kept),
                photo_marks=list(photo.metadata.photo_marks),
                notes=scored.notes,
                **_describe_caption(photo.caption),
                prompt=_write_prompt(recipe, photo.caption, self._run.choices[drawn.style]),
            )
        )

    def _row(self, task: PhotoTask, style: str, digest: str | None) -> Result:
        """Return a done row with the facts that every row has."""
        choice = self._run.choices[style]
        return Result(
            key=task.key,
            size=task.size,
            etag=task.etag,
            sha256=digest,
            style=style,
            recipe_id=choice.recipe_id,
            status="done",
            failure=None,
            reason=None,
            bank_ids=choice.bank_ids,
            base_model=self._run.config.base_model,
            base_model_hash=self._run.plan.base_model_hash,
            loras=[lora.title for lora in self._run.plan.loras],
            controls=[control.title for control in self._run.plan.controls],
            recipe=self._recipe(task).model_dump_json(),
            seconds=0.0,
            created_at=self._attempt.now(),
            mark=task.mark,
            metadata=task.metadata,
            **_describe_caption(choose_caption(task.caption)),
        )

    def _recipe(self, task: PhotoTask) -> StylizeRecipe:
        """Return the recipe of a photo's pictures."""
        return self._run.config.recipe.model_copy(update=task.exact_settings)


def _describe_caption(caption: PhotoCaption | None) -> dict[str, Any]:
    """Return the columns of a caption."""
    return {} if caption is None else {"caption": caption.text, "caption_source": caption.source}


def _write_prompt(recipe: StylizeRecipe, caption: PhotoCaption | None, style: StyleChoice) -> str:
    """Return the text that a picture was drawn with, with names in place of the vectors of its banks."""
    text = without_placeholder(caption.text).strip() if caption is not None else ""
    return f"{text or recipe.prompt}, in the style of {' and '.join(bank.title for bank, _ in style.banks)}"
