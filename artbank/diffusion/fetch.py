"""Fetch a base model to a local folder: from this package, a folder, a store or the hub."""

from __future__ import annotations

from pathlib import Path

from artbank.diffusion import hub
from artbank.diffusion.hub import HubModel
from artbank.diffusion.model_source import ModelSource, check_pin, explain_no_model, is_hub_id, parse_source
from artbank.diffusion.single_file import convert, find_converted, is_single_file
from artbank.diffusion.store_copies import plan_file_copy, plan_local_copy
from artbank.diffusion.weights import (
    MINI,
    PROBE,
    check_base_model,
    check_before_fetching,
    hash_base_model,
    select_hub_files,
)
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS


def fetch_base_model(source: str, revision: str | None = None, *, is_offline: bool = False) -> Path:
    """Return the local folder of a base model, checked; fetches the model if it is not on this machine.

    Args:
        source: `mini`, a local folder, a store URI such as `s3://models/sd15`, a hub id such as `owner/name` or
            `owner/name@revision`, or a single `.safetensors` file, local or in a store. `@sha256:` and the hash of the
            model at its end pins its bytes.
        revision: Commit, tag or branch of a hub id.
        is_offline: Make no request to the hub.

    Raises:
        BaseModelError: There is no such model, a part of it is missing, or it has another hash.
        OSError: The store or the hub failed.
    """
    parsed = parse_source(source, revision)
    folder = _locate(parsed, is_offline=is_offline)
    check_base_model(folder)
    check_base_pin(parsed, folder)
    return folder


def find_local(source: str, revision: str | None = None) -> Path | None:
    """Return the folder of a base model that is already on this machine, unchecked; None if it is not.

    A store URI costs one listing; a hub id costs no request. A single file counts once it was converted.

    Raises:
        BaseModelError: The source is neither folder, store URI nor hub id.
        OSError: The store failed.
    """
    parsed = parse_source(source, revision)
    if is_single_file(parsed.place):
        path = find_file(parsed.place)
        return path and find_converted(path)
    if folder := _find_folder(parsed.place):
        return folder
    if "://" in parsed.place:
        copy = plan_local_copy(parsed.place)
        return copy.folder if copy.is_intact() else None
    return hub.find_cached(describe_hub_model(parsed))


def find_file(place: str) -> Path | None:
    """Return the path of a single file on this machine, or of its copy from a store; None if it is not here.

    A store URI costs one listing.

    Raises:
        BaseModelError: There is no such file in the store.
        OSError: The store failed.
    """
    if "://" not in place:
        path = Path(place).expanduser().absolute()  # not where a link leads: the settings lie beside the link
        return path if path.is_file() else None
    copy = plan_file_copy(place)
    return copy.folder / copy.objects[0].key if copy.is_intact() else None


def check_base_pin(source: ModelSource, folder: Path) -> None:
    """Check that a base model has the hash that it is pinned to, if it is.

    Raises:
        BaseModelError: It has another hash.
    """
    check_pin("base model", source.place, source.sha256, lambda: hash_base_model(folder))


def describe_hub_model(source: ModelSource) -> HubModel:
    """Return what is fetched of a base model on the hub.

    Raises:
        BaseModelError: The source is no hub id.
    """
    if not is_hub_id(source.place):
        expected = "'mini', a folder, a single .safetensors file, a store URI or a hub id owner/name"
        raise explain_no_model("base model", source.place, expected)
    return HubModel("base model", source.place, source.revision, PROBE, select_hub_files)


def _locate(source: ModelSource, *, is_offline: bool) -> Path:
    place = source.place
    if is_single_file(place):
        path = plan_file_copy(place).fetch_file() if "://" in place else find_file(place)
        if path is None:
            raise BaseModelError(f"base model {place!r} is no file; correct its path")
        return convert(path, is_offline=is_offline)
    if folder := _find_folder(place):
        return folder
    if "://" in place:
        return plan_local_copy(place).fetch(check_base_model)
    return hub.fetch(describe_hub_model(source), check_base_model, check_before_fetching, is_offline=is_offline)


def _find_folder(place: str) -> Path | None:
    """Return the folder that a name stands for; None if it is a place elsewhere."""
    if place == MINI:
        return WEIGHTS
    folder = Path(place).expanduser()
    return hub.find_snapshot(folder).resolve() if folder.is_dir() else None
