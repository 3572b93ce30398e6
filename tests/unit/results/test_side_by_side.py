"""A run that ends while one on another style of the output is at work deletes nothing of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artbank.results import attempts, layout, ledger, vacuum
from artbank.store.backends import local
from artbank.store.objects import Store
from tests.support.rows import result

DONE, COMMITTED, DRAWN, ABANDONED = (f"{letter * 16}-00000" for letter in "abcd")


class TornListing:
    """The entries of a folder that changes while it is listed: a part comes too late, and a mark is gone already."""

    def __init__(self, path: str, commit: Any):
        entries = list(os.scandir(path))
        commit()
        self.entries = [entry for entry in entries if "_begun-" + COMMITTED not in entry.name]

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return iter(self.entries)

    def __exit__(self, *_: object) -> None:
        pass


def test_the_container_of_a_shard_that_is_committed_during_a_listing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Store.open(str(tmp_path))
    rows = [result("a.jpg", style, file_name=f"{style}/{DONE}.tar") for style in ("monet", "hokusai")]
    ledger.commit(output, DONE, rows)
    for shard_id in (COMMITTED, DRAWN):
        attempts.start(output, shard_id, {})
    containers = {shard_id: f"hokusai/{shard_id}.tar" for shard_id in (COMMITTED, DRAWN, ABANDONED)}
    output.write_many(dict.fromkeys(containers.values(), b"pictures"))
    seen = ledger.read_ledger(output)
    members, listing = vacuum.list_members(seen, ledger.is_latest(seen)), ledger.list_parts(output)

    def commit() -> None:
        ledger.commit(output, COMMITTED, [result("b.jpg", "hokusai", file_name=containers[COMMITTED])])
        attempts.delete_marks(output, [COMMITTED])

    class Scanning:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def scandir(self, path: str) -> Any:
            is_of_parts = str(path).endswith(f"/{layout.PARTS}") and not output.exists(layout.part_key(COMMITTED))
            return TornListing(path, commit) if is_of_parts else os.scandir(path)

    monkeypatch.setattr(local, "os", Scanning())
    vacuum.delete_stale_members(output, members, listing)
    assert output.exists(layout.part_key(COMMITTED)), "the listing was torn"
    assert {shard_id for shard_id, name in containers.items() if output.exists(name)} == {COMMITTED, DRAWN}
