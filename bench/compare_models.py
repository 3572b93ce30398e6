"""Compare base models by what their banks can do: manners that no model has seen, real artworks, unseen photographs.

    python -m bench.compare_models mini FOLDER --galleries FOLDER

For each of the sixteen held-out painters of `artbank.mini` and each folder of real artworks, each model learns a bank
by the default recipe and stylizes drawn photographs by the default preset, with another `--structure` or a `--control`
if they are given. Marks and sheets of pictures are kept in `--out`, and a collection with marks there is not drawn
again. The table has a row for each model, with means over collections:

    SSIM, edges   structure, as in `bench.compare_recipes`
    style gain    by features of an independent network; 0 is the photo, 1 is held-out artworks
    texture gain  the same of the lumas, where colours do not count
    CLIP gain     the same as style gain by `clip_style`, with the embedded scorer for all models
    told apart    share of the pictures that are nearer to held-out artworks of their own painter than to those of any
                  other held-out painter, by the independent network
    loss          lowest validation loss of the bank; only comparable between models with one autoencoder
    steps         of training until that loss
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from artbank.bank.bank import Bank
from artbank.bank.dataset import encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.mini import WEIGHTS
from artbank.mini.drawing.painters import HELD_OUT, HELD_OUT_SAMPLED
from artbank.mini.drawing.scenes import draw_scene
from artbank.mini.drawing.snapshots import take_snapshot
from artbank.parameters.control_specs import choose_controls, read_controls
from artbank.parameters.recipe_costs import count_steps
from artbank.pretraining.grids import draw_grid
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import measure_reference
from artbank.stylization.controls import load_controls
from bench.galleries import middle_square, open_collections, split
from bench.measuring import Measuring, StyleJudge, mean_cells

_PHOTO_SEED = 60_000_000
_SHOWN_PHOTOS = 3
_COLUMNS = ("ssim", "edges", "style", "texture", "clip", "told_apart", "loss", "steps")


@dataclass(frozen=True)
class ModelMarks:
    """The marks of one model on one collection; see the module. None where a mark has no meaning."""

    ssim: float
    edges: float
    style: float | None
    texture: float | None
    clip: float | None
    told_apart: float | None
    loss: float
    steps: int


def main() -> None:
    """Compare models, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="`mini`, folders, store URIs or hub ids")
    parser.add_argument("--galleries", type=Path, help="folder of folders of real artworks")
    parser.add_argument("--judge", type=Path, default=WEIGHTS / "judge", help="folder of the independent network")
    parser.add_argument("--painters", type=int, default=16, help="held-out painters, the four drawn by hand first")
    parser.add_argument("--photos", type=int, default=12, help="photographs to draw")
    parser.add_argument("--side", type=int, default=128, help="working size, px")
    parser.add_argument("--structure", type=float, help="by default that of the preset")
    parser.add_argument("--control", action="append", help="a ControlNet, such as gray=mini, or none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/models"), help="receives marks and sheets of pictures")
    options = parser.parse_args()
    painters = (*HELD_OUT, *HELD_OUT_SAMPLED)[: options.painters]
    collections = open_collections(options.galleries, painters)
    held_out = {name: split(artworks)[1] for name, artworks in collections.items()}
    measuring = Measuring(Scorer.load("mini", torch.device("cpu")), StyleJudge(options.judge), draw_photos(options))
    marks: dict[str, list[ModelMarks]] = {}
    for source in options.models:
        base = BaseModel.load(source)
        folder = options.out / base.hash[:12]
        folder.mkdir(parents=True, exist_ok=True)
        marks[source] = []
        for name, artworks in collections.items():
            drawn = "-".join([str(options.structure or "preset"), *(options.control or ())]).replace("/", "_")
            path = folder / f"{name}-{options.side}-{options.photos}-{drawn}-{options.seed}.json"
            if path.exists():
                own = ModelMarks(**json.loads(path.read_text()))
            else:
                rivals = {other: held_out[other] for other in painters} if name in painters else {}
                own = measure_collection(base, name, artworks, rivals, measuring, options, path.with_suffix(".png"))
                path.write_text(json.dumps(asdict(own)))
            print(source, name, own, flush=True)
            marks[source].append(own)
    print(make_table(marks))


def draw_photos(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Draw photographs that no model has seen, by name."""
    photos = {}
    for seed in range(_PHOTO_SEED, _PHOTO_SEED + options.photos):
        scene = draw_scene(seed, width_px=options.side, height_px=options.side)
        photos[f"{scene.subject} {seed}"] = take_snapshot(scene.image, np.random.default_rng([seed, 3]))
    return photos


def measure_collection(
    base: BaseModel,
    name: str,
    artworks: Sequence[np.ndarray],
    rivals: Mapping[str, Sequence[np.ndarray]],
    measuring: Measuring,
    options: argparse.Namespace,
    sheet: Path,
) -> ModelMarks:
    """Train a bank of a collection, stylize the photographs, and measure the pictures.

    Args:
        base: The model.
        name: Name of the collection.
        artworks: Artworks of the collection; every fifth is held out.
        rivals: Held-out artworks of all painters, this one's too, among which the pictures are sorted.
        measuring: Scorer, judge and photographs.
        options: Options of the command line.
        sheet: Receives a sheet of pictures.
    """
    learned, held_out = split(artworks)
    recipe = BankRecipe(seed=options.seed)
    crops = [encode_dataset(base, part, [None] * len(part), recipe) for part in (learned, held_out)]
    [end] = train([TrainState(base, crops[0], crops[1], recipe, "comparison")])
    if isinstance(end, TrainingError):
        raise end
    bank = Bank("comparison", name, base.id, base.hash, "", recipe, end.vectors)
    reference = measure_reference(measuring.scorer, name, learned, held_out)
    chosen = {} if options.structure is None else {"structure": options.structure}
    drawing = StylizeRecipe(seed=options.seed, **chosen)
    texts = choose_controls(options.control, base.id, drawing.structure)
    controls = load_controls(read_controls(texts, None, count_steps(drawing)), None, base)
    pictures = measuring.draw(base, bank, reference, drawing, controls)
    photos = list(measuring.photos.items())[:_SHOWN_PHOTOS]
    rows = [
        (key, [middle_square(held_out[i % len(held_out)], options.side), photo, pictures[i]])
        for i, (key, photo) in enumerate(photos)
    ]
    draw_grid(rows, ("held-out artwork", "photo", "picture"), options.side, note=name).save(sheet)
    marks = measuring.mark(pictures, held_out, reference)
    steps, loss = end.history.best
    told_apart = tell_apart(measuring.judge, pictures, rivals, name) if rivals else None
    return ModelMarks(**asdict(marks), told_apart=told_apart, loss=loss, steps=steps)


def tell_apart(
    judge: StyleJudge, pictures: Sequence[np.ndarray], rivals: Mapping[str, Sequence[np.ndarray]], painter: str
) -> float:
    """Return the share of pictures, 0..1, that are nearest to their own painter's artworks."""
    names = list(rivals)
    distances = np.array([judge.distances(pictures, rivals[name]) for name in names])  # [painters, pictures]
    return float(np.mean(distances.argmin(0) == names.index(painter)))


def make_table(marks: Mapping[str, Sequence[ModelMarks]]) -> str:
    """Return the table: a row for each model, means over the collections that have the mark."""
    lines = [
        "| model | SSIM | edges | style gain | texture gain | CLIP gain | told apart | loss | steps |",
        "|---|" + "---:|" * len(_COLUMNS),
    ]
    for source, own in marks.items():
        lines.append(f"| {source} | {mean_cells(own, _COLUMNS, digits=3)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
