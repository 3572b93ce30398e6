"""Snapshots are a short cut: whatever becomes of them, the ledger is what its parts say."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from artbank.records.photo_records import Result
from artbank.results import layout, ledger, pending, snapshots, tables
from artbank.store.backends.local import LocalBackend
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes, table_bytes_by_row_group
from tests.support.rows import result

FULL = 3
"""Parts of a snapshot in these tests."""

_numbers = count()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_PARTS_AT_ONCE", FULL)


def commit(output: Store, numbers: Sequence[int]) -> pa.Table:
    """Commit a part of two rows for each number; returns their photos."""
    for number in numbers:
        ledger.commit(output, f"m-{number:05d}", [result(f"{number:05d}/{i}.jpg", seed=number) for i in range(2)])
    return pa.table({"key": pa.array([f"{number:05d}/{i}.jpg" for number in numbers for i in range(2)], pa.string())})


def snapshot_keys(output: Store) -> list[str]:
    return [stored.key for stored in output.list("results/_snapshots")]


def compact(output: Store) -> None:
    parts = output.child(layout.PARTS)
    snapshots.compact(parts, snapshots.read_rows(parts, snapshots.list_parts(parts), Result.SCHEMA))


def read_parts(output: Store) -> pa.Table:
    """Read the ledger out of its parts alone, by other means than the code's."""
    keys = sorted(stored.key for stored in output.list("results") if "/part-" in stored.key)
    tables = [pq.read_table(pa.BufferReader(output.read(key))) for key in keys]
    return pa.concat_tables([Result.SCHEMA.empty_table(), *tables])


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of all that is read from local stores."""
    read, names = LocalBackend.read_many, []

    def spy(backend: LocalBackend, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        names.extend(Path(key).name for key in keys)
        return read(backend, keys)

    monkeypatch.setattr(LocalBackend, "read_many", spy)
    yield names


def test_planning_reads_the_snapshots_and_the_parts_that_came_after(output: Store, asked_for: list[str]) -> None:
    tables.update_tables_and_vacuum(output, commit(output, range(20)))
    keys = snapshot_keys(output)
    assert len(keys) == 20 // FULL
    commit(output, range(20, 22))
    asked_for.clear()
    assert len(pending.read_done(output)) == 2 * 22
    loose = [f"part-m-{number:05d}.parquet" for number in (18, 19, 20, 21)]
    assert sorted(asked_for) == sorted([*(Path(key).name for key in keys), *loose])


def test_a_run_that_finds_nothing_reads_no_part_for_its_tables_and_writes_nothing(
    output: Store, asked_for: list[str]
) -> None:
    photos = commit(output, range(7))
    made = tables.update_tables_and_vacuum(output, photos)
    before = output.list()
    asked_for.clear()
    assert tables.update_tables_and_vacuum(output, photos).equals(made)
    assert sorted(asked_for) == ["metadata.parquet", "results.parquet"]
    assert output.list() == before


def test_parts_that_fill_no_snapshot_stay_as_they_are(output: Store) -> None:
    tables.update_tables_and_vacuum(output, commit(output, range(FULL - 1)))
    assert snapshot_keys(output) == []


def test_readers_of_a_folder_of_parquet_files_see_no_row_twice(output: Store) -> None:
    tables.update_tables_and_vacuum(output, commit(output, range(7)))
    assert snapshot_keys(output)
    assert pq.read_table(f"{output.uri}/results").num_rows == 2 * 7


def test_a_snapshot_is_as_good_as_its_parts_on_every_store(store_uri: str) -> None:
    output = Store.open(store_uri)
    commit(output, range(8))
    compact(output)
    assert len(snapshot_keys(output)) == 2
    assert ledger.read_ledger(output).equals(read_parts(output))
    assert ledger.read_ledger(output, ["seed", "key"]).equals(read_parts(output).select(["seed", "key"]))
    assert ledger.part_names(output) == [f"part-m-{number:05d}.parquet" for number in range(8)]


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:99] + b"?" + data[100:], lambda _: b""])
def test_a_damaged_snapshot_is_named_and_made_again(output: Store, spoil, caplog: pytest.LogCaptureFixture) -> None:
    commit(output, range(FULL))
    compact(output)
    (key,) = snapshot_keys(output)
    whole = output.read(key)
    output.write(key, spoil(whole))
    with caplog.at_level(logging.WARNING):
        assert ledger.read_ledger(output).equals(read_parts(output))
    assert f"{output.uri_of(key)} is damaged" in caplog.text
    compact(output)
    assert output.read(key) == whole


def test_a_snapshot_of_a_part_that_was_replaced_does_not_stand_for_it(output: Store) -> None:
    commit(output, range(FULL))
    compact(output)
    output.delete_many([layout.part_key("m-00001")])
    assert ledger.read_ledger(output)["seed"].to_pylist() == [0, 0, 2, 2]
    ledger.commit(output, "m-00001", [result("other.jpg")])
    assert ledger.read_ledger(output).equals(read_parts(output))


def test_a_snapshot_of_a_version_that_knew_fewer_columns_is_made_anew(output: Store) -> None:
    commit(output, range(FULL))
    compact(output)
    (key,) = snapshot_keys(output)
    written = pq.read_table(pa.BufferReader(output.read(key)))
    older = table_bytes(written.drop_columns(["ssim"]))
    output.delete_many([key])
    output.write(f"results/{snapshots._snapshot_key(older)}", older)
    assert ledger.read_ledger(output)["ssim"].to_pylist() == [0.6] * 2 * FULL
    compact(output)
    assert snapshot_keys(output) == [key]


def test_snapshots_of_two_runs_at_once_say_nothing_twice(output: Store) -> None:
    parts = output.child(layout.PARTS)
    commit(output, range(1, 4))
    early = snapshots.read_rows(parts, snapshots.list_parts(parts), Result.SCHEMA)
    commit(output, [0, 4, 5])
    late = snapshots.read_rows(parts, snapshots.list_parts(parts), Result.SCHEMA)
    snapshots.compact(parts, early)
    snapshots.compact(parts, late)
    assert len(snapshot_keys(output)) == 3
    assert ledger.read_ledger(output).equals(read_parts(output))
    compact(output)
    assert ledger.read_ledger(output).equals(read_parts(output))


def test_a_snapshot_whose_parts_others_stand_for_goes(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = output.child(layout.PARTS)
    commit(output, range(FULL))
    first = snapshots.read_rows(parts, snapshots.list_parts(parts), Result.SCHEMA)
    for rows_at_once in (1, 2):  # other bytes, the same rows
        monkeypatch.setattr(snapshots, "_ROWS_AT_ONCE", rows_at_once)
        snapshots.compact(parts, first)
    assert len(snapshot_keys(output)) == 2
    compact(output)
    assert len(snapshot_keys(output)) == 1
    assert ledger.read_ledger(output).equals(read_parts(output))


def test_a_snapshot_that_goes_while_a_run_reads_costs_it_the_parts(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(output, range(FULL))
    compact(output)
    take = snapshots.list_parts

    def take_and_lose(parts: Store) -> snapshots.PartListing:
        inventory = take(parts)
        output.delete_many(snapshot_keys(output))
        return inventory

    monkeypatch.setattr(snapshots, "list_parts", take_and_lose)
    assert ledger.read_ledger(output).equals(read_parts(output))


def test_rows_are_written_whole_and_in_order_however_many_groups_they_fill() -> None:
    rows = Result.to_table([result(f"{n}.jpg", flags=["flat"] * n, ssim=None if n % 2 else 0.1) for n in range(7)])
    lean = rows.set_column(3, "sha256", rows["sha256"].dictionary_encode())
    for table in (rows, lean, rows.slice(0, 0)):
        file = pq.ParquetFile(pa.BufferReader(table_bytes_by_row_group(table, Result.SCHEMA, 3)))
        assert file.num_row_groups == -(-len(table) // 3)
        assert file.read().equals(rows.slice(0, len(table)))
        assert file.schema_arrow.equals(Result.SCHEMA) and file.schema_arrow.metadata == Result.SCHEMA.metadata


class Ledger(RuleBasedStateMachine):
    """Parts come and go, snapshots are made, lost and damaged."""

    numbers = st.integers(0, 9)

    @initialize()
    def begin(self) -> None:
        self.output = Store.open(f"memory://snapshots-{next(_numbers)}")
        self.seed = 0

    @rule(number=numbers, keys=st.lists(st.sampled_from("abc"), max_size=3), minute=st.integers(0, 2))
    def commit(self, number: int, keys: list[str], minute: int) -> None:
        self.seed += 1
        rows = [result(key, minute=minute, seed=self.seed) for key in keys]
        ledger.commit(self.output, f"m-{number}", rows)

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        self.output.delete_many([layout.part_key(f"m-{number}")])

    @rule()
    def compact(self) -> None:
        compact(self.output)

    @rule(data=st.data(), damage=st.booleans())
    def lose(self, data: st.DataObject, damage: bool) -> None:
        if keys := snapshot_keys(self.output):
            key = data.draw(st.sampled_from(keys))
            self.output.write(key, b"PAR1") if damage else self.output.delete_many([key])

    @invariant()
    def says_what_its_parts_say(self) -> None:
        expected = read_parts(self.output)
        assert ledger.read_ledger(self.output).equals(expected)
        photos = pa.table({"key": pa.array(["a", "b"], pa.string())})
        wanted = {(row["key"], row["style"]): row for row in ledger.latest_rows(expected).to_pylist()}
        found = tables.update_tables_and_vacuum(self.output, photos).to_pylist()
        assert found == [row for (key, _), row in sorted(wanted.items()) if key in ("a", "b")]


Ledger.TestCase.settings = settings(max_examples=12, stateful_step_count=12)
TestLedger = Ledger.TestCase
TestLedger.pytestmark = [pytest.mark.usefixtures("_small")]
