"""Headers of safetensors files, whole and damaged."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given

from artbank.store.tensor_files import parse_header, read_header, sort_metadata
from tests.support.fuzz import damaged, fuzzed

TENSORS = {"a": torch.zeros(2, 3), "b.c": torch.zeros(()), "empty": torch.zeros(0, 4)}
WHOLE = safetensors.torch.save(TENSORS, metadata={"schema": "x/1", "text": "é"})


def of_header(header: Any, values: bytes = b"") -> bytes:
    """Return a file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def entry(**changes: Any) -> dict[str, Any]:
    """Return the header's entry of a tensor of one value."""
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes}


def test_a_header_tells_metadata_shapes_and_the_number_of_values(tmp_path: Path) -> None:
    header = parse_header(WHOLE)
    assert header.metadata == {"schema": "x/1", "text": "é"}
    assert header.shapes == {"a": (2, 3), "b.c": (), "empty": (0, 4)}
    assert header.num_values == 7
    (tmp_path / "file").write_bytes(WHOLE)
    assert read_header(tmp_path / "file") == header


def test_a_file_without_metadata_or_tensors_is_read() -> None:
    assert parse_header(safetensors.torch.save({"a": torch.zeros(1)})).metadata == {}
    assert parse_header(of_header({})).num_values == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "found a header of 0 bytes in a file of 0"),
        (b"\xff" * 64, "found a header of 18446744073709551615 bytes"),
        (struct.pack("<Q", 0) + WHOLE, "found a header of 0 bytes"),
        (WHOLE[:-1], "cut short or altered"),
        (WHOLE + b"\0", "cut short or altered"),
        (of_header(b"{"), "line 1 column 2"),
        (of_header(b"\xff\xfe"), "can't decode byte 0xff"),
        (of_header(b"[" * 200_000), "nested too deeply"),
        (of_header([]), "expected a header with entries by name, found a list"),
        (of_header({"__metadata__": [1]}), "expected metadata"),
        (of_header({"__metadata__": {"a": 1}}), "expected metadata"),
        (of_header({"a": 3}), "shape of tensor 'a', found None"),
        (of_header(entry(shape=[-1]), b"1234"), "shape of tensor 'a'"),
        (of_header(entry(shape="1"), b"1234"), "shape of tensor 'a'"),
        (of_header(entry(data_offsets=[0, 4.5]), b"1234"), "data_offsets of tensor 'a'"),
        (of_header(entry(data_offsets=[0, 2**60]), b"1234"), "cut short or altered"),
    ],
)
def test_a_damaged_header_says_what_was_expected(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        parse_header(data)
    with pytest.raises(ValueError, match=message):
        read_header(tmp_path / "file")


def test_a_header_above_the_formats_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 200_000_000))
        file.truncate(300_000_000)
    with pytest.raises(ValueError, match="1 to 100000000 bytes, found a header of 200000000"):
        read_header(path)


def test_a_header_of_more_tensors_than_a_model_has_is_refused(tmp_path: Path) -> None:
    data = of_header({f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(20_001)})
    with pytest.raises(ValueError, match="expected at most 20,000 tensors, found 20,001"):
        parse_header(data)


@fuzzed(250)
@given(damaged([WHOLE]))
def test_whatever_happens_to_a_file_its_header_is_read_or_refused(data: bytes) -> None:
    try:
        header = parse_header(data)
    except ValueError:
        return
    assert header.num_values >= 0


def test_metadata_in_a_random_order_is_sorted_and_nothing_else_changes() -> None:
    texts = {f"name {i}": f'é\u007f\u0001/"{i}' for i in range(8)}
    written = {safetensors.torch.save(TENSORS, metadata=texts) for _ in range(20)}
    assert len(written) > 1  # else the library sorts by itself, and the function can go
    [data] = {sort_metadata(data) for data in written}
    assert (parse_header(data).metadata, list(parse_header(data).metadata)) == (texts, sorted(texts))
    assert parse_header(data).shapes == parse_header(WHOLE).shapes
    assert int.from_bytes(data[:8], "little") % 8 == 0
    loaded = safetensors.torch.load(data)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in TENSORS.items())
    assert sort_metadata(data) == data


def test_a_file_without_metadata_keeps_none() -> None:
    data = safetensors.torch.save(TENSORS)
    assert parse_header(sort_metadata(data)) == parse_header(data)
