"""Whether base model and scorer are there and whole, what they are, and under which licence."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from artbank.config import RunConfig
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.devices import pick_device, pick_dtype
from artbank.diffusion.loading import load_shapes
from artbank.diffusion.weights import FETCHED, check, find_local, plan_local_copy, weight_files
from artbank.doctor.checks import CheckResult, size_text
from artbank.doctor.disk_space import check_semaphores, judge_gpu, judge_memory, judge_room, measure_available
from artbank.doctor.hub import ask_hub
from artbank.doctor.licences import find_licence
from artbank.errors import BaseModelError
from artbank.scoring.clip import FETCHED as CLIP_FETCHED
from artbank.scoring.clip import check as check_clip
from artbank.scoring.clip import choose_scorer, locate
from artbank.store.tensor_files import TensorHeader, read_header

_PARTS = ("unet", "vae", "text_encoder")


def check_base(choice: RunConfig, seconds: float) -> Iterator[CheckResult]:
    """Look at the base model of a run, wherever it is; none of its weights are loaded or fetched.

    Args:
        choice: Of base model and revision.
        seconds: For which the hub is waited for.
    """
    folder = None
    try:
        folder = find_local(choice.base_model, choice.revision)
        if folder is not None:
            yield from _check_folder(choice.base_model, folder)
        elif "://" in choice.base_model:
            yield from _check_store(choice.base_model)
        else:
            yield from ask_hub(choice.base_model, choice.revision, FETCHED, seconds)
    except BaseModelError as error:
        yield CheckResult("problem", str(error), "" if folder is None else "fetch it again, or take another one")


def check_scorer(choice: RunConfig, seconds: float) -> Iterator[CheckResult]:
    """Look at the CLIP that scores; of one on the hub that is not here it is asked whether it is there."""
    try:
        source = choose_scorer(choice, _find_base(choice))
        try:
            folder = locate(source, local_files_only=True)
        except BaseModelError:
            if "/" not in source or source.startswith((".", "/", "~")):
                raise
            name, _, revision = source.partition("@")
            yield from ask_hub(name, revision or None, CLIP_FETCHED, seconds)
            return
        check_clip(folder)
        headers = [_read_header(path) for path in sorted(folder.glob("model*.safetensors"))]
    except BaseModelError as error:
        yield CheckResult("problem", str(error), "pass --scorer mini, a folder, or a hub id")
        return
    yield CheckResult(
        "OK", f"{source}: {sum(header.num_values for header in headers) / 1e6:.1f} million weights, whole"
    )


def check_memory(choice: RunConfig) -> Iterator[CheckResult]:
    """Compare the memory of machine and device with what the models' weights take; a batch comes on top."""
    device = pick_device(choice.device)
    width = pick_dtype(choice.dtype, device).itemsize
    weights = count_weights(choice)
    need = None if weights is None else weights[0] * width + weights[1] * 4  # the scorer is always in float32
    yield judge_memory(measure_available(), need, choice.max_pixels)
    yield check_semaphores()
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        yield judge_gpu(str(device), free, total, need)


def count_weights(choice: RunConfig) -> tuple[int, int] | None:
    """Return the number of weights of base model and scorer; None where one of them is not on this machine."""
    try:
        folder = _find_base(choice)
        if folder is None:
            return None
        clip = locate(choose_scorer(choice, folder), local_files_only=True)
        base = sum(_count(path) for paths in weight_files(folder).values() for path in paths)
        return base, sum(_count(path) for path in clip.glob("model*.safetensors"))
    except (BaseModelError, OSError):
        return None


def _read_header(path: Path) -> TensorHeader:
    try:
        return read_header(path)
    except ValueError as error:
        raise BaseModelError(f"{path} is no whole safetensors file: {error}") from error


def _check_folder(source: str, folder: Path) -> Iterator[CheckResult]:
    check(folder)
    files = weight_files(folder)
    headers = {part: [_read_header(path) for path in paths] for part, paths in files.items()}
    base = BaseModel(source, "", *load_shapes(folder))
    base.check_supported(folder)
    for part in _PARTS:
        _check_names(folder / part, getattr(base, part), {name for header in headers[part] for name in header.shapes})
    size = sum(path.stat().st_size for paths in files.values() for path in paths)
    yield CheckResult("OK", f"{source}: {size_text(size)} of safetensors, every file and tensor there ({folder})")
    yield _tell_facts(base)
    yield find_licence(source, folder)


def _check_names(folder: Path, network: nn.Module, found: set[str]) -> None:
    """Check that a file of weights, or several, hold all that a network has."""
    prefix = "text_model."  # which some versions write and others leave out
    known = {name.removeprefix(prefix) for name in found}
    lacking = [name for name, _ in network.named_parameters() if name.removeprefix(prefix) not in known]
    if lacking:
        raise BaseModelError(f"{folder}: its weights lack {len(lacking)} tensors, such as {', '.join(lacking[:3])}")


def _tell_facts(base: BaseModel) -> CheckResult:
    return CheckResult(
        "OK",
        f"predicts {base.prediction_type}, native size {base.native_px} px, text encoder of width {base.text_width}",
    )


def _check_store(uri: str) -> Iterator[CheckResult]:
    """Look at a base model in a store by its names, sizes and settings, without its weights."""
    copy = plan_local_copy(uri)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stored in copy.wanted:
            path = folder / stored.key
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".safetensors":
                path.touch()
            else:
                path.write_bytes(copy.store.read(stored.key))
        try:
            check(folder)
            base = BaseModel(uri, "", *load_shapes(folder))
            base.check_supported(folder)
        except BaseModelError as error:
            raise BaseModelError(str(error).replace(str(folder), uri)) from error
    need = sum(stored.size for stored in copy.wanted)
    yield judge_room(f"{uri}: {size_text(need)}, no file is missing; copied when first used", copy.folder, need)
    yield _tell_facts(base)
    card = copy.store.read("README.md").decode(errors="replace") if copy.store.exists("README.md") else ""
    yield find_licence(uri, None, card)


def _find_base(choice: RunConfig) -> Path | None:
    return find_local(choice.base_model, choice.revision)


def _count(path: Path) -> int:
    return _read_header(path).num_values
