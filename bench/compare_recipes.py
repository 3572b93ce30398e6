"""Compare recipes of stylization on the same photos, collections and seeds.

    python -m bench.compare_recipes presets --photos FOLDER --galleries FOLDER
    python -m bench.compare_recipes structure ...      structure 0 to 1
    python -m bench.compare_recipes ablations ...      the default without one of its parts
    python -m bench.compare_recipes kinds ...          token banks and LoRA banks
    python -m bench.compare_recipes pictures --only NAME NAME ...      the sheets of docs/pictures.md

The collections are four painters that the embedded model never saw, and each folder of real artworks in `--galleries`.
For each bank that it trains it prints the steps, the seconds of the processor and the bytes of its file.
A bank of each is trained by the default recipe, with every fifth artwork held out. Every second photo is used; the
other half (`--first 1`) is for trying settings out. Banks, sheets of pictures and marks are kept in `--out`, and a
collection with marks there is not drawn again. The table has means over photos and collections:

    SSIM          similarity of lumas to the photo
    edges         correlation of edge strengths with the photo's
    style gain    by features of a network that has no part in training or drawing (`StyleJudge`): 0 is the photo, 1 is
                  held-out artworks of the collection
    texture gain  the same of the lumas, where colours do not count
    CLIP gain     the same as style gain by `clip_style`

A gain is left out of the means where held-out artworks are not clearly nearer to the collection than the photos are.

The row `photo in its colours` is the photo itself with the collection's colours: what no model is needed for.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from artbank.bank.bank import Bank
from artbank.bank.dataset import encode_dataset
from artbank.bank.lora_bank import AnyBank, LoraBank, read_bank
from artbank.bank.lora_tensors import from_tensors, style_word
from artbank.bank.train_state import TrainState
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import upload
from artbank.errors import TrainingError
from artbank.images.palette import Palette
from artbank.parameters.recipe_costs import count_evaluations
from artbank.pretraining.grids import draw_grid
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.runtime.hashing import short_hash
from artbank.scoring.clip import Scorer
from artbank.scoring.style_reference import measure_reference
from artbank.stylization.colours import match_palette
from artbank.stylization.controls import NO_CONTROLS
from bench.galleries import middle_square, open_collections, read_photos, split
from bench.measuring import Marks, Measuring, StyleJudge, mean_cells

RECOLOURED = "photo in its colours"
_VERSION_0_1 = {
    **{"strength": 0.5, "steps": 20, "guidance": 4.0, "solver": "dpm++2m"},
    **{"structure": 0.0, "colour": "free"},
}
_SHOWN_PHOTOS = 4


@dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
        stylize: Settings of the stylization that differ from the defaults.
        train: Settings of the bank that differ from the defaults.
        has_controls: Whether the ControlNets are those of a run that names none; none otherwise.
    """

    stylize: Mapping[str, object]
    train: Mapping[str, object] | None = None
    has_controls: bool = True


TABLES: dict[str, dict[str, Contender]] = {
    "presets": {
        "paper": Contender({"preset": "paper"}),
        "version 0.1": Contender(_VERSION_0_1),
        **{name: Contender({"preset": name}) for name in ("faithful", "balanced", "bold", "fast")},
        "balanced without ControlNet": Contender({}, has_controls=False),
    },
    "structure": {f"structure {value:g}": Contender({"structure": value}) for value in (0, 0.25, 0.5, 0.75, 1)},
    "pictures": {
        "paper": Contender({"preset": "paper"}),
        "version 0.1": Contender(_VERSION_0_1),
        **{name: Contender({"preset": name}) for name in ("faithful", "balanced", "bold", "fast")},
        **{f"structure {value:g}": Contender({"structure": value}) for value in (0, 0.25, 1)},
    },
    "ablations": {
        "default": Contender({}),
        "without text": Contender({"prompt": ""}),
        "without SSAM": Contender({}, {"attention": "none"}),
        "without stochastic inversion": Contender({"inversion": "gaussian"}),
        "without ControlNet": Contender({}, has_controls=False),
        "without structure": Contender({"structure": 0.0}),
    },
    "kinds": {
        f"{kind}, {preset}": Contender({"preset": preset}, {"kind": kind})
        for preset in ("balanced", "bold")
        for kind in ("tokens", "lora")
    },
}


def main() -> None:
    """Compare the recipes of a table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--galleries", type=Path, help="folder of folders of artworks")
    parser.add_argument("--first", type=int, default=0, choices=(0, 1), help="of the photos, by file name")
    parser.add_argument("--collections", nargs="+", metavar="NAME", help="the ones to draw now; all by default")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="file names of the photos to use")
    parser.add_argument("--number", type=int, default=24, help="of photos, at most")
    parser.add_argument("--side", type=int, default=192, help="working size, px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/recipes"), help="receives banks and sheets of pictures")
    options = parser.parse_args()
    contenders = TABLES[options.table]
    photos = choose_photos(read_photos(options.photos, options.side), options)
    base = BaseModel.load()
    measuring = Measuring(Scorer.load("mini", base.device), StyleJudge(), photos)
    run_id = identify(contenders, photos, options)
    marks: dict[str, dict[str, Marks]] = {}
    for name, artworks in open_collections(options.galleries).items():
        path = options.out / f"{options.table}-{name}-{run_id}"
        if path.with_suffix(".json").exists():
            marks[name] = {key: Marks(**own) for key, own in json.loads(path.with_suffix(".json").read_text()).items()}
        if name in marks or (options.collections and name not in options.collections):
            continue
        learned, held_out = split(artworks)
        reference = measure_reference(measuring.scorer, name, learned, held_out)
        drawn = {RECOLOURED: [recolour(photo, reference.palette) for photo in photos.values()]}
        for key, one in contenders.items():
            training = BankRecipe.model_validate({**(one.train or {}), "seed": options.seed})
            bank = open_bank(options.out, base, name, learned, held_out, training)
            recipe = StylizeRecipe.model_validate({**one.stylize, "seed": options.seed})
            drawn[key] = measuring.draw(base, bank, reference, recipe, None if one.has_controls else NO_CONTROLS)
        marks[name] = {key: measuring.mark(pictures, held_out, reference) for key, pictures in drawn.items()}
        save_sheet(path.with_suffix(".png"), name, held_out, photos, drawn)
        path.with_suffix(".json").write_text(json.dumps({key: asdict(own) for key, own in marks[name].items()}))
        print(name, marks[name], flush=True)
    print(make_table(contenders, marks))


def choose_photos(photos: Mapping[str, np.ndarray], options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return the photos that the options name, or every second one."""
    if options.only:
        return {name: photos[name] for name in options.only}
    return dict(list(photos.items())[options.first :: 2][: options.number])


def identify(contenders: Mapping[str, Contender], photos: Mapping[str, np.ndarray], options: argparse.Namespace) -> str:
    """Return 8 hex digits that differ for other recipes, photos, sizes and seeds, whose marks are not ours."""
    recipes = [StylizeRecipe.model_validate(one.stylize).digest() for one in contenders.values()]
    trainings = [BankRecipe.model_validate(one.train or {}).digest() for one in contenders.values()]
    controls = [one.has_controls for one in contenders.values()]
    facts = [*contenders, *recipes, *trainings, *controls, *photos, options.side, options.seed]
    return short_hash(json.dumps(facts).encode(), 8)


def open_bank(
    folder: Path,
    base: BaseModel,
    name: str,
    learned: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    recipe: BankRecipe,
) -> AnyBank:
    """Return a bank of a collection from a folder; train it if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{recipe.digest()}.safetensors"
    if not path.exists():
        crops = [encode_dataset(base, part, [None] * len(part), recipe) for part in (learned, held_out)]
        start = time.process_time()
        [end] = train([TrainState(base, crops[0], crops[1], recipe, "comparison", word=style_word(name))])
        seconds = time.process_time() - start
        if isinstance(end, TrainingError):
            raise end
        facts = ("comparison", name, base.id, base.hash, "", recipe)
        if recipe.kind == "lora":
            bank = LoraBank(*facts, style_word(name), from_tensors(end.state))
        else:
            bank = Bank(*facts, end.vectors)
        path.write_bytes(bank.to_bytes())
        steps = f"{len(end.history.train)} steps, the best {end.history.best[0]}"
        print(f"{path.name}: {steps}, {seconds:.0f} s, {path.stat().st_size:,} bytes", flush=True)
    return read_bank(path.read_bytes())


def recolour(photo: np.ndarray, palette: Palette) -> np.ndarray:
    """Return a photo with the colours of a collection."""
    return match_palette(upload([photo], torch.device("cpu"))[0], palette).permute(1, 2, 0).numpy()


def save_sheet(
    path: Path,
    collection: str,
    held_out: Sequence[np.ndarray],
    photos: Mapping[str, np.ndarray],
    drawn: Mapping[str, Sequence[np.ndarray]],
) -> None:
    """Save a sheet of the first photos, a row for each: an artwork, the photo, and its picture by each recipe."""
    rows = []
    for number, (key, photo) in enumerate(list(photos.items())[:_SHOWN_PHOTOS]):
        artwork = middle_square(held_out[number % len(held_out)], photo.shape[0])
        rows.append((Path(key).stem, [artwork, photo, *(pictures[number] for pictures in drawn.values())]))
    columns = ("held-out artwork", "photo", *drawn)
    draw_grid(rows, columns, len(next(iter(photos.values()))), note=collection).save(path)


def make_table(contenders: Mapping[str, Contender], marks: Mapping[str, Mapping[str, Marks]]) -> str:
    """Return the table: a row for each recipe, means over the collections, whose marks come by their names."""
    columns = ("ssim", "edges", "style", "texture", "clip")
    lines = [
        "| recipe | evaluations | SSIM | edges | style gain | texture gain | CLIP gain |",
        "|---|" + "---:|" * (len(columns) + 1),
    ]
    for name in (RECOLOURED, *contenders):
        own = [of_collection[name] for of_collection in marks.values()]
        facts = contenders[name].stylize if name in contenders else None
        cost = 0 if facts is None else count_evaluations(StylizeRecipe.model_validate(facts))
        lines.append(f"| {name} | {cost} | {mean_cells(own, columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
