"""Read the headers of safetensors files, trusting nothing in them, and make their order definite; needs no torch.

A file is 8 bytes (the header's length, little-endian), the header (JSON), and the values of its tensors. The header
gives each tensor's type, shape and place, and under `__metadata__` texts by name.

Source: https://huggingface.co/docs/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LENGTH_BYTES = 8
_ALIGNED_BYTES = 8  # the tensors start at a multiple of this
_MOST_HEADER_BYTES = 100_000_000  # by the format
_MOST_TENSORS = 20_000  # large models have some 2,000
_METADATA = "__metadata__"


@dataclass(frozen=True)
class TensorHeader:
    """The header of a safetensors file.

    Attributes:
        metadata: Texts by name; empty where the file has none.
        shapes: Shape of each tensor by its name.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def num_values(self) -> int:
        """Number of values of all tensors together."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def parse_header(data: bytes) -> TensorHeader:
    """Read the header of a whole file in memory; see `read_header`.

    Raises:
        ValueError: The header is damaged, or the file is shorter or longer than the header says.
    """
    _check_length(data[:_LENGTH_BYTES], len(data))
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    return _parse(data[_LENGTH_BYTES : _LENGTH_BYTES + length], len(data))


def read_header(path: Path, *, most_bytes: int = _MOST_HEADER_BYTES) -> TensorHeader:
    """Read the header of a file on this machine, and none of its values.

    Args:
        path: The file.
        most_bytes: Size of the largest header that is read.

    Raises:
        ValueError: The header is damaged, or the file is shorter or longer than the header says.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = file.read(_LENGTH_BYTES)
        _check_length(length, size, most_bytes)
        return _parse(file.read(int.from_bytes(length, "little")), size)


def sort_metadata(data: bytes) -> bytes:
    """Return a file of the safetensors library with its metadata sorted by name, so that equal banks have equal bytes.

    The library writes tensors in a definite order, but the metadata in a random one. Offsets of tensors count from the
    end of the header, so only the header changes.
    """
    start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    entries = json.loads(data[_LENGTH_BYTES:start])
    if _METADATA in entries:
        entries[_METADATA] = dict(sorted(entries[_METADATA].items()))
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNED_BYTES)
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header + data[start:]


def _check_length(length: bytes, size: int, most_bytes: int = _MOST_HEADER_BYTES) -> None:
    most = min(size - _LENGTH_BYTES, most_bytes)
    num_bytes = int.from_bytes(length, "little")
    if not 0 < num_bytes <= most:
        raise ValueError(
            f"expected a header of 1 to {max(most, 1)} bytes, found a header of {num_bytes} bytes in a file of {size}"
        )


def _parse(header: bytes, size: int) -> TensorHeader:
    try:
        entries: Any = json.loads(header.decode())
    except RecursionError as error:
        raise ValueError("expected a header of JSON, found one that is nested too deeply") from error
    if not isinstance(entries, dict):
        raise ValueError(f"expected a header with entries by name, found a {type(entries).__name__}")
    metadata = entries.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("expected metadata of texts by name, found something else")
    if len(entries) > _MOST_TENSORS:
        raise ValueError(f"expected at most {_MOST_TENSORS:,} tensors, found {len(entries):,}")
    shapes = {}
    end = 0
    for name, entry in entries.items():
        shapes[name] = tuple(_whole_numbers(name, entry, "shape"))
        end = max([end, *_whole_numbers(name, entry, "data_offsets")])
    expected = _LENGTH_BYTES + len(header) + end
    if size != expected:
        raise ValueError(f"expected {expected:,} bytes by its header, found {size:,}: it was cut short or altered")
    return TensorHeader(metadata, shapes)


def _whole_numbers(name: str, entry: Any, field: str) -> list[int]:
    numbers = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(numbers, list) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError(f"expected whole numbers as {field} of tensor {name!r}, found {str(numbers)[:80]}")
    return numbers
