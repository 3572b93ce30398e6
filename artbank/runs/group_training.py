"""Train collections in groups: one by one after a group failed as a whole, and last those that other runs train."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from artbank.errors import ArtbankError
from artbank.runs.gather import Future, format_error, gather
from artbank.runs.progress import RunProgress
from artbank.runtime.readable_text import list_names

logger = logging.getLogger(__name__)

Start = Callable[[Sequence[str]], Future]
"""Starts the training of a group, whose result is the row or the error of each collection by name."""


def cut_groups(names: Sequence[str], most: int, num_workers: int) -> dict[str, Sequence[str]]:
    """Cut collections into groups of nearly equal size; returns them by a name for people.

    Args:
        names: Names of the collections.
        most: Largest size of a group.
        num_workers: There are at least as many groups, if there are as many collections.
    """
    count = max(-(-len(names) // most), min(num_workers, len(names)))
    groups = [names[first:end] for first, end in pairwise(len(names) * i // count for i in range(count + 1))]
    return {name_group(group): group for group in groups}


def name_group(group: Sequence[str]) -> str:
    """Return the names of a group's collections, the first three of many."""
    return list_names(group)


class GroupTraining:
    """Trains groups of collections, and gathers the results by collection."""

    def __init__(self, names: Sequence[str], start: Start, start_waiting: Start, progress: RunProgress, max_steps: int):
        """Start nothing yet.

        Args:
            names: The collections.
            start: Starts the training of a group.
            start_waiting: Starts to wait for collections that other runs train.
            progress: Counts the steps.
            max_steps: Steps of one collection, at most.
        """
        self._names = names
        self._start = start
        self._start_waiting = start_waiting
        self._progress = progress
        self._max_steps = max_steps
        self._results: dict[str, Any] = {}

    def run(self, banks_at_once: int, num_workers: int) -> tuple[dict[str, Any], dict[str, Exception]]:
        """Train all collections; returns the rows and the errors by collection, in the order of the names.

        If a group fails as a whole, its collections are trained one by one, since one of them may be the cause. At the
        end the run waits for collections that other runs train; banks that those register are not returned.

        Args:
            banks_at_once: Largest size of a group.
            num_workers: Groups that are trained at the same time.
        """
        suspects = self._train(cut_groups(self._names, banks_at_once, num_workers))
        self._train({name: [name] for name in suspects})
        self._await_others()
        results = {name: self._results[name] for name in self._names if name in self._results}
        failed = {name: end for name, end in results.items() if isinstance(end, Exception)}
        return {name: end for name, end in results.items() if name not in failed}, failed

    def _train(self, groups: Mapping[str, Sequence[str]]) -> list[str]:
        """Train groups; returns the collections of groups that failed as a whole and may succeed one by one."""
        self._progress.add_parts({name: self._max_steps * len(group) for name, group in groups.items()})
        done, failed = gather(groups, self._start, on_result=lambda name, end: self._count(groups[name], end))
        for group_results in done.values():
            self._results.update(group_results)
        suspects: list[str] = []
        for name, error in failed.items():
            if _may_succeed_alone(groups[name], error):
                logger.warning("%s failed together and are trained one by one: %s", name, format_error(error))
                suspects += groups[name]
            else:
                self._results.update(dict.fromkeys(groups[name], error))
        return suspects

    def _await_others(self) -> None:
        """Wait for the collections without a result, which other runs train, and train those that they give up."""
        names = [name for name in self._names if name not in self._results]
        if not names:
            return
        logger.info("another run is training %s: waiting for it", name_group(names))
        done, failed = gather({name_group(names): names}, self._start_waiting)
        for results in done.values():
            self._results.update(results)
        for error in failed.values():
            self._results.update(dict.fromkeys(names, error))

    def _count(self, group: Sequence[str], end: Mapping[str, Any] | Exception) -> None:
        """Count a group as finished, unless its collections are trained one by one."""
        if not isinstance(end, Exception):
            num_failed = sum(isinstance(result, Exception) for result in end.values())
            self._progress.finish_part(name_group(group), num_failed=num_failed)
        elif _may_succeed_alone(group, end):
            self._progress.remove_part(name_group(group))
        else:
            self._progress.finish_part(name_group(group), num_failed=len(group))


def _may_succeed_alone(group: Sequence[str], error: Exception) -> bool:
    """Return whether a group of several collections failed by an error that one of them may have caused."""
    return len(group) > 1 and not isinstance(error, ArtbankError)
