"""Banks go into files, into stores and into pipelines of diffusers, and come back equal."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import artbank
from artbank.api.bank_file import pack_bank
from artbank.api.trained_bank import TrainedBank
from artbank.errors import BankError, CatalogError, ConfigError
from artbank.store.objects import Store
from tests.unit.api.conftest import DRAWING


def test_a_saved_bank_draws_the_same_picture(bank: TrainedBank, photo: Path, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "novak.bank")
    loaded = artbank.load_bank(path, device="cpu")
    assert loaded.record == bank.record and loaded.files == bank.files and loaded.config.device == "cpu"
    assert loaded.stylize(photo, **DRAWING).to_bytes() == bank.stylize(photo, **DRAWING).to_bytes()
    assert Path(path).read_bytes() == pack_bank(bank.record, bank.files)


@pytest.mark.parametrize("path", ["", "banks/", ".", "banks/.."])
def test_a_bank_is_saved_to_a_file(bank: TrainedBank, path: str) -> None:
    for act in (bank.save, artbank.load_bank):
        with pytest.raises(ConfigError, match=f"expected the path of a file, found '{re.escape(path)}'; add"):
            act(path)


def rezip(
    data: bytes, change: Callable[[dict[str, bytes]], dict[str, bytes]], method: int = zipfile.ZIP_STORED
) -> bytes:
    """Return a zip with other content."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = change({name: archive.read(name) for name in archive.namelist()})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"no zip", "it is no such file"),
        (lambda data: save({"emb_params": torch.zeros(1)}), r"it is a safetensors file, .*open_store\(STORE\)\[NAME\]"),
        (lambda data: data[:-40], "novak.bank should be a bank"),
        (lambda data: data.replace(b"safetensors", b"safetensorz"), "novak.bank should be a bank"),
        (lambda data: rezip(data, lambda files: files, zipfile.ZIP_DEFLATED), "is compressed"),
        (lambda data: rezip(data, lambda files: files | {"../x": b""}), "'../x', which belongs to no bank"),
        (lambda data: rezip(data, lambda files: files | {"bank.safetensors": b"x"}), "not those that were saved"),
        (lambda data: rezip(data, lambda files: {"row.parquet": files["row.parquet"]}), "not those that were saved"),
        (lambda data: rezip(data, lambda files: files | {"row.parquet": b"x"}), "cannot be read as a Parquet file"),
        (lambda data: rezip(data, lambda files: {}), "it has no row.parquet"),
    ],
)
def test_a_damaged_file_is_refused(
    bank: TrainedBank, tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    path = tmp_path / "novak.bank"
    path.write_bytes(damage(pack_bank(bank.record, bank.files)))
    with pytest.raises(BankError, match=words) as error:
        artbank.load_bank(path)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_file_of_a_bank(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"expected the file of a bank, found the folder .*open_store\(STORE\)\[NAME\]"
    ):
        artbank.load_bank(tmp_path)


def test_a_file_whose_row_names_a_place_outside_is_refused(bank: TrainedBank, tmp_path: Path) -> None:
    for wrong in ({"collection": "../up"}, {"bank_id": "../../up"}):
        (tmp_path / "x.bank").write_bytes(pack_bank(replace(bank.record, **wrong), bank.files))
        with pytest.raises(BankError, match="names no bank"):
            artbank.load_bank(tmp_path / "x.bank")


def test_a_bank_is_registered_once_and_found_by_its_name(bank: TrainedBank, tmp_path: Path) -> None:
    registered = bank.register(tmp_path / "store")
    assert bank.register(tmp_path / "store").record == registered.record
    other = TrainedBank(replace(bank.record, bank_id="a" * 16), bank.files, bank.config)
    assert other.register(tmp_path / "store").name == "novak@2"
    assert (tmp_path / "store/banks/novak" / ("a" * 16) / "index.html").is_file()
    store = artbank.open_store(tmp_path / "store", device="cpu")
    assert list(store) == ["novak@1", "novak@2"] and len(store) == 2
    assert "novak@2" in store and "novak" in store and "monet" not in store and 3 not in store
    found = store["novak@1"]
    assert found.files == bank.files and found.config.device == "cpu"
    assert found.record.weights_uri.startswith(str(tmp_path / "store/banks/novak"))
    assert "novak@2" in repr(store) and "<td>novak@2</td>" in store._repr_html_()
    with pytest.raises(CatalogError, match="no bank monet in .*novak"):
        store["monet"]


def test_a_damaged_bank_of_a_store_is_told(bank: TrainedBank, tmp_path: Path) -> None:
    registered = bank.register(tmp_path / "store")
    Path(registered.record.weights_uri).write_bytes(b"x")
    with pytest.raises(BankError, match="novak@1: .* is not the file that was registered"):
        artbank.open_store(tmp_path / "store")["novak"]
    with pytest.raises(ConfigError, match="found nothing there"):
        artbank.open_store(tmp_path / "absent")
    assert Store.open(str(tmp_path / "absent")).list() == []


def test_a_bank_is_a_token_of_a_pipeline(bank: TrainedBank) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    from artbank.mini import WEIGHTS

    pipeline = StableDiffusionPipeline.from_pretrained(
        WEIGHTS, dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    for _ in range(2):  # a cell of a notebook is run again
        token = bank.to_diffusers(pipeline)
    assert token == "<novak>"
    number = pipeline.tokenizer.convert_tokens_to_ids(token)
    assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[number], bank.bank.vectors[0])
    assert len(pipeline.tokenizer.get_added_vocab().keys() & {"<novak>", "<novak>_1"}) == 2
    narrow = torch.nn.Embedding(4, 8)
    pipeline.text_encoder.set_input_embeddings(narrow)
    with pytest.raises(BankError, match=f"has vectors of width {bank.record.width}, expected 8"):
        bank.to_diffusers(pipeline)
