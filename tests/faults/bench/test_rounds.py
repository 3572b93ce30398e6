"""Costs, ratios and plans of rounds, on known numbers."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from bench.hardware import busy_seconds, count_unet_flops, measure_peaks
from bench.peers.counting import Expected
from bench.peers.kit import Contender, Kit
from bench.rounds import Cost, Row, Table, compete, cpu_seconds, plan_rounds, ratio
from bench.targets import Gate, Limit, table_of_targets


def make_row(name: str, *seconds: float, gpu: float | None = None) -> Row:
    return Row(name, 1, "float32", 71, 0, [Cost(value, 2 * value, gpu) for value in seconds])


def test_a_ratio_is_the_median_of_the_pairs_of_rounds() -> None:
    slow, fast = make_row("slow", 2.0, 40.0, 9.0), make_row("fast", 1.0, 10.0, 3.0)
    found = ratio(slow, fast)
    assert (found.median, found.least, found.most) == (3.0, 2.0, 4.0)  # the ratio of the medians would be 9 / 3
    assert ratio(make_row("slow", 1.0, 10.0, 6.0), make_row("fast", 1.0, 1.0, 3.0)).median == 2.0
    assert str(found) == "3.00 (2.00-4.00)"


def test_a_ratio_on_the_gpu_is_of_its_own_seconds() -> None:
    slow, fast = make_row("slow", 9.0, 9.0, gpu=3.0), make_row("fast", 1.0, 1.0, gpu=2.0)
    assert ratio(slow, fast, on_gpu=True).median == 1.5
    assert ratio(slow, fast).median == 9.0


def test_rows_of_different_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError):
        ratio(make_row("slow", 1.0, 2.0), make_row("fast", 1.0))


def test_a_rate_is_by_the_clock_and_seconds_are_not() -> None:
    row = make_row("row", 0.5, 0.5, 1.0)
    assert (row.seconds, row.rate) == (0.5, 1.0)


def test_rounds_fill_the_budget_and_the_slowest_peer_is_left_out_first() -> None:
    costs = {"ours": 4.0, "slow": 10.0, "quick": 1.0}
    assert plan_rounds(costs, 75.0) == (["ours", "slow", "quick"], 5)
    assert plan_rounds(costs, 29.0) == (["ours", "quick"], 5)
    assert plan_rounds(costs, 5.0) == (["ours", "quick"], 1)
    assert plan_rounds({"ours": 0.1}, 1000.0)[1] == 9


def test_contenders_take_turns_and_who_does_not_fit_is_halved() -> None:
    unet, order = nn.Linear(1, 1), []

    def make(name: str, batch: int, largest: int) -> Contender:
        def work() -> list[int]:
            if batch > largest:
                raise torch.OutOfMemoryError
            order.append(name)
            unet(torch.zeros(batch, 1))
            return [0] * batch

        smaller = (lambda: make(name, batch // 2, largest)) if batch > 1 else None
        return Contender(name, work, {"unet": unet}, Expected(1, batch, torch.float32), batch, smaller=smaller)

    suite = {"ours": make("ours", 4, 4), "large": make("large", 4, 2), "none": make("none", 1, 0)}
    table = compete(suite, torch.device("cpu"), 1.0)
    assert order[:6] == ["ours", "large"] * 3 and table.rounds == 9
    assert {key: row.batch for key, row in table.rows.items()} == {"ours": 4, "large": 2}
    assert table.notes == [
        "large: batch 4 does not fit in the memory of the card",
        "none: batch 1 does not fit in the memory of the card",
    ]


def test_the_cpu_seconds_of_running_and_of_ended_children_count() -> None:
    burn = "import sys, time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\nsys.stdin.read()"
    before = cpu_seconds()
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = cpu_seconds() - before
        child.communicate()
    assert 0.3 < running < 1.5
    assert 0.3 < cpu_seconds() - before < 1.5
    start, before = time.monotonic(), cpu_seconds()
    time.sleep(0.05)
    assert cpu_seconds() - before < time.monotonic() - start


def test_busy_time_is_the_union_of_spans() -> None:
    assert busy_seconds([(0, 2), (1, 3), (5, 6), (5.5, 5.6)]) == 4
    assert busy_seconds([]) == 0


def test_targets_are_met_missed_or_not_measured() -> None:
    table = Table({"ours": make_row("ours", 1.0), "peer": make_row("peer", 3.0)}, [], 1)
    gates = (
        Gate("a", "s", "peer", "ours", 3.0),
        Gate("b", "s", "peer", "ours", 3.1),
        Gate("c", "other", "peer", "ours", 1.0),
        Limit("d", "idle", 0.05, is_most=True),
        Limit("e", "share", 0.3),
        Limit("f", "none", 0.3),
    )
    lines = table_of_targets(gates, {"s": table}, {"idle": 0.06, "share": 0.4}).splitlines()[2:]
    verdicts = [line.split("|")[-2].strip() for line in lines]
    assert verdicts == ["met", "**missed**", "not measured", "**missed**", "met", "not measured"]


def test_the_unets_flops_are_counted(kit: Kit) -> None:
    parts = kit.parts(torch.float32)
    config = parts.unet.config
    first = 2 * config.sample_size**2 * 9 * config.in_channels * config.block_out_channels[0]
    assert first < count_unet_flops(parts) < 1000 * first


def test_peaks_are_rates() -> None:
    peaks = measure_peaks(torch.device("cpu"))
    assert peaks.matmul > 1e9 and peaks.copy > 1e8
