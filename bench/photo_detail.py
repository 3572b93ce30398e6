"""Measure what the detail of photos gives to pictures at the photos' own size, and what it costs.

    python -m bench.photo_detail --photos FOLDER --galleries FOLDER --collections NAME NAME --only FILE FILE

Each photo is drawn in each collection by the default recipe, then enlarged with several shares of its detail. The
largest photo is brought to 12 megapixels first. The table has means over photos and collections:

    edges         correlation of edge strengths with the photo's, at the photo's size
    SSIM, style gain, CLIP gain      of the enlarged picture, reduced to the working size again; see `compare_recipes`

Then the CPU time of that photo's decoding, and of enlarging and encoding one picture, in interleaved rounds. A sheet in
`--out` has the middle of each photo, and of its pictures without and with its detail.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from PIL import Image

from artbank.diffusion.base_model import BaseModel
from artbank.images.codec import Picture, decode, encode, resize
from artbank.images.codec_jobs import DecodeOptions, EncodeJob, decode_photo, encode_picture
from artbank.images.framing import Photo
from artbank.images.photo_detail import enlarge, extract_detail
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import measure_reference
from artbank.stylization.controls import load_default_controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from bench.compare_recipes import open_bank
from bench.galleries import open_collections, split
from bench.measuring import Measuring, StyleJudge, correlate_edges

_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_PIXELS = 12_000_000
_ROUNDS = 7
_CROP_PX = 400


@dataclass(frozen=True)
class _Whole:
    """A photo at its own size and at its working size."""

    rgb: np.ndarray
    photo: Photo


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--only", nargs="+", metavar="FILE", required=True, help="file names of the photos to use")
    parser.add_argument("--galleries", type=Path, help="folder of folders of artworks")
    parser.add_argument("--collections", nargs="+", metavar="NAME", required=True)
    parser.add_argument("--side", type=int, default=192, help="working size, px")
    parser.add_argument("--banks", type=Path, default=Path("build/recipes"), help="keeps the banks")
    parser.add_argument("--out", type=Path, default=Path("build/detail"), help="receives the sheet of pictures")
    options = parser.parse_args()
    base = BaseModel.load()
    recipe = StylizeRecipe(resolution_px=options.side)
    read = {name: decode((options.photos / name).read_bytes(), max_pixels=10**9).rgb for name in options.only}
    largest = max(read, key=lambda name: read[name].size)
    read[largest] = resize(read[largest], *_bring_to(_PIXELS, read[largest]))
    framing = Stylizer(base, [], recipe)
    wholes = [_Whole(rgb, framing.prepare(name, rgb)) for name, rgb in read.items()]
    rows: dict[float, list[Sequence[float | None]]] = {weight: [] for weight in _WEIGHTS}
    tiles = [[_crop(one.rgb) for one in wholes]]
    for name in options.collections:
        made = _draw(base, recipe, options, name, wholes)
        for weight, marks in made.items():
            rows[weight].append(marks[1:])
        tiles += [[_crop(one) for one in made[weight][0]] for weight in (0.0, 1.0)]
        print(name, {weight: _means([marks[1:]]) for weight, marks in made.items()}, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack([np.hstack(row) for row in zip(*tiles, strict=True)])).save(options.out / "sheet.png")
    print("| detail | edges | SSIM | style gain | CLIP gain |\n|---:|---:|---:|---:|---:|")
    for weight, own in rows.items():
        print(f"| {weight:g} | {' | '.join(_means(own))} |")
    print(_measure_cost(read[largest], options.side, base.size_multiple_px))


def _means(rows: Sequence[Sequence[float | None]]) -> list[str]:
    """Return the mean of each column, without gains that cannot be measured."""
    columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    return [f"{fmean(known):.2f}" if known else "" for known in columns]


def _draw(
    base: BaseModel, recipe: StylizeRecipe, options: argparse.Namespace, name: str, wholes: Sequence[_Whole]
) -> Mapping[float, tuple[list[np.ndarray], float, float, float | None, float | None]]:
    """Return, for each share of detail, the enlarged pictures, their edges, SSIM, style gain and CLIP gain."""
    learned, held_out = split(open_collections(options.galleries)[name])
    scorer = Scorer.load("mini", torch.device("cpu"))
    reference = measure_reference(scorer, name, learned, held_out)
    bank = open_bank(options.banks, base, name, learned, held_out, BankRecipe())
    style = Style(name, ((bank, 1.0),), reference.palette)
    stylizer = Stylizer(base, [style], recipe, load_default_controls(base, recipe))
    drawn = {one.key: one.rgb for one in stylizer.stylize([one.photo for one in wholes])}
    measuring = Measuring(scorer, StyleJudge(), {one.photo.key: one.photo.working for one in wholes})
    found = {}
    for weight in _WEIGHTS:
        large = [_enlarge(one, drawn[one.photo.key], weight) for one in wholes]
        small = [resize(picture, *one.photo.frame.size_px) for picture, one in zip(large, wholes, strict=True)]
        edges = fmean(correlate_edges(picture, one.rgb) for picture, one in zip(large, wholes, strict=True))
        marks = measuring.mark(small, held_out, reference)
        found[weight] = (large, edges, marks.ssim, marks.style, marks.clip)
    return found


def _enlarge(one: _Whole, picture: np.ndarray | None, weight: float) -> np.ndarray:
    assert picture is not None, f"{one.photo.key} gave no picture"
    luma = np.asarray(Image.fromarray(one.rgb).convert("L"))
    working = one.photo.working
    return enlarge(picture, working, one.rgb.shape[1::-1], extract_detail(luma, working), weight)


def _measure_cost(rgb: np.ndarray, side_px: int, multiple_px: int) -> str:
    """Return the median CPU milliseconds of decoding a photo and of encoding a picture, without and with detail."""
    data = encode(Picture(rgb), ".jpg", quality=90)
    spent: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for number in range(2 * _ROUNDS):
        has_detail = number % 2 == 1
        options = DecodeOptions(10**9, "white", "original", side_px, multiple_px, 60, detail=has_detail)
        start = time.process_time()
        read = decode_photo("a.jpg", data, options)
        middle = time.process_time()
        working = read.photo.working
        size = rgb.shape[1], rgb.shape[0]
        encode_picture(EncodeJob(working, working, None, size, ".jpg", 92, detail=read.detail, detail_weight=1.0))
        spent[has_detail].append((middle - start, time.process_time() - middle))
    old, new = ([1000 * median(column) for column in zip(*spent[key], strict=True)] for key in (False, True))
    return (
        f"{rgb.shape[0] * rgb.shape[1] / 1e6:.1f} MP, ms of CPU time: decode {old[0]:.0f} -> {new[0]:.0f}, encode "
        f"{old[1]:.0f} -> {new[1]:.0f}, together x {sum(new) / sum(old):.2f}"
    )


def _bring_to(pixels: int, rgb: np.ndarray) -> tuple[int, int]:
    scale = (pixels / (rgb.shape[0] * rgb.shape[1])) ** 0.5
    return round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)


def _crop(rgb: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, at most 400 px a side, on a square of that size."""
    height, width = rgb.shape[:2]
    top, left = max(height - _CROP_PX, 0) // 2, max(width - _CROP_PX, 0) // 2
    cut = rgb[top : top + _CROP_PX, left : left + _CROP_PX]
    return np.pad(cut, ((0, _CROP_PX - cut.shape[0]), (0, _CROP_PX - cut.shape[1]), (0, 0)))


if __name__ == "__main__":
    main()
