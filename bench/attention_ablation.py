"""Compare the attentions of a bank, `none`, `self`, `released` and `ssam`, in equal training and stylization.

    python bench/attention_ablation.py --gallery FOLDER      one more collection: a folder of real artworks

For each collection, attention and seed a bank is trained for the same number of steps at the rate in `RATES`, and
photographs that no model has seen are stylized at two strengths. Prints the table of docs/paper-to-code.md. It took 9
minutes on 2 CPU cores.

`--tune` tries the learning rates in `TUNED` on the first painter; those in `RATES` had the lowest validation loss after
80 steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from artbank.bank.bank import Bank
from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.gallery.collections import list_collections, read_artworks
from artbank.mini.drawing.painters import HELD_OUT, paint
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.scores import score
from artbank.scoring.style_reference import StyleReference, measure_reference
from artbank.store.objects import Store
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

ATTENTIONS = ("none", "self", "released", "ssam")
RATES = {"none": 1.5e-1, "self": 1e-2, "released": 1e-2, "ssam": 1e-2}
TUNED = {
    "none": (2e-2, 6e-2, 1.5e-1),
    "self": (2e-3, 5e-3, 1e-2),
    "released": (2e-3, 5e-3, 1e-2),
    "ssam": (2e-3, 5e-3, 1e-2),
}
PAINTERS = HELD_OUT[:2]
STRENGTHS = (0.5, 0.7)
_ARTWORK_SEED, _PHOTO_SEED = 50_000_000, 60_000_000


@dataclass(frozen=True)
class Subject:
    """One collection, prepared once for all its banks."""

    name: str
    learned: LatentDataset
    held_out: LatentDataset
    reference: StyleReference
    photos: list[np.ndarray]


@dataclass(frozen=True)
class Run:
    """One bank: its validation curve, and gain and SSIM of its pictures by strength."""

    collection: str
    attention: str
    seed: int
    curve: list[tuple[int, float]]
    gain: dict[str, float]
    ssim: dict[str, float]
    seconds: float


def main() -> None:
    """Run the comparison and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=Path, help="folder of real artworks, as one more collection")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--tune", action="store_true", help="only try learning rates on the first painter")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/ablation.jsonl"),
        help="file of finished runs, which are not repeated",
    )
    options = parser.parse_args()
    base = BaseModel.load()
    scorer = Scorer.load("mini", BaseModel.load().device)
    if options.tune:
        tune(base, scorer, options)
        return
    runs = list(run_all(base, scorer, options))
    print(make_table(runs))


def tune(base: BaseModel, scorer: Scorer, options: argparse.Namespace) -> None:
    """Print the validation curve of each attention at several learning rates, on the first painter."""
    subject = prepare(base, scorer, PAINTERS[0], draw_artworks(PAINTERS[0]), options.photos)
    for attention in ATTENTIONS:
        for rate in TUNED[attention]:
            trained = train_bank(base, subject, make_recipe(attention, 0, options, rate))
            print(attention, rate, [round(loss, 5) for _, loss in trained.history.validation], flush=True)


def run_all(base: BaseModel, scorer: Scorer, options: argparse.Namespace) -> Iterator[Run]:
    """Yield every run; those that are in `options.out` are read, not repeated."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = {(run.collection, run.attention, run.seed): run for run in (Run(**json.loads(line)) for line in lines)}
    collections = {painter: draw_artworks(painter) for painter in PAINTERS}
    if options.gallery:
        collections[options.gallery.name] = read_pictures(options.gallery)
    for name, artworks in collections.items():
        subject = prepare(base, scorer, name, artworks, options.photos)
        for seed in range(options.seeds):
            for attention in ATTENTIONS:
                run = done.get((name, attention, seed)) or measure(base, scorer, subject, attention, seed, options)
                if (name, attention, seed) not in done:
                    with options.out.open("a") as file:
                        file.write(json.dumps(asdict(run)) + "\n")
                yield run


def draw_artworks(painter: str, count: int = 20) -> list[np.ndarray]:
    """Draw artworks by a painter whom the embedded model has never seen."""
    seeds = range(_ARTWORK_SEED, _ARTWORK_SEED + count)
    return [paint(draw_scene(seed, width_px=160, height_px=160).image, painter, seed) for seed in seeds]


def read_pictures(folder: Path) -> list[np.ndarray]:
    """Read the artworks of one collection."""
    gallery = Store.open(str(folder.parent))
    return [
        artwork.picture
        for artwork in read_artworks(gallery, list_collections(gallery, [folder.name])[0], max_pixels=10**8)[0]
    ]


def prepare(base: BaseModel, scorer: Scorer, name: str, artworks: Sequence[np.ndarray], num_photos: int) -> Subject:
    """Encode a collection and draw the photographs; every fifth artwork is held out."""
    held = list(artworks[::5])
    learned = [a for i, a in enumerate(artworks) if i % 5]
    views = [encode_dataset(base, part, [None] * len(part), BankRecipe()) for part in (learned, held)]
    photos = [
        draw_scene(_PHOTO_SEED + i, SUBJECTS[i * 4 % len(SUBJECTS)], width_px=128, height_px=128).image
        for i in range(num_photos)
    ]
    return Subject(name, views[0], views[1], measure_reference(scorer, name, learned, held), photos)


def make_recipe(attention: str, seed: int, options: argparse.Namespace, rate: float) -> BankRecipe:
    """Return the recipe of a run; training never stops early, so that all train equally long."""
    facts = {"attention": attention, "seed": seed, "learning_rate": rate, "max_steps": options.steps}
    return BankRecipe(**facts, batch_size=options.batch, validate_every=10, patience=10**6)


def train_bank(base: BaseModel, subject: Subject, recipe: BankRecipe) -> TrainResult:
    """Train one bank."""
    [end] = train([TrainState(base, subject.learned, subject.held_out, recipe, "ablation")])
    if isinstance(end, TrainingError):
        raise end
    return end


def measure(
    base: BaseModel, scorer: Scorer, subject: Subject, attention: str, seed: int, options: argparse.Namespace
) -> Run:
    """Train one bank, stylize the photographs with it, and score them."""
    start = time.monotonic()
    recipe = make_recipe(attention, seed, options, RATES[attention])
    trained = train_bank(base, subject, recipe)
    bank = Bank("ablation", subject.name, base.id, base.hash, "", recipe, trained.vectors)
    gain = {}
    ssim = {}
    for strength in STRENGTHS:
        stylizer = Stylizer(base, [Style(subject.name, ((bank, 1.0),))], StylizeRecipe(strength=strength, seed=seed))
        photos = (stylizer.prepare(str(i), photo) for i, photo in enumerate(subject.photos))
        made = {one.key: one.rgb for one in stylizer.stylize(photos)}
        pictures = [made[str(i)] for i in range(len(subject.photos))]
        scores = score(scorer, subject.reference, subject.photos, [p for p in pictures if p is not None])
        floor = fmean(s.clip_style_floor for s in scores)
        ceiling = subject.reference.ceiling or 1.0
        gain[str(strength)] = (fmean(s.clip_style for s in scores) - floor) / (ceiling - floor)
        ssim[str(strength)] = fmean(s.ssim for s in scores)
    run = Run(subject.name, attention, seed, trained.history.validation, gain, ssim, time.monotonic() - start)
    print(subject.name, attention, seed, f"{run.curve[-1][1]:.5f}", gain, ssim, f"{run.seconds:.0f} s", flush=True)
    return run


def steps_to_reach(curve: Sequence[Sequence[float]], loss: float) -> int | None:
    """Return the first validated step with at most this loss; None if no step reaches it."""
    return next((int(step) for step, value in curve if value <= loss), None)


def make_table(runs: Sequence[Run]) -> str:
    """Return the table: a row for each collection and attention, means over the seeds."""
    lines = [
        "| collection | attention | best validation loss | steps to the best of `none` | "
        + " | ".join(f"gain {s} | SSIM {s}" for s in STRENGTHS)
        + " |",
        "| --- | --- | ---: | ---: |" + " ---: |" * (2 * len(STRENGTHS)),
    ]
    for name in dict.fromkeys(run.collection for run in runs):
        best = {r.seed: min(v for _, v in r.curve) for r in runs if (r.collection, r.attention) == (name, "none")}
        for attention in ATTENTIONS:
            own = [run for run in runs if (run.collection, run.attention) == (name, attention)]
            lines.append(_row(name, attention, own, best))
    return "\n".join(lines)


def _row(name: str, attention: str, runs: Sequence[Run], best: dict[int, float]) -> str:
    losses = [min(value for _, value in run.curve) for run in runs]
    reached = [steps_to_reach(run.curve, best[run.seed]) for run in runs]
    steps = ", ".join("never" if step is None else str(step) for step in reached)
    cells = [f"{fmean(losses):.5f}", steps]
    for strength in map(str, STRENGTHS):
        gains = [run.gain[strength] for run in runs]
        spread = f" ± {stdev(gains):.2f}" if len(gains) > 1 else ""
        cells += [f"{fmean(gains):.2f}{spread}", f"{fmean(run.ssim[strength] for run in runs):.2f}"]
    return f"| {name} | `{attention}` | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
