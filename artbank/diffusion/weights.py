"""The files of a base model in a local folder: which ones are loaded, whether all are there, and their hash.

The folder has diffusers' layout: one folder a part, with its settings as JSON and its weights as safetensors. Weights
may lie in several files with an index, and may be a variant such as fp16.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from artbank.diffusion.cache import read_hash
from artbank.diffusion.family import SD, SDXL, Family, read_family
from artbank.diffusion.file_hashes import hash_folder
from artbank.diffusion.hub import CARD_FILES
from artbank.diffusion.model_limits import check_header, check_settings, read_text
from artbank.diffusion.tokenizer_checks import list_missing_words
from artbank.errors import BaseModelError

MINI = "mini"
"""Names the base model and the scorer that are embedded in this package."""

PARTS = SDXL.parts
"""The folders of a base model; Stable Diffusion 1.x and 2.x have no second text encoder and tokenizer."""

SETTINGS_SUFFIXES = (".json", ".txt")
SUFFIXES = (*SETTINGS_SUFFIXES, ".safetensors")
"""The only files that are fetched and read: never pickles, never code."""
PROBE = "unet/config.json"
"""A file that every base model has."""

_SETTINGS = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
_A = {"sd": "a Stable Diffusion", "sdxl": "an SDXL"}
_REFINER_SIZES = 5  # a refiner takes five numbers of an image, with an aesthetic score


def check_base_model(folder: Path) -> None:
    """Check that a folder has every part of its family, with weights as safetensors.

    Raises:
        BaseModelError: Names the files that are missing, damaged, or no safetensors, or settings beyond all measure; or
            the model is a refiner, is quantized, or has a VAE of another class.
    """
    family = read_family(folder)
    _refuse_refiner(folder, family)
    for part in family.networks:
        check_indices(folder / part)
    missing = list_missing_settings(folder, family)
    missing += _missing_weights(family, _list_names(folder))
    missing += _missing_shards(folder)
    if missing:
        raise _missing_error(str(folder), family, missing, _list_names(folder))
    for name in _settings(family):
        if not name.startswith("tokenizer/"):  # which may name 10^30 as its longest text
            check_settings(folder / name)
    _refuse_other_vae(folder)
    for path in chain.from_iterable(list_weights(folder).values()):
        check_header(path)


def check_before_fetching(folder: Path, names: Sequence[str]) -> None:
    """Check that a model is worth fetching, by its settings and the names of all its files.

    Args:
        folder: Its settings.
        names: Its files, such as `unet/config.json`.

    Raises:
        BaseModelError: Weights or a tokenizer's words are missing, or weights are no safetensors, or the model is a
            refiner.
    """
    family = read_family(folder)
    _refuse_refiner(folder, family)
    if missing := _missing_words(family, names) + _missing_weights(family, names):
        raise _missing_error(folder.parent.parent.name, family, missing, names)


def list_missing_settings(folder: Path, family: Family) -> list[str]:
    """Return the settings and tokenizer files that a model of a family needs and that are not in its folder.

    A link to a file that is not there is missing, too: an interrupted download or a copy of the hub's cache has such.
    """
    names = _list_names(folder)
    links = [path for part in family.parts for path in sorted((folder / part).glob("*")) if not path.exists()]
    broken = [path.relative_to(folder).as_posix() for path in links if path.suffix in SETTINGS_SUFFIXES]
    missing = [name for name in _settings(family) if name not in names]
    return list(dict.fromkeys([*missing, *_missing_words(family, names), *broken]))


def select_files(names: Iterable[str]) -> list[str]:
    """Return the files of a model that are loaded, of the names of all its files, such as `unet/config.json`.

    These are the settings of all parts, and of the weights only safetensors of one variant, see `find_variants`: no
    second precision, no pickles, no other formats, and no parts that artbank does not use.
    """
    part_files = [name for name in names if name.count("/") == 1 and name.split("/")[0] in PARTS]
    settings = [name for name in part_files if Path(name).suffix in SETTINGS_SUFFIXES]
    family = SDXL if any(name.startswith("text_encoder_2/") for name in part_files) else SD
    variants = _choose_variants(family, part_files)
    weights = [
        f"{part}/{name}"
        for part, stem in _stems(family).items()
        for name in _find_weights(_names_in(part, part_files), stem, variants[part])
    ]
    return sorted([*settings, *weights])


def select_hub_files(names: Iterable[str]) -> list[str]:
    """Return the files that are fetched from the hub: see `select_files`; and those that name the licence."""
    names = list(names)
    return select_files(names) + [name for name in names if name in ("model_index.json", *CARD_FILES)]


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
    return hash_folder(folder, _loaded_files(folder))


def find_variants(folder: Path) -> dict[str, str | None]:
    """Return diffusers' variant of the weights of each part, such as `fp16`; None for file names without one.

    All parts have the same one if they can. Else each has its own: without a name, or the first by name.
    """
    return _choose_variants(read_family(folder), _list_names(folder))


def list_variants(names: Sequence[str], stem: str) -> list[str | None]:
    """Return the variants of a network's weights, None first if there are weights without one.

    Args:
        names: The names of its files.
        stem: What the names of its weights begin with, `model` or `diffusion_pytorch_model`.
    """
    named = sorted(name for name in names if fnmatchcase(name, f"{stem}.*.safetensors"))
    variants = [name.split(".")[1].split("-")[0] for name in named]  # stem.fp16-00001-of-00002.safetensors
    plain: list[str | None] = [None] if _find_weights(names, stem, None) else []
    return [*plain, *dict.fromkeys(variants)]


def list_missing_shards(folder: Path, stem: str, variant: str | None) -> list[str]:
    """Return the files that the index of a network's weights names but its folder has not; see `list_variants`."""
    suffix = f".{variant}" if variant else ""
    index = folder / f"{stem}.safetensors.index{suffix}.json"
    if not index.is_file() or (folder / f"{stem}{suffix}.safetensors").is_file():
        return []
    return [name for name in sorted(_read_index(index)) if not (folder / name).is_file()]


def list_weights(folder: Path) -> dict[str, list[Path]]:
    """Return the files of weights that are loaded from a folder, by part."""
    variants = find_variants(folder)
    stems = _stems(read_family(folder))
    names = _list_names(folder)
    return {
        part: [folder / part / name for name in sorted(_find_weights(_names_in(part, names), stem, variants[part]))]
        for part, stem in stems.items()
    }


def _choose_variants(family: Family, names: Iterable[str]) -> dict[str, str | None]:
    variants_of_part = {part: list_variants(_names_in(part, names), stem) for part, stem in _stems(family).items()}
    common = set.intersection(*map(set, variants_of_part.values()))
    if None in common:
        return dict.fromkeys(variants_of_part)
    shared = next((variant for variant in variants_of_part["unet"] if variant in common), None)
    return {part: shared or next(iter(variants), None) for part, variants in variants_of_part.items()}


def _list_names(folder: Path) -> list[str]:
    """Return the names of the files in a folder and one level below it, such as `unet/config.json`."""
    paths = sorted([*folder.glob("*"), *folder.glob("*/*")])
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]  # no broken links


def _names_in(part: str, names: Iterable[str]) -> list[str]:
    """Return the names of the files in a part, without the part."""
    return [name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")]


def _loaded_files(folder: Path) -> list[Path]:
    parts = read_family(folder).parts
    settings = [path for part in parts for path in (folder / part).glob("*") if path.suffix in SETTINGS_SUFFIXES]
    weights = [path for paths in list_weights(folder).values() for path in paths]
    return [*settings, *weights]


def _stems(family: Family) -> dict[str, str]:
    """Return the file names of the weights of each part, without variant and suffix."""
    return {part: _STEMS.get(part, "model") for part in family.networks}


def _settings(family: Family) -> list[str]:
    return [f"{part}/{_settings_name(part)}" for part in family.parts]


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


def _refuse_other_vae(folder: Path) -> None:
    """Refuse VAEs of other classes, such as the tiny ones, whose settings have other names."""
    try:
        class_name = json.loads(read_text(folder / "vae/config.json")).get("_class_name", "AutoencoderKL")
    except (ValueError, AttributeError):
        return
    if class_name != "AutoencoderKL":
        raise BaseModelError(
            f"{folder}/vae: expected a VAE of class AutoencoderKL, found {class_name}, which is not supported; take "
            "the VAE of another model"
        )


def _find_weights(names: Iterable[str], stem: str, variant: str | None) -> list[str]:
    """Return the files with the weights of a part in a variant, of the names of its files."""
    name = f"{stem}.{variant}" if variant else stem
    return [file for file in names if file == f"{name}.safetensors" or fnmatchcase(file, f"{name}-*.safetensors")]


def _missing_words(family: Family, names: Sequence[str]) -> list[str]:
    """Return the files of the tokenizers' words that are missing."""
    folders = [encoder.tokenizer for encoder in family.text_encoders]
    return [f"{folder}/{name}" for folder in folders for name in list_missing_words(_names_in(folder, names))]


def _missing_weights(family: Family, names: Sequence[str]) -> list[str]:
    """Return the weights that are missing in the parts of which there are none."""
    stems = _stems(family).items()
    return [f"{part}/{stem}.safetensors" for part, stem in stems if not list_variants(_names_in(part, names), stem)]


def _missing_error(place: str, family: Family, missing: Sequence[str], names: Sequence[str]) -> BaseModelError:
    return BaseModelError(
        f"{place}: expected {_A[family.name]} in diffusers' layout, found no {', '.join(missing)}; {_advise(names)}"
    )


def _missing_shards(folder: Path) -> list[str]:
    """Return the files that are missing although an index of the loaded weights names them."""
    variants = find_variants(folder)
    stems = _stems(read_family(folder)).items()
    return [
        f"{part}/{name}" for part, stem in stems for name in list_missing_shards(folder / part, stem, variants[part])
    ]


def _read_index(index: Path) -> set[str]:
    """Return the file names in an index of weights."""
    try:
        return {str(name) for name in json.loads(read_text(index))["weight_map"].values()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BaseModelError(
            f"{index} cannot be loaded: expected a map of weights, found {error!r}; fetch it again"
        ) from error


def _advise(names: Sequence[str]) -> str:
    if any(name.endswith((".bin", ".ckpt")) for name in names):
        return "its weights are pickles, which are never loaded: convert them to safetensors"
    if _names_in("transformer", names):
        return "it has a transformer: only Stable Diffusion 1.x, 2.x and SDXL are supported"
    return "fetch it again, or take another model"
