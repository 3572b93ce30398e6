"""Banks of kind lora in whole runs: trained, killed, registered, used beside a token bank, exported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

import artbank
from artbank.bank.train_state import TrainState
from artbank.catalog.catalog import Catalog
from artbank.errors import BankError
from artbank.gallery.local_run import train_banks as train_here
from artbank.recipes import BankRecipe
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.commands import call
from tests.support.flow_runs import run
from tests.support.small_inputs import STYLIZE, TRAIN, add_collection, draw_photo, stylizing, training

LORA = TRAIN.model_copy(update={"kind": "lora", "rank": 4, "learning_rate": 1.0})
_TRAIN = """
import sys
from artbank.config import TrainConfig
from artbank.gallery.local_run import train_banks

train_banks(TrainConfig.model_validate_json(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def root(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a token bank of one collection, and LoRA banks of another one and of the same, and a photo."""
    root = tmp_path_factory.mktemp("lora-banks")
    for name in ("novak", "ferrante"):
        add_collection(Store.open(str(root / "gallery")), name)
    run(train_banks, training(str(root / "gallery"), str(root / "store"), collections=("ferrante",)))
    state = run(train_banks, training(str(root / "gallery"), str(root / "store"), recipe=LORA, num_milestones=3))
    assert state.result().trained == {"ferrante": 2, "novak": 1}
    Store.open(str(root / "photos")).write_many({"a.png": draw_photo(0, ".png")})
    return root


def find(root: Path, name: str) -> BankRecord:
    return Catalog(Store.open(str(root / "store"))).find(name)


def test_a_bank_of_kind_lora_has_a_row_a_card_and_a_page_and_is_trained_once(root: Path) -> None:
    record = find(root, "novak")
    assert (record.kind, record.num_tokens, record.width, record.encoder_widths) == ("lora", 0, 0, None)
    assert (record.attention, BankRecipe.model_validate_json(record.recipe)) == ("none", LORA)
    assert find(root, "ferrante@1").kind == "tokens" and "rank" not in json.loads(find(root, "ferrante@1").recipe)
    folder = Path(record.weights_uri).parent
    assert "a LoRA of rank 4 that changes the attention layers of mini" in (folder / "card.md").read_text()
    page = (folder.parent / "index.html").read_text()
    assert "a LoRA of rank 4" in page and "it has no vectors that words could be near to" in page
    again = run(train_banks, training(str(root / "gallery"), str(root / "store"), recipe=LORA)).result()
    assert again.trained == {} and len(again.current) == 2


def test_it_draws_beside_token_banks_and_decides_with_its_content_which_pictures_are_current(root: Path) -> None:
    styles = ("novak", "ferrante@1", "ferrante@2")

    def stylize(folder: str, *names: str) -> tuple[int, dict[str, dict[str, Any]]]:
        outcome = run(
            stylize_archive, stylizing(*(str(root / n) for n in ("photos", folder, "store")), *names)
        ).result()
        rows = pq.read_table(root / folder / "results.parquet").to_pylist()
        return outcome.num_new, {row["style"]: row for row in rows}

    drawn, rows = stylize("art", *styles)
    assert drawn == 1 and stylize("art", *styles)[0] == 0
    assert len({row["file_sha256"] for row in rows.values()}) == 3
    for number, style in enumerate(styles):
        _, alone = stylize(f"alone-{number}", style)
        assert [row["file_sha256"] for row in alone.values()] == [rows[style]["file_sha256"]]
    before = find(root, "novak")
    changed = training(str(root / "gallery"), str(root / "store"), recipe=LORA.model_copy(update={"rank": 8}))
    run(train_banks, changed.model_copy(update={"collections": ("novak",)}))
    assert find(root, "novak").version == before.version + 1
    assert stylize("art", *styles)[0] == 1, "the new bank draws its pictures anew"


def test_it_is_exported_as_a_lora_and_used_in_python(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "n.safetensors"
    said = call("export", "ferrante@2", file, "--store", root / "store").out
    assert "word:       ferrante\nLoRA:       rank 4; fits only mini\n" in said and "load_lora_weights" in said
    with safe_open(file, "np") as opened:
        assert all(name.startswith("lora_unet_") for name in set(opened.keys()))
        assert opened.metadata()["modelspec.trigger_phrase"] == "ferrante"
    refused = call("export", "ferrante@2", file, "--store", root / "store", "--token", "sea")
    assert refused.code == 2 and "has learned with the word 'ferrante'" in refused.err
    told = json.loads(call("export", "ferrante@2", file, "--store", root / "store", "--json").out)
    assert (told["kind"], told["rank"], told["num_vectors"]) == ("lora", 4, 0)

    bank = artbank.open_store(root / "store")["ferrante@2"]
    assert "a LoRA of rank 4" in repr(bank) and bank.recipe == LORA
    with pytest.raises(BankError, match="is of kind lora and has no vectors"):
        _ = bank.vectors
    saved = artbank.load_bank(bank.save(tmp_path / "f.bank"))
    settings: dict[str, Any] = STYLIZE.model_dump(include=STYLIZE.model_fields_set)
    one, two = (own.stylize(root / "photos" / "a.png", **settings) for own in (bank, saved))
    assert one.image.tobytes() == two.image.tobytes()
    facts: dict[str, Any] = {**LORA.model_dump(include=LORA.model_fields_set), "num_samples": 1}
    trained = artbank.train(root / "gallery" / "ferrante", **facts)
    assert trained.record.kind == "lora" and trained.record.weights_sha256 == bank.record.weights_sha256


# CI kills trainings of both kinds in tests/unit/bank, and one of token banks through Prefect in test_bank_groups.py
@pytest.mark.slow
@pytest.mark.faults
def test_a_training_that_was_killed_ends_in_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = training(str(root / "gallery"), str(tmp_path), recipe=LORA, collections=("ferrante",), checkpoint_every=1)
    with subprocess.Popen([sys.executable, "-c", _TRAIN, config.model_dump_json()], stderr=subprocess.DEVNULL) as child:
        while child.poll() is None and not any(tmp_path.glob("checkpoints/ferrante/*.safetensors")):
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    resumed, restore = [], TrainState.restore

    def spy(self: TrainState, data: bytes) -> None:
        restore(self, data)
        resumed.append(self.step)

    monkeypatch.setattr(TrainState, "restore", spy)
    assert train_here(config).trained == {"ferrante": 1}
    assert len(resumed) == 1 and resumed[0] in (1, 2, 3)
    [record] = Catalog(Store.open(str(tmp_path))).banks()
    assert record.weights_sha256 == find(root, "ferrante@2").weights_sha256
