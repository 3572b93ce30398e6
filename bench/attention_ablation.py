"""Compare the attentions of a bank, `none`, `self`, `released` and `ssam`, in equal training and stylization.

    python -m bench.attention_ablation --galleries FOLDER --photos FOLDER

The collections are painters that the embedded model never saw, four by default, and each folder of real artworks in
`--galleries`.
For each collection, attention and seed a bank is trained by the default recipe without early stopping, and photos are
stylized with it by the default recipe. `none as in 0.1` is textual inversion as version 0.1 had it, at its best rate:
vectors in the vocabulary's unit, one learning rate for all weights, no min-SNR weights. Prints the table of
docs/paper-to-code.md. Finished runs are kept in `--out` and not repeated: use another file for other recipes or photos.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from artbank.bank.bank import Bank
from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.mini.drawing.painters import HELD_OUT
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import measure_reference
from bench.galleries import open_collections, read_photos, split
from bench.measuring import Measuring, StyleJudge

BEFORE = "none as in 0.1"
CONTENDERS = (BEFORE, "none", "self", "released", "ssam")


@dataclass(frozen=True)
class Run:
    """One bank: its validation curve, and the marks of its pictures; see `measuring.Marks`."""

    collection: str
    contender: str
    seed: int
    curve: list[tuple[int, float]]
    ssim: float
    style: float | None
    clip: float | None
    seconds: float


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galleries", type=Path, help="folder of folders of artworks")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--painters", nargs="*", metavar="NAME", default=HELD_OUT, help="drawn ones that it never saw")
    parser.add_argument("--collections", nargs="+", metavar="NAME", help="some of them; all by default")
    parser.add_argument("--number", type=int, default=8, help="of photos, at most")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--out", type=Path, default=Path("build/attention.jsonl"), help="file of finished runs")
    print(make_table(list(run_all(parser.parse_args()))))


def run_all(options: argparse.Namespace) -> Iterator[Run]:
    """Yield every run; those that are in `options.out` are read, not repeated."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = {(run.collection, run.contender, run.seed): run for run in (Run(**json.loads(line)) for line in lines)}
    base = BaseModel.load()
    photos = dict(list(read_photos(options.photos, base.native_px).items())[::2][: options.number])
    measuring = Measuring(Scorer.load("mini", base.device), StyleJudge(), photos)
    for name, artworks in open_collections(options.galleries, options.painters).items():
        if options.collections and name not in options.collections:
            continue
        learned, held_out = split(artworks)
        crops = [encode_dataset(base, part, [None] * len(part), BankRecipe()) for part in (learned, held_out)]
        reference = measure_reference(measuring.scorer, name, learned, held_out)
        for seed in range(options.seeds):
            for contender in options.contenders:
                run = done.get((name, contender, seed))
                if run is None:
                    start = time.monotonic()
                    recipe, trained = train_bank(base, crops[0], crops[1], contender, seed)
                    seconds = time.monotonic() - start
                    bank = Bank("ablation", name, base.id, base.hash, "", recipe, trained.vectors)
                    marks = measuring.measure(base, bank, held_out, reference, StylizeRecipe(seed=seed))
                    curve = trained.history.validation
                    run = Run(name, contender, seed, curve, marks.ssim, marks.style, marks.clip, seconds)
                    with options.out.open("a") as file:
                        file.write(json.dumps(asdict(run)) + "\n")
                yield run


def train_bank(
    base: BaseModel, learned: LatentDataset, held_out: LatentDataset, contender: str, seed: int
) -> tuple[BankRecipe, TrainResult]:
    """Train one bank to its last step."""
    is_before = contender == BEFORE
    facts: dict[str, Any] = {"attention": "none" if is_before else contender, "seed": seed}
    recipe = BankRecipe(**facts, **({"min_snr_gamma": None} if is_before else {}), validate_every=5, patience=10**6)
    state = TrainState(base, learned, held_out, recipe, "ablation")
    if is_before:
        state.bank.units = (base.prompt_encoder.vocabulary.float().square().mean().sqrt().item(),)
    [end] = train([state])
    if isinstance(end, TrainingError):
        raise end
    return recipe, end


def steps_to_reach(curve: Sequence[Sequence[float]], loss: float) -> int | None:
    """Return the first validated step with at most this loss; None if no step reaches it."""
    return next((int(step) for step, value in curve if value <= loss), None)


def make_table(runs: Sequence[Run]) -> str:
    """Return the table: a row for each collection and contender, means over the seeds."""
    columns = ("best validation loss", f"steps to the best of `{BEFORE}`", "SSIM", "style gain", "CLIP gain", "seconds")
    lines = [
        f"| collection | attention | {' | '.join(columns)} |",
        "| --- | --- | ---: | --- |" + " ---: |" * (len(columns) - 2),
    ]
    for name in dict.fromkeys(run.collection for run in runs):
        best = {r.seed: min(v for _, v in r.curve) for r in runs if (r.collection, r.contender) == (name, BEFORE)}
        for contender in CONTENDERS:
            own = [run for run in runs if (run.collection, run.contender) == (name, contender)]
            if own:
                lines.append(_row(name, contender, own, best))
    return "\n".join(lines)


def _row(name: str, contender: str, runs: Sequence[Run], best: Mapping[int, float]) -> str:
    losses = [min(value for _, value in run.curve) for run in runs]
    reached = [steps_to_reach(run.curve, best.get(run.seed, 0.0)) for run in runs]
    steps = ", ".join("never" if step is None else str(step) for step in reached)
    cells = [f"{fmean(losses):.5f}", steps, f"{fmean(run.ssim for run in runs):.2f}"]
    for column in ("style", "clip"):
        marks = [value for run in runs if (value := getattr(run, column)) is not None]
        cells.append((f"{fmean(marks):.2f}" if marks else "") + (f" ± {stdev(marks):.2f}" if len(marks) > 1 else ""))
    return f"| {name} | `{contender}` | {' | '.join(cells)} | {fmean(run.seconds for run in runs):.0f} |"


if __name__ == "__main__":
    main()
