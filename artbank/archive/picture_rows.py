"""The result rows of a shard's photos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from artbank.archive.run_resources import RunResources
from artbank.errors import ImageError
from artbank.images.file_metadata import FileMetadata
from artbank.images.pool import EncodedPicture
from artbank.recipes import StylizeRecipe
from artbank.records import PhotoTask, Result
from artbank.results.attempts import Attempt
from artbank.runs.outcome import Tally
from artbank.runtime import telemetry
from artbank.runtime.hashing import short_hash
from artbank.scoring.optional_measures import OptionalScores
from artbank.scoring.scores import Cosines, Scores
from artbank.stylization.stylizer import Stylized


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
        for one in kept:
            telemetry.count_picture(one.row.style, "kept")
        return kept

    def done(
        self,
        task: PhotoTask,
        style: str,
        digest: str,
        *,
        file_name: str,
        picture: EncodedPicture,
        size_px: tuple[int, int],
        drawn: Stylized,
        cosines: Cosines,
        more_scores: OptionalScores,
        candidates: tuple[float, ...],
        seconds: float,
        metadata: FileMetadata,
        notes: list[str],
    ) -> FinishedRow:
        """Return the row of a picture.

        Args:
            task: The photo.
            style: The style.
            digest: SHA-256 of the photo's file, hex.
            file_name: Key of the picture, or of the container that holds it.
            picture: Its bytes, SSIM and flags.
            size_px: Its width and height.
            drawn: The picture as it was drawn: its seed, and the structure that was found for it.
            cosines: Its CLIP scores.
            more_scores: Its scores by optional models.
            candidates: Scores of all pictures that it was chosen from; empty without a choice.
            seconds: Device seconds of this picture.
            metadata: What its file has beside its pixels.
            notes: Sentences about the photo's conversion, marks and metadata.
        """
        telemetry.count_picture(style, "done", None, seconds)
        scores = Scores(**vars(cosines), ssim=picture.ssim, flags=picture.flags)
        flags = [*scores.flags, "loose"] if drawn.is_loose else list(scores.flags)
        facts = {**vars(scores), **vars(more_scores), "flags": flags, "scorer": self._run.scorer.id}
        if drawn.kept is not None:
            facts |= {"structure": drawn.kept.structure, "lightness": drawn.kept.lightness}
        recipe = self._recipe(task)
        width, height = size_px
        return FinishedRow(
            replace(
                self._row(task, style, digest),
                file_name=file_name,
                file_size=len(picture.data),
                file_sha256=short_hash(picture.data, 64),
                width_px=width,
                height_px=height,
                seed=drawn.seed,
                candidates=list(candidates) or None,
                seconds=seconds,
                mark=recipe.mark,
                metadata=recipe.metadata,
                kept_metadata=list(metadata.kept),
                photo_marks=list(metadata.photo_marks),
                notes=notes,
                **facts,
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
            recipe=self._recipe(task).model_dump_json(),
            seconds=0.0,
            created_at=self._attempt.now(),
            mark=task.mark,
            metadata=task.metadata,
        )

    def _recipe(self, task: PhotoTask) -> StylizeRecipe:
        """Return the recipe of a photo's pictures."""
        return self._run.config.recipe.model_copy(update=task.exact_settings)
