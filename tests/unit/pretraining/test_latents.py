"""The pictures of the corpus as the denoiser takes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from artbank.pretraining import latents as module
from artbank.pretraining.corpus import Corpus
from artbank.pretraining.latents import Latents, encode_pictures

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vae(weights: Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(weights / "vae").float().eval()


def test_a_view_of_a_whole_picture_is_what_the_autoencoder_makes_of_it(
    vae: AutoencoderKL, corpus: Corpus, tmp_path: Path
) -> None:
    images = corpus.images[:3]
    encode_pictures(tmp_path, vae, images, (96, 192))
    latents = Latents.load(tmp_path, (96, 192), 3, CPU)
    views = latents.crop(latents.draw_cuts(96, (96, 96), torch.tensor([2]), torch.Generator()))
    small = cv2.resize(images[2], (96, 96), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        wanted = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    torch.testing.assert_close(views, wanted, atol=5e-3, rtol=2e-3)  # half precision


def test_views_are_parts_of_the_pictures_asked_for_at_places_by_chance() -> None:
    number, row, column = torch.meshgrid(torch.arange(5), torch.arange(12), torch.arange(12), indexing="ij")
    latents = Latents({48: torch.stack([number, row, column, row * column], 1).half()})
    picks = torch.tensor([4, 0, 4, 2])
    views = latents.crop(latents.draw_cuts(48, (16, 32), picks, torch.Generator().manual_seed(0)))
    assert views.shape == (4, 4, 4, 8)
    assert (views[:, 0] == picks[:, None, None]).all()
    assert (views[:, 1].diff(dim=1) == 1).all()
    assert (views[:, 2].diff(dim=2) == 1).all()
    assert (views[:, 1, :, 0] * views[:, 2, :, 0] == views[:, 3, :, 0]).all()
    assert len({tuple(view[1:3, 0, 0].tolist()) for view in views}) > 1


def test_pictures_are_cut_where_their_latents_are() -> None:
    row, column = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    latents = Latents({48: torch.stack([row, column, row, column])[None].half()})
    cuts = latents.draw_cuts(48, (16, 32), torch.zeros(5, dtype=torch.long), torch.Generator().manual_seed(0))
    rows, columns = np.indices((96, 96)) // 8  # the latent position of each pixel, at twice the size
    picture = np.stack([rows, columns, rows], axis=2).astype(np.uint8)
    views = cuts.cut_pictures([picture] * 5)
    assert views.shape == (5, 16, 32, 3)
    np.testing.assert_array_equal(views[:, ::4, ::4, :2].transpose(0, 3, 1, 2), latents.crop(cuts)[:, :2])
    assert len({tuple(view[0, 0]) for view in views}) > 1


def test_encoding_that_was_stopped_goes_on_with_what_is_missing(
    vae: AutoencoderKL, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PER_FILE", 2)
    encode_pictures(tmp_path, vae, corpus.images[:5], (96,))
    paths = sorted(tmp_path.rglob("*.npy"))
    assert [path.name for path in paths] == [f"{i:07d}-{min(i + 2, 5):07d}.npy" for i in (0, 2, 4)]
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"0000002-0000004.*stage `latents`"):
        Latents.load(tmp_path, (96,), 5, CPU)
    written = [paths[i].stat().st_mtime_ns for i in (0, 2)]
    encode_pictures(tmp_path, vae, corpus.images[:5], (96,))
    assert [path.read_bytes() for path in paths] == before
    assert [paths[i].stat().st_mtime_ns for i in (0, 2)] == written
