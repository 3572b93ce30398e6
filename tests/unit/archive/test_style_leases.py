"""One run at a time writes a style of an output; a run that lost its lease writes nothing more."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artbank.archive import style_leases
from artbank.archive.finish import finish_archive
from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.archive.style_leases import WriteGuard, open_style_leases
from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from artbank.results import ledger
from artbank.results.layout import LEASES, lease_name
from artbank.results.verification.verify import verify
from artbank.runtime.processes import PID_SPACE
from artbank.store.heartbeats import Heartbeat
from artbank.store.leases import Contender, Lease, release_all, renew_all
from artbank.store.objects import Store
from tests.support.counted_store import count_calls
from tests.support.small_inputs import STYLIZE, draw_photo, stylizing
from tests.support.waiting import wait_for

Start = Callable[..., StylizeConfig]


@pytest.fixture
def asked(shelf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return the config of a run over six photos, with its own noise; looks at leases are never trusted for long."""
    monkeypatch.setattr(style_leases, "_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(style_leases, "_TRUSTED_SECONDS", 0.0)
    photos = Store.open(str(tmp_path / "photos"))
    photos.write_many({f"{number}.jpg": draw_photo(number) for number in range(6)})

    def make(seed: int, lease_seconds: float = 90.0) -> StylizeConfig:
        recipe = STYLIZE.model_copy(update={"seed": seed})
        values = {"recipe": recipe, "batch_size": 2, "shard_size": 3, "lease_seconds": lease_seconds}
        return stylizing(photos.uri, str(tmp_path / "output"), shelf, "novak", **values)

    return make


def run_whole(config: StylizeConfig, after_batch: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Plan and do a run; returns the number of its tasks."""
    with open_style_leases(config) as leases:
        plan, shards, _ = plan_archive(config, leases)
        for shard in shards:
            stylize_shard(config, plan, shard, after_batch)
    return plan.num_tasks


def check_rows_name_their_pictures(config: StylizeConfig, drawn_by: StylizeConfig) -> None:
    output = Store.open(config.output_uri)
    rows = ledger.latest_rows(ledger.read_ledger(output)).to_pylist()
    assert len(rows) == 6 and {row["recipe"] for row in rows} == {drawn_by.recipe.model_dump_json()}
    for row in rows:
        assert row["file_sha256"] == hashlib.sha256(output.read(row["file_name"])).hexdigest(), row["file_name"]


def test_a_run_waits_for_another_recipe_and_plans_anew_when_it_has_ended(
    asked: Start, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = asked(1), asked(2)
    output = Store.open(first.output_uri)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(1) as pool:
        waiting = []

        def start_second(done: int, total: int) -> None:
            if not waiting:
                waiting.append(pool.submit(run_whole, second))
                wait_for(lambda: "another run writes style novak" in caplog.text or waiting[0].done())

        assert run_whole(first, start_second) == 6
        assert waiting[0].result() == 6
    check_rows_name_their_pictures(second, drawn_by=second)
    [message] = [message for message in caplog.messages if "another run writes" in message]
    assert message == f"another run writes style novak of {output.uri}: waiting until it ends, or is silent for 90 s"
    assert output.list(LEASES) == []
    assert len(output.list("manifests")) == 2  # none of a plan that was given up


def test_a_run_that_waited_for_the_same_recipe_has_nothing_left_to_do(asked: Start) -> None:
    first, second = asked(1), asked(1)
    with ThreadPoolExecutor(1) as pool, open_style_leases(first) as leases:
        leases.acquire(["novak"])
        waiting = pool.submit(run_whole, second)
        plan, shards, _ = plan_archive(first, leases)
        for shard in shards:
            stylize_shard(first, plan, shard)
        leases._leases[0].release()
        assert waiting.result() == 0


def test_a_run_that_was_taken_over_while_it_stood_still_changes_no_picture(asked: Start) -> None:
    first, second = asked(1), asked(2, lease_seconds=0.05)
    ended = []

    def stand_still(done: int, total: int) -> None:
        if not ended:
            ended.append(run_whole(second))

    with pytest.raises(ResultsError, match="paused for too long"):
        run_whole(first, stand_still)
    assert ended == [6]
    check_rows_name_their_pictures(first, drawn_by=second)


def test_a_run_with_nothing_to_do_takes_no_lease(asked: Start) -> None:
    config = asked(1)
    run_whole(config)
    with open_style_leases(config) as leases:
        assert plan_archive(config, leases)[0].num_tasks == 0
        assert leases._leases == []


def test_what_a_killed_run_leaves_is_taken_over_at_once(asked: Start, caplog: pytest.LogCaptureFixture) -> None:
    config = asked(1)
    code = (
        "import os, sys; from artbank.archive.style_leases import open_style_leases\n"
        "from artbank.config import StylizeConfig\n"
        "with open_style_leases(StylizeConfig.model_validate_json(sys.argv[1])) as leases:\n"
        "    leases.acquire(['novak']); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, config.model_dump_json()])
    output = Store.open(config.output_uri)
    left = [f"{LEASES}/novak.lease-000001"]
    assert [stored.key for stored in output.list(LEASES)] == left
    assert verify(output).counts["abandoned_lease"] == 1
    assert run_whole(config) == 6
    assert output.list(LEASES) == [] and "another run" not in caplog.text


def test_a_run_with_nothing_to_do_deletes_what_a_killed_one_left_and_no_lease_that_is_held(asked: Start) -> None:
    config, output = asked(1), Store.open(asked(1).output_uri)
    run_whole(config)
    plan, _, photos = plan_archive(config)
    abandoned = Heartbeat("a", 0, PID_SPACE, 2**22 + 1)  # beyond the processes that Linux has
    output.write_many({f"{LEASES}/a.lease-00000{number}": abandoned.to_bytes() for number in (1, 2)})
    output.write(f"{LEASES}/b.lease-000001", Heartbeat("b", 0, "another machine", 1).to_bytes())
    finish_archive(config, plan, photos)
    assert [stored.key for stored in output.list(LEASES)] == [f"{LEASES}/b.lease-000001"]
    assert verify(output).counts == {"held_lease": 1}


def test_two_runs_with_the_same_styles_in_another_order_both_end(asked: Start) -> None:
    orders, together = (["a", "B", "c"], ["c", "b", "A"]), threading.Barrier(2)

    def hold(order: list[str]) -> None:
        for _ in range(5):
            with open_style_leases(asked(1)) as leases:
                together.wait()
                leases.acquire(order)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(hold, orders))


def test_a_guard_lets_only_its_own_run_write(store_uri: str) -> None:
    output, now = Store.open(store_uri), [0.0]
    guard = WriteGuard(output, "run 1", ["Novak", "monet"], clock=lambda: now[0])
    with pytest.raises(ResultsError, match="found no run"):
        guard.check()
    held = [Contender(output, lease_name(style), 90.0).try_acquire() for style in ("novak", "monet")]
    with pytest.raises(ResultsError, match="style monet .* found run without a plan yet"):
        guard.check()
    for lease in held:
        assert lease is not None
        lease.work = "run 1"
        assert lease.renew()
    guard.check()
    output.create(f"{lease_name('novak')}.lease-000002", b'["other", 0, "", 0, "run 2"]')
    now[0] += 0.9
    guard.check()  # a look counts for a second
    now[0] += 0.2
    for _ in range(2):
        with pytest.raises(ResultsError, match="style novak .* found run run 2"):
            guard.check()


def hold(output: Store, styles: list[str], run_id: str) -> list[Lease]:
    leases = [lease for style in styles if (lease := Contender(output, lease_name(style), 90.0).try_acquire())]
    for lease in leases:
        lease.work = run_id
    assert renew_all(leases) == {} and len(leases) == len(styles)
    return leases


def test_a_guard_of_many_styles_lists_once_and_reads_once(tmp_path: Path) -> None:
    output, styles = Store.open(str(tmp_path)), [f"style_{number:02d}" for number in range(60)]
    hold(output, styles, "run 1")
    with count_calls(output) as calls:
        WriteGuard(output, "run 1", styles).check()
    assert calls == {"walk": 1, "read_many": 1}


def test_a_look_that_takes_longer_than_it_counts_is_not_repeated_by_those_that_waited_for_it(tmp_path: Path) -> None:
    output, now = Store.open(str(tmp_path)), [0.0]
    hold(output, ["novak"], "run 1")

    def pass_time(*call: object) -> None:
        now[0] += 0.7

    guard = WriteGuard(output, "run 1", ["novak"], clock=lambda: now[0])
    with count_calls(output, pass_time) as calls:
        guard.check()
        guard.check()
    assert calls == {"walk": 1, "read_many": 1}


def test_a_run_of_many_styles_renews_and_releases_its_leases_in_few_calls(asked: Start) -> None:
    with open_style_leases(asked(1)) as leases:
        leases.acquire([f"style_{number:02d}" for number in range(60)])
        with count_calls(leases._output) as naming:
            leases.name_run("run 1")
        with count_calls(leases._output) as releasing:
            release_all(leases._leases)
    assert naming == {"walk": 1, "read_many": 1, "write_many": 1}
    assert releasing == {"walk": 1, "read_many": 1, "delete_many": 1}
