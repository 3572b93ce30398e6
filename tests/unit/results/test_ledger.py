from __future__ import annotations

import io
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artbank.errors import ResultsError
from artbank.records.photo_records import Result
from artbank.results import layout, ledger, snapshots, tables
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from tests.support.rows import result
from tests.support.table_bombs import bomb


def photos(*keys: str) -> pa.Table:
    return pa.table({"key": pa.array(keys, pa.string())})


def view(output: Store, name: str = layout.RESULTS) -> pa.Table:
    return pq.read_table(pa.BufferReader(output.read(name)))


def test_committed_rows_come_back_as_they_were(store_uri: str) -> None:
    output = Store.open(store_uri)
    done = result(flags=["near_copy"], clip_text=None)
    failed = result("b.jpg", status="failed", reason="no image", file_name=None, width_px=None, sha256=None)
    assert not ledger.is_committed(output, "m-00000")
    ledger.commit(output, "m-00000", [done, failed])
    assert ledger.is_committed(output, "m-00000")
    assert Result.from_table(ledger.read_ledger(output)) == [done, failed]


def test_of_two_workers_on_one_shard_the_first_part_stands(output: Store) -> None:
    ledger.commit(output, "m-00000", [result(seconds=1.0)])
    ledger.commit(output, "m-00000", [result(seconds=2.0)])
    assert ledger.read_ledger(output)["seconds"].to_pylist() == [1.0]


def test_a_ledger_without_parts_has_the_columns_and_no_rows(output: Store) -> None:
    assert ledger.read_ledger(output).schema.equals(Result.SCHEMA)
    assert ledger.read_ledger(output, ["key", "etag"]).column_names == ["key", "etag"]
    assert len(ledger.latest_rows(ledger.read_ledger(output))) == 0


def test_a_ledger_takes_only_the_columns_asked_for_and_fills_those_of_older_parts(output: Store) -> None:
    ledger.commit(output, "m-00000", [result()])
    older = Result.to_table([result("b.jpg")]).drop_columns(["ssim"]).append_column("mood", pa.array(["calm"]))
    output.write(layout.part_key("m-00001"), table_bytes(older))
    assert ledger.read_ledger(output, ["key", "ssim"]).to_pylist() == [
        {"key": "a.jpg", "ssim": 0.6},
        {"key": "b.jpg", "ssim": None},
    ]


def test_a_damaged_part_is_named(output: Store) -> None:
    ledger.commit(output, "m-00000", [result()])
    output.write(layout.part_key("m-00001"), b"PAR1")
    with pytest.raises(ResultsError, match=r"part-m-00001\.parquet should be .* delete it and run again"):
        ledger.read_ledger(output)


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y"]), st.integers(0, 3)), max_size=20)


@given(ROWS)
def test_the_current_rows_are_the_last_written_of_each_photo_and_style(written: list[tuple[str, str, int]]) -> None:
    rows = [result(key, style, minute=at, seed=number) for number, (key, style, at) in enumerate(written)]
    expected = {(row.key, row.style): row for row in sorted(rows, key=lambda row: row.created_at)}
    found = Result.from_table(ledger.latest_rows(Result.to_table(rows)))
    assert sorted(found, key=lambda row: (row.key, row.style)) == [expected[name] for name in sorted(expected)]


def test_the_view_has_one_row_for_each_photo_still_there_and_style(output: Store) -> None:
    ledger.commit(output, "m-00000", [result("b.jpg"), result("a.jpg"), result("gone.jpg")])
    ledger.commit(output, "m-00001", [result("b.jpg", "hokusai"), result("b.jpg", minute=1, recipe_id="r2")])
    rows = tables.update_tables_and_vacuum(output, photos("a.jpg", "b.jpg", "new.jpg"))
    assert rows.equals(view(output))
    assert [(row.key, row.style, row.recipe_id) for row in Result.from_table(rows)] == [
        ("a.jpg", "monet", "r1"),
        ("b.jpg", "hokusai", "r1"),
        ("b.jpg", "monet", "r2"),
    ]


def test_a_view_larger_than_a_row_group_is_whole_and_sorted(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(snapshots, "_PARTS_AT_ONCE", 2)
    for number in range(5):
        rows = [result(f"{number + 5 * i}.jpg", recipe=f"{i}") for i in range(2)]
        ledger.commit(output, f"m-{number:05d}", rows)
    keys = [f"{number}.jpg" for number in range(10)]
    rows = tables.update_tables_and_vacuum(output, photos(*keys))
    assert rows["key"].to_pylist() == keys
    assert rows["recipe"].to_pylist() == ["0"] * 5 + ["1"] * 5
    assert rows.schema.equals(Result.SCHEMA)
    assert view(output).equals(rows)


def test_only_done_rows_are_in_the_metadata(output: Store) -> None:
    ledger.commit(output, "m-00000", [result("a.jpg"), result("b.jpg", status="failed", file_name=None)])
    tables.update_tables_and_vacuum(output, photos("a.jpg", "b.jpg"))
    metadata = view(output, layout.METADATA)
    assert metadata["file_name"].to_pylist() == ["monet/a.jpg"]
    assert metadata.column_names == list(tables.METADATA_COLUMNS)


def test_a_view_that_has_not_changed_is_not_written(output: Store) -> None:
    ledger.commit(output, "m-00000", [result("a.jpg")])
    tables.update_tables_and_vacuum(output, photos("a.jpg"))
    before = output.list()
    tables.update_tables_and_vacuum(output, photos("a.jpg"))
    assert output.list() == before
    tables.update_tables_and_vacuum(output, photos())
    assert output.list() != before


@pytest.mark.parametrize("name", [layout.RESULTS, layout.METADATA])
@pytest.mark.parametrize("lost", [True, False])
def test_a_view_of_which_a_table_is_lost_or_damaged_is_made_anew(output: Store, name: str, lost: bool) -> None:
    ledger.commit(output, "m-00000", [result("a.jpg")])
    rows = tables.update_tables_and_vacuum(output, photos("a.jpg"))
    written = {key: output.read(key) for key in (layout.RESULTS, layout.METADATA)}
    output.delete_many([name]) if lost else output.write(name, written[name][:-5])
    assert tables.update_tables_and_vacuum(output, photos("a.jpg")).equals(rows)
    assert {key: output.read(key) for key in written} == written


def test_a_view_whose_tables_two_runs_wrote_is_made_anew(output: Store) -> None:
    ledger.commit(output, "m-00000", [result("a.jpg"), result("b.jpg")])
    tables.update_tables_and_vacuum(output, photos("a.jpg", "b.jpg"))
    other = output.read(layout.METADATA)
    tables.update_tables_and_vacuum(output, photos("a.jpg"))
    output.write(layout.METADATA, other)
    tables.update_tables_and_vacuum(output, photos("a.jpg"))
    assert view(output, layout.METADATA)["key"].to_pylist() == ["a.jpg"]


def test_a_view_follows_every_photo_and_part(output: Store) -> None:
    def found(*keys: str) -> list[tuple[str, str]]:
        rows = tables.update_tables_and_vacuum(output, photos(*keys), ["style", "key"])
        assert rows.column_names == ["style", "key"]
        assert rows.equals(view(output).select(["style", "key"]))
        return [(row["key"], row["style"]) for row in rows.to_pylist()]

    ledger.commit(output, "m-00000", [result("a.jpg"), result("b.jpg", "hokusai")])
    assert found("a.jpg", "b.jpg") == [("a.jpg", "monet"), ("b.jpg", "hokusai")]
    assert found("a.jpg") == [("a.jpg", "monet")]
    assert found("a.jpgb.jpg") == []
    ledger.commit(output, "m-00001", [result("b.jpg")])
    assert found("b.jpg") == [("b.jpg", "hokusai"), ("b.jpg", "monet")]
    output.delete_many([layout.part_key("m-00000")])
    assert found("b.jpg") == [("b.jpg", "monet")]


def picture(colour: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(sink, "PNG")
    return sink.getvalue()


def fill_output(output: Store, keys: list[str]) -> None:
    """Leave what runs leave: pictures, one failure, one of a removed photo, and everything a run says of itself."""
    rows = [result(key, style, seed=10) for key in keys for style in ("monet", "hokusai")]
    pictures = {row.file_name: picture(10) for row in rows if row.file_name}
    pictures |= {"monet/removed.png": picture(99), layout.run_key("m", "contact-sheet.jpg"): picture(99)}
    output.write_many({**pictures, layout.run_key("m", "summary.json"): b"{}", layout.run_key("m", "report.html"): b""})
    output.write(layout.manifest_key("m"), table_bytes(photos(*keys)))
    failed = result("bad.png", status="failed", file_name=None)
    ledger.commit(output, "m-00000", [*rows, failed, result("removed.png")])
    tables.update_tables_and_vacuum(output, photos(*keys, "bad.png"))


def check_dataset(dataset: datasets.Dataset, keys: list[str]) -> None:
    found = [(row["key"], row["style"]) for row in dataset.remove_columns("image")]
    assert found == [(key, style) for key in sorted(keys) for style in ("hokusai", "monet")]
    assert {row["image"].getpixel((0, 0)) for row in dataset} == {(10, 0, 0)}
    assert set(dataset.column_names) == {"image", *tables.METADATA_COLUMNS} - {"file_name"}


def test_datasets_loads_exactly_the_done_pictures_of_the_folder(output: Store, tmp_path: Path) -> None:
    keys = ["a.png", "trip/b.png", "trip/day 2/c.png"]
    fill_output(output, keys)
    dataset = datasets.load_dataset(
        "imagefolder", data_dir=output.uri, split="train", cache_dir=str(tmp_path / "cache")
    )
    check_dataset(dataset, keys)


def test_datasets_loads_any_names_when_it_is_told_of_the_metadata(output: Store, tmp_path: Path) -> None:
    keys = ["test.png", "train/val-1.png", "eval/x.png"]  # which it takes for splits otherwise
    fill_output(output, keys)
    dataset = datasets.load_dataset(
        "imagefolder",
        data_dir=output.uri,
        data_files=layout.METADATA,
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    check_dataset(dataset, keys)


@pytest.mark.parametrize("column", ["status", "seconds"])
def test_a_part_that_stands_for_gigabytes_is_named_and_not_read(output: Store, column: str) -> None:
    output.write("results/part-m-00000.parquet", bomb(column))
    for read in (ledger.read_ledger, lambda output: ledger.read_tallies(output, ["m-00000"])):
        with pytest.raises(
            ResultsError, match="part-m-00000.parquet should be a shard's part, but cannot be read .exp"
        ):
            read(output)


def test_tables_that_stand_for_gigabytes_are_made_anew(output: Store) -> None:
    ledger.commit(output, "m-00000", [result("a.jpg")])
    photos = pa.table({"key": ["a.jpg"]})
    expected = tables.update_tables_and_vacuum(output, photos)
    for name in (layout.RESULTS, layout.METADATA):
        origin = tables.source_hash(expected).encode()
        output.write(name, bomb("key", {"artbank.origin": origin}))
        assert tables.update_tables_and_vacuum(output, photos).equals(expected)
