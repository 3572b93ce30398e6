"""Check the models that score pictures: the CLIP, and the optional models of structure and style."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from artbank.diffusion.fetch import find_local
from artbank.diffusion.model_files import (
    SCORER,
    ModelKind,
    check_model,
    describe_hub_model,
    find_model,
    hash_model,
    list_weights,
    plan_store_copy,
)
from artbank.diffusion.model_limits import check_header
from artbank.diffusion.model_source import check_pin, parse_source
from artbank.diffusion.store_copies import LocalCopy
from artbank.doctor.checks import CheckResult, size_text
from artbank.doctor.disk_space import assess_free_space
from artbank.doctor.hub import check_hub_model
from artbank.doctor.licences import find_licence
from artbank.errors import BaseModelError
from artbank.parameters.run_config import RunConfig
from artbank.scoring.clip import choose_scorer

_EMPTY = (2).to_bytes(8, "little") + b"{}"  # safetensors without tensors


def check_scorer(config: RunConfig, seconds: float) -> Iterator[CheckResult]:
    """Check the CLIP that scores; the hub is asked for one that is not on this machine."""
    try:
        source = choose_scorer(config, find_local(config.base_model, config.revision))
        yield from check_files(SCORER, source, seconds, is_offline=config.offline)
    except BaseModelError as error:
        yield CheckResult("problem", str(error), "pass --scorer mini, a folder, a store URI or a hub id")


def check_optional_model(
    kind: ModelKind, source: str, seconds: float, *, is_offline: bool = False
) -> Iterator[CheckResult]:
    """Check an optional model and find its licence; the hub is asked for one that is not on this machine.

    Args:
        kind: The kind of model.
        source: A folder, a store URI or a hub id.
        seconds: Time limit for the hub's answer.
        is_offline: Make no request to the hub.
    """
    try:
        yield from check_files(kind, source, seconds, is_offline=is_offline)
        if folder := find_model(kind, source):
            yield find_licence(parse_source(source).place, folder)
    except BaseModelError as error:
        option = f"--{kind.name.replace(' ', '-')}"
        yield CheckResult("problem", str(error), f"pass {option} a folder, a store URI or a hub id, or leave it out")


def count_model_weights(kind: ModelKind, source: str) -> int | None:
    """Return the number of weights of a model; None if it is not on this machine.

    Raises:
        BaseModelError: There is no such model, or its files are damaged.
        OSError: The store failed.
    """
    folder = find_model(kind, source)
    return None if folder is None else sum(check_header(path).num_values for path in list_weights(kind, folder))


def fill_in_weights(copy: LocalCopy, folder: Path) -> None:
    """Copy the settings of a model in a store to a folder, with empty files in place of its weights."""
    for stored in copy.objects:
        path = folder / stored.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_EMPTY if path.suffix == ".safetensors" else copy.store.read(stored.key))


def assess_copy(uri: str, copy: LocalCopy) -> CheckResult:
    """Compare the size of a model in a store with the space for its copy."""
    needed = sum(stored.size for stored in copy.objects)
    text = f"{uri}: {size_text(needed)}, no file is missing; fetched when first used"
    return assess_free_space(text, copy.folder, needed)


def check_files(kind: ModelKind, source: str, seconds: float, *, is_offline: bool) -> Iterator[CheckResult]:
    """Check the files of a model; the hub is asked for one that is not on this machine.

    Args:
        kind: The kind of model.
        source: A folder, a store URI or a hub id.
        seconds: Time limit for the hub's answer.
        is_offline: Make no request to the hub.

    Raises:
        BaseModelError: There is no such model, a part is missing or damaged, or it has another hash than the pinned.
    """
    parsed = parse_source(source, title=kind.name)
    place = parsed.place
    folder = find_model(kind, source)
    if folder is not None:
        check_model(kind, folder)
        num_weights = count_model_weights(kind, source) or 0
        digest = hash_model(kind, folder)
        yield CheckResult("OK", f"{place}: {num_weights / 1e6:.1f} million weights, complete, SHA-256 {digest}")
        check_pin(kind.name, place, parsed.sha256, lambda: digest)
    elif "://" in place:
        copy = plan_store_copy(kind, place)
        with tempfile.TemporaryDirectory() as name:
            fill_in_weights(copy, Path(name))
            copy.check(Path(name), lambda folder: check_model(kind, folder))
        yield assess_copy(place, copy)
    else:
        yield from check_hub_model(describe_hub_model(kind, parsed), seconds, is_offline=is_offline)
