"""Fixtures of flows: a gallery with two banks that the flow trained once, and an archive that it stylized once.

Tests that change something work on copies. Prefect and the flows are imported where a fixture needs them, so that
tests without a flow start soon.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from prefect import State

    from tests.support.stylized_archive import Archive


@dataclass(frozen=True)
class Place:
    """A gallery, the store of its banks, and the final state of the flow run that trained them."""

    root: Path
    state: State[Any]

    @property
    def gallery(self) -> str:
        return str(self.root / "gallery")

    @property
    def store(self) -> str:
        return str(self.root / "store")


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """A folder that `unprivileged.as_nobody` may read and write."""
    from tests.support.unprivileged import open_folder

    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def trained(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two collections, `ferrante` and `novak`, and version 1 of their banks; tests leave them as they are."""
    from artbank.store.objects import Store
    from artbank_prefect.flows.train_banks import train_banks
    from tests.support.flow_runs import run
    from tests.support.small_inputs import add_collection, training

    root = tmp_path_factory.mktemp("trained")
    for name in ("ferrante", "novak"):
        add_collection(Store.open(str(root / "gallery")), name, name.capitalize())
    return Place(root, run(train_banks, training(str(root / "gallery"), str(root / "store"))))


@pytest.fixture
def place(trained: Place, tmp_path: Path) -> Place:
    """A copy of `trained`, which a test may change."""
    for name in ("gallery", "store"):
        shutil.copytree(trained.root / name, tmp_path / name)
    return Place(tmp_path, trained.state)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An archive of eight photos in two folders; tests leave it as it is."""
    from artbank.store.objects import Store
    from tests.support.interrupted_runs import NUM_PHOTOS
    from tests.support.small_inputs import draw_photo

    root = tmp_path_factory.mktemp("museum") / "photos"
    Store.open(str(root)).write_many({f"roll {i % 2}/{i}.jpg": draw_photo(i) for i in range(NUM_PHOTOS)})
    return str(root)


@pytest.fixture(scope="session")
def undisturbed(trained: Place, photos: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The pictures of an undisturbed run over `photos`, by name."""
    from artbank_prefect.flows.stylize_archive import stylize_archive
    from tests.support.flow_runs import run
    from tests.support.interrupted_runs import asked, pictures

    output = str(tmp_path_factory.mktemp("undisturbed"))
    assert run(stylize_archive, asked(photos, output, trained.store)).is_completed()
    return pictures(output)


@pytest.fixture(scope="session")
def deployed(prefect_server: str) -> dict[str, Any]:
    """The deployments of `prefect.yaml` by name, put on the server by Prefect's own command, with their work pools."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    from tests.support.prefect_yaml import FILE, call_prefect, deployments, read_flow

    entries = deployments()
    with get_client(sync_client=True) as client:
        for name in ("artbank", "gpu"):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        call_prefect(prefect_server, "--no-prompt", "deploy", "--all", "--prefect-file", FILE)
        return {name: client.read_deployment_by_name(f"{read_flow(entries[name]).name}/{name}") for name in entries}


@pytest.fixture(scope="session")
def stylized(trained: Place, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Three photos and a torn one in two styles, one of them by its version; tests leave them as they are."""
    from artbank.store.objects import Store
    from artbank_prefect.flows.stylize_archive import stylize_archive
    from tests.support.flow_runs import run
    from tests.support.small_inputs import draw_photo
    from tests.support.status_times import no_status_times
    from tests.support.stylized_archive import BROKEN, PHOTOS, Archive

    archive = Archive(tmp_path_factory.mktemp("stylized"), trained.store)
    photos = {key: draw_photo(seed, key[key.rindex(".") :]) for seed, key in enumerate(PHOTOS)}
    Store.open(str(archive.photos)).write_many({**photos, BROKEN: photos["a.jpg"][:200]})
    with no_status_times():
        state = run(stylize_archive, archive.config("novak", "ferrante@1", shard_size=3))
    return Archive(archive.root, archive.store, state)


@pytest.fixture
def archive(stylized: Archive, tmp_path: Path) -> Archive:
    """A copy of `stylized`, times of change included, which a test may change."""
    from tests.support.stylized_archive import Archive

    for name in ("photos", "output"):
        shutil.copytree(stylized.root / name, tmp_path / name)
    return Archive(tmp_path, stylized.store)
