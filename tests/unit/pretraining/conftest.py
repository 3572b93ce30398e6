"""Fixtures of the miniature base model: two rendered blocks of corpus, and the shipped weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.mini import WEIGHTS
from artbank.pretraining.corpus import SCENES_PER_BLOCK, Corpus, render


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered corpus of two blocks; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("corpus")
    render(folder, 2 * SCENES_PER_BLOCK)
    return folder


@pytest.fixture(scope="session")
def corpus(corpus_folder: Path) -> Corpus:
    return Corpus.load(corpus_folder)


@pytest.fixture(scope="session")
def weights() -> Path:
    return WEIGHTS
