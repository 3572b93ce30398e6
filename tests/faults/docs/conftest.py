"""Folders and environments for the commands of the documents."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from artbank.mini import WEIGHTS
from artbank.store.objects import Store
from artbank_prefect.flows.train_banks import train_banks
from tests.support import rgw
from tests.support.document_blocks import ROOT
from tests.support.small_inputs import TRAIN, draw_artwork, draw_photo, training

Scenario = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def museum(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paintings by two painters, photos, and a store with two versions of a bank; tests leave it as it is."""
    root = tmp_path_factory.mktemp("museum")
    lay_out(root)
    collections = {"monet": 2, "hokusai": 1}
    for seed in range(2):
        names = tuple(name for name, versions in collections.items() if versions > seed)
        recipe = TRAIN.model_copy(update={"seed": seed})
        train_banks(training(str(root / "paintings"), str(root / "store"), recipe=recipe, collections=names))
    return root


@pytest.fixture
def environment(prefect_server: str, tmp_path: Path) -> dict[str, str]:
    """An environment whose `artbank` and `python` are those of this checkout."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "artbank").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m artbank_cli.main "$@"\n')
    (programs / "artbank").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ARTBANK_"))}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    caches = {"HF_HOME": str(tmp_path / "hf"), "ARTBANK_CACHE": str(tmp_path / "cache")}
    caches["HF_DATASETS_CACHE"] = str(tmp_path / "datasets")
    return {**kept, **caches, "PATH": path, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": prefect_server}


@pytest.fixture
def scenarios(
    request: pytest.FixtureRequest, tmp_path: Path, environment: dict[str, str]
) -> Iterator[Callable[[str], tuple[Path, dict[str, str]]]]:
    """Lays out the folder of a scenario; returns it with the environment of its commands."""

    def prepare(name: str) -> tuple[Path, dict[str, str]]:
        folder = tmp_path / name
        folder.mkdir()
        if name == "tutorial":
            lay_out(folder, only="monet")
        else:
            shutil.copytree(request.getfixturevalue("museum"), folder, dirs_exist_ok=True)
        if name == "events":
            request.getfixturevalue("require_programs")([] if shutil.which("curl") else ["curl"])
        if name == "archive":
            pack(folder)
        if name == "site":
            (folder / "store").rename(folder / "STORE_URI")
        if name == "readme":
            name_as_readme(folder)
        if name in ("models", "s3"):
            shutil.copytree(WEIGHTS, folder / "models/sd15")
        if name == "s3":
            environment.update(fill_bucket(request.getfixturevalue("s3_endpoint"), folder))
        return folder, environment

    yield prepare
    S3FileSystem.clear_instance_cache()


def name_as_readme(folder: Path) -> None:
    """Rename everything as in the README."""
    for own, shown in {"paintings": "GALLERY_URI", "photos": "PHOTOS_URI", "store": "STORE_URI"}.items():
        (folder / own).rename(folder / shown)


def lay_out(root: Path, only: str | None = None) -> None:
    """Write a gallery of image files, and photos."""
    for name, painter in {"monet": "Novak", "hokusai": "Ferrante"}.items():
        if only in (None, name):
            files = {f"{name}/{i}.png": draw_artwork(i, painter) for i in range(4)}
            Store.open(str(root / "paintings")).write_many(files)
    Store.open(str(root / "photos")).write_many({f"2024/{i}.jpg": draw_photo(i) for i in range(3)})


def pack(folder: Path) -> None:
    """Put the photos into a tar file, and into a table as Hugging Face's `datasets` writes it."""
    (folder / "packed").mkdir()
    photos = sorted((folder / "photos").rglob("*.jpg"))
    with tarfile.open(folder / "packed/shard-000.tar", "w") as shard:
        for photo in photos:
            shard.add(photo, photo.name)
    images = [{"bytes": photo.read_bytes(), "path": photo.name} for photo in photos]
    pq.write_table(pa.table({"image": images}), folder / "packed/train.parquet")


def fill_bucket(endpoint: rgw.Endpoint, folder: Path) -> dict[str, str]:
    """Copy gallery, photos and store into the bucket `museum`; returns the environment to reach it."""
    S3FileSystem.clear_instance_cache()  # a document names no endpoint, nor do other tests
    fs = S3FileSystem(endpoint_url=endpoint.url, key=endpoint.access_key, secret=endpoint.secret_key)
    if not fs.exists("museum"):
        fs.call_s3("create_bucket", Bucket="museum")
    for own, name in {"paintings": "gallery", "photos": "photos", "store": "store"}.items():
        fs.pipe({f"museum/{name}/{p.relative_to(folder / own)}": p.read_bytes() for p in files_of(folder / own)})
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return dict(zip(names, (endpoint.url, endpoint.access_key, endpoint.secret_key), strict=True))


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]
