"""Draw sheets of blind pairs for people, or for models that look at images, to vote on.

    python -m bench.blind_pairs --photos FOLDER --galleries FOLDER --number 8

Each row of a sheet has two held-out artworks of a collection, a photo, and two pictures of it, A and B. One is by the
default recipe; the other one is by the preset `paper`, or the photo in the collection's colours. Their order is by
chance. The question for each row: which one would you rather hang as this photo, painted by this artist?

`artbank compare` makes pages for people of outputs that artbank has written; a photo in other colours is none.

The sheets are in `--out/sheets`. `--out/key.json` says which picture is the default's; do not show it to the voters.
`python -m bench.blind_pairs --count VOTES.json` prints the shares of a file such as `{"0": "A", "1": "B"}`.
The collections and their banks are those of `bench.compare_recipes`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artbank.diffusion.base_model import BaseModel
from artbank.pretraining.grids import draw_grid
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import measure_reference
from bench.compare_recipes import open_bank, recolour
from bench.galleries import middle_square, open_collections, read_photos, split
from bench.measuring import Measuring, StyleJudge

_PAPER, _RECOLOURED = "paper", "photo in its colours"
_ROWS = 6
_COLUMNS = ("artwork", "artwork", "photo", "A", "B")


@dataclass(frozen=True)
class Pair:
    """Two pictures of one photo.

    Attributes:
        facts: Collection, photo, and what the default's picture is `against`.
        shown: Two artworks and the photo.
        own: By the default recipe.
        other: The other picture.
    """

    facts: Mapping[str, str]
    shown: Sequence[np.ndarray]
    own: np.ndarray
    other: np.ndarray


def main() -> None:
    """Draw the sheets, or count votes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of photos")
    parser.add_argument("--galleries", type=Path, help="folder of folders of artworks")
    parser.add_argument("--collections", nargs="+", metavar="NAME", help="all by default")
    parser.add_argument("--number", type=int, default=8, help="photos, drawn by chance from every second one")
    parser.add_argument("--side", type=int, default=192, help="working size, px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--banks", type=Path, default=Path("build/recipes"), help="keeps the banks")
    parser.add_argument("--out", type=Path, default=Path("build/pairs"))
    parser.add_argument("--count", type=Path, metavar="VOTES", help="count the votes of a file, and draw nothing")
    options = parser.parse_args()
    if options.count is not None:
        print(count_votes(json.loads((options.out / "key.json").read_text()), json.loads(options.count.read_text())))
        return
    if options.photos is None:
        parser.error("give --photos, or --count")
    rng = random.Random(options.seed)
    photos = dict(list(read_photos(options.photos, options.side).items())[::2])  # the others chose the settings
    chosen = rng.sample(sorted(photos), min(options.number, len(photos)))
    pairs = draw_pairs({name: photos[name] for name in chosen}, options)
    rng.shuffle(pairs)
    save_pairs(pairs, rng, options)


def draw_pairs(photos: Mapping[str, np.ndarray], options: argparse.Namespace) -> list[Pair]:
    """Draw all pictures; every second photo is compared with `paper` too."""
    base = BaseModel.load()
    measuring = Measuring(Scorer.load("mini", base.device), StyleJudge(), photos)
    half = dict(list(photos.items())[::2])
    pairs = []
    for name, artworks in open_collections(options.galleries).items():
        if options.collections and name not in options.collections:
            continue
        learned, held_out = split(artworks)
        reference = measure_reference(measuring.scorer, name, learned, held_out)
        bank = open_bank(options.banks, base, name, learned, held_out, BankRecipe(seed=options.seed))
        own, paper = (
            replace(measuring, photos=some).draw(base, bank, reference, StylizeRecipe(seed=options.seed, preset=preset))
            for preset, some in (("balanced", photos), ("paper", half))
        )
        for number, (key, photo) in enumerate(photos.items()):
            artworks_shown = [held_out[(number + i) % len(held_out)] for i in range(2)]
            shown = [*(middle_square(one, options.side) for one in artworks_shown), photo]
            others = {_RECOLOURED: recolour(photo, reference.palette)}
            if key in half:
                others[_PAPER] = paper[number // 2]
            pairs += [
                Pair({"collection": name, "photo": key, "against": against}, shown, own[number], other)
                for against, other in others.items()
            ]
        print(f"{name}: {len(photos)} photos", flush=True)
    return pairs


def save_pairs(pairs: Sequence[Pair], rng: random.Random, options: argparse.Namespace) -> None:
    """Save the sheets with A and B in an order by chance, and the key."""
    folder = options.out / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    rows, key = [], []
    for number, pair in enumerate(pairs):
        is_first = rng.random() < 0.5
        both = (pair.own, pair.other) if is_first else (pair.other, pair.own)
        rows.append((str(number), [*pair.shown, *both]))
        key.append({**pair.facts, "default": "A" if is_first else "B"})
    for start in range(0, len(rows), _ROWS):
        sheet = draw_grid(rows[start : start + _ROWS], _COLUMNS, options.side)
        sheet.save(folder / f"{start // _ROWS:02d}.png")
    (options.out / "key.json").write_text(json.dumps(key, indent=1))
    print(f"{len(pairs)} pairs on {-(-len(rows) // _ROWS)} sheets in {folder}")


def count_votes(key: Sequence[Mapping[str, str]], votes: Mapping[str, str]) -> str:
    """Return how many of the votes, by the number of the pair, are for the default recipe, against what."""
    cast, won = Counter[str](), Counter[str]()
    for number, vote in votes.items():
        facts = key[int(number)]
        cast[facts["against"]] += 1
        won[facts["against"]] += vote == facts["default"]
    return "\n".join(f"against {name}: {won[name]} of {cast[name]}" for name in sorted(cast))


if __name__ == "__main__":
    main()
