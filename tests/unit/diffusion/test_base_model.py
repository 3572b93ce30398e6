from __future__ import annotations

import logging
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from artbank.bank.bank import Bank
from artbank.bank.dataset import encode_dataset
from artbank.bank.train_state import TrainState
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.devices import pick_device
from artbank.diffusion.fetch import fetch_base_model
from artbank.errors import BaseModelError, ConfigError
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.store.etags import StoredObject
from artbank.store.objects import Store
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.bank_training import train_one
from tests.support.model_folders import edit_json
from tests.support.waiting import wait_for

UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A model's folder that the test may change."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/models"


def upload(folder: Path, uri: str) -> Store:
    store = Store.open(uri)
    files = [path for path in folder.rglob("*") if path.is_file()]
    store.write_many({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    return store


def test_a_size_far_from_the_native_one_is_warned_of(base: BaseModel, caplog: pytest.LogCaptureFixture) -> None:
    for side_px in (64, 128, 192, 256):
        base.warn_of_size(side_px)
    assert not caplog.messages
    base.warn_of_size(1024)
    base.warn_of_size(32)
    assert "a short side of 1024 px is 8 times the native 128 px" in caplog.messages[0]
    assert "is 0.25 times" in caplog.messages[1] and "between 64 and 256" in caplog.messages[1]


def test_models_of_the_large_shapes_learn_a_step_and_stylize_a_photo(large_shape: Path) -> None:
    base = BaseModel.load(str(large_shape), device="cpu")
    assert (base.latent_factor, base.size_multiple_px, base.native_px) == (8, 64, 64)
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    recipe = BankRecipe(num_tokens=2, max_steps=1, batch_size=2, num_crops=1)
    views = encode_dataset(base, [picture], [None], recipe)
    trained = train_one(TrainState(base, views, views, recipe, "a bank"))
    assert trained.history.best[1] < float("inf")
    bank = Bank("a bank", "monet", base.id, base.hash, "f", recipe, trained.vectors)
    for inversion in ("stochastic", "ddim"):
        facts = {"steps": 4, "strength": 0.5, "guidance": 2.0, "inversion": inversion, "colour": "free"}
        stylizer = Stylizer(base, [Style("monet", ((bank, 1.0),))], StylizeRecipe.model_validate(facts))
        [found] = stylizer.stylize([stylizer.prepare("a", picture)])
        assert found.rgb is not None and found.rgb.shape == (64, 82, 3)


@pytest.mark.parametrize("large_shape", ["sd1"], indirect=True)
def test_a_scheduler_of_another_kind_gives_its_noise_schedule(large_shape: Path) -> None:
    scheduler = BaseModel.load(str(large_shape), device="cpu").scheduler
    assert type(scheduler).__name__ == "DDIMScheduler"
    assert scheduler.alphas_cumprod[0].item() == pytest.approx(1 - 0.00085)


def test_a_folder_that_lacks_parts_is_refused_with_their_names(copy: Path) -> None:
    shutil.rmtree(copy / "vae")
    (copy / TEXT).unlink()
    with pytest.raises(BaseModelError, match=r"vae/config\.json.*vae/diffusion_pytorch_model.*text_encoder/model"):
        BaseModel.load(str(copy), device="cpu")


def test_pickled_weights_are_never_loaded(copy: Path) -> None:
    model = torch.nn.Linear(1, 1)
    (copy / UNET).unlink()
    torch.save(model.state_dict(), (copy / UNET).with_suffix(".bin"))
    with pytest.raises(BaseModelError, match="pickles, which are never loaded"):
        BaseModel.load(str(copy), device="cpu")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (UNET, b"\0" * 200),
        (TEXT, b""),
        ("vae/config.json", b"{"),
        ("unet/config.json", b"[]"),
        ("unet/config.json", b'{"_class_name": "UNet2DConditionModel", "block_out_channels": "wide"}'),
        ("text_encoder/config.json", b'{"model_type": "clip_text_model", "hidden_size": 7}'),
        ("tokenizer/tokenizer.json", b"{}"),
        ("scheduler/scheduler_config.json", b"null"),
    ],
)
def test_a_damaged_part_is_a_base_model_error_that_names_the_folder(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(BaseModelError, match="model.* cannot be loaded"):
        BaseModel.load(str(copy), device="cpu")


def test_a_file_cut_short_is_a_base_model_error(copy: Path) -> None:
    (copy / UNET).write_bytes((copy / UNET).read_bytes()[:-100])
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        BaseModel.load(str(copy), device="cpu")


def test_parts_of_different_models_are_refused(copy: Path, large_shape: Path) -> None:
    if large_shape.name == "sd1":
        edit_json(copy / "scheduler/scheduler_config.json", prediction_type="sample")
        with pytest.raises(BaseModelError, match="expected prediction type .*, found sample"):
            BaseModel.load(str(copy), device="cpu")
        return
    shutil.rmtree(copy / "text_encoder")
    shutil.copytree(large_shape / "text_encoder", copy / "text_encoder")
    with pytest.raises(BaseModelError, match="width 32, the text encoder's, found one for 24"):
        BaseModel.load(str(copy), device="cpu")


@pytest.mark.parametrize(("name", "lost"), [(UNET, "conv_in.weight"), (TEXT, "embeddings.token_embedding.weight")])
def test_weights_that_lack_a_tensor_are_refused_and_not_left_random(copy: Path, name: str, lost: str) -> None:
    tensors = safetensors.torch.load_file(copy / name)
    del tensors[lost]
    safetensors.torch.save_file(tensors, copy / name, metadata={"format": "pt"})
    with pytest.raises(
        BaseModelError, match=f"1 tensor is missing in its weights, such as {name.split('/')[0]} {lost}"
    ):
        BaseModel.load(str(copy), device="cpu")


def test_the_names_of_tensors_in_the_first_releases_are_known(copy: Path, tiny: Path) -> None:
    vae, text = "vae/diffusion_pytorch_model.safetensors", TEXT
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = safetensors.torch.load_file(copy / vae)
    for new, former in old.items():
        tensors = {name.replace(new, former): tensor for name, tensor in tensors.items()}
    assert tensors.keys() != safetensors.torch.load_file(copy / vae).keys()
    safetensors.torch.save_file(tensors, copy / vae, metadata={"format": "pt"})
    tensors = safetensors.torch.load_file(copy / text)
    tensors = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in tensors.items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    safetensors.torch.save_file(tensors, copy / text, metadata={"format": "pt"})
    found, plain = (BaseModel.load(str(folder), device="cpu") for folder in (copy, tiny))
    for part in ("vae", "text_encoder"):
        pairs = zip(getattr(found, part).parameters(), getattr(plain, part).parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("sharded", [False, True])
def test_weights_that_come_as_fp16_variant_only_are_taken(copy: Path, tiny: Path, sharded: bool) -> None:
    for name in (UNET, "vae/diffusion_pytorch_model.safetensors", TEXT):
        (copy / name).rename((copy / name).with_suffix(".fp16.safetensors"))
    if sharded:
        (copy / UNET).with_suffix(".fp16.safetensors").unlink()
        BaseModel.load(str(tiny), device="cpu").unet.save_pretrained(
            copy / "unet", variant="fp16", max_shard_size="50KB"
        )
        assert len(list((copy / "unet").glob("*.safetensors"))) > 1
    found, plain = (BaseModel.load(str(folder), device="cpu") for folder in (copy, tiny))
    assert found.hash != plain.hash
    assert torch.equal(found.unet.conv_in.weight, plain.unet.conv_in.weight)


def test_a_model_has_the_same_hash_wherever_it_lies_and_another_where_a_byte_differs(copy: Path, tiny: Path) -> None:
    (copy / "README.md").write_text("Not loaded.")
    assert BaseModel.load(str(copy), device="cpu").hash == BaseModel.load(str(tiny), device="cpu").hash
    edit_json(copy / "scheduler/scheduler_config.json", beta_end=0.013)
    assert BaseModel.load(str(copy), device="cpu").hash != BaseModel.load(str(tiny), device="cpu").hash


def test_a_model_in_a_store_is_fetched_once_and_again_where_its_copy_was_damaged(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = upload(tiny, "memory://models/tiny")
    reads: list[str] = []
    download = Store.download
    monkeypatch.setattr(
        Store, "download", lambda self, stored, path: reads.append(stored.key) or download(self, stored, path)
    )
    folder = fetch_base_model(store.uri)
    assert folder.parent == cache
    count = len(reads)
    assert count >= 9
    assert fetch_base_model(store.uri) == folder and len(reads) == count
    (folder / UNET).write_bytes(b"cut")
    assert fetch_base_model(store.uri) == folder and len(reads) == 2 * count
    shutil.rmtree(folder / "vae")
    assert fetch_base_model(store.uri) == folder and len(reads) == 3 * count
    store.write_many({"unet/diffusion_pytorch_model.fp16.safetensors": b"", "safety_checker/config.json": b"{}"})
    assert fetch_base_model(store.uri) == folder, "what is not used is not copied"
    assert BaseModel.load(store.uri, device="cpu").hash == BaseModel.load(str(tiny), device="cpu").hash
    assert {path.name for path in cache.iterdir()} == {folder.name, f"{folder.name}.sha256"}


def test_of_two_that_fetch_a_model_at_once_the_second_waits_and_keeps_the_folder_that_the_first_loads(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uri = upload(tiny, "memory://models/shared").uri
    download, reads, second, published = Store.download, list[str](), list[Future[Path]](), threading.Event()

    def download_slowly(self: Store, stored: StoredObject, path: Path) -> None:
        reads.append(stored.key)
        if not second:
            second.append(pool.submit(fetch_base_model, uri))
            wait_for(lambda: "waiting for another process" in caplog.text or reads.count(stored.key) == 2)
        elif threading.current_thread() is not threading.main_thread():
            assert published.wait(60)
        download(self, stored, path)

    monkeypatch.setattr(Store, "download", download_slowly)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as pool:
        folder = fetch_base_model(uri)
        inode = folder.stat().st_ino
        published.set()
        assert second[0].result() == folder
    assert folder.stat().st_ino == inode, "the folder that the first one loads was replaced"
    assert len(reads) == len(set(reads))


def test_a_store_without_a_whole_model_is_refused_and_leaves_nothing_behind(tiny: Path, cache: Path) -> None:
    with pytest.raises(BaseModelError, match="memory://models/none: .* found no base model"):
        fetch_base_model("memory://models/none")
    store = upload(tiny, "memory://models/part")
    store.delete_many([UNET])
    with pytest.raises(BaseModelError, match=r"found no unet/diffusion_pytorch_model\.safetensors"):
        fetch_base_model(store.uri)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("source", ["nowhere", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_name_that_is_no_model_is_refused_with_what_was_expected(source: str) -> None:
    with pytest.raises(BaseModelError, match=r"expected 'mini', a folder, a single .safetensors file"):
        fetch_base_model(source)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_here_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"device {device} .*device=auto"):
        pick_device(device)
    assert pick_device("auto") == torch.device("cpu")


def test_bfloat16_gives_nearly_what_float32_gives(base: BaseModel) -> None:
    rough = BaseModel.load("mini", device="cpu", dtype="bfloat16")
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fine = base.predict(latents, 500, base.encode_prompts(["a house"]))
        found = rough.predict(latents, 500, rough.encode_prompts(["a house"]))
    assert found.dtype == torch.float32
    assert 0 < (found - fine).square().mean() < 0.01 * fine.square().mean()
