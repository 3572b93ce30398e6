"""Check free space: on disks, in memory, on the GPU."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from artbank.diffusion.cache import cache_folder
from artbank.doctor.checks import CheckResult, size_text
from artbank.parameters.run_config import RunConfig

_CGROUP_FILES = (  # limit and use of a container's memory, in versions 2 and 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
_DECODING_BYTES = 25  # a pixel, of the accepted images that need most memory, see docs/explanation/untrusted-input.md
_NOT_YET_KNOWN = "what the models need is reported once they are on this machine"


def check_disks(config: RunConfig, folders: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check the free space for models, for temporary files, and in the local folders of a run.

    Args:
        config: Its largest file must fit.
        folders: Folders and URIs of a run by name; URIs are skipped.
    """
    from huggingface_hub import constants

    places = {
        "models": cache_folder(),
        "models of the hub": Path(constants.HF_HUB_CACHE),
        "temporary files": Path(tempfile.gettempdir()),
    }
    for name, uri in folders.items():
        if "://" not in uri:
            places[name] = Path(uri).expanduser()
    disks: dict[int, list[tuple[str, Path]]] = {}
    for name, place in places.items():
        existing = _nearest_existing(place)
        disks.setdefault(existing.stat().st_dev, []).append((name, existing))
    for entries in disks.values():
        free = shutil.disk_usage(entries[0][1]).free
        text = f"{size_text(free)} free for {', '.join(name for name, _ in entries)}"
        if free < config.max_bytes:
            advice = f"free some space: one file may have {size_text(config.max_bytes)}, see --max-megabytes"
            yield CheckResult("warning", text, advice)
        else:
            yield CheckResult("OK", text)


def assess_free_space(text: str, folder: Path, needed: int) -> CheckResult:
    """Report a model that would be fetched, and whether its disk has room for it.

    Args:
        text: Describes the model.
        folder: Where it would be put.
        needed: Its size, bytes.
    """
    free = shutil.disk_usage(_nearest_existing(folder)).free
    if free > needed:
        return CheckResult("OK", f"{text}, to {folder}")
    advice = "free some space, or set ARTBANK_CACHE (stores) or HF_HOME (hub) to another disk"
    return CheckResult("problem", f"{text}, but {folder} has only {size_text(free)} free", advice)


def assess_memory(available: int, needed: int | None, max_pixels: int) -> CheckResult:
    """Compare the available memory with what a run needs.

    Args:
        available: Bytes.
        needed: Bytes of the weights; None if a model is not on this machine.
        max_pixels: Pixels of the largest image that is decoded.
    """
    decoding = _DECODING_BYTES * max_pixels
    text = f"{size_text(available)} of memory available"
    if needed is None:
        return CheckResult("OK", f"{text}; {_NOT_YET_KNOWN}")
    text += f"; each process needs {size_text(needed)} for the models' weights, the largest image {size_text(decoding)}"
    if available < needed:
        return CheckResult("problem", text, "use a machine with more memory, or a smaller base model")
    if available < needed + decoding:
        return CheckResult("warning", text, "lower --max-megapixels, or use a machine with more memory")
    return CheckResult("OK", text)


def assess_gpu_memory(name: str, free: int, total: int, needed: int | None) -> CheckResult:
    """Compare the free bytes of a GPU with those of the weights; batches are halved until they fit in the rest."""
    text = f"{size_text(free)} of {size_text(total)} free on {name}"
    if needed is None:
        return CheckResult("OK", f"{text}; {_NOT_YET_KNOWN}")
    text += f"; the models' weights need {size_text(needed)}"
    if free < needed:
        advice = "end other programs on the GPU, pass --dtype bfloat16, or use a larger GPU"
        return CheckResult("problem", text, advice)
    return CheckResult("OK", f"{text}; the rest is for batches, which are halved if they do not fit")


def measure_available(root: Path = Path("/")) -> int:
    """Return the available memory, bytes: the machine's, or what the container's limit leaves if that is less."""
    available = psutil.virtual_memory().available
    cgroup = root / "sys/fs/cgroup"
    for limit_file, used_file in _CGROUP_FILES:
        limit = _read_number(cgroup / limit_file)
        used = _read_number(cgroup / used_file)
        if limit is not None and used is not None:
            available = min(available, max(limit - used, 0))
    return available


def check_semaphores() -> CheckResult:
    """Create a semaphore, as the decoder processes do; Linux keeps it in shared memory."""
    shared = Path("/dev/shm")
    try:
        multiprocessing.get_context("spawn").Semaphore()
    except (OSError, ImportError) as error:
        return CheckResult("problem", f"semaphores cannot be created: {error}", f"mount a tmpfs at {shared}")
    size = f": {size_text(shutil.disk_usage(shared).free)} free" if shared.is_dir() else ""
    return CheckResult("OK", f"shared memory works{size}")


def _nearest_existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would replace links
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no container, or `max` for no limit
        return None
