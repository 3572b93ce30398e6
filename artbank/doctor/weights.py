"""Check the base model: is it complete, what kind is it, what is its licence, and do all models fit the memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.cache import cache_folder
from artbank.diffusion.checkpoint_kinds import find_kind
from artbank.diffusion.devices import pick_device, pick_dtype
from artbank.diffusion.fetch import check_base_pin, describe_hub_model, find_file, find_local
from artbank.diffusion.hub import is_offline_by_environment
from artbank.diffusion.loading import load_shapes
from artbank.diffusion.model_files import CONTROL, SCORER, ModelKind
from artbank.diffusion.model_limits import check_header
from artbank.diffusion.model_source import parse_source
from artbank.diffusion.single_file import explain_assumption, explain_no_settings, find_settings, is_single_file
from artbank.diffusion.single_file_checks import check_fit
from artbank.diffusion.store_copies import plan_file_copy, plan_local_copy
from artbank.diffusion.weights import check_base_model, list_weights
from artbank.doctor.checks import CheckResult, size_text
from artbank.doctor.disk_space import (
    assess_free_space,
    assess_gpu_memory,
    assess_memory,
    check_semaphores,
    measure_available,
)
from artbank.doctor.hub import check_hub_model
from artbank.doctor.licences import find_licence
from artbank.doctor.scoring_models import assess_copy, count_model_weights, fill_in_weights
from artbank.errors import BaseModelError
from artbank.parameters.run_config import RunConfig
from artbank.runtime.counts import number_are
from artbank.scoring.clip import choose_scorer

_OLDER_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def check_base(config: RunConfig, seconds: float) -> Iterator[CheckResult]:
    """Check the base model of a run, wherever it is; no weights are loaded or fetched.

    Args:
        config: Names base model and revision.
        seconds: Time limit for the hub's answer.
    """
    try:
        source = parse_source(config.base_model, config.revision)
        folder = _find_base(config)
        if folder is not None:
            yield from _check_folder(source.place, folder)
            check_base_pin(source, folder)
        elif is_single_file(source.place):
            yield _check_single_file(source.place, is_offline=config.offline)
        elif "://" in source.place:
            yield from _check_in_store(source.place)
        else:
            yield from check_hub_model(describe_hub_model(source), seconds, is_offline=config.offline)
        if is_single_file(source.place):
            yield from _warn_of_prediction(source.place)
    except BaseModelError as error:
        yield CheckResult("problem", str(error))


def check_memory(
    config: RunConfig, optional: Sequence[tuple[ModelKind, str]] = (), controls: Sequence[str] = ()
) -> Iterator[CheckResult]:
    """Compare the memory of machine and device with the size of the models' weights; a batch needs more on top.

    Args:
        config: Names base model, scorer, device and precision.
        optional: Kinds and sources of the optional models.
        controls: Sources of the ControlNets.
    """
    device = pick_device(config.device)
    weight_bytes = pick_dtype(config.dtype, device).itemsize
    counts = count_weights(config, optional, controls)
    needed = None
    if counts is not None:
        num_base, num_scoring = counts
        needed = num_base * weight_bytes + num_scoring * torch.float32.itemsize
    yield assess_memory(measure_available(), needed, config.max_pixels)
    yield check_semaphores()
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        yield assess_gpu_memory(str(device), free, total, needed)


def count_weights(
    config: RunConfig, optional: Sequence[tuple[ModelKind, str]] = (), controls: Sequence[str] = ()
) -> tuple[int, int] | None:
    """Return the number of weights of base model and ControlNets, and of all other models; None if one is not here."""
    try:
        folder = _find_base(config)
        if folder is None:
            return None
        scoring = [(SCORER, choose_scorer(config, folder)), *optional]
        counts = [count_model_weights(kind, source) for kind, source in scoring]
        num_base = sum(check_header(path).num_values for paths in list_weights(folder).values() for path in paths)
        of_controls = [count_model_weights(CONTROL, source) for source in controls]
        if None in (*counts, *of_controls):
            return None
        return num_base + sum(filter(None, of_controls)), sum(filter(None, counts))
    except (BaseModelError, OSError):
        return None


def _check_folder(source: str, folder: Path) -> Iterator[CheckResult]:
    check_base_model(folder)
    files = list_weights(folder)
    base = BaseModel(source, "", *load_shapes(folder))
    base.check_supported(folder)
    for part, network in base.networks.items():
        shapes = {name: shape for path in files[part] for name, shape in check_header(path).shapes.items()}
        check_tensors(folder / part, network, shapes)
    size = sum(path.stat().st_size for paths in files.values() for path in paths)
    yield CheckResult("OK", f"{source}: {size_text(size)} of safetensors, complete ({folder})")
    yield _report_settings(base)
    yield find_licence(source, folder)


def check_tensors(folder: Path, network: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that all weights of a network are among the tensors of its files, in their shapes."""
    known = {_today(name): shape for name, shape in shapes.items()}
    expected = {_today(name): tuple(value.shape) for name, value in network.named_parameters()}
    missing = [name for name in expected if name not in known]
    if missing:
        raise BaseModelError(
            f"{folder}: {number_are(len(missing), 'tensor')} missing in its weights, such as {', '.join(missing[:3])}"
        )
    for name, shape in expected.items():
        if known[name] != shape:
            raise BaseModelError(
                f"{folder}: expected a tensor {name} of shape {list(shape)} by its settings, found "
                f"{list(known[name])}; take weights and settings from the same model"
            )


def _today(name: str) -> str:
    """Return the name of a tensor without the differences between versions of the libraries, which load all of them."""
    for older, newer in _OLDER_NAMES.items():
        name = name.replace(older, newer)
    return name.removeprefix("text_model.")


def _report_settings(base: BaseModel) -> CheckResult:
    encoders = "text encoder of width" if len(base.text_widths) == 1 else "text encoders of widths"
    widths = " and ".join(map(str, base.text_widths.values()))
    return CheckResult(
        "OK",
        f"{base.family.title}: predicts {base.prediction_type}, native size {base.native_px} px, {encoders} {widths}",
    )


def _check_single_file(source: str, *, is_offline: bool) -> CheckResult:
    """Check a single file that was not converted yet: on this machine by its header, in a store by its size alone."""
    if "://" in source:
        size = plan_file_copy(source).objects[0].size
        return CheckResult("OK", f"{source}: {size_text(size)}; fetched and converted when first used")
    path = Path(source).expanduser()
    if not path.is_file():
        raise BaseModelError(f"base model {source!r} is no file; correct its path")
    kind, header = find_kind(path)
    settings = find_settings(path, kind)
    if settings is not None:
        check_fit(path, kind, header, settings)
    elif is_offline or is_offline_by_environment():
        raise explain_no_settings(path, kind)
    size = size_text(path.stat().st_size)
    text = f"{source}: {kind.title}, {size}, {len(header.shapes):,} tensors; converted when first used"
    if settings is None:
        text = f"{text}, with the settings of {kind.settings} from the hub"
    return assess_free_space(text, cache_folder(), path.stat().st_size)


def _warn_of_prediction(place: str) -> Iterator[CheckResult]:
    """Warn of a single file that is on this machine and does not say what it predicts."""
    path = find_file(place)
    if path is not None and (assumed := explain_assumption(path)):
        yield CheckResult("warning", *assumed)


def _check_in_store(uri: str) -> Iterator[CheckResult]:
    """Check a base model in a store by its file names, sizes and settings, without its weights."""
    copy = plan_local_copy(uri)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill_in_weights(copy, folder)
        copy.check(folder, check_base_model)
        base = BaseModel(uri, "", *load_shapes(folder))
        copy.check(folder, base.check_supported)
    yield assess_copy(uri, copy)
    yield _report_settings(base)
    card = copy.store.read("README.md").decode(errors="replace") if copy.store.exists("README.md") else ""
    yield find_licence(uri, None, card)


def _find_base(config: RunConfig) -> Path | None:
    return find_local(config.base_model, config.revision)
