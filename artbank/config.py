"""What a run is asked to do.

Frozen models, whose field descriptions are Prefect's form, the command line's help and the documentation at once. They
hold URIs and numbers, never secrets and never listings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from artbank.credentials import NO_USER, hide, holds_secret
from artbank.errors import Failure
from artbank.recipes import BankRecipe, Model, StylizeRecipe

Uri = Annotated[str, Field(json_schema_extra={"pattern": NO_USER})]  # so that Prefect keeps no run with a password
OutputFormat = Literal["images", "webdataset", "parquet"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
Runner = Annotated[str, Field(pattern=r"^(auto|threads|dask|(tcp|tls|ws|wss)://[^@\s]+)$")]
ShardRunner = Annotated[
    str, Field(pattern=r"^(auto|threads|dask|(tcp|tls|ws|wss)://[^@\s]+|deployment:[^/\s]+/[^/\s]+)$")
]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Compiling = Literal["auto", "on", "off"]

_NAMED = 3  # styles or collections in a title

COLLECTION_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # it becomes a folder and a Hive partition
CollectionNames = tuple[Annotated[str, Field(pattern=COLLECTION_NAME)], ...]


class PlacesConfig(Model):
    """What names places: no URI holds credentials, and no error tells one that did."""

    @field_validator(
        *("gallery_uri", "store_uri", "archive_uri", "output_uri", "base_model", "scorer", "public_url"),
        check_fields=False,
    )
    @classmethod
    def _no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and holds_secret(uri):
            raise ValueError("a URI holds no credentials; leave them to the environment, such as AWS_ACCESS_KEY_ID")
        return uri

    @model_validator(mode="wrap")
    @classmethod
    def _tell_no_secret(cls, values: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Hide credentials in errors, which quote what they are about."""
        try:
            return read(values)
        except ValidationError as error:
            told: list[Any] = [entry | {"input": hide(entry["input"])} for entry in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(error.title, told) from None


class RunConfig(PlacesConfig):
    """What both runs are told of the frozen models and their input."""

    base_model: Uri = Field(
        default="mini", min_length=1, description="`mini` (the embedded one), a folder, a store URI or a hub id."
    )
    revision: str | None = Field(default=None, description="Revision of a hub id: a commit, tag or branch.")
    device: Device = Field(default="auto", description="auto, cpu, mps, cuda or cuda:N.")
    dtype: Dtype = Field(
        default="auto", description="Precision of the frozen model; auto is bfloat16 on CUDA, else float32."
    )
    compiling: Compiling = Field(
        default="auto",
        description="Compile the UNet, which takes minutes for each size of pictures: on, off, or auto, which is for "
        "sizes that come often, on CUDA.",
    )
    scorer: Uri = Field(
        default="auto", description="CLIP of the scores: mini, a folder or a hub id; auto goes with the base."
    )
    max_megapixels: float = Field(default=100.0, gt=0, description="Larger images are refused before they are decoded.")
    max_megabytes: float = Field(default=1000.0, gt=0, description="Larger files are refused before they are read.")
    runner: Runner = Field(
        default="auto",
        description="Where the work goes: threads (this process), dask (processes of this machine, one a GPU), or the "
        "address of a Dask scheduler; auto is dask where there are several GPUs, else threads.",
    )
    num_workers: int | None = Field(
        default=None, ge=1, le=1024, description="Worker processes of runner dask; one a GPU, or one, by default."
    )

    @property
    def max_pixels(self) -> int:
        """The same limit in pixels."""
        return round(self.max_megapixels * 1e6)

    @property
    def max_bytes(self) -> int:
        """The limit of a file in bytes."""
        return round(self.max_megabytes * 1e6)


class TrainConfig(RunConfig):
    """A run of `train_banks`: one bank for each collection that needs one."""

    gallery_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix with a folder a collection.")
    store_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix of the catalog and the banks.")
    collections: CollectionNames = Field(default=(), description="Collections to look at; all by default.")
    force: bool = Field(default=False, description="Train anew although nothing changed; adds a version.")
    dry_run: bool = Field(default=False, description="Tell what would be trained and how long it may take; do nothing.")
    recipe: BankRecipe = BankRecipe()
    banks_at_once: int = Field(
        default=4, ge=1, le=64, description="Most collections whose banks are trained in the same batches."
    )
    checkpoint_every: int = Field(default=100, ge=1, description="Steps between checkpoints in the store.")
    lease_seconds: float = Field(
        default=90.0,  # beyond an outage of the store of a minute, and what a machine may stand still
        gt=0,
        description="Seconds without a sign of life of another run that trains a collection, after which this one "
        "takes it over.",
    )
    num_samples: int = Field(
        default=4, ge=1, le=64, description="Pictures drawn with a new bank for its scores and preview."
    )
    num_milestones: int = Field(
        default=6,
        ge=0,
        le=32,
        description="Moments of a training, at most, whose vectors are kept to show on the bank's page what it could "
        "draw then; 0 keeps none. No bank depends on it.",
    )

    @property
    def title(self) -> str:
        """What a run of it is called, in a few words."""
        return _title(self.gallery_uri, "banks of", self.collections, self.dry_run)


class AlarmLimits(Model):
    """When the pictures of a run are worth a person's look; see `alarms`."""

    max_failed_share: float | None = Field(
        default=0.05, ge=0, le=1, description="Share of a run's pictures that may fail without an alarm; off for none."
    )
    max_gain_drop: float | None = Field(
        default=0.5,  # a bank's own gain is that of four pictures: photographs differ from them by a quarter and more
        gt=0,
        description="Share of its bank's own gain that the mean gain of a style's pictures may lack without an alarm; "
        "off for none.",
    )
    least_photos: int = Field(
        default=20,  # of fewer, two that failed, or one that came out oddly, are a large share
        ge=1,
        description="Photos of a run below which nothing is judged.",
    )

    @field_validator("max_failed_share", "max_gain_drop", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return None if value == "off" else value


class WatchConfig(PlacesConfig):
    """A run of `watch_gallery`: tell of the collections that changed, once their uploads have ended."""

    gallery_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix with a folder a collection.")
    store_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix of the catalog and the banks.")
    collections: CollectionNames = Field(default=(), description="Collections to look at; all by default.")
    quiet_seconds: float = Field(
        default=60.0, ge=0, description="Seconds for which what changed must stay as it is before it is told of."
    )
    longest_seconds: float = Field(
        default=3600.0, ge=0, description="Seconds after which it is told of although it changes still."
    )
    again: bool = Field(default=False, description="Tell also of what was told of already and has no bank yet.")


class StylizeConfig(RunConfig):
    """A run of `stylize_archive`: every photo in every style, once."""

    archive_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix of the photos.")
    output_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix that gets one tree of pictures a style.")
    store_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix of the catalog and the banks.")
    styles: tuple[str, ...] = Field(
        min_length=1, description="Styles: NAME, NAME@VERSION, or a mix such as monet:0.7+hokusai:0.3."
    )
    recipe: StylizeRecipe = StylizeRecipe()
    include: tuple[str, ...] = Field(
        default=(), description="Photos to work on, as globs such as `2024/**/*.jpg`; all by default."
    )
    exclude: tuple[str, ...] = Field(default=(), description="Photos to leave alone, as globs.")
    limit: int | None = Field(default=None, ge=1, description="Most photos to work on in this run.")
    dry_run: bool = Field(default=False, description="Tell what would be done and how long it may take; do nothing.")
    retry_failed: bool = Field(default=False, description="Try again the photos that failed, and no others.")
    failures: tuple[Failure, ...] = Field(
        default=(), description="Kinds of failure to try again with retry_failed; all by default."
    )
    shard_size: int = Field(
        default=64, ge=1, le=4096, description="Photos in a shard: the unit of retry and of commit."
    )
    alarms: AlarmLimits = AlarmLimits()
    format: OutputFormat = Field(
        default="images",
        description="What pictures are written as: images, files of their own; or one file for each shard and style, "
        "webdataset (tar) or parquet, for which a shard's pictures must fit in memory. What is done stays as it is.",
    )
    batch_size: int | None = Field(
        default=None, ge=1, le=1024, description="Pictures that go through the model at once; 8, and 16 on CUDA."
    )
    decode_seconds: float = Field(
        default=120.0, gt=0, description="Longest that decoding one photo may take; then it fails."
    )
    runner: ShardRunner = Field(
        default="auto",
        description="Where the work goes: threads (this process), dask (processes of this machine, one a GPU), the "
        "address of a Dask scheduler, or deployment:FLOW/DEPLOYMENT (flow runs on its work pool, a range of shards "
        "each); auto is dask where there are several GPUs, else threads.",
    )
    public_url: Annotated[Uri, Field(pattern=r"^https?://[^\s@]+$")] | None = Field(
        default=None,
        description="Where the output's folder can be opened in a browser, such as https://museum.example/art; "
        "Prefect's links to the page and the contact sheet lead there. Nothing is sent to it.",
    )
    shards_per_run: int = Field(
        default=16,  # minutes of a GPU: a flow run takes a minute or so to start a process and to load the model
        ge=1,
        le=4096,
        description="Shards of one flow run, with runner deployment:FLOW/DEPLOYMENT.",
    )

    @property
    def title(self) -> str:
        """What a run of it is called, in a few words."""
        return _title(self.archive_uri, "in", self.styles, self.dry_run)

    @property
    def deployment(self) -> str | None:
        """The FLOW/DEPLOYMENT that works on ranges of shards, if one does."""
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
            raise ValueError("kinds of failure are for a run that tries failed photos again; add retry_failed")
        return failures


def _title(uri: str, link: str, names: Sequence[str], is_dry: bool) -> str:
    """Return the last two parts of a URI's path with the first few of some names, as `museum/photos in monet`."""
    place = "/".join(hide(uri).partition("://")[2 if "://" in uri else 0].strip("/").split("/")[-2:])
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    told = f" {link} {', '.join([*names[:_NAMED], *more])}" if names else ""
    return f"{place}{told}{' (dry run)' if is_dry else ''}"


def style_folder(style: str) -> str:
    """Return the name of a style as its folder and its rows have it."""
    return style.replace(" ", "").replace(":", "_")
