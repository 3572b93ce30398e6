"""Runs over an archive that break off, are tried again, or never start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

import artbank_prefect.flows.stylize_archive as stylize_archive_module
from artbank.errors import CatalogError, ConfigError, ResultsError
from artbank.results import ledger
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support.flow_runs import id_of, log_of, run, task_runs
from tests.support.small_inputs import listing
from tests.support.stylized_archive import PHOTOS, Archive


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shards be tried again without a wait."""
    task = stylize_archive_module.stylize_shard
    patient = task.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(stylize_archive_module, "stylize_shard", patient)


def fail_on(function: Callable[..., Any], error: Exception, *numbers: int) -> Callable[..., Any]:
    """Return a function of which some calls, counted from 1, fail."""
    calls = count(1)

    def spy(*args: Any, **values: Any) -> Any:
        if next(calls) in numbers:
            raise error
        return function(*args, **values)

    return spy


def fail_for(shard: str, error: Exception, *numbers: int) -> Callable[..., Any]:
    """Return `ledger.commit`, which fails in some of the attempts at a shard, counted from 1; two are under way."""
    commit = ledger.commit
    fail = fail_on(commit, error, *numbers)

    def spy(output: Store, shard_id: str, *args: Any) -> Any:
        return (fail if shard_id.endswith(shard) else commit)(output, shard_id, *args)

    return spy


def test_a_run_that_broke_off_before_its_part_is_completed_by_the_next(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(archive.output)
    cut = fail_for("-00000", RuntimeError("a power cut"), *range(1, 7))  # in every round
    monkeypatch.setattr(ledger, "commit", cut)
    broken = run(stylize_archive, archive.config(shard_size=2))
    with pytest.raises(ResultsError, match=r"1 of 2 shards failed: \w+-00000 \(RuntimeError: a power cut\); run it"):
        broken.result()
    assert archive.pictures().keys() == set(PHOTOS)  # written, but no row vouches for all of them
    assert len(archive.rows()) == 2
    outcome = run(stylize_archive, archive.config(shard_size=2)).result()
    assert (outcome.num_done, outcome.num_failed, outcome.num_new) == (3, 1, 2)
    assert len(ledger.read_ledger(Store.open(str(archive.output)))) == len(archive.rows()) == 4


def test_a_shard_whose_worker_was_lost_gets_a_second_round(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(archive.output)
    monkeypatch.setattr(ledger, "commit", fail_for("-00000", RuntimeError("the worker died"), 1))
    state = run(stylize_archive, archive.config(shard_size=2))
    assert (state.result().num_done, state.result().num_failed) == (3, 1)
    assert any(
        "-00000 failed in round 1: RuntimeError: the worker died" in line for line in log_of(id_of(state), "round")
    )
    assert len(task_runs(id_of(state), at_least=7)) == 7  # plan, three shards, what has no part, finish, sheet


def test_a_shard_that_was_finished_before_its_worker_was_lost_is_done(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(archive.output)

    def commit_and_die(*args: Any) -> None:
        commit(*args)
        raise RuntimeError("the worker died")

    commit = ledger.commit
    monkeypatch.setattr(ledger, "commit", commit_and_die)
    assert run(stylize_archive, archive.config()).result().num_done == 3


def test_trouble_with_the_store_is_tried_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    shutil.rmtree(archive.output)
    read_many, store = Store.read_many, str(archive.photos)
    failed: list[str] = []

    def spy(self: Store, keys: Any) -> Any:
        if self.uri == store and not failed:
            failed.append(store)
            raise OSError("the store hung up")
        return read_many(self, keys)

    monkeypatch.setattr(Store, "read_many", spy)
    state = run(stylize_archive, archive.config())
    assert (failed, state.result().num_done) == ([store], 3)
    assert {one.run_count for one in task_runs(id_of(state), at_least=3)} == {1, 2}


def test_a_damaged_bank_is_not_tried_again(archive: Archive, place: Any, at_once: None) -> None:
    shutil.rmtree(archive.output)
    [bank] = Path(place.store).glob("banks/novak/*/*/bank.safetensors")
    bank.write_bytes(bank.read_bytes()[:-1] + b"?")
    state = run(stylize_archive, Archive(archive.root, place.store).config())
    with pytest.raises(ResultsError, match=r"1 of 1 shards failed: \S+ \(BankError: bank novak@1: .* not the file"):
        state.result()
    assert {one.run_count for one in task_runs(id_of(state), at_least=3)} == {1}


@pytest.mark.parametrize(
    ("style", "error", "message"),
    [
        ("monet", CatalogError, "no bank monet in .*: there is ferrante, novak"),
        ("novak@7", CatalogError, "there is novak@1; name one of these"),
        ("novak:much", ConfigError, "'novak:much' cannot be read; expected NAME, NAME@VERSION or"),
    ],
)
def test_a_style_that_is_not_there_fails_before_anything_is_written(
    archive: Archive, style: str, error: type[Exception], message: str
) -> None:
    before = listing(archive.root)
    with pytest.raises(error, match=message):
        run(stylize_archive, archive.config(style)).result()
    assert listing(archive.root) == before


def test_a_wrong_parameter_never_starts(archive: Archive) -> None:
    before = listing(archive.root)
    wrong = archive.config().model_dump() | {"recipe": {"strength": 1.5}}
    with pytest.raises(ParameterTypeError, match=r"config.recipe.strength: .*less than or equal to 1"):
        stylize_archive(wrong)  # type: ignore[arg-type]
    assert listing(archive.root) == before
