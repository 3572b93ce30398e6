"""A gallery with two banks, trained by the flow once; tests that change something work on copies."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from artbank.store.objects import Store
from flows.stylize_archive import stylize_archive
from flows.train_banks import train_banks
from tests.support.flow_runs import run
from tests.support.interrupted_runs import NUM_PHOTOS, asked, pictures
from tests.support.prefect_yaml import FILE, call_prefect, deployments, read_flow
from tests.support.small_inputs import add_collection, draw_photo, training
from tests.support.stylized_archive import BROKEN, PHOTOS, Archive


@dataclass(frozen=True)
class Place:
    """A gallery, the store of its banks, and how the flow run that trained them ended."""

    root: Path
    state: State[Any]

    @property
    def gallery(self) -> str:
        return str(self.root / "gallery")

    @property
    def store(self) -> str:
        return str(self.root / "store")


@pytest.fixture(scope="session")
def trained(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two collections, `ferrante` and `novak`, and version 1 of their banks; not to be changed."""
    root = tmp_path_factory.mktemp("trained")
    for name in ("ferrante", "novak"):
        add_collection(Store.open(str(root / "gallery")), name, name.capitalize())
    return Place(root, run(train_banks, training(str(root / "gallery"), str(root / "store"))))


@pytest.fixture
def place(trained: Place, tmp_path: Path) -> Place:
    """A copy of what was trained, which a test may change."""
    for name in ("gallery", "store"):
        shutil.copytree(trained.root / name, tmp_path / name)
    return Place(tmp_path, trained.state)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An archive of a few photos in two folders; not to be changed."""
    root = tmp_path_factory.mktemp("museum") / "photos"
    Store.open(str(root)).write_many({f"roll {i % 2}/{i}.jpg": draw_photo(i) for i in range(NUM_PHOTOS)})
    return str(root)


@pytest.fixture(scope="session")
def undisturbed(trained: Place, photos: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The pictures of a run over these photos to which nothing happened, by name."""
    output = str(tmp_path_factory.mktemp("undisturbed"))
    assert run(stylize_archive, asked(photos, output, trained.store)).is_completed()
    return pictures(output)


@pytest.fixture(scope="session")
def deployed(prefect_server: str) -> dict[str, Any]:
    """All flows on the pools of the file, put there by Prefect's own command; the deployments by name."""
    entries = deployments()
    with get_client(sync_client=True) as client:
        for name in ("artbank", "gpu"):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        call_prefect(prefect_server, "--no-prompt", "deploy", "--all", "--prefect-file", FILE)
        return {name: client.read_deployment_by_name(f"{read_flow(entries[name]).name}/{name}") for name in entries}


@pytest.fixture(scope="session")
def stylized(trained: Place, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Three photos and a torn one in two styles, one of them by its version; not to be changed."""
    archive = Archive(tmp_path_factory.mktemp("stylized"), trained.store)
    photos = {key: draw_photo(seed, key[key.rindex(".") :]) for seed, key in enumerate(PHOTOS)}
    Store.open(str(archive.photos)).write_many({**photos, BROKEN: photos["a.jpg"][:200]})
    state = run(stylize_archive, archive.config("novak", "ferrante@1", shard_size=3))
    return Archive(archive.root, archive.store, state)


@pytest.fixture
def archive(stylized: Archive, tmp_path: Path) -> Archive:
    """A copy of it, times of change included, which a test may change."""
    for name in ("photos", "output"):
        shutil.copytree(stylized.root / name, tmp_path / name)
    return Archive(tmp_path, stylized.store)
