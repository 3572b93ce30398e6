"""The parameters of the flow that stylizes an archive, as frozen pydantic models.

Each field's `description` is its text in Prefect's form, in the command line's help and in the
documentation. The models hold URIs and numbers, never secrets and never listings of files. A new field is also named
in `artbank/parameters/groups.py`, which puts fields in order for people.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from artbank.errors import Failure
from artbank.parameters.draw_config import DrawConfig
from artbank.parameters.groups import STYLIZE_GROUPS
from artbank.parameters.model import Model
from artbank.parameters.run_config import ShardRunner, StoreUri, Uri, WebAddress, write_title

OutputFormat = Literal["images", "webdataset", "parquet"]


class AlarmLimits(Model):
    """Limits beyond which a run raises an alarm; see `artbank.runs.alarms`."""

    GROUPS = STYLIZE_GROUPS

    max_failed_share: float | None = Field(
        default=0.05,
        ge=0,
        le=1,
        description=("Raise an alarm when more than this fraction of a run's pictures failed; off disables."),
    )
    max_gain_drop: float | None = Field(
        default=0.5,  # a bank's gain is measured on four pictures; photos differ from it by a quarter or more
        gt=0,
        description=("Raise an alarm when a style's mean CLIP gain is this fraction below its bank's; off disables."),
    )
    least_photos: int = Field(
        default=20,  # with fewer, one or two bad pictures are already a large fraction
        ge=1,
        description="Raise no alarms for runs with fewer photos than this.",
    )

    @field_validator("max_failed_share", "max_gain_drop", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return None if value == "off" else value


class StylizeConfig(DrawConfig):
    """Parameters of `stylize_archive`, which draws every photo in every style once."""

    GROUPS = STYLIZE_GROUPS

    archive_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix of the photos.")
    output_uri: Uri = Field(
        min_length=1,
        description="Folder or s3:// prefix to write to: one tree of pictures per style.",
    )
    store_uri: StoreUri
    styles: tuple[str, ...] = Field(
        min_length=1,
        description="Styles: NAME, NAME@VERSION, or a mix such as monet:0.7+hokusai:0.3; NAME may be an id.",
    )
    lease_seconds: float = Field(
        default=90.0,
        gt=0,
        description="Take over a style when the run that writes it has not renewed its lease for this many seconds.",
    )
    include: tuple[str, ...] = Field(
        default=(),
        description="Only photos that match these globs, such as `2024/**/*.jpg`; all by default.",
    )
    exclude: tuple[str, ...] = Field(default=(), description="Skip photos that match these globs.")
    checksum: bool = Field(
        default=False,
        description=(
            "Read every photo and compare its content, where the store has no ETags (as a folder). By default size, "
            "time of change and status time (ctime) tell whether a photo changed."
        ),
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Number of photos to stylize in this run, at most.",
    )
    dry_run: bool = Field(
        default=False,
        description="Only report what would be drawn and how long it may take.",
    )
    retry_failed: bool = Field(
        default=False,
        description="Retry the photos that failed, and nothing else.",
    )
    failures: tuple[Failure, ...] = Field(
        default=(),
        description="With retry_failed: only these kinds of failure; all by default.",
    )
    delete_removed: bool = Field(
        default=False,
        description=(
            "At the end of the run, delete the pictures of photos that are no longer in the archive, in every style."
        ),
    )
    shard_size: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="Photos per shard, the unit of retry and commit.",
    )
    alarms: AlarmLimits = Field(default_factory=AlarmLimits)
    format: OutputFormat = Field(
        default="images",
        description=(
            "Output format: images (one file per picture), or one file per shard and style: "
            "webdataset (tar) or parquet, which hold a shard's pictures in memory. Existing output "
            "is not converted."
        ),
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Pictures per model batch; by default 8, and 16 on CUDA.",
    )
    decode_seconds: float = Field(
        default=120.0,
        gt=0,
        description="Time limit for decoding one photo, in seconds; a slower photo fails.",
    )
    runner: ShardRunner = Field(
        default="auto",
        description=(
            "Where the work runs: threads (this process), dask (one process per GPU of this "
            "machine), the address of a Dask scheduler, or deployment:FLOW/DEPLOYMENT (one flow "
            "run per range of shards, on its work pool); auto is dask with several GPUs, otherwise "
            "threads."
        ),
    )
    public_url: WebAddress | None = Field(
        default=None,
        description=(
            "Web address of the output's folder, such as https://museum.example/art, for links in "
            "Prefect to the report. Nothing is sent to it."
        ),
    )
    shards_per_run: int = Field(
        default=16,  # minutes of GPU work; starting a flow run and loading the model takes about one
        ge=1,
        le=4096,
        description="Shards per flow run, with runner deployment:FLOW/DEPLOYMENT.",
    )

    @property
    def title(self) -> str:
        """The flow run's name."""
        return write_title(self.archive_uri, "in", self.styles, self.dry_run)

    @property
    def deployment(self) -> str | None:
        """The FLOW/DEPLOYMENT of the runner; None with any other runner."""
        kind, _, name = self.runner.partition("deployment:")
        return None if kind else name

    @field_validator("styles")
    @classmethod
    def _distinct(cls, styles: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(styles)) < len(styles):
            raise ValueError(f"a style is named twice in {', '.join(styles)}; name each once")
        return styles

    @field_validator("failures")
    @classmethod
    def _only_with_retry(cls, failures: tuple[Failure, ...], info: ValidationInfo) -> tuple[Failure, ...]:
        if failures and not info.data.get("retry_failed"):
            raise ValueError("failures only applies with retry_failed; add retry_failed")
        return failures
