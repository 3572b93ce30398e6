"""What a run cannot show in Prefect does not fail it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from artbank_prefect.tasks import artifacts, progress, tags
from tests.support.flow_runs import id_of, log_of, run
from tests.support.small_inputs import add_collection, stylizing, training


@pytest.fixture
def failing_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers no call that only shows something."""

    def fail(*_: Any, **__: Any) -> Any:
        raise httpx.ConnectError("the server is away")

    for module, name in (
        (artifacts, "create_markdown_artifact"),
        (artifacts, "create_table_artifact"),
        (progress, "create_progress_artifact"),
        (tags, "get_client"),
    ):
        monkeypatch.setattr(module, name, fail)


@pytest.mark.usefixtures("failing_calls")
def test_pictures_are_drawn_and_the_log_says_what_is_not_shown(trained: Any, photos: str, tmp_path: Path) -> None:
    state = run(stylize_archive, stylizing(photos, str(tmp_path / "output"), trained.store, "novak"))
    assert state.is_completed(), state
    lines = log_of(id_of(state), "the report is not shown in Prefect: ConnectError: the server is away")
    for shown in ("the tag of each style", "the progress"):
        assert any(f"{shown} is not shown in Prefect" in line for line in lines)


@pytest.mark.usefixtures("failing_calls")
def test_banks_are_trained(place: Any) -> None:
    add_collection(Store.open(place.gallery), "third", "Novak")
    state = run(train_banks, training(place.gallery, place.store))
    assert state.is_completed(), state
    assert state.result().trained
