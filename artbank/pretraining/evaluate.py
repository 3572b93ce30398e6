"""Measure the miniature base model and write its figures into the model card.

    python -m artbank.pretraining.evaluate              all figures, about 4 minutes on 2 CPU cores
    python -m artbank.pretraining.evaluate --reduced    the same figures of fewer pictures, under a minute

Each figure has two thresholds: one for weights from a GPU run, and in parentheses one for CPU-only weights.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from artbank.mini import WEIGHTS
from artbank.pretraining.evaluation import FULL, REDUCED, STRENGTH, Evaluation, Figure
from artbank.pretraining.sampling import GUIDANCE, RESTYLE_GUIDANCE, STEPS

CARD = WEIGHTS.parent / "README.md"
PHOTOS = Path(__file__).parents[2] / "shared/data/photos"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_START, _END = "<!-- figures -->", "<!-- /figures -->"
_HEADER = "| figure | measured | asked (CPU-only weights) | met |\n|---|---|---|---|"


def write_card(card: Path, table: str) -> None:
    """Replace the text between the card's two markers by `table`.

    Raises:
        ValueError: A marker is missing in the card.
    """
    text = card.read_text(encoding="utf-8")
    if text.count(_START) != 1 or text.count(_END) != 1:
        raise ValueError(f"expected {_START} and {_END} once each in {card}; put them where the figures belong")
    before = text.split(_START)[0]
    after = text.split(_END)[1]
    card.write_text(f"{before}{_START}\n{table}\n{_END}{after}", encoding="utf-8")


def format_table(figures: Sequence[Figure], command: str, dtype: torch.dtype) -> str:
    """Return the figures as Markdown, with the way they were measured."""
    precision = str(dtype).removeprefix("torch.")
    note = (
        f"Measured on {date.today()} by `{command}` with torch {torch.__version__} on {os.cpu_count()} CPU cores "
        f"({torch.get_num_threads()} torch threads): {STEPS} steps, guidance {GUIDANCE:g}, pictures in {precision}, "
        f"img2img at strength {STRENGTH:g}, guidance {RESTYLE_GUIDANCE:g}."
    )
    return "\n".join([_HEADER, *[figure.row for figure in figures], "", note])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 if every figure meets at least its CPU-only threshold, else 1."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    dtype = DTYPES[options.dtype]
    evaluation = Evaluation(options.weights, REDUCED if options.reduced else FULL, seed=options.seed, dtype=dtype)
    figures = []
    print(_HEADER, flush=True)
    for figure in evaluation.measure(options.photos):
        figures.append(figure)
        print(figure.row, flush=True)
    command = shlex.join(["python", "-m", "artbank.pretraining.evaluate", *arguments])
    writes_card = options.write_card
    if writes_card is None:
        writes_card = options.weights == WEIGHTS and not options.reduced
    if writes_card:
        write_card(CARD, format_table(figures, command, dtype))
    return int(any(figure.verdict == "no" for figure in figures))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m artbank.pretraining.evaluate",
        description="Measure the mini base model against its thresholds.",
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of real photographs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise and of the held-out scenes")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="precision of the generated pictures")
    parser.add_argument("--reduced", action="store_true", help="fewer pictures per figure, under a minute in all")
    parser.add_argument(
        "--write-card",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="write the figures into the model card; by default after a full run on the shipped weights",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
