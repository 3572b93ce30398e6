"""The structure score of a DINOv2, against a plain computation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Model

from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.mini.drawing.painters import paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.scoring.structure_model import StructureModel
from artbank.store.objects import Store
from tests.support.scoring_models import IMAGENET_MEAN, IMAGENET_STD, PATCH_PX, save_csd, save_dinov2

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dinov2(tmp_path_factory.mktemp("models") / "dino")


@pytest.fixture(scope="module")
def model(folder: Path) -> StructureModel:
    return StructureModel.load(str(folder), CPU)


def scene(seed: int, width_px: int = 48, height_px: int = 24) -> np.ndarray:
    return draw_scene(21_000_000 + seed, width_px=width_px, height_px=height_px).image


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image).permute(2, 0, 1)


def cosines_of_keys(folder: Path, image: np.ndarray) -> np.ndarray:
    """Return the cosines of all pairs of patches, one by one, by the output of the last projection to keys."""
    network = Dinov2Model.from_pretrained(folder).eval()
    keys: list[torch.Tensor] = []
    projection = network.encoder.layer[-1].attention.k_proj
    projection.register_forward_hook(lambda _module, _inputs, output: keys.append(output))
    pixels = (image.astype(np.float64) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    with torch.no_grad():
        network(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None])
    patches = keys[0][0, 1:].double().numpy()
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in patches] for a in patches])


def test_the_score_is_the_mean_squared_difference_of_the_self_similarities(folder: Path, model: StructureModel) -> None:
    photo = scene(0, 6 * PATCH_PX, 3 * PATCH_PX)  # 18 of the settings' 16 patches, in the photo's shape: 3 x 6
    picture = paint(photo, "Novak", 1)
    [view] = model.describe([tensor(photo)])
    assert view.grid == (3, 6)
    expected = cosines_of_keys(folder, photo)
    assert view.cosines.numpy() == pytest.approx(expected, abs=1e-5)
    distance = np.mean((expected - cosines_of_keys(folder, picture)) ** 2)
    assert distance > 1e-4
    assert model.compare([view], [tensor(picture)]) == [pytest.approx(1 - distance, abs=1e-5)]


def test_the_photo_itself_has_the_top_score_and_a_lost_structure_a_lower_one_than_a_painting(
    model: StructureModel,
) -> None:
    photo = scene(1)
    [view] = model.describe([tensor(photo)])
    pictures = [photo, np.clip(photo.astype(int) + 3, 0, 255).astype(np.uint8), photo[::-1, ::-1].copy()]
    same, close, turned = model.compare([view] * 3, [tensor(one) for one in pictures])
    assert same == pytest.approx(1, abs=1e-6)
    assert turned < close < same


def test_no_score_depends_on_the_other_pictures_whatever_their_sizes(model: StructureModel) -> None:
    photos = [tensor(scene(i, width, 40)) for i, width in enumerate((40, 80, 41, 80, 20))]
    pictures = [tensor(scene(9 + i, width, 40)) for i, width in enumerate((40, 80, 41, 80, 20))]
    views = model.describe(photos)
    together = model.compare(views, pictures)
    for photo, picture, expected in zip(photos, pictures, together, strict=True):
        assert model.compare(model.describe([photo]), [picture]) == [pytest.approx(expected, abs=1e-5)]
    assert len({view.grid for view in views}) == 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (700, 20)])
def test_pictures_of_any_shape_are_seen_whole_in_a_bounded_number_of_patches(
    model: StructureModel, height: int, width: int
) -> None:
    picture = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    [view] = model.describe([picture])
    assert 1 <= view.grid[0] * view.grid[1] <= 2 * 16
    assert model.compare([view], [picture]) == [pytest.approx(1, abs=1e-6)]


def test_the_id_is_that_of_the_content(folder: Path, model: StructureModel, tmp_path: Path) -> None:
    same = shutil.copytree(folder, tmp_path / "dino")
    assert StructureModel.load(str(same), CPU).id == model.id
    assert model.id.startswith("dino@")
    assert StructureModel.load(str(save_dinov2(tmp_path / "other" / "dino", seed=1)), CPU).id != model.id


def test_a_model_in_a_store_is_copied_once_and_checked(
    folder: Path, model: StructureModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTBANK_CACHE", str(tmp_path / "cache"))
    store = Store.open("memory://models/structure/dino")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    store.write_many(files | {"trap.py": b"raise SystemExit", "pytorch_model.bin": b"pickle"})
    assert StructureModel.load(store.uri, CPU).id == model.id
    copied = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert copied >= {"config.json", "model.safetensors"} and not copied & {"trap.py", "pytorch_model.bin"}
    store.delete_many(["preprocessor_config.json"])
    with pytest.raises(BaseModelError, match=f"folder {store.uri}: .* found no preprocessor_config.json"):
        StructureModel.load(store.uri, CPU)
    with pytest.raises(BaseModelError, match="found no model there"):
        StructureModel.load("memory://models/nothing", CPU)


def one_line(folder: Path) -> str:
    with pytest.raises(BaseModelError) as caught:
        StructureModel.load(str(folder), CPU)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wrong_folder_is_one_line(folder: Path, tmp_path: Path) -> None:
    assert "expected a model of type 'dinov2' or 'dinov2_with_registers', found 'clip'" in one_line(WEIGHTS / "clip")
    assert "found 'clip_vision_model'; pass a DINOv2" in one_line(save_csd(tmp_path / "csd"))
    assert "found no config.json, weights as safetensors" in one_line(tmp_path)
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "its weights are pickles, which are never loaded" in one_line(pickled)


def test_weights_that_do_not_fit_their_settings_are_one_line(folder: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(folder, tmp_path / "cut")
    tensors = load_file(cut / "model.safetensors")
    name = next(name for name in tensors if "norm1" in name)
    save_file({key: value for key, value in tensors.items() if key != name}, cut / "model.safetensors")
    assert f"1 tensor is missing in its weights, such as {name}" in one_line(cut)
    settings = json.loads((folder / "config.json").read_text())
    changes = ({"hidden_size": 64}, {"num_attention_heads": 0}, {"patch_size": 0}, {"num_hidden_layers": 0})
    for change in (*changes, {"num_channels": None}):
        odd = shutil.copytree(folder, tmp_path / str(next(iter(change))))
        (odd / "config.json").write_text(json.dumps(settings | change))
        assert "cannot be" in one_line(odd) or "missing" in one_line(odd)
