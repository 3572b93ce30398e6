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
from pathlib import Path
from typing import Any

from artbank.diffusion import hub
from artbank.diffusion.cache import HASH_FILE, converted_folder
from artbank.diffusion.checkpoint_kinds import CheckpointKind, find_kind
from artbank.diffusion.family import Family, read_family
from artbank.diffusion.file_hashes import hash_file
from artbank.diffusion.model_limits import read_text
from artbank.diffusion.weights import SETTINGS_SUFFIXES, list_missing_settings
from artbank.errors import BaseModelError
from artbank.runtime.hashing import full_hash, short_hash
from artbank.store.tensor_files import TensorHeader

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"
_CONVERSION = 1  # raise it when the same file would become another folder


def is_single_file(source: str) -> bool:
    """Return whether a base model is named by a single file instead of a folder or hub id."""
    return source.lower().endswith(SUFFIX)


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
    from artbank.diffusion.single_file_checks import check_fit

    kind, header = find_kind(path)
    settings = _find_settings(path, kind, is_offline=is_offline)
    folder, digest = _plan(path, settings)
    if folder.is_dir():
        return folder
    logger.info("converting %s, %s, to %s", path, kind.title, folder)
    if assumed := explain_assumption(path):
        logger.warning("%s; %s", *assumed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        partial = Path(scratch) / folder.name
        check_fit(path, kind, header, settings)
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


def find_settings(path: Path, kind: CheckpointKind) -> Path | None:
    """Return the folder on this machine with the settings and tokenizers for a file; None if the hub must be asked.

    Raises:
        BaseModelError: The folder beside the file has not all of them, or those of another kind.
    """
    if beside := _find_beside(path, kind):
        return beside
    cached = hub.find_cached(_describe_settings(kind))
    return None if cached is None or list_missing_settings(cached, kind.family) else cached


def explain_assumption(path: Path) -> tuple[str, str] | None:
    """Return what a file is taken for that does not say what it predicts, and what to do if that is wrong.

    Returns:
        None if the file or a folder beside it says it, or if it is of a kind whose models rarely differ.

    Raises:
        BaseModelError: See `find_kind` and `find_settings`.
    """
    kind, header = find_kind(path)
    is_told = "prediction_type" in _find_prediction(header.metadata, header.shapes)
    if is_told or not kind.assumed or _find_beside(path, kind):
        return None
    other = hub.MIRRORS[f"{kind.settings}-base"]
    return (
        f"{path} does not say what it predicts, so it is taken for {kind.assumed}, as {kind.settings}",
        f"if it predicts epsilon, put the settings of {other} into a folder {path.stem} beside it",
    )


def _plan(path: Path, settings: Path) -> tuple[Path, str]:
    """Return the folder that a file becomes with some settings, and the hash of both."""
    total = hashlib.sha256(bytes.fromhex(hash_file(path)))
    for name, text in sorted(_read_settings(settings).items()):
        total.update(f"\n{name} {full_hash(text)}".encode())
    digest = total.hexdigest()
    return converted_folder() / short_hash(f"{digest} {_CONVERSION}"), digest


def _read_settings(settings: Path) -> dict[str, str]:
    """Return the texts of the settings and tokenizers by their names."""
    parts = read_family(settings).parts
    files = [path for part in parts for path in (settings / part).glob("*") if _is_settings(path)]
    return {path.relative_to(settings).as_posix(): read_text(path) for path in files}


def _is_settings(path: Path) -> bool:
    return path.suffix in SETTINGS_SUFFIXES and ".safetensors." not in path.name  # an index of weights is none


def _find_settings(path: Path, kind: CheckpointKind, *, is_offline: bool) -> Path:
    """Return the folder with the settings and tokenizers for a file, fetched if need be."""
    if beside := _find_beside(path, kind):
        return beside

    def check(folder: Path) -> None:
        if missing := list_missing_settings(folder, kind.family):
            raise BaseModelError(f"{folder}: found no {', '.join(missing)}")

    try:
        folder = hub.fetch(_describe_settings(kind), check, is_offline=is_offline)
        check(folder)  # offline it is taken from the cache as it is
        return folder
    except BaseModelError as error:
        raise explain_no_settings(path, kind) from error


def explain_no_settings(path: Path, kind: CheckpointKind) -> BaseModelError:
    """Return the error for a file whose settings cannot be had."""
    return BaseModelError(
        f"{path} needs the settings and tokenizers of {kind.settings} (3 MB), which are not on this machine, and the "
        f"hub cannot be reached; put them into a folder {path.with_suffix('').name} beside it"
    )


def _find_beside(path: Path, kind: CheckpointKind) -> Path | None:
    """Return the folder of the same name beside a file, or else beside the file that it is a link to; None without."""
    folders = [file.with_suffix("") for file in (path, path.resolve())]
    beside = next((folder for folder in folders if folder.is_dir()), None)
    if beside is None:
        return None
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


def _describe_settings(kind: CheckpointKind) -> hub.HubModel:
    def select(names: Sequence[str]) -> list[str]:
        return [name for name in names if name.split("/")[0] in kind.family.parts and _is_settings(Path(name))]

    return hub.HubModel("base model", kind.settings, None, "unet/config.json", select)


def _save_networks(path: Path, settings: Path, family: Family, folder: Path) -> None:
    """Load the networks of a file by diffusers' single-file loader, and save them to a folder."""
    import safetensors.torch
    import torch
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    from artbank.diffusion.loading import KINDS, no_progress_bars
    from artbank.diffusion.single_file_checks import current_name

    options: dict[str, Any] = {"config": str(settings), "local_files_only": True}
    try:
        tensors = {current_name(name): tensor for name, tensor in safetensors.torch.load_file(path).items()}
        dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
        dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
        with no_progress_bars():
            for part in family.networks:
                part_options = {**options, "subfolder": part, "torch_dtype": dtype}
                if part in ("unet", "vae"):
                    network = KINDS[part].from_single_file(dict(tensors), **part_options)
                else:
                    network = create_diffusers_clip_model_from_ldm(KINDS[part], dict(tensors), **part_options)
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
    settings: dict[str, Any] = {}
    prediction = metadata.get("modelspec.prediction_type", "")
    if "v_pred" in shapes or prediction.startswith("v"):
        settings["prediction_type"] = "v_prediction"
    elif prediction.startswith("eps"):
        settings["prediction_type"] = "epsilon"
    if "ztsnr" in shapes:
        settings |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return settings
