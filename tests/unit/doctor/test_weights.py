"""The doctor checks base models and scorers, complete and broken, in folders, stores and the hub's cache."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.model_files import STRUCTURE_MODEL, STYLE_MODEL
from artbank.doctor.checks import CheckResult
from artbank.doctor.licences import read_licence
from artbank.doctor.scoring_models import check_optional_model, check_scorer
from artbank.doctor.weights import check_base, check_memory, count_weights
from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.parameters.run_config import RunConfig
from artbank.store.objects import Store
from tests.support import rgw
from tests.support.scoring_models import save_csd, save_dinov2
from tests.support.text_encoders import text_width

UNET = "unet/diffusion_pytorch_model"


def told(source: str | Path) -> list[CheckResult]:
    return list(check_base(RunConfig(base_model=str(source)), 1))


def problem(source: str | Path) -> str:
    [verdict] = told(source)
    assert verdict.level == "problem"
    return verdict.text


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the embedded model, whose UNet is in two files."""
    return Path(shutil.copytree(WEIGHTS, tmp_path / "model"))


def test_the_embedded_model_is_whole_and_says_what_it_is(base: BaseModel) -> None:
    whole, facts, licence = told("mini")
    assert {whole.level, facts.level, licence.level} == {"OK"}
    width, side = text_width(base), base.native_px
    kind = f"Stable Diffusion 1.x or 2.x: predicts {base.prediction_type}"
    assert facts.text == f"{kind}, native size {side} px, text encoder of width {width}"
    assert "CC0 1.0" in licence.text


def test_models_of_the_large_ones_shapes_are_read_without_their_weights(large_shape: Path) -> None:
    whole, facts, licence = told(large_shape)
    assert whole.level == "OK" and "64 px" in facts.text
    assert ("v_prediction" in facts.text) == (large_shape.name == "sd2")
    assert (licence.level, licence.advice) == ("warning", "look at where it was fetched from")


@pytest.mark.parametrize("damage", ["missing", "cut short", "no safetensors"])
def test_a_shard_that_is_missing_or_damaged_is_named(copied: Path, damage: str) -> None:
    shard = copied / f"{UNET}-00002-of-00002.safetensors"
    data = shard.read_bytes()
    shard.unlink()
    if damage != "missing":
        shard.write_bytes(data[:-1] if damage == "cut short" else b"\xff" * 64)
    words = {
        "missing": "found no",
        "cut short": "cut short or altered",
        "no safetensors": "expected a safetensors file",
    }
    assert shard.name in (text := problem(copied)) and words[damage] in text


def test_a_run_does_not_start_with_a_shard_missing(copied: Path) -> None:
    (copied / f"{UNET}-00002-of-00002.safetensors").unlink()
    with pytest.raises(BaseModelError, match=r"found no unet/diffusion_pytorch_model-00002-of-00002\.safetensors"):
        fetch_base_model(str(copied))


def test_a_tensor_that_lacks_is_named(copied: Path) -> None:
    path = copied / "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    save_file({key: value for key, value in tensors.items() if key != name}, path)
    assert f"1 tensor is missing in its weights, such as {name}" in problem(copied)


def test_pickles_alone_are_a_problem(copied: Path) -> None:
    for path in copied.glob("unet/*.safetensors*"):
        path.unlink()
    torch.save({}, copied / f"{UNET}.bin")
    assert "pickles, which are never loaded" in problem(copied)


def test_parts_that_do_not_fit_are_a_problem(copied: Path) -> None:
    settings = json.loads((copied / "scheduler/scheduler_config.json").read_text())
    text = json.dumps(settings | {"prediction_type": "sample"})
    (copied / "scheduler/scheduler_config.json").write_text(text)
    assert "found sample" in problem(copied)


def test_a_name_that_is_no_model_is_a_problem() -> None:
    assert "'no-such-folder' is no folder" in problem("no-such-folder")


def test_a_model_in_a_store_is_looked_at_without_copying_it(
    s3_store: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    store = Store.open(s3_store)
    files = {str(path.relative_to(tiny)): path.read_bytes() for path in tiny.rglob("*") if path.is_file()}
    store.write_many(files | {"README.md": b"---\nlicense: mit\n---\n"})
    there, facts, licence = told(s3_store)
    assert there.level == "OK" and "no file is missing; fetched when first used" in there.text
    assert "predicts epsilon" in facts.text and licence.text == "licence, by its card: mit"
    assert not (tmp_path / "cache").exists()
    fetch_base_model(s3_store)
    assert "complete" in told(s3_store)[0].text
    store.delete_many([f"{UNET}.safetensors"])
    assert f"{s3_store}: expected a Stable Diffusion in diffusers' layout, found no {UNET}.safetensors" in problem(
        s3_store
    )


def test_a_scorer_is_there_or_told_to_be_missing(tmp_path: Path) -> None:
    [found] = check_scorer(RunConfig(), 1)
    assert found.level == "OK" and found.text.startswith("mini: 2.8 million weights, complete, SHA-256 ")
    [lacking] = check_scorer(RunConfig(scorer=str(tmp_path)), 1)
    assert lacking.level == "problem" and "found no config.json" in lacking.text
    [wrong] = check_scorer(RunConfig(scorer="nowhere"), 1)
    assert wrong.level == "problem" and "'nowhere' is no folder" in wrong.text


def test_optional_models_are_checked_in_folders_and_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    dino, csd = save_dinov2(tmp_path / "dino"), save_csd(tmp_path / "csd")
    (dino / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    whole, licence = check_optional_model(STRUCTURE_MODEL, str(dino), 1)
    assert whole.level == "OK" and whole.text.startswith(f"{dino}: 0.0 million weights, complete, SHA-256 ")
    assert licence.text == "licence, by its card: apache-2.0"
    [wrong] = check_optional_model(STYLE_MODEL, str(dino), 1)
    assert wrong.level == "problem" and "found 'dinov2'" in wrong.text and "--style-model" in wrong.advice
    store = Store.open("memory://doctor/csd")
    store.write_many({path.name: path.read_bytes() for path in csd.iterdir()})
    [there] = check_optional_model(STYLE_MODEL, store.uri, 1)
    assert there.level == "OK" and "no file is missing; fetched when first used" in there.text
    assert not (tmp_path / "cache").exists()
    [foreign] = check_optional_model(STRUCTURE_MODEL, store.uri, 1)
    assert f"structure model folder {store.uri}: expected a model of type 'dinov2'" in foreign.text
    plain, more = (count_weights(RunConfig(), optional) for optional in ([], [(STRUCTURE_MODEL, str(dino))]))
    assert plain is not None and more is not None
    assert more[1] - plain[1] == sum(value.numel() for value in load_file(dino / "model.safetensors").values())


def test_the_weights_of_both_models_are_counted(base: BaseModel) -> None:
    parts = (base.unet, base.vae, base.text_encoder)
    own = sum(value.numel() for part in parts for value in part.parameters())
    counted = count_weights(RunConfig())
    assert counted is not None and own <= counted[0] < own * 1.01  # files hold a few numbers that are no weights
    memory, semaphores = check_memory(RunConfig(device="cpu"))
    assert (memory.level, semaphores.level) == ("OK", "OK")
    [memory, _] = check_memory(RunConfig(base_model="no/model"))
    assert "once they are on this machine" in memory.text


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: creativeml-openrail-m\ntags: [a]\n---\n# Model", "creativeml-openrail-m"),
        ("---\nlicense: [1\n---\n## License\n\nMIT, see\nthe file.\n\nMore.", "MIT, see the file."),
        ("---\nlicense: {a: 1}\n---\n", ""),
        ("# Model\n", ""),
    ],
)
def test_a_licence_is_read_from_front_matter_or_its_section(card: str, licence: str) -> None:
    assert read_licence(card) == licence


def test_a_licence_file_is_told_where_there_is_no_card(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "LICENSE.txt").write_text("\nOpen RAIL\nmore\n")
    assert told(folder)[2].text == "licence, by LICENSE.txt: Open RAIL"


class _Hub(BaseHTTPRequestHandler):
    """Knows one model, `owner/there`; nothing can be fetched from it."""

    def do_GET(self) -> None:
        known = self.path.startswith("/api/models/owner/there")
        files = [{"rfilename": f"{UNET}.safetensors", "size": 3_000_000_000}, {"rfilename": "x.ckpt", "size": 9}]
        body = json.dumps({"id": "owner/there", "siblings": files, "cardData": {"license": "openrail"}}).encode()
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(body if known else b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hub() -> Iterator[str]:
    """Run a hub, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Points the client of the hub at an address, as its variables do when it is imported; gives its cache."""

    def point(endpoint: str) -> Path:
        for name, value in {"HF_HUB_OFFLINE": False, "ENDPOINT": endpoint, "HF_HUB_CACHE": str(tmp_path)}.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        return tmp_path

    return point


def test_a_model_of_the_hub_is_asked_for_and_not_fetched(online: Callable[[str], Path]) -> None:
    with hub() as url:
        cache = online(url)
        there, licence = told("owner/there")
        absent = problem("owner/absent")
    assert there.level == "OK" and "3 GB are fetched when first used" in there.text
    assert licence == CheckResult("OK", "licence, by its card: openrail")
    assert "the hub has no owner/absent at revision main" in absent
    assert not list(cache.rglob("*.safetensors"))


def test_a_model_in_the_hubs_cache_needs_no_hub(tiny: Path, online: Callable[[str], Path]) -> None:
    closed = f"http://127.0.0.1:{rgw.free_port()}"
    repository, commit = online(closed) / "models--owner--here", "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(tiny, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    here, _, licence = told("owner/here")
    assert here.level == "OK" and "complete" in here.text
    assert licence.advice == "look at https://huggingface.co/owner/here"
    assert f"{closed} cannot be reached" in problem("owner/elsewhere")


def test_offline_nothing_is_asked_for() -> None:
    assert "HF_HUB_OFFLINE is set" in problem("owner/elsewhere")  # the tests are offline
