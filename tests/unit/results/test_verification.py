"""Verification of outputs that are written here row by row; tests/flows/verify has real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artbank.errors import ResultsError
from artbank.results import attempts, layout, ledger
from artbank.results.verification import pictures
from artbank.results.verification import repair as repairs
from artbank.results.verification.verify import verify
from artbank.store.objects import Store
from artbank.store.transient_errors import WrongSizeError
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.rows import result
from tests.support.written_outputs import RECIPES, fill, found, picture, plan, rewrite, rows_of, write_tables


def test_an_empty_output_and_a_whole_one_have_no_findings(store_uri: str) -> None:
    output = Store.open(store_uri)
    assert found(verify(output)) == []
    fill(output)
    report = verify(output)
    assert (found(report), report.num_pictures, report.counts) == ([], 10, {})


def test_the_card_of_the_dataset_is_no_orphan(output: Store) -> None:
    fill(output)
    output.write_many({layout.DATASET_CARD: b"a card", f"monet/{layout.DATASET_CARD}": b"of somebody else"})
    assert found(verify(output)) == [f"orphan monet/{layout.DATASET_CARD}"]


@pytest.mark.parametrize("quick", [True, False])
def test_pictures_are_held_against_their_rows(store_uri: str, quick: bool) -> None:
    output = Store.open(store_uri)
    fill(output)
    output.delete_many(["monet/0.png"])
    output.write_many({"monet/1.png": b"", "monet/2.png": b"short", "monet/3.png": picture(200), "monet/x.png": b"1"})
    expected = ["damaged_picture monet/1.png", "damaged_picture monet/2.png", "damaged_picture monet/3.png"]
    report = verify(output, quick=quick)
    assert found(report) == [*expected[: 2 if quick else 3], "missing_picture monet/0.png", "orphan monet/x.png"]
    assert found(report, kind="damaged_picture")[1] == f"has 5 bytes, {len(picture(0))} were written"
    assert len(report.problems) == (3 if quick else 4)


def test_pictures_of_rows_without_a_digest_must_be_images(output: Store) -> None:
    fill(output, file_size=None, file_sha256=None)
    output.write_many({"monet/1.png": picture(1)[:-30], "monet/2.png": b"", "monet/3.png": picture(77)})
    assert found(verify(output)) == ["damaged_picture monet/1.png", "damaged_picture monet/2.png"]
    assert found(verify(output, quick=True)) == ["damaged_picture monet/2.png"]


def test_pictures_are_read_in_batches_of_bounded_bytes(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(output)
    monkeypatch.setattr(pictures, "_BYTES_AT_ONCE", 3 * len(picture(0)))
    told: list[tuple[int, int]] = []
    verify(output, progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]


def test_a_picture_that_the_store_does_not_give_is_named_and_not_taken_for_damaged(
    output: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(output)
    read_many = Store.read_many

    def refuse(self: Store, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        found = read_many(self, keys)
        return found | {key: PermissionError(13, "no right to it") for key in keys if key == "monet/1.png"}

    monkeypatch.setattr(Store, "read_many", refuse)
    report = verify(output)
    assert found(report) == ["unread_picture monet/1.png"]
    assert len(report.problems) == 1 and len(report.faults) == 0


@pytest.mark.parametrize("how", ["empty", "torn", "other bytes", "another table", "another part", "a row less"])
def test_a_part_that_is_not_its_shards_is_named_with_what_it_told_of(output: Store, how: str) -> None:
    shards = fill(output)
    key = layout.part_key(shards[1].id)
    data = output.read(key)
    table = pq.read_table(pa.BufferReader(data))
    rewrite(
        output,
        key,
        {
            "empty": b"",
            "torn": data[: len(data) // 2],
            "other bytes": b"other",
            "another table": ledger.table_bytes(pa.table({"x": [1]})),
            "another part": output.read(layout.part_key(shards[0].id)),
            "a row less": ledger.table_bytes(table.slice(1)),
        }[how],
    )
    report = verify(output)
    names = [name for name in found(report) if not name.startswith(("orphan", "stale_table"))]
    pairs = [(n, style) for n in (2, 3) for style in ("hokusai", "monet")]
    assert names == [f"bad_part {key}", *(f"lost_row {style}/{n}.png" for n, style in pairs)]
    lost = {(row["key"], row["style"], row["recipe_id"], row["etag"]) for row in report.lost.to_pylist()}
    assert lost == {(f"{n}.png", style, RECIPES[style], "e") for n, style in pairs}


def test_open_shards_are_problems_where_what_they_were_to_do_has_no_row(output: Store) -> None:
    first, second, third = plan(output)
    ledger.commit(output, first.id, rows_of(output, first))
    attempts.start(output, second.id, {})
    write_tables(output)
    report = verify(output)
    assert found(report, kind="open_shard") == [
        "started and not finished; 4 photos and styles have no row",
        "never started, or its part was deleted; 2 photos and styles have no row",
    ]
    assert len(report.lost) == 6
    rows = [*rows_of(output, second), *rows_of(output, third)]
    ledger.commit(output, "another-00000", rows)
    write_tables(output)
    report = verify(output)
    assert (len(report.problems), report.counts) == (0, {"covered_shard": 2, "part_without_manifest": 1})


def test_the_newest_good_row_stands_when_a_newer_part_is_bad(output: Store) -> None:
    """A newer recipe's part is torn: whose picture is still as the older row says is not lost, the others are."""
    fill(output)
    shards = plan(output, recipes={"monet": "r3", "hokusai": "r4"})
    drawn = picture(123)
    output.write("monet/0.png", drawn)
    output.write(layout.part_key(shards[0].id), b"torn")
    for shard in shards[1:]:
        ledger.commit(output, shard.id, [])
    report = verify(output)
    assert [(r["key"], r["style"], r["recipe_id"]) for r in report.lost.to_pylist()] == [("0.png", "monet", "r3")]
    assert len(report.faults) == 0  # it is drawn again by the newer recipe, not by both


def test_tables_that_do_not_follow_from_the_parts_are_stale(output: Store) -> None:
    fill(output)
    table, old = output.read(layout.RESULTS), output.read(layout.METADATA)
    for name in (layout.RESULTS, layout.METADATA):
        for data in (None, b"torn", ledger.table_bytes(pq.read_table(pa.BufferReader(output.read(name))).slice(0, 3))):
            output.delete_many([name])
            if data is not None:
                output.write(name, data)
            assert f"stale_table {name}" in found(verify(output))
        output.write_many({layout.RESULTS: table, layout.METADATA: old})
    assert found(verify(output)) == []
    ledger.commit(output, "repair-x-00000", [result("0.png", minute=9, status="failed", file_name=None)])
    output.delete_many(["monet/0.png"])
    assert found(verify(output)) == [f"stale_table {layout.RESULTS}"]
    write_tables(output, "1.png")  # the other photos were removed
    assert found(verify(output)) == []


def test_manifests_marks_and_leftovers_are_looked_at(output: Store, tmp_path: Path) -> None:
    shards = fill(output)
    attempts.start(output, shards[0].id, {})
    attempts.start(output, "0123456789abcdef-00000", {})
    attempts.start(output, f"{shards[0].id[:-5]}00077", {})
    (tmp_path / "output/monet/.00000000000000000000000000000000.tmp").write_bytes(b"young")
    assert set(found(verify(output))) == {
        f"settled_mark results/_begun-{shards[0].id}",
        "stray_mark results/_begun-0123456789abcdef-00000",
        f"stray_mark results/_begun-{shards[0].id[:-5]}00077",
    }
    key = layout.manifest_key(shards[0].manifest_id)
    rewrite(output, key, output.read(key)[:-1] + b"?")
    report = verify(output)
    assert f"damaged_manifest {key}" in found(report)
    with pytest.raises(ResultsError, match="leave out --quick"):
        repairs.prepare(verify(output, quick=True))
    repairs.prepare(report)
    assert {name.split()[0] for name in found(verify(output))} == {"part_without_manifest"}


def test_what_the_store_delivers_otherwise_than_listed_is_not_called_damaged(
    moto_endpoint: rgw.Endpoint, use_endpoint: Callable[[rgw.Endpoint], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_RETRY_SECONDS", 0)
    with run_flaky(moto_endpoint) as flaky:
        output = Store.open(use_endpoint(flaky.endpoint))
        shards = fill(output)
        flaky.answers = {"monet/1.png": (200, b"<html>"), "hokusai/1.png": (404, b""), "monet/2.png": (200, b"")}
        report = verify(output)
        assert found(report) == [f"unread_picture {name}" for name in ("hokusai/1.png", "monet/1.png", "monet/2.png")]
        for key in (layout.part_key(shards[0].id), layout.manifest_key(shards[0].manifest_id)):
            flaky.answers = {key: (200, b"<html>")}
            with pytest.raises(WrongSizeError, match="6 were delivered"):
                verify(output)
        flaky.answers = {}
        assert found(verify(output)) == []
