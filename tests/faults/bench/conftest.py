"""A kit of tiny random networks for the tests of the benchmark, made in the same way as the large ones."""

from __future__ import annotations

import pytest
import torch

from bench.build_kit import TINY, make_kit
from bench.peers.kit import Kit

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Two photos, four artworks and a bank of one step, for tiny networks in the shape of Stable Diffusion 1.5."""
    scratch = tmp_path_factory.mktemp("kit")
    return make_kit(scratch, "cpu", TINY, num_photos=2, photo_px=96, steps=1, num_artworks=4)
