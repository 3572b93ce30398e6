"""Base models in a single safetensors file, as Civitai, A1111 and ComfyUI have them: converted once to a folder.

Such a file has the weights of all networks, under the names of the original code, and neither settings nor tokenizers.
These come from a folder beside it with the same name, else from the hub: those of the model that its kind derives from.
diffusers' single-file loader gives the tensors their places. The folder in diffusers' layout lies in the cache; its
hash is that of the file and of what was taken from the settings, whatever version of diffusers converted it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artbank.diffusion import hub
from artbank.diffusion.cache import HASH_FILE, converted_folder
from artbank.diffusion.family import SD, SDXL, Family, read_family
from artbank.diffusion.file_hashes import hash_file
from artbank.diffusion.model_limits import check_header, check_settings, read_text
from artbank.diffusion.weights import list_missing_settings
from artbank.errors import BaseModelError
from artbank.runtime.hashing import short_hash
from artbank.store.tensor_files import TensorHeader

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"
_CONVERSION = 1  # raise it when the same file would become another folder
_UNET = "model.diffusion_model."
_FIRST_LAYER = f"{_UNET}input_blocks.0.0.weight"
_SETTINGS = (".json", ".txt")


@dataclass(frozen=True)
class CheckpointKind:
    """A kind of single file.

    Attributes:
        title: Its name for people.
        family: Its family.
        settings: Hub id of the model whose settings its files have.
    """

    title: str
    family: Family
    settings: str


_KINDS = {
    "conditioner.embedders.1.": CheckpointKind("SDXL", SDXL, "stabilityai/stable-diffusion-xl-base-1.0"),
    "cond_stage_model.transformer.": CheckpointKind(
        "Stable Diffusion 1.x", SD, "stable-diffusion-v1-5/stable-diffusion-v1-5"
    ),
    "cond_stage_model.model.": CheckpointKind("Stable Diffusion 2.x", SD, "stabilityai/stable-diffusion-2-1"),
}
"""The kinds by the first tensors of their text encoder; of SDXL by those of its second one, which refiners lack."""


def is_single_file(source: str) -> bool:
    """Tell whether a base model is named by a single file instead of a folder or hub id."""
    return source.lower().endswith(SUFFIX)


def find_kind(path: Path) -> tuple[CheckpointKind, TensorHeader]:
    """Return the kind of a single file, and its header; reads no weights.

    Raises:
        BaseModelError: The file is damaged, or of a kind that is not supported.
    """
    header = check_header(path)
    for prefix, kind in _KINDS.items():
        if any(name.startswith(prefix) for name in header.shapes) and _FIRST_LAYER in header.shapes:
            channels = header.shapes[_FIRST_LAYER][1]
            if channels == 4:
                return kind, header
            raise BaseModelError(
                f"{path}: expected a UNet for 4 channels, found one for {channels}; inpainting and depth models are "
                "not supported"
            )
    if any(name.startswith("conditioner.embedders.0.model.") for name in header.shapes):
        raise BaseModelError(f"{path}: expected a base model, found the refiner of SDXL; take the base of SDXL")
    raise BaseModelError(
        f"{path}: expected the UNet, VAE and text encoders of a Stable Diffusion 1.x, 2.x or SDXL in one file, found "
        f"other tensors, such as {next(iter(header.shapes), 'none')}; take another file"
    )


def find_converted(path: Path) -> Path | None:
    """Return the folder that a file was converted to before; None if it was not. Reads the whole file for its hash.

    Raises:
        BaseModelError: The file is damaged, or of a kind that is not supported.
    """
    kind, _ = find_kind(path)
    try:
        folder = _plan(path, _find_settings(path, kind, is_offline=True))[0]
    except BaseModelError:  # without its settings it was not converted
        return None
    return folder if folder.is_dir() else None


def convert(path: Path, *, is_offline: bool = False) -> Path:
    """Return the folder of a single file in diffusers' layout; the file is converted once.

    Args:
        path: The file.
        is_offline: Make no request to the hub.

    Raises:
        BaseModelError: The file is damaged or of a kind that is not supported, or its settings cannot be had.
        OSError: The disk is full, or the hub failed.
    """
    kind, header = find_kind(path)
    settings = _find_settings(path, kind, is_offline=is_offline)
    folder, digest = _plan(path, settings)
    if folder.is_dir():
        return folder
    logger.info("converting %s, %s, to %s", path, kind.title, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        partial = Path(scratch) / folder.name
        _save_networks(path, settings, kind.family, partial)
        for part in kind.family.parts:
            _copy_settings(settings / part, partial / part)
        _mark_prediction(header, partial / "scheduler" / "scheduler_config.json")
        (partial / HASH_FILE).write_text(digest)
        try:
            partial.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another process has put the same files there first
                raise
    return folder


def _plan(path: Path, settings: Path) -> tuple[Path, str]:
    """Return the folder that a file becomes with some settings, and the hash of both."""
    total = hashlib.sha256(bytes.fromhex(hash_file(path)))
    for name, text in sorted(_read_settings(settings).items()):
        total.update(f"\n{name} {hashlib.sha256(text.encode()).hexdigest()}".encode())
    digest = total.hexdigest()
    return converted_folder() / short_hash(f"{digest} {_CONVERSION}"), digest


def _read_settings(settings: Path) -> dict[str, str]:
    """Return the texts of the settings and tokenizers by their names."""
    parts = read_family(settings).parts
    files = [path for part in parts for path in (settings / part).glob("*") if _is_settings(path)]
    return {path.relative_to(settings).as_posix(): read_text(path) for path in files}


def _is_settings(path: Path) -> bool:
    return path.suffix in _SETTINGS and ".safetensors." not in path.name  # an index of weights is none


def _find_settings(path: Path, kind: CheckpointKind, *, is_offline: bool) -> Path:
    """Return the folder with the settings and tokenizers for a file."""
    beside = path.with_suffix("")
    if not beside.is_dir():
        return _fetch_settings(path, kind, is_offline=is_offline)
    if missing := list_missing_settings(beside, kind.family):
        raise BaseModelError(
            f"{beside}: expected the settings and tokenizers for {path.name}, found no {', '.join(missing)}; copy "
            f"those of {kind.settings}, or remove the folder to fetch them"
        )
    if read_family(beside) != kind.family:
        raise BaseModelError(
            f"{beside}: expected the settings of {kind.title} as {path.name}, found those of "
            f"{read_family(beside).title}; copy those of {kind.settings}"
        )
    return beside


def _fetch_settings(path: Path, kind: CheckpointKind, *, is_offline: bool) -> Path:
    def select(names: Sequence[str]) -> list[str]:
        return [name for name in names if name.split("/")[0] in kind.family.parts and _is_settings(Path(name))]

    def check(folder: Path) -> None:
        if missing := [part for part in kind.family.parts if not (folder / part).is_dir()]:
            raise BaseModelError(f"{folder}: found no {', '.join(missing)}")

    model = hub.HubModel("base model", kind.settings, None, "unet/config.json", select)
    try:
        return hub.fetch(model, check, is_offline=is_offline)
    except BaseModelError as error:
        raise BaseModelError(
            f"{path} needs the settings and tokenizers of {kind.settings} (3 MB), which are not on this machine, and "
            f"the hub cannot be reached; put them into a folder {path.with_suffix('').name} beside it"
        ) from error


def _save_networks(path: Path, settings: Path, family: Family, folder: Path) -> None:
    """Load the networks of a file by diffusers' single-file loader, and save them to a folder."""
    import safetensors.torch
    import torch
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    from artbank.diffusion.loading import KINDS, no_progress_bars

    options: dict[str, Any] = {"config": str(settings), "local_files_only": True}
    for part in family.networks:
        check_settings(settings / part / "config.json")
    try:
        tensors = safetensors.torch.load_file(path)
        dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
        dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
        with no_progress_bars():
            for part in family.networks:
                own = {**options, "subfolder": part, "torch_dtype": dtype}
                if part in ("unet", "vae"):
                    network = KINDS[part].from_single_file(dict(tensors), **own)
                else:
                    network = create_diffusers_clip_model_from_ldm(KINDS[part], dict(tensors), **own)
                network.save_pretrained(folder / part, max_shard_size="100GB")
    except Exception as error:  # on damaged files these libraries raise exceptions of every kind
        raise BaseModelError(f"{path} cannot be converted with the settings of {settings}: {error}") from error


def _copy_settings(source: Path, target: Path) -> None:
    """Copy settings and tokenizers; those that a network was saved with stay."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*"):
        if _is_settings(path) and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)


def _mark_prediction(header: TensorHeader, scheduler: Path) -> None:
    """Note in the settings of a schedule what a file says about it: by its metadata, or by tensors as marks."""
    settings = json.loads(read_text(scheduler))
    settings |= _find_prediction(header.metadata, header.shapes)
    scheduler.write_text(json.dumps(settings, indent=2))


def _find_prediction(metadata: Mapping[str, str], shapes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    told = metadata.get("modelspec.prediction_type", "")
    if "v_pred" in shapes or told.startswith("v"):
        found["prediction_type"] = "v_prediction"
    elif told.startswith("eps"):
        found["prediction_type"] = "epsilon"
    if "ztsnr" in shapes:
        found |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return found
