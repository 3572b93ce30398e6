"""Measure what recipes with `reuse` cost, and how far their pictures are from those without it.

    python -m bench.reuse --photos FOLDER --galleries FOLDER --collections hiroshige van_gogh Ferrante

The photos are every second one of `--photos` and as many drawn ones as `--number` leaves; `--first 1` takes others, for
trying settings out. The collections and their banks are those of `bench.compare_recipes`. Recipes take turns with every
batch of photos, so that a busy machine slows all of them alike. The table has, for each recipe:

    evaluations   of the UNet for one picture, and how many of them reuse features
    CPU           seconds of the processor, relative to the same recipe without `reuse`
    SSIM          similarity of lumas to the picture of the same recipe without `reuse`
    style gain, CLIP gain    see `bench.compare_recipes`; behind each, its share of the gain without `reuse`
    of exact      the CLIP gain as a share of that of preset `exact`

Means are over photos and collections. Banks, the pictures of each batch and a sheet of some photos are kept in
`--out`; a batch that is there is not drawn again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from artbank.diffusion.base_model import BaseModel
from artbank.images.framing import Photo
from artbank.images.similarity import ssim_luma
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.recipe_costs import count_cached_evaluations, count_evaluations
from artbank.pretraining.grids import draw_grid
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.runtime.hashing import short_hash
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import StyleReference, measure_reference
from artbank.stylization.controls import load_default_controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from bench.compare_recipes import open_bank
from bench.galleries import open_collections, read_photos, split
from bench.measuring import Marks, Measuring, StyleJudge

_PHOTO_SEEDS = (90_400_000, 90_500_000)  # of drawn photos that the embedded model never saw, by `--first`
_BATCH = 8
_SHOWN_PHOTOS = 6

RECIPES: dict[str, tuple[str, int]] = {
    "exact": ("exact", 1),
    "exact, reuse 5": ("exact", 5),
    "balanced": ("balanced", 1),
    "balanced, reuse 2": ("balanced", 2),
    "fast": ("fast", 1),
    "fast, reuse 2": ("fast", 2),
}
"""Preset and `reuse` of each row; a preset without reuse comes before those with it."""


@dataclass(frozen=True)
class Row:
    """One recipe on one collection.

    Attributes:
        marks: Marks of its pictures.
        cpu_seconds: CPU seconds of all photos.
        ssim: Mean similarity to the pictures without `reuse`.
    """

    marks: Marks
    cpu_seconds: float
    ssim: float


def main() -> None:
    """Draw the photos by all recipes in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--galleries", type=Path, help="folder of folders of artworks")
    parser.add_argument("--collections", nargs="+", metavar="NAME", help="all by default")
    parser.add_argument("--presets", nargs="+", default=["exact", "balanced", "fast"], help="those of the table")
    parser.add_argument("--first", type=int, default=0, choices=(0, 1), help="of the photos, by file name")
    parser.add_argument("--number", type=int, default=56, help="of photos")
    parser.add_argument("--side", type=int, default=128, help="working size, px")
    parser.add_argument("--out", type=Path, default=Path("build/recipes"), help="receives banks and sheets of pictures")
    options = parser.parse_args()
    photos = gather_photos(options.photos, options.first, options.number, options.side)
    base = BaseModel.load()
    measuring = Measuring(Scorer.load("mini", base.device), StyleJudge(), photos)
    recipes = {name: read_recipe(name, options.side) for name in RECIPES if RECIPES[name][0] in options.presets}
    table: dict[str, list[Row]] = {name: [] for name in recipes}
    for name, artworks in open_collections(options.galleries).items():
        if options.collections and name not in options.collections:
            continue
        for recipe, row in measure_collection(measuring, base, name, artworks, recipes, options.out).items():
            table[recipe].append(row)
    print(f"{len(photos)} photos, {len(next(iter(table.values())))} collections")
    print(make_table(table))


def measure_collection(
    measuring: Measuring,
    base: BaseModel,
    name: str,
    artworks: Sequence[np.ndarray],
    recipes: Mapping[str, StylizeRecipe],
    out: Path,
) -> dict[str, Row]:
    """Draw the photos in the style of a collection by all recipes, and return their rows."""
    learned, held_out = split(artworks)
    reference = measure_reference(measuring.scorer, name, learned, held_out)
    bank = open_bank(out, base, name, learned, held_out, BankRecipe())
    style = Style(name, ((bank, 1.0),), reference.palette)
    stylizers = {
        key: Stylizer(base, [style], recipe, load_default_controls(base, recipe)) for key, recipe in recipes.items()
    }
    drawn, seconds = draw_in_turn(stylizers, measuring.photos, name, out)
    save_sheet(out / f"reuse-{name}-{identify(measuring.photos, stylizers)}.png", measuring.photos, drawn, name)
    return measure(measuring, held_out, reference, drawn, seconds)


def gather_photos(folder: Path, first: int, number: int, side_px: int) -> dict[str, np.ndarray]:
    """Return every second photo of a folder, and drawn photos up to a number, each [side, side, 3], by name."""
    photos = dict(list(read_photos(folder, side_px).items())[first::2][:number])
    for seed in range(_PHOTO_SEEDS[first], _PHOTO_SEEDS[first] + number - len(photos)):
        photos[f"drawn {seed}"] = draw_scene(seed, width_px=side_px, height_px=side_px).image
    return photos


def draw_in_turn(
    stylizers: Mapping[str, Stylizer], photos: Mapping[str, np.ndarray], collection: str, out: Path
) -> tuple[dict[str, list[np.ndarray]], dict[str, float]]:
    """Return the pictures of each recipe, in the order of the photos, and its CPU seconds."""
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in stylizers}
    seconds = dict.fromkeys(stylizers, 0.0)
    for turn, start in enumerate(range(0, len(photos), _BATCH)):
        batch = dict([*photos.items()][start : start + _BATCH])
        path = out / f"reuse-{collection}-{identify(batch, stylizers)}.npz"
        if not path.exists():
            draw_batch(path, stylizers, batch, turn)
        with np.load(path) as saved:
            for name in stylizers:
                drawn[name] += list(saved[name])
                seconds[name] += float(saved[f"{name}, seconds"])
    return drawn, seconds


def draw_batch(path: Path, stylizers: Mapping[str, Stylizer], batch: Mapping[str, np.ndarray], turn: int) -> None:
    """Draw photos by all recipes, each time another one first, and save pictures and CPU seconds."""
    saved: dict[str, np.ndarray] = {}
    shift = turn % len(stylizers)
    for name in [*stylizers][shift:] + [*stylizers][:shift]:
        photos = [stylizers[name].prepare(key, photo) for key, photo in batch.items()]
        before = time.process_time()
        pictures = list(_draw(stylizers[name], photos))
        saved |= {f"{name}, seconds": np.array(time.process_time() - before), name: np.stack(pictures)}
    np.savez_compressed(path, **saved)


def identify(photos: Iterable[str], stylizers: Mapping[str, Stylizer]) -> str:
    """Return 8 hex digits that differ for other photos and recipes."""
    facts = [*photos, *(stylizer.recipe.digest() for stylizer in stylizers.values())]
    return short_hash(json.dumps(facts).encode(), 8)


def measure(
    measuring: Measuring,
    held_out: Sequence[np.ndarray],
    reference: StyleReference,
    drawn: Mapping[str, Sequence[np.ndarray]],
    seconds: Mapping[str, float],
) -> dict[str, Row]:
    """Return the rows of one collection."""
    rows = {}
    for name, pictures in drawn.items():
        pairs = zip(pictures, drawn[RECIPES[name][0]], strict=True)
        ssim = fmean(ssim_luma(*pair) for pair in pairs)
        rows[name] = Row(measuring.mark(pictures, held_out, reference), seconds[name], ssim)
    return rows


def save_sheet(
    path: Path, photos: Mapping[str, np.ndarray], drawn: Mapping[str, Sequence[np.ndarray]], note: str
) -> None:
    """Save a sheet of some photos, real and drawn: the photo, and its picture by each recipe."""
    step = max(len(photos) // _SHOWN_PHOTOS, 1)
    names = list(photos)
    rows = [
        (Path(names[place]).stem, [photos[names[place]], *(pictures[place] for pictures in drawn.values())])
        for place in range(0, len(names), step)
    ]
    draw_grid(rows, ("photo", *drawn), 2 * len(next(iter(photos.values()))), note=note).save(path)


def make_table(table: Mapping[str, Sequence[Row]]) -> str:
    """Return the table: a row for each recipe."""
    exact = _gains(table["exact"])[1] if "exact" in table else None
    lines = [
        "| recipe | evaluations | of them reuse | CPU | SSIM | style gain | CLIP gain | of exact |",
        "|---|" + "---:|" * 7,
    ]
    for name, rows in table.items():
        parents = table[RECIPES[name][0]]
        recipe = read_recipe(name)
        cost = sum(row.cpu_seconds for row in rows) / sum(row.cpu_seconds for row in parents)
        gains = [f"{own:.3f} ({own / of:.2f})" for own, of in zip(_gains(rows), _gains(parents), strict=True)]
        of_exact = f"{_gains(rows)[1] / exact:.2f}" if exact else ""
        cells = (
            *(f"{count_evaluations(recipe)}", f"{count_cached_evaluations(recipe)}", f"{cost:.2f}"),
            *(f"{fmean(row.ssim for row in rows):.3f}", *gains, of_exact),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _gains(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the mean style gain and CLIP gain; those that cannot be measured are left out."""
    style = [row.marks.style for row in rows if row.marks.style is not None]
    clip = [row.marks.clip for row in rows if row.marks.clip is not None]
    return fmean(style), fmean(clip)


def read_recipe(name: str, side_px: int | None = None) -> StylizeRecipe:
    """Return the recipe of a row at a working size, px."""
    preset, reuse = RECIPES[name]
    return StylizeRecipe.model_validate({"preset": preset, "reuse": reuse, "resolution_px": side_px})


def _draw(stylizer: Stylizer, photos: Sequence[Photo]) -> Iterator[np.ndarray]:
    for one in stylizer.stylize_batch(photos):
        assert one.rgb is not None, "a photo gave no picture"
        yield one.rgb


if __name__ == "__main__":
    main()
