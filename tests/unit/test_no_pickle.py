"""Nothing that comes as a file is ever unpickled, and no code that lies beside weights is ever run.

Prefect, Dask and multiprocessing pickle between the processes of one run; those are our own, and none of it is read out
of a store. The traps here make a folder when they are unpickled or run.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artbank.bank.dataset import LatentDataset
from artbank.bank.train_state import TrainState
from artbank.catalog.bank_files import BANK, REFERENCE, file_key, load_bank, load_reference
from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BankError, BaseModelError, CatalogError, ConfigError, ImageError, ResultsError, TrainingError
from artbank.gallery.collections import list_collections, read_artworks
from artbank.images.codec import decode, read_camera
from artbank.mini import WEIGHTS
from artbank.results import layout, ledger
from artbank.scoring.clip import Scorer
from artbank.store.objects import Store
from artbank_cli.options import build_config
from tests.support.paths import ROOT
from tests.support.rows import bank_record
from tests.support.small_inputs import TRAIN, add_collection

NETWORKS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
SAID = {
    "instead": "its weights are pickles, which are never loaded",
    "under its name": "scorer .* cannot be read|cannot be loaded",
    "named by an index": r"expected safetensors files beside it, found trap\.bin; pickles are never loaded",
}
PICKLED = {"diffusion_pytorch_model": "diffusion_pytorch_model.bin", "model": "pytorch_model.bin"}


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def torch_file(trap: Trap, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(1), "trap": trap}, file, **options)
    return file.getvalue()


def numpy_file(trap: Trap, save: Callable[..., Any] = np.save) -> bytes:
    file = io.BytesIO()
    save(file, np.array([trap], dtype=object))
    return file.getvalue()


KINDS: dict[str, Callable[[Trap], bytes]] = {
    "pickle": pickle.dumps,
    "torch": torch_file,
    "old torch": lambda trap: torch_file(trap, _use_new_zipfile_serialization=False),
    "npy": numpy_file,
    "npz": lambda trap: numpy_file(trap, np.savez),
}


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """Where a trap would make its folder; there must be none when the test ends."""
    yield tmp_path / "sprung"
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(params=KINDS)
def trap(request: pytest.FixtureRequest, marker: Path) -> bytes:
    return KINDS[request.param](Trap(marker))


@pytest.mark.parametrize("kind", KINDS)
def test_the_traps_are_live(kind: str, tmp_path: Path) -> None:
    data = KINDS[kind](Trap(tmp_path / "sprung"))
    if kind.startswith("np"):
        loaded = np.load(io.BytesIO(data), allow_pickle=True)
        assert kind == "npy" or loaded["arr_0"].size
    else:
        torch.load(io.BytesIO(data), weights_only=False) if "torch" in kind else pickle.loads(data)
    assert (tmp_path / "sprung").is_dir()


def test_a_trap_in_place_of_a_registered_bank_is_no_bank(trap: bytes, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    record = dataclasses.replace(bank_record(), weights_sha256=hashlib.sha256(trap).hexdigest())
    store.write_many({file_key(record, name): trap for name in (BANK, REFERENCE)})
    with pytest.raises(BankError, match="no bank file"):
        load_bank(store, record)
    with pytest.raises(BankError, match="expected a style reference"):
        load_reference(store, record)


def test_a_trap_in_place_of_a_checkpoint_is_none(base: BaseModel, trap: bytes) -> None:
    latents = torch.zeros(2, 4, 8, 8)
    views = LatentDataset(latents, latents, torch.tensor([0, 1]), (None, None), torch.zeros(2, 6))
    with pytest.raises(TrainingError, match="cannot be restored"):
        TrainState(base, views, views, TRAIN, "a bank").restore(trap)


def test_a_trap_in_place_of_a_table_is_no_table(trap: bytes, tmp_path: Path) -> None:
    store, record = Store.open(str(tmp_path / "store")), bank_record()
    store.write(f"catalog/banks/collection={record.collection}/{record.bank_id}.parquet", trap)
    store.write(layout.part_key("m-00000"), trap)
    with pytest.raises(CatalogError):
        Catalog(store).banks()
    with pytest.raises(ResultsError):
        ledger.read_ledger(store)


def test_a_trap_in_place_of_an_artwork_is_no_picture(trap: bytes, tmp_path: Path) -> None:
    gallery = Store.open(str(tmp_path / "gallery"))
    add_collection(gallery, "novak", count=3)
    gallery.write_many({f"novak/{name}": trap for name in ("a.png", "b.npy", "c.npz", "metadata.parquet")})
    artworks, findings = read_artworks(gallery, list_collections(gallery)[0], max_pixels=10**6)
    assert len(artworks) == 3 and {finding.keys[0] for finding in findings} == {"novak/a.png", "novak/metadata.parquet"}
    with pytest.raises(ImageError):
        decode(trap, max_pixels=10**6)
    assert read_camera(trap) is None


def plant(folder: Path, stem: str, how: str, trap: bytes) -> None:
    """Put a trap where a library may look for weights: under the name of a pickle, or of the weights themselves."""
    names = [*folder.glob(f"{stem}*.safetensors*")]
    if how == "instead":
        for path in names:
            path.unlink()
    if how in ("instead", "beside"):
        (folder / PICKLED[stem]).write_bytes(trap)
    elif how == "under its name":
        (folder / f"{stem}.safetensors").write_bytes(trap)
    else:
        weights = {"metadata": {"total_size": 4}, "weight_map": {"conv_in.weight": "trap.bin"}}
        (folder / f"{stem}.safetensors").rename(folder / f"{stem}-00001-of-00001.safetensors")
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(weights))
        (folder / "trap.bin").write_bytes(trap)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize("how", ["instead", "beside", "under its name", "named by an index"])
@pytest.mark.parametrize("part", NETWORKS)
def test_a_trap_in_a_base_model_is_never_opened(
    tiny: Path, tmp_path: Path, marker: Path, part: str, how: str, kind: str
) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    plant(folder / part, NETWORKS[part], how, KINDS[kind](Trap(marker)))
    if how == "beside":
        assert BaseModel.load(str(folder), device="cpu").hash == BaseModel.load(str(tiny), device="cpu").hash
        return
    with pytest.raises(BaseModelError, match=SAID[how]):
        BaseModel.load(str(folder), device="cpu")


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize("how", ["instead", "beside", "under its name", "named by an index"])
def test_a_trap_in_a_scorer_is_never_opened(tmp_path: Path, marker: Path, how: str, kind: str) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "clip", tmp_path / "clip"))
    plant(folder, "model", how, KINDS[kind](Trap(marker)))
    if how == "beside":
        assert Scorer.load(str(folder), torch.device("cpu"))
        return
    with pytest.raises(BaseModelError, match=SAID[how]):
        Scorer.load(str(folder), torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tokenizer_config.json", "AutoTokenizer"),
        ("processor_config.json", "AutoImageProcessor"),
        ("config.json", "AutoModel"),
        ("config.json", "AutoConfig"),
    ],
)
def test_code_beside_a_scorers_weights_is_never_run(tmp_path: Path, marker: Path, name: str, kind: str) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "clip", tmp_path / "clip"))
    (folder / "trap.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nclass Trap: pass\n")
    facts = json.loads((folder / name).read_text())
    named = ["trap.Trap", None] if kind == "AutoTokenizer" else "trap.Trap"
    classes = {"tokenizer_class": "Trap"} if kind == "AutoTokenizer" else {}
    (folder / name).write_text(json.dumps(facts | classes | {"auto_map": {kind: named}}))
    try:
        Scorer.load(str(folder), torch.device("cpu"))
    except BaseModelError as error:
        assert "fetch it again" in str(error)


def test_a_parameter_file_makes_no_objects(tmp_path: Path, marker: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(f"config: !!python/object/apply:os.mkdir [{marker}]\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        build_config(TrainConfig, {}, file)


PACKAGES = ("artbank", "tasks", "flows", "artbank_cli")
BANNED_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
BANNED_CALLS = {"torch.load", "torch.jit.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"}
BANNED_CALLS |= {"pd.read_pickle", "pandas.read_pickle", "os.system", "__import__"}
UNTRUSTED = {"allow_pickle": True, "trust_remote_code": True, "shell": True, "use_safetensors": False}


def find_banned(source: str) -> list[str]:
    """Return the imports and calls of a module that could run what is in a file."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in BANNED_MODULES]
        elif isinstance(node, ast.ImportFrom):
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found += sorted(named & BANNED_CALLS)
            found += [str(node.module)] if str(node.module).split(".")[0] in BANNED_MODULES else []
        elif isinstance(node, ast.Call):
            found += [name for name in [ast.unparse(node.func)] if name in BANNED_CALLS]
            found += [f"{key.arg}=" for key in node.keywords if _value(key) in UNTRUSTED.items()]
        elif isinstance(node, ast.Dict):
            pairs = [(_constant(key), _constant(value)) for key, value in zip(node.keys, node.values, strict=True)]
            found += [f"{name}=" for name, value in pairs if name in UNTRUSTED and value is UNTRUSTED[name]]
    return found


def _value(keyword: ast.keyword) -> tuple[str | None, Any]:
    return keyword.arg, _constant(keyword.value)


def _constant(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from joblib import load",
        "import torch\ntorch.load('a')",
        "from torch import load",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
        "import yaml\nyaml.load('a', Loader=None)",
        "eval('1')",
        "options = {'trust_remote_code': True}",
    ],
)
def test_what_is_banned_is_found(source: str) -> None:
    assert len(find_banned(source)) == 1


def test_no_module_could_run_what_is_in_a_file() -> None:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)): banned for path in paths if (banned := find_banned(path.read_text()))}
    assert len(paths) > 50 and found == {}


def test_every_network_is_loaded_from_safetensors() -> None:
    """The tools that make the embedded model, `artbank.pretraining`, load what they wrote themselves."""
    calls = []
    for path in (path for path in sorted((ROOT / "artbank").rglob("*.py")) if "pretraining" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".from_pretrained"):
                calls.append((ast.unparse(node.func), {key.arg for key in node.keywords}))
    loaded = {name.partition(".")[0]: options for name, options in calls}
    plain = {"CLIPTokenizer", "CLIPTextConfig", "DDIMScheduler", "AutoImageProcessor", "AutoTokenizer"}  # texts only
    assert loaded.keys() - plain == {"network", "kind"}
    assert "use_safetensors" in loaded["network"] and None in loaded["kind"]
