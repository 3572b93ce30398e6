"""LoRA files: fetch them, and check what can be checked before a library reads their values.

A LoRA comes from anywhere, so nothing in it is trusted: it must be a safetensors file of a usual size, with names that
are plain names, since the libraries take some of them as patterns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artbank.diffusion.file_hashes import hash_file
from artbank.diffusion.model_limits import check_header
from artbank.diffusion.model_source import check_pin
from artbank.diffusion.store_copies import plan_copy
from artbank.errors import BaseModelError
from artbank.parameters.lora_specs import LoraSpec, MergedLora, parse_lora
from artbank.store.objects import Store
from artbank.store.tensor_files import TensorHeader

_LARGEST_BYTES = 4 * 2**30  # a LoRA of rank 256 for SDXL has 1.7
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,400}")
_OTHER_KINDS = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "boft_": "BOFT",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_mid": "LoCon with Tucker decomposition",
    "lora_controlnet": "Control-LoRA",
}
"""Parts of the names of tensors by which other kinds of adapters are known, which diffusers merges wrongly or not."""


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file on this machine, checked.

    Attributes:
        spec: How it was asked for.
        path: The file.
        sha256: SHA-256 of the file, hex.
    """

    spec: LoraSpec
    path: Path
    sha256: str

    @property
    def merged(self) -> MergedLora:
        """The LoRA by what determines the pictures, wherever its file is."""
        return MergedLora(self.spec.name, self.sha256, self.spec.weight)


def fetch_loras(texts: Sequence[str]) -> tuple[LoraFile, ...]:
    """Return LoRA files by their options, in that order; fetches those that are in a store.

    Raises:
        BaseModelError: A file is missing, damaged, too large, is no LoRA, or has another hash than the pinned one.
        OSError: The store failed.
    """
    return tuple(_fetch(parse_lora(text)) for text in texts)


def check_lora(path: Path) -> TensorHeader:
    """Check size, header and names of a LoRA file; returns its header.

    Raises:
        BaseModelError: The file is damaged, too large, or is no LoRA.
    """
    size = path.stat().st_size
    if size > _LARGEST_BYTES:
        raise BaseModelError(
            f"LoRA {path}: expected at most {_LARGEST_BYTES:,} bytes, found {size:,}; take another one"
        )
    header = check_header(path)
    odd = [name for name in header.shapes if not _PLAIN_NAME.fullmatch(name)]
    if odd:
        raise BaseModelError(f"LoRA {path}: expected plain names of tensors, found {odd[0][:80]!r}; take another file")
    for part, kind in _OTHER_KINDS.items():
        if any(part in name for name in header.shapes):
            raise BaseModelError(
                f"LoRA {path}: expected a LoRA, found a {kind}, which cannot be merged; take another file"
            )
    others = [name for name in header.shapes if "lora" not in name and not name.endswith(".alpha")]
    if others or not header.shapes:
        found = f"a tensor {others[0]}" if others else "no tensors"
        raise BaseModelError(f"LoRA {path}: expected only tensors of a LoRA, found {found}; take another file")
    return header


def _fetch(spec: LoraSpec) -> LoraFile:
    path = _fetch_from_store(spec) if "://" in spec.uri else Path(spec.uri).expanduser().resolve()
    if not path.is_file():
        raise BaseModelError(f"expected a LoRA at {spec.uri}, found no file; correct its name")
    check_lora(path)
    digest = hash_file(path)
    check_pin("LoRA", spec.uri, spec.pinned, lambda: digest)
    return LoraFile(spec, path, digest)


def _fetch_from_store(spec: LoraSpec) -> Path:
    """Return the copy of a LoRA on this machine, which is made once; see `store_copies.LocalCopy`."""
    folder_uri, _, name = spec.uri.rpartition("/")
    store = Store.open(folder_uri)
    objects = [stored for stored in store.list_files() if stored.key == name]
    if not objects:
        raise BaseModelError(f"expected a LoRA at {spec.uri}, found no file; correct the URI")
    if objects[0].size > _LARGEST_BYTES:
        raise BaseModelError(
            f"LoRA {spec.uri}: expected at most {_LARGEST_BYTES:,} bytes, found {objects[0].size:,}; take another one"
        )
    copy = plan_copy(store, objects, lambda folder: hash_file(folder / name))
    return copy.fetch(lambda folder: _check_in(folder, name)) / name


def _check_in(folder: Path, name: str) -> None:
    check_lora(folder / name)
