"""Whatever changes between runs, only what must be redone is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from artbank.records.photo_records import PhotoTask, Result
from artbank.results import attempts, layout, ledger, pending, tables
from artbank.results.manifest import Shard
from artbank.store.objects import Store
from tests.support.manifests import read_known, read_tasks, write_shards
from tests.support.rows import START, result

STYLES = ("monet", "hokusai")


KEYS = st.sampled_from(["a.jpg", "b/c.jpg", "d.jpg", "é f.png"])


EDITS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.sampled_from(["one", "two", "bad"])),
    st.tuples(st.just("touch"), KEYS),
    st.tuples(st.just("remove"), KEYS),
)


RUNS = st.tuples(
    st.just("run"),
    st.dictionaries(st.sampled_from(STYLES), st.sampled_from(["r1", "r2"]), min_size=1),
    st.booleans(),  # whether failed photos are tried again
    st.sampled_from([None, None, 0, 1, 2]),  # shards committed before it breaks off
)


class Simulation:
    """An archive that changes, and runs over it whose pictures are the photo's content and the recipe."""

    def __init__(self, output: Store, start: datetime):
        self.output, self.now = output, start
        self.archive: dict[str, tuple[str, str]] = {}  # content, etag
        self.made: dict[tuple[str, str], tuple[str, str]] = {}  # content and recipe of the committed row
        self.num_etags = 0
        self.doubtful: set[tuple[str, str]] = set()  # pictures of shards that broke off

    def put(self, key: str, content: str) -> None:
        self.num_etags += 1
        self.archive[key] = (content, f"e{self.num_etags}")

    def touch(self, key: str) -> None:
        if key in self.archive:
            self.put(key, self.archive[key][0])

    def remove(self, key: str) -> None:
        self.archive.pop(key, None)

    def listing(self) -> pa.Table:
        facts = [(key, len(content), etag) for key, (content, etag) in sorted(self.archive.items())]
        columns = [list(column) for column in zip(*facts, strict=True)] or [[], [], []]
        schema = pa.schema([("key", pa.string()), ("size", pa.int64()), ("etag", pa.string())])
        return pa.table(columns, schema=schema)

    def run(self, recipes: Mapping[str, str], retry_failed: bool, breaks_after: int | None) -> None:
        must = {
            (key, style)
            for key, (content, _) in self.archive.items()
            for style, recipe in recipes.items()
            if self.made.get((key, style)) != (content, recipe) or (key, style) in self.doubtful
        }
        if retry_failed:
            pairs = {(key, style) for key in self.archive for style in recipes}
            must = {pair for pair in pairs if self.made.get(pair) == ("bad", recipes[pair[1]])}
        shards = self.plan(recipes, retry_failed)
        redone: set[tuple[str, str]] = set()
        for number, shard in enumerate(shards):
            if number == breaks_after:
                self.work(shard, recipes, commit=False)
                return
            redone |= self.work(shard, recipes)
        assert redone == must
        if not retry_failed:
            self.check(recipes)

    def plan(self, recipes: Mapping[str, str], retry_failed: bool) -> list[Shard]:
        done = pending.read_done(self.output, keep_failed=retry_failed)
        tasks = pending.find_pending(self.listing(), done, recipes, retry_failed=retry_failed)
        return write_shards(self.output, tasks, 2, recipes)

    def work(self, shard: Shard, recipes: Mapping[str, str], *, commit: bool = True) -> set[tuple[str, str]]:
        """Do a shard; returns what was stylized, without what was found to be unchanged."""
        self.now += timedelta(minutes=1)
        attempts.start(self.output, shard.id, {}, now=self.now)
        self.now += timedelta(minutes=1)
        known, rows, redone = read_known(self.output, shard), [], set()
        for task in read_tasks(self.output, shard):
            content, _ = self.archive[task.key]
            digest = hashlib.sha256(content.encode()).hexdigest()
            for style in task.styles:
                old = known.get((task.key, style))
                if old is not None and digest == task.known_sha256:
                    row = replace(old, etag=task.etag, created_at=self.now)
                else:
                    row = self.stylize(task, style, content, digest, recipes[style])
                    redone.add((task.key, style))
                rows.append(row)
                if commit:
                    self.made[task.key, style] = (content, recipes[style])
        self.doubtful = self.doubtful - redone if commit else self.doubtful | {(row.key, row.style) for row in rows}
        if commit:
            ledger.commit(self.output, shard.id, rows)
        return redone

    def stylize(self, task: PhotoTask, style: str, content: str, digest: str, recipe: str) -> Result:
        facts = {"etag": task.etag, "sha256": digest, "recipe_id": recipe, "created_at": self.now}
        if content == "bad":
            return result(task.key, style, **facts, status="failed", reason="bad", file_name=None)
        self.output.write(layout.picture_key(style, task.key), f"{content} {recipe}".encode())
        return result(task.key, style, **facts)

    def check(self, recipes: Mapping[str, str]) -> None:
        """What must hold after a whole run."""
        rows = Result.from_table(tables.update_tables_and_vacuum(self.output, self.listing()))
        names = [(row.key, row.style) for row in rows]
        assert len(set(names)) == len(names)
        assert {key for key, _ in names} <= set(self.archive)
        assert {(key, style) for key in self.archive for style in recipes} <= set(names)
        for row in rows:
            content, etag = self.archive[row.key]
            if row.style in recipes:
                assert (row.etag, row.recipe_id) == (etag, recipes[row.style])
                assert (row.status == "failed") == (content == "bad")
            if row.file_name and (row.style in recipes or (row.key, row.style) not in self.doubtful):
                assert self.output.read(row.file_name) == " ".join(self.made[row.key, row.style]).encode()
        assert self.plan(recipes, False) == []


_numbers = iter(range(10**9))


@settings(max_examples=30)
@given(st.lists(st.one_of(EDITS, RUNS), max_size=14))
def test_whatever_changes_between_runs_only_what_must_be_redone_is(steps: list[tuple]) -> None:
    simulation = Simulation(Store.open(f"memory://simulation-{next(_numbers)}"), START)
    for name, *arguments in [*steps, ("run", {"monet": "r1", "hokusai": "r1"}, False, None)]:
        getattr(simulation, name)(*arguments)
