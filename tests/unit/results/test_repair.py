"""The rows and files that a repair of an output voids, deletes and leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artbank.records.photo_records import Result
from artbank.results import known_parts, layout, ledger, tables
from artbank.results.recorded_runs import Operator
from artbank.results.verification import repair as repairs
from artbank.results.verification.verify import verify
from artbank.store.objects import Store
from tests.support.rows import result
from tests.support.small_inputs import stylizing
from tests.support.written_outputs import RECIPES, fill, found, rewrite


def test_a_repair_voids_the_rows_of_bad_pictures_once(output: Store) -> None:
    fill(output)
    output.delete_many(["monet/0.png"])
    output.write("hokusai/4.png", b"short")
    before = verify(output)
    repair = repairs.prepare(before)
    assert (repair.configs, repair.unknown) == ((), ("hokusai", "monet"))
    repairs.prepare(before)  # as another who found the same would
    assert len([name for name in ledger.part_names(output) if "repair" in name]) == 1
    rows = {(row.key, row.style): row for row in Result.from_table(ledger.latest_rows(ledger.read_ledger(output)))}
    assert len(rows) == 10
    for key, style, reason in (("0.png", "monet", "was missing"), ("4.png", "hokusai", "was damaged")):
        row = rows.pop((key, style))
        assert (row.status, row.failure, row.file_name, row.clip_style) == ("failed", "damaged", None, None)
        assert row.recipe_id == RECIPES[style] and reason in (row.reason or "")
    assert {row.status for row in rows.values()} == {"done"}
    report = verify(output)
    voided = [name for name in found(report) if name.startswith("voided")]
    assert voided == ["voided_row monet/0.png", "voided_row hokusai/4.png"]


def test_a_row_from_a_clock_that_is_ahead_is_voided_all_the_same(output: Store) -> None:
    fill(output, created_at=result().created_at.replace(year=2090))
    output.delete_many(["monet/0.png"])
    repairs.prepare(verify(output))
    rows = Result.from_table(ledger.latest_rows(ledger.read_ledger(output)))
    assert [row.key for row in rows if row.status == "failed"] == ["0.png"]


@pytest.mark.parametrize("num_runs", [1, 2])
def test_what_a_run_adds_while_a_repair_writes_the_tables_is_in_them(
    tmp_path: Path, output: Store, monkeypatch: pytest.MonkeyPatch, num_runs: int
) -> None:
    fill(output)
    archive = Store.open(str(tmp_path / "photos"))
    archive.write_many({f"{n}.png": b"1" for n in range(5)})
    config = stylizing(archive.uri, output.uri, str(tmp_path / "store"), "monet")
    output.write(layout.run_key("m", layout.CONFIG), config.model_dump_json().encode())
    report = verify(output, Operator(trusts_output=True))
    output.delete_many([layout.METADATA])  # so that the repair writes it
    read_sources = tables._read_sources  # pyright: ignore[reportPrivateUsage]
    styles = [f"other-{n}" for n in range(num_runs)]
    waiting = list(styles)

    def read_then_wait(*args: Any) -> Any:
        found = read_sources(*args)
        if waiting:
            style = waiting.pop()
            ledger.commit(output, f"{style[-1] * 16}-00000", [result("0.png", style)])
            tables.update_tables_and_vacuum(output, args[2])
        return found

    monkeypatch.setattr(tables, "_read_sources", read_then_wait)
    assert repairs.finish(report, repairs.prepare(report)) == []
    assert not waiting
    rows = tables.read_finished(output, Result.SCHEMA, ["style"])
    assert set(rows["style"].to_pylist()) == {"hokusai", "monet", *styles}
    assert not known_parts.has_new_parts(output, ledger.list_parts(output))


def test_a_repair_leaves_the_tables_where_many_photos_are_missing(tmp_path: Path, output: Store) -> None:
    fill(output)
    archive = Store.open(str(tmp_path / "photos"))
    archive.write_many({f"{n}.png": b"1" for n in range(2)})
    config = stylizing(archive.uri, output.uri, str(tmp_path / "store"), "monet")
    output.write(layout.run_key("m", layout.CONFIG), config.model_dump_json().encode())
    before = output.read(layout.RESULTS)
    report = verify(output, Operator(trusts_output=True))
    [left] = repairs.finish(report, repairs.prepare(report))
    assert left.startswith("the tables stay as they are: 3 of the 5 photos of the last run are missing")
    assert output.read(layout.RESULTS) == before
    archive.write_many({f"{n}.png": b"1" for n in range(2, 5)})
    assert repairs.finish(report, repairs.prepare(report)) == []


def test_a_part_that_a_repair_deletes_is_not_missed_by_the_next_run(output: Store) -> None:
    shards = fill(output)
    key = layout.part_key(shards[0].id)
    rewrite(output, key, output.read(key)[:-9])
    report = verify(output)
    assert f"bad_part {key}" in found(report)
    repairs.prepare(report)
    known_parts.check_parts(output, ledger.list_parts(output), 0.0)
    assert layout.part_name(shards[1].id).encode() in output.read(layout.KNOWN_PARTS)
