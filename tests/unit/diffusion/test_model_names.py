"""Names of models that are easily mistaken, and scorers as they are in the wild; the doctor says the same as a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from artbank.doctor.scoring_models import check_scorer
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.parameters.run_config import RunConfig
from artbank.scoring.clip import Scorer
from tests.support.model_folders import diagnose, edit_json, load


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A base model's folder that the test may change."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def scorer(tmp_path: Path) -> Path:
    """A scorer's folder that the test may change."""
    return Path(shutil.copytree(WEIGHTS / "clip", tmp_path / "clip"))


def refuse(folder: Path) -> str:
    """Return why a run refuses a base model; the doctor must say the same."""
    with pytest.raises(BaseModelError) as caught:
        load(folder)
    assert diagnose(folder) == [str(caught.value)]
    return str(caught.value)


def refuse_scorer(source: Path | str) -> str:
    """Return why a run refuses a scorer; the doctor must say the same."""
    with pytest.raises(BaseModelError) as caught:
        Scorer.load(str(source), torch.device("cpu"))
    [found] = check_scorer(RunConfig(scorer=str(source)), 1)
    assert (found.level, found.text) == ("problem", str(caught.value))
    return found.text


def put_into_hub_cache(folder: Path, cache: Path) -> Path:
    """Move a folder to where the hub's client puts its snapshots."""
    repository = cache / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0123abc\n")
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots/0123abc")
    return repository


def test_a_folder_of_the_hubs_cache_stands_for_its_main_snapshot(folder: Path, tmp_path: Path) -> None:
    expected = load(folder).hash
    repository = put_into_hub_cache(folder, tmp_path)
    (repository / "snapshots/4567def").mkdir()
    assert load(repository).hash == expected
    assert diagnose(repository) == []
    (repository / "refs/main").unlink()
    assert "give one of its snapshots: " in (told := refuse(repository))
    assert f"{repository}/snapshots/0123abc" in told and f"{repository}/snapshots/4567def" in told


def test_a_scorer_may_be_a_folder_of_the_hubs_cache(scorer: Path, tmp_path: Path) -> None:
    repository = put_into_hub_cache(scorer, tmp_path)
    assert Scorer.load(str(repository), torch.device("cpu")).id.startswith("0123abc@")
    [found] = check_scorer(RunConfig(scorer=str(repository)), 1)
    assert found.level == "OK"


@pytest.mark.parametrize("name", ["m/x.ckpt", "x.ckpt", "m/x.pt", "m/x.bin"])
def test_the_path_of_a_pickle_is_not_taken_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"base model {name!r} is no file" in refuse(Path(name))
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(b"\x80\x04")
    assert f"base model {name!r} is a pickle, which is never loaded: convert it to safetensors" in refuse(Path(name))
    assert f"scorer {name!r} is a pickle, which is never loaded: convert it to safetensors" in refuse_scorer(name)


def test_a_file_is_no_folder_of_a_scorer() -> None:
    assert "scorer 'm/clip.safetensors' is no folder; expected" in refuse_scorer("m/clip.safetensors")


def test_a_scorer_whose_weights_are_a_variant_is_loaded(scorer: Path) -> None:
    whole = Scorer.load(str(scorer), torch.device("cpu")).embed_texts(["a house by the sea"])
    (scorer / "model.safetensors").rename(scorer / "model.fp16.safetensors")
    assert torch.equal(Scorer.load(str(scorer), torch.device("cpu")).embed_texts(["a house by the sea"]), whole)
    [found] = check_scorer(RunConfig(scorer=str(scorer)), 1)
    assert found.level == "OK"
    (scorer / "model.fp16.safetensors").rename(scorer / "model-fp16.safetensors")
    assert "found no weights as safetensors" in refuse_scorer(scorer)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_scorer_without_a_file_that_its_index_names_is_refused(scorer: Path, variant: str | None) -> None:
    network = CLIPModel.from_pretrained(scorer)
    (scorer / "model.safetensors").unlink()
    network.save_pretrained(scorer, max_shard_size="2MB", variant=variant)
    Scorer.load(str(scorer), torch.device("cpu"))
    *_, last = sorted(scorer.glob("model*-of-*.safetensors"))
    last.unlink()
    assert f"found no {last.name}; fetch it again" in refuse_scorer(scorer)


def test_a_quantized_scorer_is_refused(scorer: Path) -> None:
    quantized = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}
    edit_json(scorer / "config.json", **quantized)
    assert "config.json cannot be loaded: expected weights that are not quantized" in refuse_scorer(scorer)
