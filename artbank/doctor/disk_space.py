"""Whether there is room: on disks, in memory, on the GPU."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from artbank.config import RunConfig
from artbank.diffusion.weights import cache_folder
from artbank.doctor.checks import CheckResult, size_text

_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
_DECODING = 25  # bytes a pixel that the hungriest image takes which is not refused, see docs/design.md


def check_disks(choice: RunConfig, folders: Mapping[str, str]) -> Iterator[CheckResult]:
    """Look how much room there is where models are kept, for temporary files, and in local folders.

    Args:
        choice: Its largest file is what there must be room for.
        folders: Local ones of a run, by what they are; URIs are left out.
    """
    from huggingface_hub import constants

    places = {"models": cache_folder(), "models of the hub": Path(constants.HF_HUB_CACHE)}
    places["temporary files"] = Path(tempfile.gettempdir())
    places |= {what: Path(uri).expanduser() for what, uri in folders.items() if "://" not in uri}
    disks: dict[int, list[tuple[str, Path]]] = {}
    for what, place in places.items():
        there = _nearest(place)
        disks.setdefault(there.stat().st_dev, []).append((what, there))
    for found in disks.values():
        free = shutil.disk_usage(found[0][1]).free
        text = f"{size_text(free)} free for {', '.join(what for what, _ in found)}"
        if free < choice.max_bytes:
            advice = f"make room: a single file may have {size_text(choice.max_bytes)}, by --max-megabytes"
            yield CheckResult("warning", text, advice)
        else:
            yield CheckResult("OK", text)


def judge_room(text: str, place: Path, need: int) -> CheckResult:
    """Say that something would be put somewhere, and whether there is room for it."""
    free = shutil.disk_usage(_nearest(place)).free
    if free > need:
        return CheckResult("OK", f"{text}, to {place}")
    text += f", but {place} has {size_text(free)} free"
    return CheckResult("problem", text, "make room, or set ARTBANK_CACHE (stores) or HF_HOME (hub) to another disk")


def judge_memory(available: int, need: int | None, max_pixels: int) -> CheckResult:
    """Compare bytes of memory with those of the weights and of the largest image that is decoded."""
    decoding = _DECODING * max_pixels
    text = f"{size_text(available)} of memory available"
    if need is None:
        return CheckResult("OK", f"{text}; what the models take is told once they are here")
    text += f"; the models' weights take {size_text(need)} a process, the largest image {size_text(decoding)}"
    if available < need:
        return CheckResult("problem", text, "take a machine with more memory, or a smaller base model")
    if available < need + decoding:
        return CheckResult("warning", text, "lower --max-megapixels, or take a machine with more memory")
    return CheckResult("OK", text)


def judge_gpu(name: str, free: int, total: int, need: int | None) -> CheckResult:
    """Compare bytes of a GPU with those of the weights; the rest is for batches, which are halved until they fit."""
    text = f"{size_text(free)} of {size_text(total)} free on {name}"
    if need is None:
        return CheckResult("OK", f"{text}; what the models take is told once they are here")
    text += f"; the models' weights take {size_text(need)}"
    if free < need:
        return CheckResult("problem", text, "end what else runs there, pass --dtype bfloat16, or take a larger device")
    return CheckResult("OK", f"{text}, the rest is for batches; one that does not fit is halved")


def measure_available(root: Path = Path("/")) -> int:
    """Return the bytes of memory that are left, by the machine or by the container's limit, whichever is less."""
    available = psutil.virtual_memory().available
    group = root / "sys/fs/cgroup"
    for limit, used in _LIMITS:
        most, taken = _number(group / limit), _number(group / used)
        if most is not None and taken is not None:
            available = min(available, max(most - taken, 0))
    return available


def check_semaphores(root: Path = Path("/")) -> CheckResult:
    """Make a semaphore, as the processes that decode do, for which Linux needs shared memory; tell its size."""
    shared = root / "dev/shm"
    try:
        multiprocessing.get_context("spawn").Semaphore()
    except (OSError, ImportError) as error:
        return CheckResult("problem", f"no semaphore can be made: {error}", f"mount a tmpfs at {shared}")
    size = f": {size_text(shutil.disk_usage(shared).free)} free" if shared.is_dir() else ""
    return CheckResult("OK", f"shared memory works{size}")


def _nearest(place: Path) -> Path:
    whole = Path(os.path.abspath(place))  # noqa: PTH100 - resolve() would replace links
    return next(there for there in (whole, *whole.parents) if there.exists())


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # `max`, or no container
        return None
