"""What became of tasks that may fail without stopping the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.futures import PrefectFuture


def gather(futures: Mapping[str, PrefectFuture[Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Wait for every future; returns the results of those that succeeded, and why the others did not."""
    done: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, future in futures.items():
        try:
            done[name] = future.result()
        except Exception as error:  # whatever one task raises must not hide what the others came to
            failed[name] = f"{type(error).__name__}: {error}"
    return done, failed


def name_failures(failed: Mapping[str, str]) -> str:
    """Return failures as `name (reason); name (reason)`."""
    return "; ".join(f"{name} ({reason})" for name, reason in failed.items())
