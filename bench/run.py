"""Measure artbank against its peers: same process, same weights, same images, interleaved rounds.

    python bench/run.py                                         the embedded model on CPU, ten minutes
    python bench/run.py --device cuda --budget 540              random weights of Stable Diffusion 1.5's shapes on a GPU
    python bench/run.py --out docs/performance.md               writes the page, its figures as JSON and its plots
    python bench/run.py --suites codecs --photos FOLDER         files and pixels at 512 px alone, a minute; no model

Needs neither Prefect nor a network. Prints three tables that are never mixed (as shipped, equal work, quality-matched),
the targets, and how the cost scales. Each part is printed and saved when it ends; one that fails, that does not fit in
memory or that takes more than twice its share of the time is left out with a note.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # no heavy imports above: the decoder processes import this file, too
    from bench.page import Report
    from bench.parts import Parts
    from bench.peers.kit import Kit

ROOT = Path(__file__).parents[1]
SHARES = {"training": 0.17, "pictures": 0.33, "files": 0.38, "others": 0.12}
"""Shares of the time that is left after the inputs are built. Time that one suite saves goes to the next ones."""
_SHARE_FOR_POINTS = 0.8  # of the time for the scaling; the last point may take longer than what is left then


def main() -> None:
    """Measure and print the page; write it if `--out` is given."""
    options = read_options()
    prepare_process(options)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        report = measure_all(options, Path(name))
    print(report.markdown())
    report.write(options.out)


def read_options(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--model", choices=("auto", "mini", "sd15", "tiny"), default="auto")
    parser.add_argument("--budget", type=float, default=570.0, help="seconds for everything")
    parser.add_argument("--photos", type=Path, help="folder of own photos, which are cropped square")
    parser.add_argument("--rounds", type=int, help="number of rounds, for any budget; as many as fit by default")
    parser.add_argument("--num-photos", type=int, help="photos to draw; 8 on CPU, 16 on CUDA by default")
    parser.add_argument("--photo-px", type=int, default=3464, help="side of the drawn photos")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads on CPU; idle ones cost CPU time, too")
    parser.add_argument(
        "--suites",
        help="parts to measure, by commas: training, pictures, files, scaling, codecs; all by "
        "default, on CUDA without codecs, which need no GPU",
    )
    parser.add_argument("--out", type=Path, default=Path("build/performance.md"), help="the page")
    options = parser.parse_args(args)
    if options.suites is None:
        options.suites = "training,pictures,files,scaling" + ("" if options.device.startswith("cuda") else ",codecs")
    return options


def prepare_process(options: argparse.Namespace) -> None:
    """Set the variables that libraries read at import, and put the checkout on the path."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d ms %(message)s", stream=sys.stderr)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path = [str(ROOT), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]


def measure_all(options: argparse.Namespace, scratch: Path) -> Report:
    """Build the inputs and measure everything within the budget."""
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from bench import hardware
    from bench.page import Report
    from bench.parts import Parts

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    start = time.monotonic()
    is_cuda = options.device.startswith("cuda")
    if not is_cuda:
        torch.set_num_threads(options.threads)
    wanted = options.suites.split(",")
    kit = None if wanted == ["codecs"] else _build_kit(options, scratch)
    command = shlex.join(["python", "bench/run.py", *sys.argv[1:]])
    report = Report(command, hardware.describe_machine(torch.device(options.device)), is_cuda)
    parts = Parts(options.budget - (time.monotonic() - start), lambda: report.write(options.out), report.notes)
    if "codecs" in wanted:
        parts.run("the codecs at 512 px", lambda: _measure_codecs(options, report))
    if kit is not None:
        report.notes += _list_notes(kit)
        _measure_kit(kit, wanted, options.rounds, report, parts)
    parts.close()
    return report


def _measure_codecs(options: argparse.Namespace, report: Report) -> None:
    from bench.codecs import measure_codecs

    report.codecs = measure_codecs(options.photos)
    print(report.codecs.markdown(), flush=True)


def _measure_kit(kit: Kit, wanted: list[str], rounds: int | None, report: Report, parts: Parts) -> None:
    """Measure what needs the weights and inputs that all contenders share."""
    from artbank.scoring.clip import load_scorer
    from bench import gpu, scaling, suites, tables
    from bench.peers.ours import run_config

    def measure_suite(name: str, seconds: float) -> None:
        report.suites[name] = suites.run(_suites()[name], kit, seconds, rounds)
        print(report.describe_suite(name), flush=True)

    def match_quality() -> None:
        scorer = load_scorer(run_config(kit)) if kit.source == "mini" else None
        report.quality = tables.matched(report.suites["pictures"], kit, scorer, report.clock)

    def measure_figures() -> None:
        report.figures |= gpu.measure_figures(kit, report.suites, report.figures, time.monotonic() + parts.left)

    def measure_curves() -> None:
        for curve in scaling.measure_curves(kit, _SHARE_FOR_POINTS * parts.left):
            report.curves.append(curve)

    parts.run("the machine's peaks", lambda: report.figures.update(gpu.measure_peaks(kit)))
    for name in (name for name in SHARES if name in wanted):
        seconds = share_out(name, wanted, parts.left)
        parts.run(f"the suite {name}", partial(measure_suite, name, seconds), 2 * seconds)
    if "pictures" in report.suites:
        parts.run("the quality-matched table", match_quality)
    parts.run("the figures of a GPU", measure_figures)
    if "scaling" in wanted:
        parts.run("the scaling", measure_curves)


def share_out(name: str, wanted: list[str], left: float) -> float:
    """Return the seconds of a suite out of those that are left; later suites share the rest."""
    order = list(SHARES)
    later = [other for other in order[order.index(name) :] if other in wanted or other == "others"]
    return left * SHARES[name] / sum(SHARES[other] for other in later)


def _suites() -> dict:
    from bench import suites

    return {"training": suites.training_suite, "pictures": suites.pictures_suite, "files": suites.files_suite}


def _build_kit(options: argparse.Namespace, scratch: Path) -> Kit:
    from bench.build_kit import SD15, TINY, make_kit

    model = options.model
    if model == "auto":
        model = "sd15" if options.device.startswith("cuda") else "mini"
    shapes = {"mini": None, "sd15": SD15, "tiny": TINY}[model]
    photos = {"own_photos": options.photos}
    most = 16 if options.device.startswith("cuda") else 8
    photos |= {"num_photos": options.num_photos or most, "photo_px": options.photo_px}
    return make_kit(scratch, options.device, shapes, steps=100 if shapes is None else 4, **photos)


def _list_notes(kit: Kit) -> list[str]:
    notes = ["the released script's image log is measured by its share: s steps run s/200 of it, without its decodings"]
    if kit.device.type == "cpu":
        notes.append("nothing here ran on a GPU: `python bench/run.py --device cuda --budget 540` measures that")
    if kit.source != "mini":
        notes.append("weights are random in the shapes of Stable Diffusion 1.5, so pictures mean nothing here")
    return notes


if __name__ == "__main__":
    main()
