"""What a run is asked to do.

Frozen models, whose field descriptions are Prefect's form, the command line's help and the documentation at once. They
hold URIs and numbers, never secrets and never listings. `BankRecipe` and `StylizeRecipe` are what shapes a bank or a
picture and nothing else: their digests name banks and results, so what would come out the same is not done again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from artbank.credentials import NO_USER, hide, holds_secret
from artbank.errors import Failure

Attention = Literal["ssam", "self", "released", "none"]
Inversion = Literal["stochastic", "gaussian", "ddim"]
Solver = Literal["ddim", "dpm++2m", "unipc"]
Preset = Literal["paper", "exact", "balanced", "fast"]
Colour = Literal["free", "keep", "collection"]
OutputSize = Literal["working", "original"]
Alpha = Literal["white", "keep"]
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
_PLACES = ("gallery_uri", "store_uri", "archive_uri", "output_uri", "base_model", "scorer")


class Model(BaseModel):
    """What all of these share: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class _Recipe(Model):
    VERSION: ClassVar[int]
    """Version of the code behind a recipe: raised when the same recipe would give another bank or other pixels."""

    def digest(self) -> str:
        """Return 16 hex digits that are equal exactly where two recipes ask for the same."""
        facts = {"version": self.VERSION, **self.model_dump(mode="json", exclude={"preset"})}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


PAPER = {"strength": 0.7, "steps": 50, "guidance": 10.0, "inversion": "stochastic", "solver": "ddim"}
"""The paper's settings. Source: ArtBank, section "Implementation details", and the authors' released settings."""

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {**PAPER, "aligned": False},
    "exact": PAPER,
    "balanced": {},
    "fast": {"steps": 10, "solver": "unipc", "guidance_to": 0.6},
}
"""What a recipe starts from, where it is not the default."""


class BankRecipe(_Recipe):
    """What shapes a bank, besides the artworks and the base model."""

    VERSION = 1

    num_tokens: int = Field(
        default=8, ge=1, le=32, description="Vectors in a bank, each the size of one word of the prompt."
    )
    attention: Attention = Field(
        default="ssam",
        description="Module that shapes the vectors while they train; `none` is plain textual inversion.",
    )
    init_word: str = Field(
        default="painting", min_length=1, description="Word whose embedding every vector starts from."
    )
    max_steps: int = Field(default=400, ge=1, le=100_000, description="Longest training, in optimiser steps.")
    batch_size: int = Field(default=8, ge=1, le=1024, description="Artwork views in one step.")
    learning_rate: float = Field(default=5e-3, gt=0, le=1, description="AdamW's rate, after a short warm-up.")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="AdamW's decoupled weight decay.")
    num_crops: int = Field(
        default=4, ge=1, le=64, description="Crops of each artwork; each is learned as is and mirrored."
    )
    caption_dropout: float = Field(
        default=0.1, ge=0, le=1, description="Share of steps whose caption is the style alone."
    )
    min_snr_gamma: float | None = Field(
        default=None, gt=0, description="Min-SNR weighting of the loss; none by default."
    )
    max_strength: float = Field(
        default=1.0, gt=0, le=1, description="Train on noise up to this share of the schedule only."
    )
    holdout: float = Field(
        default=0.15, ge=0, le=0.5, description="Share of artworks kept for validation, at least one."
    )
    validate_every: int = Field(default=25, ge=1, description="Steps between two validations.")
    patience: int = Field(default=6, ge=1, description="Validations without a better loss after which training stops.")
    resolution_px: int | None = Field(
        default=None, ge=32, le=2048, description="Side of a crop, px; the model's by default."
    )
    warm_start: bool = Field(default=False, description="Start from the collection's current bank where there is one.")
    seed: int = Field(default=0, ge=0, description="Seed of crops, captions, noise and the first values.")


class StylizeRecipe(_Recipe):
    """What shapes a stylized picture, besides the photo, the style and the base model."""

    VERSION = 2

    preset: Preset = Field(
        default="balanced",
        description="What is not given follows it: `paper` (to the letter, 71 UNet evaluations a picture), `exact` "
        "(the same, but denoising starts where noising ended), `balanced`, or `fast` (10 steps, some of them guided).",
    )
    strength: float = Field(default=0.5, gt=0, le=1, description="Share of the noise schedule redone; 0 is the photo.")
    steps: int = Field(
        default=20, ge=1, le=500, description="Solver steps of the whole schedule; `strength` of them run."
    )
    guidance: float = Field(default=4.0, ge=1, le=50, description="Classifier-free guidance scale; 1 is without.")
    guidance_from: float = Field(
        default=0.0, ge=0, le=1, description="Share of the executed steps before guidance begins."
    )
    guidance_to: float = Field(
        default=1.0, ge=0, le=1, description="Share of the executed steps after which guidance ends."
    )
    inversion: Inversion = Field(
        default="stochastic", description="How the photo is noised; stochastic keeps its structure."
    )
    solver: Solver = Field(default="dpm++2m", description="Solver of the denoising.")
    aligned: bool = Field(
        default=True, description="Noise the photo to where denoising starts; the paper's release noises it further."
    )
    style_weight: float = Field(
        default=1.0, ge=0, le=2, description="0 is the neutral prompt, 1 the style, more exaggerates."
    )
    prompt: str = Field(default="a painting", description="What is said of the picture beside its style.")
    negative_prompt: str = Field(default="", description="What guidance leads away from.")
    colour: Colour = Field(default="free", description="Colours: as they come, the photo's, or the collection's.")
    size: OutputSize = Field(default="working", description="Output at the working size, or at the photo's own pixels.")
    resolution_px: int | None = Field(default=None, ge=32, le=4096, description="Short side of the working size, px.")
    alpha: Alpha = Field(default="white", description="Transparency: laid on white, or kept in formats that have it.")
    quality: int = Field(default=92, ge=1, le=100, description="Quality of JPEG and WebP output.")
    seed: int = Field(default=0, ge=0, description="Seed of the run; each photo's own follows from it and its key.")

    @model_validator(mode="before")
    @classmethod
    def _follow_preset(cls, values: Any) -> Any:
        name = values.get("preset", "balanced") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in PRESETS:
            return values
        own = [field for field, value in PRESETS[name].items() if field in values and values[field] != value]
        if own and name == "paper":
            fixed = ", ".join(f"{field}={PRESETS[name][field]}" for field in own)
            raise ValueError(f"preset paper fixes {fixed}; leave out {', '.join(own)}, or take preset exact")
        return {**PRESETS[name], **values}

    @model_validator(mode="after")
    def _order_guidance(self) -> Self:
        if self.guidance_from > self.guidance_to:
            raise ValueError(f"guidance_from {self.guidance_from} is above guidance_to {self.guidance_to}; swap them")
        return self


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
        "gallery_uri", "store_uri", "archive_uri", "output_uri", "base_model", "scorer", check_fields=False
    )
    @classmethod
    def _no_secret(cls, uri: str) -> str:
        if holds_secret(uri):
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
    batch_size: int = Field(default=8, ge=1, le=1024, description="Pictures that go through the model at once.")
    decode_seconds: float = Field(
        default=120.0, gt=0, description="Longest that decoding one photo may take; then it fails."
    )
    runner: ShardRunner = Field(
        default="auto",
        description="Where the work goes: threads (this process), dask (processes of this machine, one a GPU), the "
        "address of a Dask scheduler, or deployment:FLOW/DEPLOYMENT (flow runs on its work pool, a range of shards "
        "each); auto is dask where there are several GPUs, else threads.",
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
