"""Make the picture that README begins with: a photo in the styles of some collections, by artbank's own two commands.

    python -m bench.overview --gallery FOLDER --photo FILE       some CPU minutes for each collection

It calls `artbank train` and `artbank stylize`, prints both commands, and lays out a painting of each collection above
the picture in its style. Store and output are kept in `--work`, so a second call draws only what is missing; with other
embedded weights it makes banks and pictures anew.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from artbank.gallery.collections import list_collections
from artbank.images.codec import decode
from artbank.pretraining.grids import save_sheet
from artbank.store.objects import Store
from bench.captioned import Captioned, lay_out

_LIMIT_BYTES = 600_000
_MAX_PIXELS = 10**8


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, stylize, and write the strip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=Path, required=True, help="folder of folders of paintings")
    parser.add_argument("--photo", type=Path, required=True, help="photo to redraw")
    parser.add_argument("--collections", nargs="+", metavar="NAME", help="collections to show; all by default")
    parser.add_argument("--paintings", nargs="*", metavar="FILE", default=[], help="names of the paintings to show")
    parser.add_argument("--side", type=int, default=192, help="short side at which the model draws, px")
    parser.add_argument("--structure", help="structure that the photo is held to; the recipe's by default")
    parser.add_argument("--control", help="ControlNet, such as gray=mini; that of a run that names none by default")
    parser.add_argument("--width", type=int, default=400, help="width of each picture of the strip, px")
    parser.add_argument("--work", type=Path, default=Path("build/overview"), help="receives store and output")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/overview.jpg"))
    options = parser.parse_args(arguments)
    names = options.collections or [one.name for one in list_collections(Store.open(str(options.gallery)))]
    settings = {name: getattr(options, name) for name in ("control", "structure")}
    drawn = draw(options.gallery, options.photo, names, options.side, settings, options.work)
    paintings = {name: find_painting(options.gallery / name, options.paintings) for name in names}
    photo = read(options.photo)
    height_px = round(options.width * photo.shape[0] / photo.shape[1])
    save_sheet(lay_out(arrange(photo, paintings, drawn), options.width, height_px), options.out, _LIMIT_BYTES)


def draw(
    gallery: Path, photo: Path, names: Sequence[str], side_px: int, settings: Mapping[str, str | None], work: Path
) -> dict[str, np.ndarray]:
    """Train a bank of each collection and draw the photo with each; returns the pictures by collection.

    Args:
        gallery: Folder of folders of paintings.
        photo: The photo.
        names: The collections.
        side_px: Short side at which the model draws.
        settings: Values of further options of `artbank stylize` by name; None for its defaults.
        work: Receives store and output.
    """
    photos, store, output = work / "photos", work / "store", work / f"art-{side_px}"
    photos.mkdir(parents=True, exist_ok=True)
    shutil.copy2(photo, photos / photo.name)
    collections = [word for name in names for word in ("--collection", name)]
    styles = [word for name in names for word in ("--style", name)]
    call("train", str(gallery), "--store", str(store), *collections, "--local")
    given = [word for name, value in settings.items() if value is not None for word in (f"--{name}", value)]
    sizes = ["--resolution-px", str(side_px), "--size", "original"]
    words = (*styles, *given, *sizes, "--include", photo.name, "--local")
    call("stylize", str(photos), str(output), "--store", str(store), *words)
    return {name: read(output / name / photo.name) for name in names}


def call(*words: str) -> None:
    """Print a command of artbank and run it.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    print(shlex.join(("artbank", *words)), flush=True)
    subprocess.run([sys.executable, "-m", "artbank_cli.main", *words], check=True)


def find_painting(folder: Path, wanted: Sequence[str]) -> np.ndarray:
    """Return the painting of a collection that is in `wanted`, or the first one by name, as uint8 [H, W, 3]."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    chosen = [path for path in paths if path.name in wanted]
    return read((chosen or paths)[0])


def read(path: Path) -> np.ndarray:
    """Read an image, uint8 [H, W, 3] sRGB."""
    return decode(path.read_bytes(), max_pixels=_MAX_PIXELS, file_name=path.name).rgb


def arrange(
    photo: np.ndarray, paintings: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]
) -> list[list[Captioned | None]]:
    """Return the rows of the strip: a painting of each collection, then the photo and its pictures.

    Args:
        photo: The photo; all are uint8 [H, W, 3].
        paintings: A painting of each collection.
        drawn: The picture in the style of each collection.
    """
    return [
        [None, *((f"from {name}", paintings[name]) for name in drawn)],
        [("the photo", photo), *((f"--style {name}", picture) for name, picture in drawn.items())],
    ]


if __name__ == "__main__":
    main()
