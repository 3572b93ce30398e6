"""If Prefect keeps results, those of flows are JSON, and tasks keep none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from prefect.settings import (
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_RESULTS_DEFAULT_SERIALIZER,
    PREFECT_RESULTS_PERSIST_BY_DEFAULT,
    temporary_settings,
)

from artbank.config import TrainConfig
from artbank.runs.outcome import TrainSummary
from artbank.store.objects import Store
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import run
from tests.support.prefect_yaml import ROOT
from tests.support.small_inputs import add_collection, training

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_kept_result_is_json_and_can_be_read(tmp_path: Path) -> None:
    add_collection(Store.open(str(tmp_path / "gallery")), "novak")
    config: TrainConfig = training(str(tmp_path / "gallery"), str(tmp_path / "store"))
    deployed = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["definitions"]["variables"]["env"]
    settings = {
        PREFECT_RESULTS_PERSIST_BY_DEFAULT: True,
        PREFECT_RESULTS_DEFAULT_SERIALIZER: deployed["PREFECT_RESULTS_DEFAULT_SERIALIZER"],
        PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results",
    }
    with temporary_settings(settings):
        summary = run(train_banks, config).result()
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert len(files) == 1, "of the flow, and none of its tasks"
    assert json.loads(files[0].read_text())["data"]["trained"] == {"novak": 1}
    assert isinstance(summary, TrainSummary)
