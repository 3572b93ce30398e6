"""The files of a model beside the base model, in one folder: where they are, whether all are there, and their hash.

These are the models that score pictures, ControlNets, and the model that estimates depth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath

from artbank.diffusion import hub
from artbank.diffusion.file_hashes import hash_folder
from artbank.diffusion.hub import CARD_FILES, HubModel
from artbank.diffusion.model_limits import check_header, check_settings, read_text
from artbank.diffusion.model_source import PICKLES, ModelSource, check_pin, explain_no_model, is_hub_id, parse_source
from artbank.diffusion.store_copies import LocalCopy, plan_copy
from artbank.diffusion.weights import MINI, SUFFIXES, check_indices, list_missing_shards, list_variants
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.store.objects import Store

UNION = "ControlNetUnionModel"
"""The type of a ControlNet that knows several kinds of images."""
ALL_FILES = tuple(f"*{suffix}" for suffix in SUFFIXES)
"""Patterns of all files that are fetched and read unless a kind names fewer: never pickles, never code."""

_NETWORK_PARTS: dict[str, tuple[str, ...]] = {
    "config.json": ("config.json",),
    "weights as safetensors": ("model.safetensors", "model.*.safetensors", "model-*-of-*.safetensors"),
    "preprocessor_config.json": ("preprocessor_config.json", "processor_config.json"),
}


@dataclass(frozen=True, eq=False)
class ModelKind:
    """A kind of model.

    Attributes:
        name: What messages call it, and its option: `--` and this name, with `-` for a space.
        network: The class of transformers that its folder is for.
        model_types: The values of `type_setting` in its config.json that are accepted.
        advice: What to do about a folder of another type.
        parts: The files that it needs by their names in messages, each as patterns of which one must match.
        embedded: Folder of the model that `mini` stands for; None if there is none.
        type_setting: The setting in its config.json that names its type.
        weights: Pattern of its files of weights.
        files: Patterns of the files that are fetched and read.
    """

    name: str
    network: str
    model_types: tuple[str, ...]
    advice: str
    parts: Mapping[str, tuple[str, ...]]
    embedded: Path | None = None
    type_setting: str = "model_type"
    weights: str = "model*.safetensors"
    files: tuple[str, ...] = ALL_FILES

    @property
    def stem(self) -> str:
        """The begin of the names of its files of weights."""
        return self.weights.partition("*")[0]


SCORER = ModelKind(
    name="scorer",
    network="CLIPModel",
    model_types=("clip",),
    advice="pass a CLIP",
    parts={
        **_NETWORK_PARTS,
        "tokenizer.json or vocab.json": ("tokenizer.json", "vocab.json"),
        "merges.txt": ("tokenizer.json", "merges.txt"),
    },
    embedded=WEIGHTS / "clip",
)
STRUCTURE_MODEL = ModelKind(
    name="structure model",
    network="Dinov2Model",
    model_types=("dinov2", "dinov2_with_registers"),
    advice="pass a DINOv2",
    parts=_NETWORK_PARTS,
)
STYLE_MODEL = ModelKind(
    name="style model",
    network="CLIPVisionModelWithProjection",
    model_types=("clip_vision_model",),
    advice="convert CSD as docs/howto/measures.md says",
    parts=_NETWORK_PARTS,
)
CONTROL = ModelKind(
    name="control",
    network="ControlNetModel",
    model_types=("ControlNetModel", UNION),
    advice="pass a ControlNet of Stable Diffusion 1.x, 2.x or SDXL",
    parts={
        "config.json": ("config.json",),
        "diffusion_pytorch_model.safetensors": (
            "diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model-*.safetensors",
        ),
    },
    embedded=WEIGHTS / "controlnet",
    type_setting="_class_name",
    weights="diffusion_pytorch_model*.safetensors",
    files=(
        "config.json",
        "diffusion_pytorch_model.safetensors",  # beside it may be variants, such as fp16 or a Union's ProMax
        "diffusion_pytorch_model-*.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
    ),
)
DEPTH_MODEL = ModelKind(
    name="depth model",
    network="DepthAnythingForDepthEstimation",
    model_types=("depth_anything", "dpt"),
    advice="pass a Depth Anything or a DPT",
    parts=_NETWORK_PARTS,
)


def fetch_model(kind: ModelKind, source: str, *, is_offline: bool = False) -> Path:
    """Return the folder of a model, of which only a pinned hash is checked; fetches it if it is not here.

    Args:
        kind: The kind of model.
        source: A local folder, a store URI, a hub id `owner/name` or `owner/name@revision`, or `mini` for the embedded
            one, if the kind has one. `@sha256:` and the hash of the model at its end pins its bytes.
        is_offline: Make no request to the hub.

    Raises:
        BaseModelError: There is no such model, or it has another hash.
        OSError: The store or the hub failed.
    """
    parsed = parse_source(source, title=kind.name)
    folder = _fetch(kind, parsed, is_offline=is_offline)
    check_pin(kind.name, parsed.place, parsed.sha256, lambda: hash_model(kind, folder))
    return folder


def find_model(kind: ModelKind, source: str) -> Path | None:
    """Return the folder of a model that is already on this machine, unchecked; None if it is not.

    A store URI costs one listing; a hub id costs no request.

    Raises:
        BaseModelError: The source is neither folder, store URI nor hub id, or there is no model at that URI.
        OSError: The store failed.
    """
    parsed = parse_source(source, title=kind.name)
    if folder := _find_folder(kind, parsed):
        return folder
    if "://" in parsed.place:
        copy = plan_store_copy(kind, parsed.place)
        return copy.folder if copy.is_intact() else None
    return hub.find_cached(describe_hub_model(kind, parsed))


def plan_store_copy(kind: ModelKind, uri: str) -> LocalCopy:
    """List a model in a store, and name the folder of its copy on this machine.

    Raises:
        BaseModelError: There is no model at that URI.
        OSError: The store failed.
    """
    store = Store.open(uri)
    objects = [stored for stored in store.list() if "/" not in stored.key and _is_file_of(kind, stored.key)]
    if not objects:
        raise BaseModelError(f"{kind.name} {uri}: expected a {kind.network}, found no model there; correct the URI")
    return plan_copy(store, objects, partial(hash_model, kind))


def describe_hub_model(kind: ModelKind, source: ModelSource) -> HubModel:
    """Return what is fetched of a model on the hub."""
    advice = "pass a folder or 'mini'" if kind.embedded is not None else "pass a folder"
    select = partial(select_files, kind)
    return HubModel(kind.name, source.place, source.revision, "config.json", select, advice)


def select_files(kind: ModelKind, names: Sequence[str]) -> list[str]:
    """Return the files of a model that are fetched, of the names of all its files: never pickles, never code."""
    return [name for name in names if "/" not in name and (_is_file_of(kind, name) or name in CARD_FILES)]


def _is_file_of(kind: ModelKind, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in kind.files)


def name_model(kind: ModelKind, source: str, folder: Path) -> str:
    """Return the first part of a model's id, which does not depend on the machine: its folder's name or its hub id."""
    place = parse_source(source, title=kind.name).place
    if place == MINI and kind.embedded is not None:
        return f"{MINI}/{kind.embedded.name}"
    if Path(place).expanduser().is_dir():
        return folder.resolve().name
    return PurePosixPath(place).name if "://" in place else place


def check_model(kind: ModelKind, folder: Path) -> None:
    """Check that a folder has every part of a model, with weights as safetensors.

    Raises:
        BaseModelError: Names the parts that are missing, or the kind of model that is there instead.
    """
    check_indices(folder)
    missing = [part for part, names in kind.parts.items() if not any(_has(folder, name) for name in names)]
    missing += list_missing_shards(folder, kind.stem, find_variant(kind, folder))
    if missing:
        advice = "fetch it again"
        if any(any(folder.glob(f"*{suffix}")) for suffix in PICKLES):
            advice = "its weights are pickles, which are never loaded: convert them to safetensors"
        raise BaseModelError(
            f"{kind.name} folder {folder}: expected a {kind.network}, found no {', '.join(missing)}; {advice}"
        )
    try:
        check_settings(folder / "config.json")
        model_type = json.loads(read_text(folder / "config.json")).get(kind.type_setting)
    except (ValueError, AttributeError) as error:
        raise BaseModelError(
            f"{kind.name} folder {folder}: its config.json cannot be read: {error}; fetch it again"
        ) from error
    # transformers would fill the shape of a model of another type with noise, and only warn.
    if model_type not in kind.model_types:
        expected = " or ".join(map(repr, kind.model_types))
        raise BaseModelError(
            f"{kind.name} folder {folder}: expected a model of type {expected}, found {model_type!r}; {kind.advice}"
        )
    for path in list_weights(kind, folder):
        check_header(path)


def _has(folder: Path, pattern: str) -> bool:
    return any(path.exists() for path in folder.glob(pattern))  # a link may be broken


def list_weights(kind: ModelKind, folder: Path) -> list[Path]:
    """Return the files of weights in the folder of a model."""
    files = _list_files(kind, folder)
    return [path for path in files if fnmatchcase(path.name, kind.weights) and path.suffix == ".safetensors"]


def find_variant(kind: ModelKind, folder: Path) -> str | None:
    """Return the variant of the weights in a folder, such as `fp16`; None if there are weights without one."""
    return next(iter(list_variants([path.name for path in folder.glob("*") if path.is_file()], kind.stem)), None)


def hash_model(kind: ModelKind, folder: Path) -> str:
    """Return the SHA-256, hex, over all files that shape a result: weights, settings, tokenizer."""
    return hash_folder(folder, _list_files(kind, folder))


def _list_files(kind: ModelKind, folder: Path) -> list[Path]:
    return sorted({path for pattern in kind.files for path in folder.glob(pattern)})


def _fetch(kind: ModelKind, source: ModelSource, *, is_offline: bool) -> Path:
    if folder := _find_folder(kind, source):
        return folder
    check = partial(check_model, kind)
    if "://" in source.place:
        return plan_store_copy(kind, source.place).fetch(check)
    return hub.fetch(describe_hub_model(kind, source), check, is_offline=is_offline)


def _find_folder(kind: ModelKind, source: ModelSource) -> Path | None:
    """Return the folder that a source names; None if it names a place in a store or on the hub."""
    place = source.place
    if place == MINI and kind.embedded is not None:
        return kind.embedded
    folder = Path(place).expanduser()
    if folder.is_dir():
        return hub.find_snapshot(folder)
    if "://" not in place and not is_hub_id(place):
        embedded = "'mini', " if kind.embedded is not None else ""
        raise explain_no_model(kind.name, place, f"{embedded}a folder, a store URI or a hub id owner/name")
    return None
