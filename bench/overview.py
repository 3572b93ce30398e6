"""Draw the picture that README begins with: photos in the style of several collections, by the default recipe.

    python -m bench.overview --photos FOLDER --galleries FOLDER --only kodak_19.png ... --collections hiroshige van_gogh

Each column is a collection: one of its artworks that its bank did not learn from, then the photos in its style. Banks
are trained as in `compare_recipes`, and kept in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from artbank.diffusion.base_model import BaseModel
from artbank.mini.pretraining.sheets import draw_grid
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import measure_reference
from bench.compare_recipes import open_bank
from bench.galleries import middle_square, open_collections, read_photos, split
from bench.measuring import Measuring, StyleJudge


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--galleries", type=Path, required=True, help="folder of folders of artworks")
    parser.add_argument("--only", nargs="+", metavar="NAME", required=True, help="file names of the photos")
    parser.add_argument("--collections", nargs="+", metavar="NAME", required=True)
    parser.add_argument("--artwork", type=int, default=0, help="number of the held-out artwork to show")
    parser.add_argument("--side", type=int, default=192, help="working size, px")
    parser.add_argument("--out", type=Path, default=Path("build/recipes"), help="receives banks and overview.jpg")
    options = parser.parse_args()
    found = read_photos(options.photos, options.side)
    photos = {name: found[name] for name in options.only}
    base = BaseModel.load()
    measuring = Measuring(Scorer.load("mini", base.device), StyleJudge(), photos)
    collections = open_collections(options.galleries)
    artworks, columns = [], []
    for name in options.collections:
        learned, held_out = split(collections[name])
        bank = open_bank(options.out, base, name, learned, held_out, BankRecipe())
        reference = measure_reference(measuring.scorer, name, learned, held_out)
        artworks.append(middle_square(held_out[options.artwork % len(held_out)], options.side))
        columns.append(measuring.draw(base, bank, reference, StylizeRecipe()))
    nothing = np.full_like(artworks[0], 255)
    rows = [("a painting", [nothing, *artworks])]
    for number, (name, photo) in enumerate(photos.items()):
        rows.append((Path(name).stem, [photo, *(column[number] for column in columns)]))
    draw_grid(rows, ("photo", *options.collections), options.side).save(options.out / "overview.jpg", quality=90)


if __name__ == "__main__":
    main()
