from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from artbank.diffusion import file_hashes
from artbank.diffusion.file_hashes import hash_file

SIZE = 1_000_000


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that did not change for long."""
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "time", lambda: os.stat(tmp_path / "weights").st_ctime + 60)  # noqa: PTH116 - for speed
    path = tmp_path / "weights"
    path.write_bytes(b"1" * SIZE)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Lists the files whose content is read."""
    found: list[Path] = []
    read = file_hashes._read
    monkeypatch.setattr(file_hashes, "_read", lambda path: found.append(path) or read(path))
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_read_once_and_again_when_it_changed(weights: Path, reads: list[Path]) -> None:
    assert hash_file(weights) == hash_file(weights) == digest(weights)
    assert len(reads) == 1
    times = weights.stat()
    weights.write_bytes(b"2" * SIZE)  # the same size, and below the same time of modification
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hash_file(weights) == digest(weights)
    weights.write_bytes(b"3" * (SIZE + 1))
    assert hash_file(weights) == digest(weights)
    other = weights.with_name("other")
    other.write_bytes(b"4" * (SIZE + 1))
    other.replace(weights)
    assert hash_file(weights) == digest(weights)
    assert len(reads) == 4


def test_a_link_has_the_hash_of_its_file_and_is_not_read_again(weights: Path, reads: list[Path]) -> None:
    link = weights.with_name("link")
    link.symlink_to(weights)
    assert hash_file(link) == hash_file(weights)
    assert len(reads) == 1


def test_the_hash_of_a_file_that_has_just_changed_is_not_kept(
    weights: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("ARTBANK_CACHE", str(weights.parent / "cache"))
    hash_file(weights)
    assert not (weights.parent / "cache").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": null}'])
def test_a_damaged_kept_hash_is_not_believed(weights: Path, content: str) -> None:
    hash_file(weights)
    [kept] = (weights.parent / "cache/hashes").iterdir()
    kept.write_text(content)
    assert hash_file(weights) == digest(weights)


def test_a_cache_that_cannot_be_written_costs_no_run(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = weights.with_name("blocked")
    blocked.touch()
    monkeypatch.setenv("ARTBANK_CACHE", str(blocked))
    assert hash_file(weights) == digest(weights)
