"""An output of a real run, a copy that a test may damage, and the command that verifies it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from artbank.store.objects import Store
from artbank_cli.main import main
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support.flow_runs import run
from tests.support.small_inputs import draw_photo
from tests.support.status_times import no_status_times
from tests.support.verified_output import KEYS, Verified


@pytest.fixture(scope="session")
def stylized(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """Six photos in a style and a mix, in three shards; not to be changed."""
    archive = Verified(tmp_path_factory.mktemp("verified"), trained.store)
    Store.open(str(archive.root / "photos")).write_many({key: draw_photo(n) for n, key in enumerate(KEYS)})
    with no_status_times():
        assert run(stylize_archive, archive.config()).is_completed()
    return archive


@pytest.fixture
def archive(stylized: Verified, tmp_path: Path) -> Verified:
    """A copy of it, times of change included, whose runs name the copy's photos."""
    for name in ("photos", "output"):
        shutil.copytree(stylized.root / name, tmp_path / name)
    copy = Verified(tmp_path, stylized.store)
    for file in copy.output.glob("runs/*/config.json"):
        file.write_text(copy.config().model_dump_json())
    return copy


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `artbank verify --json WORDS`; gives the exit code and what it told."""

    def call(*words: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["artbank", "verify", *map(str, words), "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), json.loads(capsys.readouterr().out)

    return call
