"""The core works without the packages of the extras, and names the extra where one is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.small_inputs import draw_artwork, draw_photo

OPTIONAL = ("prefect", "prefect_dask", "dask", "distributed", "s3fs", "aiobotocore", "boto3", "botocore", "aiohttp")
OPTIONAL += ("pillow_heif", "rawpy", "c2pa")
_BLOCK = f"import sys\nfor name in {OPTIONAL}:\n    sys.modules[name] = None\n"
_API = """
import artbank
bank = artbank.train("paintings", max_steps=1, resolution_px=64, num_samples=1, num_milestones=0)
bank.stylize("photo.jpg", preset="fast", resolution_px=64).save("art.png")
"""
QUICKLY = ("--max-steps", "1", "--resolution-px", "64", "--num-samples", "1", "--num-milestones", "0")
_COMMAND = "import sys\nfrom artbank_cli.main import main\nsys.argv = ['artbank', *{words!r}]\nmain()\n"


def run_without_extras(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _BLOCK + code], cwd=folder, capture_output=True, text=True)


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_without_extras(folder, _COMMAND.format(words=words))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a collection, and a gallery of it, and a photo."""
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    for name in ("paintings", "gallery/monet"):
        (tmp_path / name).mkdir(parents=True)
        for seed in range(3):
            (tmp_path / name / f"{seed}.png").write_bytes(draw_artwork(seed))
    (tmp_path / "photo.jpg").write_bytes(draw_photo(0))
    return tmp_path


def test_the_core_and_the_command_line_are_imported_without_any_extra(folder: Path) -> None:
    names = "artbank.api.training, artbank.api.drawing, artbank.gallery.local_run, artbank.archive.local_run"
    done = run_without_extras(folder, f"import {names}, artbank.images.codec, artbank_cli.main\n")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.faults  # takes some 20 CPU seconds
def test_the_api_trains_and_draws_without_any_extra(folder: Path) -> None:
    done = run_without_extras(folder, _API)
    assert done.returncode == 0, done.stderr
    assert (folder / "art.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.faults  # takes some 20 CPU seconds
def test_commands_work_in_their_own_process_without_prefect_and_say_so(folder: Path) -> None:
    done = call(folder, "train", "gallery", "--store", "store", *QUICKLY)
    assert done.returncode == 0, done.stderr
    assert "monet@1 trained" in done.stdout and "pip install 'artbank[prefect]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "s3://museum/gallery", "-S", "store"), "s3://museum: expected the package s3fs, found none; "
         "pip install 'artbank[s3]'"),
        (("train", "gallery", "-S", "store", "--runner", "tcp://a:1"), "pip install 'artbank[prefect]'"),
        (("deploy",), "artbank deploy: expected the package prefect, found none; pip install 'artbank[prefect]'"),
    ],
)  # fmt: skip
def test_what_needs_an_extra_names_it_in_its_last_line(folder: Path, words: tuple[str, ...], expected: str) -> None:
    done = call(folder, *words)
    *stages, last = done.stderr.splitlines()
    assert done.returncode == 2 and expected in last
    assert not any("Traceback" in line for line in stages)


def test_an_image_that_needs_an_extra_names_it(folder: Path) -> None:
    code = (
        "from artbank.errors import ImageError\nfrom artbank.images.opening import open_image\n"
        "try:\n    open_image(b'\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic')\n"
        "except ImageError as error:\n    print(error)\n"
    )
    assert "pip install 'artbank[heic]'" in run_without_extras(folder, code).stdout
