"""Tags of runs, by which Prefect's pages and its API find those of a collection or a style."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import runtime
from prefect.client.orchestration import get_client

MOST_TAGS = 20
"""Of one kind on a run: pages show them all, so of more names the first are taken."""


def make_tags(kind: str, names: Sequence[str]) -> list[str]:
    """Return tags such as `style:monet@3`."""
    return [f"{kind}:{name}" for name in names[:MOST_TAGS]]


def tag_run(tags: Sequence[str]) -> None:
    """Add tags to this flow run, once it is known what it is about."""
    run_id = runtime.flow_run.get_id()
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)  # pyright: ignore[reportArgumentType] - takes text too
        client.update_flow_run(run_id, tags=sorted({*run.tags, *tags}))  # pyright: ignore[reportArgumentType]
