"""The files of a base model in a local folder: which ones are loaded, whether all are there, and their hash.

The folder has diffusers' layout: one folder a part, with its settings as JSON and its weights as safetensors. Weights
may lie in several files with an index, and may be a variant such as fp16.
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from pathlib import Path

from artbank.diffusion.cache import read_hash
from artbank.diffusion.family import SDXL, Family, read_family
from artbank.diffusion.model_limits import check_header, check_settings, read_text
from artbank.errors import BaseModelError

MINI = "mini"
"""Names the base model and the scorer that are embedded in this package."""

PARTS = SDXL.parts
"""The folders of a base model; Stable Diffusion 1.x and 2.x have no second text encoder and tokenizer."""

SUFFIXES = (".json", ".txt", ".safetensors")
"""The only files that are fetched and read: never pickles, never code."""
HUB_PATTERNS = [f"{part}/*{suffix}" for part in PARTS for suffix in SUFFIXES]
"""Patterns of the files that are fetched from a repository on the hub."""

_SETTINGS = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
_A = {"sd": "a Stable Diffusion", "sdxl": "an SDXL"}
_REFINER_SIZES = 5  # a refiner takes five numbers of an image, with an aesthetic score


def check_base_model(folder: Path) -> None:
    """Check that a folder has every part of its family, with weights as safetensors.

    Raises:
        BaseModelError: Names the files that are missing, damaged, or no safetensors, or settings beyond all measure; or
            the model is a refiner.
    """
    family = read_family(folder)
    _refuse_refiner(folder, family)
    for part in family.networks:
        check_indices(folder / part)
    settings = [f"{part}/{_settings_name(part)}" for part in family.parts]
    missing = [name for name in settings if not (folder / name).is_file()]
    for part, stem in _stems(family).items():
        if not _list_variants(folder / part, stem):
            missing.append(f"{part}/{stem}.safetensors")
    missing += _missing_shards(folder)
    if missing:
        raise BaseModelError(
            f"{folder}: expected {_A[family.name]} in diffusers' layout, found no {', '.join(missing)}; "
            f"{_advise(folder)}"
        )
    for name in settings:
        if not name.startswith("tokenizer/"):  # which may name 10^30 as its longest text
            check_settings(folder / name)
    for path in chain.from_iterable(list_weights(folder).values()):
        check_header(path)


def check_indices(folder: Path) -> None:
    """Check that every index of weights in a folder names only safetensors files beside it.

    The libraries choose the reader of a file in an index by its suffix, so that a pickle would be opened as one.

    Raises:
        BaseModelError: An index names another file, or cannot be read.
    """
    for index in folder.glob("*.safetensors.index*.json"):
        for name in sorted(_read_index(index)):
            if "/" in name or "\\" in name or not name.endswith(".safetensors"):
                raise BaseModelError(
                    f"{index}: expected safetensors files beside it, found {name}; "
                    "pickles are never loaded, convert the weights"
                )


def hash_base_model(folder: Path) -> str:
    """Return the SHA-256, hex, over the names and contents of the files that are loaded from a folder.

    That of a folder that was converted from a single file is the hash of this file and of its settings.
    """
    if converted_from := read_hash(folder):
        return converted_from
    total = hashlib.sha256()
    for path in _loaded_files(folder):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return total.hexdigest()


def find_variants(folder: Path) -> dict[str, str | None]:
    """Return diffusers' variant of the weights of each part, such as `fp16`; None for file names without one.

    All parts have the same one if they can. Else each has its own: without a name, or the first by name.
    """
    found = {part: _list_variants(folder / part, stem) for part, stem in _stems(read_family(folder)).items()}
    common = set.intersection(*map(set, found.values()))
    if None in common:
        return dict.fromkeys(found)
    shared = next((variant for variant in found["unet"] if variant in common), None)
    return {part: shared or next(iter(variants), None) for part, variants in found.items()}


def list_weights(folder: Path) -> dict[str, list[Path]]:
    """Return the files of weights that are loaded from a folder, by part."""
    variants = find_variants(folder)
    stems = _stems(read_family(folder))
    return {part: sorted(_find_weights(folder / part, stem, variants[part])) for part, stem in stems.items()}


def _loaded_files(folder: Path) -> list[Path]:
    parts = read_family(folder).parts
    settings = [path for part in parts for path in (folder / part).glob("*") if path.suffix in (".json", ".txt")]
    weights = [path for paths in list_weights(folder).values() for path in paths]
    return sorted([*settings, *weights])


def _stems(family: Family) -> dict[str, str]:
    """Return the file names of the weights of each part, without variant and suffix."""
    return {part: _STEMS.get(part, "model") for part in family.networks}


def _settings_name(part: str) -> str:
    return _SETTINGS.get(part.removesuffix("_2"), "config.json")


def _refuse_refiner(folder: Path, family: Family) -> None:
    """Refuse the second stage of SDXL, which has the larger text encoder alone."""
    if not family.takes_pooled_text or (folder / "text_encoder").is_dir():
        return
    try:
        settings = json.loads(read_text(folder / "unet/config.json"))
        width = settings["cross_attention_dim"] + _REFINER_SIZES * settings["addition_time_embed_dim"]
    except (ValueError, LookupError, TypeError):
        return
    if settings.get("projection_class_embeddings_input_dim") == width:
        raise BaseModelError(f"{folder}: expected a base model, found the refiner of SDXL; take the base of SDXL")


def _find_weights(part: Path, stem: str, variant: str | None) -> list[Path]:
    name = f"{stem}.{variant}" if variant else stem
    return [*part.glob(f"{name}.safetensors"), *part.glob(f"{name}-*.safetensors")]


def _list_variants(part: Path, stem: str) -> list[str | None]:
    """Return the variants of a part's weights, None first if there are weights without one."""
    names = sorted(path.name for path in part.glob(f"{stem}.*.safetensors"))
    variants = [name.split(".")[1].split("-")[0] for name in names]  # stem.fp16-00001-of-00002.safetensors
    plain: list[str | None] = [None] if _find_weights(part, stem, None) else []
    return [*plain, *dict.fromkeys(variants)]


def _missing_shards(folder: Path) -> list[str]:
    """Return the files that are missing although an index of the loaded weights names them."""
    variants = find_variants(folder)
    missing = []
    for part, stem in _stems(read_family(folder)).items():
        suffix = f".{variants[part]}" if variants[part] else ""
        index = folder / part / f"{stem}.safetensors.index{suffix}.json"
        single = folder / part / f"{stem}{suffix}.safetensors"
        if index.is_file() and not single.is_file():
            names = sorted(_read_index(index))
            missing += [f"{part}/{name}" for name in names if not (folder / part / name).is_file()]
    return missing


def _read_index(index: Path) -> set[str]:
    """Return the file names in an index of weights."""
    try:
        return {str(name) for name in json.loads(read_text(index))["weight_map"].values()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BaseModelError(
            f"{index} cannot be loaded: expected a map of weights, found {error!r}; fetch it again"
        ) from error


def _advise(folder: Path) -> str:
    if any(folder.glob("*/*.bin")) or any(folder.glob("*.ckpt")):
        return "its weights are pickles, which are never loaded: convert them to safetensors"
    if (folder / "transformer").is_dir():
        return "it has a transformer: only Stable Diffusion 1.x, 2.x and SDXL are supported"
    return "fetch it again, or take another model"
