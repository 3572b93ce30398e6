"""Damaged files for the fuzz tests of images, banks and tables.

A test draws the same few hundred files in every run. With `ARTBANK_FUZZ=100000` in the environment it draws that many
new files each time, and prints the one that failed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_ASKED = os.environ.get("ARTBANK_FUZZ")
_HUGE = (0x7F, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)

Change = Callable[[st.DrawFn, bytes, Sequence[bytes]], bytes]


def fuzzed(examples: int) -> settings:
    """Return settings that draw the same `examples` files in every run, or as many new ones as ARTBANK_FUZZ says."""
    return settings(
        max_examples=int(_ASKED or examples),
        derandomize=_ASKED is None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw one of the files, damaged in one to four places."""
    data = draw(st.sampled_from(seeds))
    for change in draw(st.lists(st.sampled_from(_CHANGES), min_size=1, max_size=4)):
        data = change(draw, data, seeds)
    return data


def _cut(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def _flip(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    return data[:at] + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in data[at : at + 1]) + data[at + 1 :]


def _insert(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at, value = draw(st.integers(0, len(data))), draw(st.integers(0, 255))
    return data[:at] + bytes([value]) * draw(st.integers(1, 16)) + data[at:]


def _delete(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + data[at + draw(st.integers(1, 16)) :]


def _enlarge(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Write a huge number or zero where a size is likely: near the start, or anywhere."""
    size, big = 1 << draw(st.integers(0, 3)), draw(st.booleans())
    value = draw(st.sampled_from((0, *_HUGE))) % (1 << 8 * size)
    at = draw(st.integers(0, min(len(data), 64)) | st.integers(0, len(data)))
    return data[:at] + value.to_bytes(size, "big" if big else "little") + data[at + size :]


def _splice(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    return data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]


def _append(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data + draw(st.sampled_from([*seeds, b"\0" * 64, b"\xff" * 64, b"rubbish"]))


def _repeat(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at, length = draw(st.integers(0, len(data))), draw(st.integers(1, 64))
    return data[: at + length] * 2 + data[at:] if draw(st.booleans()) else data[: at + length] + data[at:]


_CHANGES: tuple[Change, ...] = (_cut, _flip, _flip, _insert, _delete, _enlarge, _enlarge, _splice, _append, _repeat)
