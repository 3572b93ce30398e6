from __future__ import annotations

import time
from collections.abc import Sequence

import pyarrow as pa
import pytest

from artbank.errors import Failure, ResultsError
from artbank.records.photo_records import PhotoTask, Result
from artbank.results import archive_listing, attempts, layout, ledger, pending
from artbank.results.manifest import Manifest, Shard
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema
from tests.support.manifests import plan, read_known, read_tasks, write_shards
from tests.support.rows import START, result
from tests.support.table_bombs import bomb


def listing(**etags: str) -> pa.Table:
    """A listing of `<name>.jpg`, each with an etag."""
    return pa.table(
        {
            "key": pa.array([f"{name}.jpg" for name in etags], pa.string()),
            "size": pa.array([3] * len(etags), pa.int64()),
            "etag": pa.array(etags.values(), pa.string()),
        }
    )


def test_a_photo_lacks_the_styles_that_have_no_row_of_their_recipe() -> None:
    rows = [result("a.jpg"), result("a.jpg", "hokusai", recipe_id="older"), result("c.jpg"), result("gone.jpg")]
    recipes = {"monet": "r1", "hokusai": "r1"}
    assert plan(listing(b="e1", a="e1", c="e2"), rows, recipes) == [
        ("a.jpg", "e1", ["hokusai"], None),
        ("b.jpg", "e1", ["hokusai", "monet"], None),
        ("c.jpg", "e2", ["monet"], "s1"),
        ("c.jpg", "e2", ["hokusai"], None),
    ]


def test_only_the_current_row_counts() -> None:
    rows = [result(), result(minute=1, recipe_id="r2")]
    assert plan(listing(a="e1"), rows, {"monet": "r2"}) == []
    assert plan(listing(a="e1"), rows, {"monet": "r1"}) == [("a.jpg", "e1", ["monet"], None)]


def test_failed_photos_are_tried_again_when_asked_or_changed() -> None:
    rows = [result(status="failed"), result("b.jpg", status="failed", sha256=None)]
    assert plan(listing(a="e1", b="e1"), rows, {"monet": "r1"}) == []
    assert plan(listing(a="e2", b="e2"), rows, {"monet": "r1"}) == [
        ("a.jpg", "e2", ["monet"], "s1"),
        ("b.jpg", "e2", ["monet"], None),
    ]
    assert plan(listing(a="e2"), rows, {"monet": "r1"}, retry=True) == [("a.jpg", "e2", ["monet"], None)]


def test_a_retry_leaves_new_photos_other_recipes_and_other_failures_alone() -> None:
    failed = {"status": "failed", "failure": "unreadable"}
    rows = [result("a.jpg", **failed), result("a.jpg", "hokusai", **failed), result("done.jpg")]
    rows += [result("other.jpg", **failed, recipe_id="r0"), result("lost.jpg", **failed | {"failure": "timed_out"})]
    photos = listing(a="e1", done="e2", other="e1", lost="e1", new="e1")
    recipes = {"monet": "r1", "hokusai": "r1"}
    assert plan(photos, rows, recipes, retry=True) == [
        ("a.jpg", "e1", ["hokusai", "monet"], None),
        ("lost.jpg", "e1", ["monet"], None),
    ]
    kinds = ("timed_out", "damaged")
    assert plan(photos, rows, recipes, retry=True, failures=kinds) == [("lost.jpg", "e1", ["monet"], None)]


@pytest.mark.parametrize(("failure", "again"), [("store_error", True), ("damaged", True), ("unreadable", False)])
def test_a_failure_that_says_nothing_of_the_photo_is_always_done_again(failure: Failure, again: bool) -> None:
    rows = [result(status="failed", failure=failure)]
    expected = [("a.jpg", "e1", ["monet"], None)] if again else []
    assert plan(listing(a="e1"), rows, {"monet": "r1"}) == expected


def test_a_retry_that_broke_off_is_gone_on_with_by_the_next(output: Store) -> None:
    photos = listing(a="e1", b="e1")
    ledger.commit(output, "m-00000", [result("a.jpg", status="failed"), result("b.jpg")])
    for _ in range(2):
        done = pending.read_done(output, keep_failed=True)
        tasks = pending.find_pending(photos, done, {"monet": "r1"}, retry_failed=True)
        assert tasks["key"].to_pylist() == ["a.jpg"]
        (shard,) = write_shards(output, tasks, 4, {"monet": "r1"})
        attempts.start(output, shard.id, {})


def ambiguous(photos: pa.Table, rows: Sequence[Result] = (), archive: pa.Table | None = None) -> dict[str, bool | None]:
    """Plan one style; returns what is to do, and whether its name is ambiguous."""
    done = ledger.latest_rows(Result.to_table(rows)).select(pending.DONE_COLUMNS)
    tasks = pending.find_pending(photos, done, {"monet": "r1"}, retry_failed=False, archive=archive)
    return {task.key: task.is_ambiguous for task in PhotoTask.from_table(tasks)}


def test_photos_whose_names_may_be_confused_are_told() -> None:
    assert ambiguous(listing(a="e1", A="e1", b="e1")) == {"A.jpg": True, "a.jpg": True, "b.jpg": False}


def test_names_are_ambiguous_by_the_whole_archive_and_not_by_what_is_chosen() -> None:
    archive = listing(a="e1", A="e1", b="e1")
    chosen = archive_listing.filter_by_globs(archive, include=["a*", "b*"], exclude=[])
    assert ambiguous(chosen, archive=archive) == {"a.jpg": True, "b.jpg": False}


def test_a_photo_that_is_done_is_not_redone_for_another_of_nearly_its_name() -> None:
    rows = [result("a.jpg")]
    assert ambiguous(listing(a="e1", A="e1"), rows) == {"A.jpg": True}
    assert ambiguous(listing(A="e1"), rows) == {"A.jpg": True}  # the other's picture stays, and it may come back
    assert ambiguous(listing(a="e1"), rows) == {}


def test_manifests_of_older_versions_are_read(output: Store) -> None:
    older = make_tasks(3).drop_columns("is_ambiguous")
    (shard,) = write_shards(output, older, 3, {"monet": "r1"})
    assert [task.is_ambiguous for task in read_tasks(output, shard)] == [None] * 3


def make_tasks(count: int) -> pa.Table:
    return PhotoTask.to_table(PhotoTask(f"{n:03d}.jpg", 1, "e", ["monet"], None) for n in range(count))


def test_a_manifest_is_cut_into_shards_that_read_back(store_uri: str) -> None:
    output, tasks = Store.open(store_uri), make_tasks(7)
    shards = write_shards(output, tasks, 3, {"monet": "r1"})
    assert [shard.num_photos for shard in shards] == [3, 3, 1]
    name = shards[0].id.removesuffix("-00000")
    assert [shard.id for shard in shards] == [f"{name}-{number:05d}" for number in range(3)]
    assert {shard.manifest_id for shard in shards} == {name}
    assert output.exists(layout.manifest_key(name))
    assert [task for shard in shards for task in read_tasks(output, shard)] == PhotoTask.from_table(tasks)


def test_a_manifest_is_named_by_all_that_makes_its_work(output: Store) -> None:
    def name(tasks: pa.Table, shard_size: int = 3, recipe: str = "r1") -> str:
        return write_shards(output, tasks, shard_size, {"monet": recipe})[0].id

    first = name(make_tasks(7))
    assert name(make_tasks(7)) == first
    assert len({first, name(make_tasks(6)), name(make_tasks(7), 4), name(make_tasks(7), recipe="r2")}) == 4


def test_the_same_work_coming_up_again_is_not_taken_for_done(output: Store) -> None:
    photos = listing(a="e1")
    for number in range(3):  # fails every time
        tasks = pending.find_pending(photos, pending.read_done(output), {"monet": "r1"}, retry_failed=number > 0)
        (shard,) = write_shards(output, tasks, 3, {"monet": "r1"})
        assert not ledger.is_committed(output, shard.id)
        ledger.commit(output, shard.id, [result(status="failed")])


def test_nothing_to_do_writes_nothing(output: Store) -> None:
    assert write_shards(output, make_tasks(0), 3, {"monet": "r1"}) == []
    assert output.list() == []


def test_a_shard_whose_manifest_is_gone_cannot_be_read(output: Store) -> None:
    with pytest.raises(FileNotFoundError):
        read_tasks(output, Shard("m-00000", 0, 1))


def test_rows_of_photos_known_by_their_content_are_found(output: Store) -> None:
    kept = result("c.jpg", sha256="s3")
    ledger.commit(output, "m-00000", [result(), result("a.jpg", "hokusai"), kept])
    recipes = {"monet": "r1", "hokusai": "r2"}
    tasks = pending.find_pending(
        listing(a="e1", b="e1", c="e2"), pending.read_done(output), recipes, retry_failed=False
    )
    (shard,) = write_shards(output, tasks, 10, recipes)
    assert read_known(output, shard) == {("c.jpg", "monet"): kept}


def test_pictures_that_a_broken_off_shard_may_have_overwritten_are_done_again(output: Store) -> None:
    photos = listing(a="e1", b="e1")

    def todo(recipe: str, shard_size: int = 1) -> list[Shard]:
        tasks = pending.find_pending(photos, pending.read_done(output), {"monet": recipe}, retry_failed=False)
        return write_shards(output, tasks, shard_size, {"monet": recipe})

    (shard,) = todo("r1", 2)
    attempts.start(output, shard.id, {})
    ledger.commit(output, shard.id, [result(key) for key in ("a.jpg", "b.jpg")])
    assert todo("r1") == []
    first, _ = todo("r2")
    attempts.start(output, first.id, {})
    (again,) = todo("r1")
    assert [task.key for task in read_tasks(output, again)] == ["a.jpg"]
    ledger.commit(output, again.id, [result("a.jpg", created_at=START.replace(year=2100))])
    assert todo("r1") == []
    pending.delete_settled_marks(output)  # the other recipe's shard may have been at work later still
    assert attempts.find_unfinished(output).keys() == {first.id}
    ledger.commit(output, "m-1", [result("a.jpg", recipe_id="r2", created_at=START.replace(year=2101))])
    pending.delete_settled_marks(output)
    assert attempts.find_unfinished(output) == {}


def test_the_mark_of_a_shard_whose_worker_died_right_after_its_part_is_deleted(output: Store) -> None:
    attempts.start(output, "m-0", {})
    ledger.commit(output, "m-0", [result("a.jpg")])
    pending.delete_settled_marks(output)
    assert not [stored.key for stored in output.list() if "_begun" in stored.key]


def test_a_mark_of_a_shard_that_its_manifest_lacks_is_an_error_that_says_what_to_do(output: Store) -> None:
    (shard,) = write_shards(output, todo_of(output, "r1"), 2, {"monet": "r1"})
    attempts.start(output, f"{shard.manifest_id}-00007", {})
    with pytest.raises(ResultsError, match=r"has 1, found \w+-00007; if there is a mark .*artbank verify --repair"):
        pending.read_unfinished(output)


def test_two_runs_that_plan_the_same_work_from_the_same_parts_share_a_manifest(output: Store) -> None:
    seen = ledger.list_parts(output)
    tasks = todo_of(output, "r1")
    first = Manifest.write(output, tasks, 2, {"monet": "r1"}, parts=seen)
    assert first is not None
    ledger.commit(output, first.shards[0].id, [result(key) for key in ("a.jpg", "b.jpg")])
    second = Manifest.write(output, tasks, 2, {"monet": "r1"}, parts=seen)
    later = Manifest.write(output, tasks, 2, {"monet": "r1"})
    assert second is not None and second.id == first.id
    assert later is not None and later.id != first.id


def todo_of(output: Store, recipe: str) -> pa.Table:
    photos = listing(a="e1", b="e1")
    return pending.find_pending(photos, pending.read_done(output), {"monet": recipe}, retry_failed=False)


@pytest.mark.parametrize("column", ["key", "styles"])
def test_a_manifest_that_stands_for_gigabytes_is_named_and_not_read(output: Store, column: str) -> None:
    data = bomb(column, {"artbank.recipes": b"{}"})
    manifest_id = short_hash(data)
    output.write(layout.manifest_key(manifest_id), data)
    manifest = Manifest.open(output, manifest_id)
    for read in (manifest.list_pairs, lambda: manifest.tasks(manifest.shards[0])):
        with pytest.raises(
            ResultsError, match=f"{manifest_id}.parquet should be a manifest, but cannot be read .expect"
        ):
            read()


NO_ZONE = bomb("key", {"artbank.recipes": b"{}", "artbank.after": b"2026-01-01T00:00:00"})


@pytest.mark.parametrize(
    "data", [b"PAR1 rubbish", bomb("key"), bomb("key", {"artbank.recipes": b"{"}), NO_ZONE], ids=range(4)
)
def test_a_file_that_is_no_manifest_is_named(output: Store, data: bytes) -> None:
    output.write(layout.manifest_key(short_hash(data)), data)
    with pytest.raises(ResultsError, match="should be a manifest, but cannot be read .*; delete it with the marks"):
        Manifest.open(output, short_hash(data))


def test_the_cost_of_reading_shards_grows_no_faster_than_their_number(output: Store) -> None:
    """The metadata of all shards was once parsed for each shard: 14 s of CPU for 1,500 of them."""
    keys = pa.array([f"{number:06d}.jpg" for number in range(1500)])
    sizes = pa.array([1] * len(keys), pa.int64())
    photos = pa.table({"key": keys, "size": sizes, "etag": keys, "styles": [["monet"]] * len(keys)})
    tasks = cast_to_schema(photos, PhotoTask.SCHEMA)
    manifest = Manifest.write(output, tasks, 1, {"monet": "r"})
    assert manifest is not None
    start = time.process_time()
    assert [manifest.tasks(shard)[0].key for shard in manifest.shards] == keys.to_pylist()
    assert time.process_time() - start < 6
