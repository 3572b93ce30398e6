"""Tags of flow runs, to find the runs of a collection or a style in Prefect."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import runtime
from prefect.client.orchestration import get_client

MAX_TAGS = 20
"""Tags of one kind per run. Prefect's pages show all tags, so only the first names become tags."""


def make_tags(kind: str, names: Sequence[str]) -> list[str]:
    """Return tags such as `style:monet@3`."""
    return [f"{kind}:{name}" for name in names[:MAX_TAGS]]


def tag_run(tags: Sequence[str]) -> None:
    """Add tags to this flow run."""
    run_id = runtime.flow_run.get_id()
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)  # pyright: ignore[reportArgumentType] - takes text too
        client.update_flow_run(run_id, tags=sorted({*run.tags, *tags}))  # pyright: ignore[reportArgumentType]
