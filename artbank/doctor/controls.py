"""Check that the ControlNets of a run, and the model that estimates depth, can be loaded and fit the base model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.control_checks import KINDS, check_control, read_control_settings
from artbank.diffusion.depth_model import check_depth_model
from artbank.diffusion.fetch import find_local
from artbank.diffusion.loading import load_shapes
from artbank.diffusion.model_files import CONTROL, DEPTH_MODEL, find_model, list_weights, plan_store_copy
from artbank.diffusion.model_limits import check_header
from artbank.diffusion.model_source import parse_source
from artbank.doctor.checks import CheckResult
from artbank.doctor.licences import find_licence
from artbank.doctor.scoring_models import check_files, check_optional_model, fill_in_weights
from artbank.doctor.weights import check_tensors
from artbank.errors import BaseModelError
from artbank.parameters.control_specs import ControlSpec
from artbank.parameters.run_config import RunConfig

CheckFit = Callable[[Path], None]


def check_control_net(config: RunConfig, spec: ControlSpec, seconds: float) -> Iterator[CheckResult]:
    """Check a ControlNet, and that it fits the base model if both are here or in a store; loads no weights.

    Args:
        config: Names the base model.
        spec: The ControlNet.
        seconds: Time limit for the hub's answer.
    """
    try:
        yield from check_files(CONTROL, spec.source, seconds, is_offline=config.offline)
        base_folder = find_local(config.base_model, config.revision)
        if base_folder is not None:
            base = BaseModel(config.base_model, "", *load_shapes(base_folder))
            yield from _check_fit(spec, partial(_check_settings, spec, base))
        if folder := find_model(CONTROL, spec.source):
            yield find_licence(parse_source(spec.source).place, folder)
    except BaseModelError as error:
        advice = f"pass --control {spec.kind}= a folder, a store URI or a hub id of one for this base model"
        yield CheckResult("problem", str(error), advice)


def check_depth(source: str, seconds: float, *, is_offline: bool = False) -> Iterator[CheckResult]:
    """Check the model that estimates depth.

    Args:
        source: A folder, a store URI or a hub id.
        seconds: Time limit for the hub's answer.
        is_offline: Make no request to the hub.
    """
    yield from check_optional_model(DEPTH_MODEL, source, seconds, is_offline=is_offline)
    try:
        if folder := find_model(DEPTH_MODEL, source):
            check_depth_model(folder)
    except BaseModelError as error:
        yield CheckResult("problem", str(error), "pass --depth-model another one")


def _check_fit(spec: ControlSpec, check: CheckFit) -> Iterator[CheckResult]:
    """Check a ControlNet that is here by its settings and tensors, one in a store by its settings."""
    folder = find_model(CONTROL, spec.source)
    if folder is not None:
        check(folder)
        _check_weights(folder)
    elif "://" in (place := parse_source(spec.source).place):
        copy = plan_store_copy(CONTROL, place)
        with tempfile.TemporaryDirectory() as name:
            fill_in_weights(copy, Path(name))
            copy.check(Path(name), check)
    else:
        return
    yield CheckResult("OK", f"{spec.source} fits the base model")


def _check_settings(spec: ControlSpec, base: BaseModel, folder: Path) -> None:
    check_control(spec, read_control_settings(folder), base.unet, base.latent_factor)


def _check_weights(folder: Path) -> None:
    """Check that all tensors that the settings ask for are among the weights."""
    kind = KINDS[read_control_settings(folder)["_class_name"]]
    with torch.device("meta"):
        network = kind.from_config(kind.load_config(folder))
    paths = list_weights(CONTROL, folder)
    check_tensors(folder, network, {name: shape for path in paths for name, shape in check_header(path).shapes.items()})
