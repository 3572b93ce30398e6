"""Measure what `reach_style` reaches, and what it costs, on photos and collections of one's own.

    python -m bench.reach_style --photos FOLDER --galleries FOLDER --gain 0.4 0.5 0.6 0.7

The collections and their banks are those of `bench.compare_recipes`. Every photo is drawn with the recipe's own
settings and with those of each further drawing; of them the one is kept that a run would keep. Photos that are as like
the artworks as other works of their collection are left out, since their gain cannot be measured. The table has, for
each gain that is asked for, the share of pictures that reach it at first and in the end, the drawings a picture, and
means of gain (clipped to -1..1.5) and SSIM.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from artbank.archive.drawn_pictures import measure_reach
from artbank.diffusion.base_model import BaseModel
from artbank.images.similarity import ssim_luma
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.scores import measure_cosines
from artbank.scoring.style_reference import measure_reference
from artbank.stylization.controls import load_default_controls
from artbank.stylization.further_drawings import list_stronger
from bench.compare_recipes import choose_photos, open_bank
from bench.galleries import open_collections, read_photos, split
from bench.measuring import Measuring, StyleJudge


@dataclass(frozen=True)
class Drawing:
    """The style gain of one drawing of a photo, and its SSIM to the photo."""

    gain: float
    ssim: float


def main() -> None:
    """Draw the photos with all settings, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--galleries", type=Path, help="folder of folders of artworks")
    parser.add_argument("--gain", type=float, nargs="+", default=[0.4, 0.5, 0.6, 0.7], help="gains to reach")
    parser.add_argument("--first", type=int, default=0, choices=(0, 1), help="of the photos, by file name")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="file names of the photos to use")
    parser.add_argument("--number", type=int, default=12, help="of photos, at most")
    parser.add_argument("--side", type=int, default=128, help="working size, px")
    parser.add_argument("--out", type=Path, default=Path("build/recipes"), help="receives the banks")
    options = parser.parse_args()
    photos = choose_photos(read_photos(options.photos, options.side), options)
    base = BaseModel.load()
    measuring = Measuring(Scorer.load("mini", base.device), StyleJudge(), photos)
    drawn: list[list[Drawing]] = []
    for name, artworks in open_collections(options.galleries).items():
        drawn += draw_all(measuring, base, name, artworks, options.out)
        print(name, len(drawn), flush=True)
    print(make_table(drawn, options.gain))


def draw_all(
    measuring: Measuring, base: BaseModel, name: str, artworks: Sequence[np.ndarray], out: Path
) -> list[list[Drawing]]:
    """Return the drawings of each photo in one collection's style, the recipe's own settings first."""
    learned, held_out = split(artworks)
    reference = measure_reference(measuring.scorer, name, learned, held_out)
    bank = open_bank(out, base, name, learned, held_out, BankRecipe())
    photos = list(measuring.photos.values())
    before = measuring.scorer.embed_images(photos)
    recipe = StylizeRecipe(reach_style=1.0)
    controls = load_default_controls(base, recipe)
    of_settings: list[list[Drawing | None]] = []
    for one in (recipe, *list_stronger(recipe)):
        pictures = measuring.draw(base, bank, reference, one, controls)
        cosines = measure_cosines(measuring.scorer, reference, before, measuring.scorer.embed_images(pictures))
        gains = [measure_reach(own, reference.ceiling, 1.0, structure=0, strength=1).gain for own in cosines]
        own = zip(gains, pictures, photos, strict=True)
        of_settings.append([None if gain is None else Drawing(gain, ssim_luma(*pair)) for gain, *pair in own])
    return [[one for one in drawings if one] for drawings in zip(*of_settings, strict=True) if None not in drawings]


def make_table(drawn: Sequence[Sequence[Drawing]], gains: Sequence[float]) -> str:
    """Return the table: a row for each gain that is asked for."""
    lines = [
        "| asked for | reached at first | reached | drawings a picture | gain | SSIM |",
        "|---:|---:|---:|---:|---:|---:|",
        f"| nothing | | | 1.00 | {_mean_gain([one[0] for one in drawn])} | {fmean(one[0].ssim for one in drawn):.2f} |",
    ]
    for wanted in gains:
        reached = [[number for number, one in enumerate(own) if one.gain >= wanted] for own in drawn]
        kept = [
            own[numbers[0]] if numbers else max(own, key=lambda one: one.gain)
            for own, numbers in zip(drawn, reached, strict=True)
        ]
        at_first = fmean(0 in numbers for numbers in reached)
        num_drawings = fmean(numbers[0] + 1 if numbers else len(drawn[0]) for numbers in reached)
        lines.append(
            f"| {wanted:g} | {at_first:.0%} | {fmean(map(bool, reached)):.0%} | {num_drawings:.2f} | "
            f"{_mean_gain(kept)} | {fmean(one.ssim for one in kept):.2f} |"
        )
    return "\n".join(lines)


def _mean_gain(drawings: Sequence[Drawing]) -> str:
    return f"{fmean(min(max(one.gain, -1.0), 1.5) for one in drawings):.2f}"


if __name__ == "__main__":
    main()
