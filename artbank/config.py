"""What a run is asked to do.

Frozen models, whose field descriptions are Prefect's form, the command line's help and the documentation at once. They
hold URIs and numbers, never secrets and never listings.
"""

from __future__ import annotations

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

COLLECTION_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # it becomes a folder and a Hive partition


class RunConfig(Model):
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

    @field_validator(
        "gallery_uri",
        "store_uri",
        "archive_uri",
        "output_uri",
        "base_model",
        "scorer",
        "public_url",
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


class TrainConfig(RunConfig):
    """A run of `train_banks`: one bank for each collection that needs one."""

    gallery_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix with a folder a collection.")
    store_uri: Uri = Field(min_length=1, description="Folder or s3:// prefix of the catalog and the banks.")
    collections: tuple[Annotated[str, Field(pattern=COLLECTION_NAME)], ...] = Field(
        default=(), description="Collections to look at; all by default."
    )
    force: bool = Field(default=False, description="Train anew although nothing changed; adds a version.")
    recipe: BankRecipe = BankRecipe()
    banks_at_once: int = Field(
        default=4, ge=1, le=64, description="Most collections whose banks are trained in the same batches."
    )
    checkpoint_every: int = Field(default=100, ge=1, description="Steps between checkpoints in the store.")
    num_samples: int = Field(
        default=4, ge=1, le=64, description="Pictures drawn with a new bank for its scores and preview."
    )


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


def style_folder(style: str) -> str:
    """Return the name of a style as its folder and its rows have it."""
    return style.replace(" ", "").replace(":", "_")
