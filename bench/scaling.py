"""Measure how artbank's cost grows with the batch, the photos, the size of the pictures and the banks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from artbank.recipes import StylizeRecipe
from bench.peers import ours
from bench.peers.kit import STRENGTH, Contender, Kit
from bench.rounds import measure

BATCHES = (1, 2, 4, 8, 16)
PHOTOS = (1, 4, 16)
BANKS = (1, 2, 4, 8)
_STEPS = 2


@dataclass
class Curve:
    """Seconds per image or sample, over one variable.

    Attributes:
        title: Headline.
        x: Name of the variable.
        points: (x, seconds): CPU seconds on CPU, elapsed seconds on CUDA.
    """

    title: str
    x: str
    points: list[tuple[int, float]] = field(default_factory=list)

    def markdown(self, clock: str) -> str:
        """Return the curve as a table of two rows."""
        xs = " | ".join(str(x) for x, _ in self.points)
        ys = " | ".join(f"{y:.3g}" for _, y in self.points)
        rule = "|---" + "|---:" * len(self.points) + "|"
        return f"**{self.title}**\n\n| {self.x} | {xs} |\n{rule}\n| {clock} each | {ys} |"


def sizes_px(kit: Kit) -> tuple[int, ...]:
    """Return the short sides to try."""
    return (512, 640, 768, 1024) if kit.side_px >= 512 else tuple(kit.side_px * n // 4 for n in (3, 4, 6, 8))


def measure_curves(kit: Kit, budget: float) -> Iterator[Curve]:
    """Yield each curve when it is measured; points behind the budget, s, are left out, and curves of one point."""
    end = monotonic() + budget
    for curve, contenders in _plan(kit):
        for x, contender in contenders:
            if monotonic() > end:
                break
            try:
                measure(contender, kit.device)
                curve.points.append((x, measure(contender, kit.device)[0].seconds))
            finally:
                contender.close()
        if len(curve.points) > 1:
            yield curve


def _plan(kit: Kit) -> Iterator[tuple[Curve, Iterator[tuple[int, Contender]]]]:
    fast = ours.preset("fast")
    small = min(len(kit.photos), 4)
    yield (
        Curve("Stylizing, `fast`, from pictures", "batch"),
        ((n, ours.stylizing(kit, f"batch {n}", fast, batch=n, count=n, compiled=False)) for n in BATCHES),
    )
    yield (
        Curve("Training", "batch"),
        ((n, ours.training(kit, batch=n, steps=_STEPS, validates=False)) for n in BATCHES),
    )
    yield (
        Curve("Training several banks at once, batch 4 each", "banks"),
        ((n, ours.joint_training(kit, banks=n, batch=4, steps=_STEPS)) for n in BANKS),
    )
    yield (
        Curve("Stylizing, `fast`, from files, batch 4", "photos"),
        ((n, ours.archive_run(kit, f"photos {n}", fast, batch=min(n, 4), count=n)) for n in PHOTOS),
    )
    yield (
        Curve(f"Stylizing, `fast`, from pictures, batch {small}", "short side, px"),
        (
            (n, ours.stylizing(kit, f"{n} px", _of_size(n), batch=small, count=small, compiled=False))
            for n in sizes_px(kit)
        ),
    )


def _of_size(side_px: int) -> StylizeRecipe:
    return StylizeRecipe(preset="fast", strength=STRENGTH, resolution_px=side_px)


def plot(curves: list[Curve], folder: Path, clock: str) -> list[Path]:
    """Draw the curves as SVG files; returns none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("svg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, curve in enumerate(curves):
        figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
        axes.plot(*zip(*curve.points, strict=True), marker="o")
        axes.set(title=curve.title, xlabel=curve.x, ylabel=f"{clock} each", ylim=(0, None))
        axes.grid(alpha=0.3)
        paths.append(folder / f"scaling-{number}.svg")
        figure.savefig(paths[-1], metadata={"Date": None})
        pyplot.close(figure)
    return paths
