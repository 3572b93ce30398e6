"""Parameters that all flows share: where a run reads, its models, the limits of its inputs, its workers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from artbank.credentials import NO_CREDENTIALS_PATTERN, has_credentials, redact
from artbank.parameters.control_specs import list_named, parse_control
from artbank.parameters.lora_specs import parse_lora
from artbank.parameters.model import Model
from artbank.parameters.skip_rules import DEFAULT_RULES, SkipRules

Uri = Annotated[
    str, Field(json_schema_extra={"pattern": NO_CREDENTIALS_PATTERN})
]  # Prefect then refuses a run whose URI holds a password
GalleryUri = Annotated[Uri, Field(min_length=1, description="Folder or s3:// prefix with one folder per collection.")]
StoreUri = Annotated[Uri, Field(min_length=1, description="Folder or s3:// prefix of the catalog and the banks.")]
_WEB_ADDRESS = r"^https?://[^\s@]+$"
_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
_RUNNER = r"^(auto|threads|dask|(tcp|tls|ws|wss)://[^@\s]+)$"
_SHARD_RUNNER = r"^(auto|threads|dask|(tcp|tls|ws|wss)://[^@\s]+|deployment:[^/\s]+/[^/\s]+)$"
_COLLECTION = r"^[^/]*[^/\s][^/]*$"
EXPECTED = {
    _WEB_ADDRESS: "an address that begins with https:// or http://, without a user",
    _DEVICE: "auto, cpu, mps, cuda, or one GPU such as cuda:1",
    _RUNNER: "auto, threads, dask, or the address of a Dask scheduler such as tcp://host:8786",
    _SHARD_RUNNER: "auto, threads, dask, the address of a Dask scheduler such as tcp://host:8786, or "
    "deployment:FLOW/DEPLOYMENT",
    _COLLECTION: "the name of a folder in the gallery, without a path",
}
"""What is expected, for people, by the pattern of a field."""
WebAddress = Annotated[Uri, Field(pattern=_WEB_ADDRESS)]
Device = Annotated[str, Field(pattern=_DEVICE)]
Runner = Annotated[str, Field(pattern=_RUNNER)]
ShardRunner = Annotated[str, Field(pattern=_SHARD_RUNNER)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Compiling = Literal["auto", "on", "off"]
Offload = Literal["auto", "on", "off"]
Durability = Literal["full", "fast"]

SkipGlobs = Annotated[
    tuple[str, ...],
    Field(
        description=(
            "More globs of files that are no photos, beside the built-in rules. `name/` matches "
            "a folder and all in it, `!glob` keeps what it matches, and the last match decides. `!default` disables "
            f"the built-in rules, which leave out {'; '.join(DEFAULT_RULES)}."
        )
    ),
]
_NAMED = 3  # styles or collections named in a title

OnlyCollections = Annotated[
    tuple[Annotated[str, Field(pattern=_COLLECTION)], ...],
    Field(description="Only these collections, by name or id; all by default."),
]


def explain_entry(entry: Any) -> str:
    """Return what is wrong with a parameter, for people, from an entry of pydantic's errors."""
    if entry["type"] == "string_pattern_mismatch" and (expected := EXPECTED.get(entry["ctx"]["pattern"])):
        return f"expected {expected}"
    if entry["type"] == "tuple_type":
        return f"expected a list, such as {_example_list(entry['input'])}"
    if entry["type"] in ("model_type", "dict_type"):
        return "expected settings by name, such as {seed: 1}"
    return entry["msg"].removeprefix("Value error, ")


def _example_list(value: Any) -> str:
    """Return a value as the only one of a list, as YAML, JSON and TOML write it."""
    return json.dumps([value if isinstance(value, str) else "NAME"], ensure_ascii=False)


class PlacesConfig(Model):
    """Base of all parameters: URIs must hold no credentials, and errors never quote any."""

    @field_validator("skip", check_fields=False)
    @classmethod
    def _only_globs(cls, skip: tuple[str, ...]) -> tuple[str, ...]:
        SkipRules(skip)
        return skip

    @field_validator(
        *("gallery_uri", "store_uri", "archive_uri", "output_uri", "base_model", "scorer", "public_url"),
        *("style_model", "structure_model", "depth_model"),
        check_fields=False,
    )
    @classmethod
    def _no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and has_credentials(uri):
            raise ValueError("a URI must not hold credentials; pass them in the environment, such as AWS_ACCESS_KEY_ID")
        return uri

    @field_validator("loras", check_fields=False)
    @classmethod
    def _only_loras(cls, loras: tuple[str, ...]) -> tuple[str, ...]:
        uris = [parse_lora(cls._no_secret(lora) or "").uri for lora in loras]
        if len(set(uris)) < len(uris):
            raise ValueError(f"a LoRA is named twice in {', '.join(uris)}; name each once")
        return loras

    @field_validator("controls", check_fields=False)
    @classmethod
    def _only_controls(cls, controls: tuple[str, ...] | None) -> tuple[str, ...] | None:
        named = None if controls is None else list_named(controls)
        for control in named or ():
            cls._no_secret(parse_control(control).source)
        return named

    @model_validator(mode="wrap")
    @classmethod
    def _redact_errors(cls, values: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Redact credentials in validation errors, which quote the wrong value."""
        try:
            return read(values)
        except ValidationError as error:
            entries: list[Any] = [
                entry | {"input": redact(entry["input"])} for entry in error.errors(include_url=False)
            ]
            raise ValidationError.from_exception_data(error.title, entries) from None


class RunConfig(PlacesConfig):
    """Parameters that training and stylizing share: models, input limits, workers."""

    base_model: Uri = Field(
        default="mini",
        min_length=1,
        description=(
            "`mini` (the embedded one), a folder, a single .safetensors file, a store URI or a hub id; `ID@REVISION` "
            "pins a revision, `@sha256:HEX` at the end of any the hash of its files."
        ),
    )
    revision: str | None = Field(
        default=None,
        description="Revision of a hub id: a commit, tag or branch; the same as `ID@REVISION`.",
    )
    offline: bool = Field(
        default=False,
        description="Make no request to the hub, as HF_HUB_OFFLINE=1 does: models must be here or in a store.",
    )
    device: Device = Field(default="auto", description="auto, cpu, mps, cuda or cuda:N.")
    dtype: Dtype = Field(
        default="auto",
        description="Precision of the frozen model; auto is bfloat16 on CUDA, float16 on older cards, else float32.",
    )
    compiling: Compiling = Field(
        default="auto",
        description=(
            "torch.compile UNet and VAE, a minute or more per image and batch size: on, off, or auto (CUDA only, for "
            "sizes of which so much is left that compiling saves more than it costs)."
        ),
    )
    offload: Offload = Field(
        default="auto",
        description=(
            "Let the UNet and the text encoders wait in main memory while the VAE encodes or decodes, for GPUs with "
            "little memory: on, off, or auto (where the VAE does not fit beside them). Same pictures, slower."
        ),
    )
    scorer: Uri = Field(
        default="auto",
        description=(
            "CLIP model for the scores: mini, a folder, a store URI or a hub id; auto uses the one that belongs to the "
            "base model."
        ),
    )
    style_model: Uri | None = Field(
        default=None,
        min_length=1,
        description=(
            "CSD model for the score csd_style: a folder, a store URI or a hub id; none by default. Banks must be "
            "trained with it too, because training measures the artworks."
        ),
    )
    max_megapixels: float = Field(
        default=100.0,
        gt=0,
        description="Reject larger images before decoding them.",
    )
    max_megabytes: float = Field(
        default=1000.0,
        gt=0,
        description="Reject larger files before reading them.",
    )
    skip: SkipGlobs = ()
    max_missing_share: float = Field(
        default=0.25,  # a run asks once too often rather than once too little: the answer is one option
        ge=0,
        le=1,
        description=(
            "Stop when more than this fraction of an archive's photos, or of a collection's artworks, is missing since "
            "the last run, as when a disk is not mounted."
        ),
    )
    allow_missing: bool = Field(
        default=False,
        description="Go on even if more than max_missing_share is missing, because it was removed on purpose.",
    )
    runner: Runner = Field(
        default="auto",
        description=(
            "Where the work runs: threads (this process), dask (one process per GPU of this "
            "machine), or the address of a Dask scheduler; auto is dask with several GPUs, "
            "otherwise threads."
        ),
    )
    num_workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description=("Worker processes for the dask runner; one per GPU by default, or one without GPUs."),
    )

    durability: Durability = Field(
        default="full",
        description=(
            "On local file systems: full flushes each file to the disk before another file names it, so a power cut "
            "loses nothing that is recorded; fast leaves that to the system. Stores such as S3 are not affected."
        ),
    )

    @property
    def is_durable(self) -> bool:
        """Whether local files are flushed to the disk."""
        return self.durability == "full"

    @property
    def max_pixels(self) -> int:
        """The limit of `max_megapixels` in pixels."""
        return round(self.max_megapixels * 1e6)

    @property
    def max_bytes(self) -> int:
        """The limit of `max_megabytes` in bytes."""
        return round(self.max_megabytes * 1e6)


def write_title(uri: str, link: str, names: Sequence[str], is_dry: bool) -> str:
    """Return the title of a run, such as `museum/photos in monet`.

    Args:
        uri: What the run reads; its last two names are used.
        link: The words between it and the names.
        names: Styles or collections; those after the third are counted.
        is_dry: Whether the run writes nothing.
    """
    place = "/".join(redact(uri).partition("://")[2 if "://" in uri else 0].strip("/").split("/")[-2:])
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    names_text = f" {link} {', '.join([*names[:_NAMED], *more])}" if names else ""
    return f"{place}{names_text}{' (dry run)' if is_dry else ''}"
