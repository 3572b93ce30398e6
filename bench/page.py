"""The page of the figures, with the command and the machine that gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from bench import tables, targets
from bench.codecs import CodecFigures
from bench.peers.kit import STRENGTH
from bench.rounds import Row, Table
from bench.scaling import Curve, plot


@dataclass
class Report:
    """The results of a run.

    Attributes:
        command: The command line.
        machine: Facts about the machine.
        is_cuda: It ran on a GPU.
        suites: `training`, `pictures` and `files`.
        quality: The table of the presets with their scores; empty if scores mean nothing.
        figures: Single figures by name.
        codecs: The table of files and pixels at 512 px; None if it was not measured.
        curves: The curves of the scaling.
        notes: Other things that a reader must know.
    """

    command: str
    machine: Mapping[str, str]
    is_cuda: bool
    suites: dict[str, Table] = field(default_factory=dict)
    quality: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    codecs: CodecFigures | None = None
    curves: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def clock(self) -> str:
        """Unit of the costs."""
        return "s" if self.is_cuda else "CPU-s"

    def markdown(self, plots: Sequence[Path] = ()) -> str:
        """Return the page."""
        parts = ["# Performance", self._head()]
        parts += [*self._shipped(), *self._equal(), *self._matched()] if self.suites else []
        limited = self.codecs.limited if self.codecs else {}
        table = targets.table_of_targets(self._targets(), self.suites, {**self.figures, **limited})
        parts += ["## Targets", table]
        parts += ["## Codecs at 512 px", self.codecs.markdown()] if self.codecs else []
        if self.figures:
            parts += ["## Figures", "\n".join(f"- {name}: {value:.4g}" for name, value in self.figures.items())]
        parts += ["## Scaling", *(curve.markdown(self.clock) for curve in self.curves)] if self.curves else []
        parts += [f"![{path.stem}]({path.parent.name}/{path.name})" for path in plots]
        parts += ["## Notes", "\n".join(f"- {note}" for note in self._notes())]
        return "\n\n".join(parts) + "\n"

    def describe_suite(self, name: str) -> str:
        """Return the tables of one suite."""
        lines = {
            "training": (*tables.SHIPPED_TRAINING, *tables.EQUAL_TRAINING),
            "pictures": tables.EQUAL_PICTURES,
            "files": (*tables.SHIPPED_FILES, *tables.EQUAL_FILES),
        }[name]
        unit = "sample" if name == "training" else "image"
        return f"{name}:\n\n{tables.markdown(self.suites[name], lines, unit, self.clock)}\n"

    def write(self, target: Path) -> None:
        """Write the page, its figures as JSON beside it, and the plots into a folder of its name."""
        target.parent.mkdir(parents=True, exist_ok=True)
        plots = plot(self.curves, target.with_suffix(""), self.clock)
        target.write_text(self.markdown(plots))
        target.with_suffix(".json").write_text(json.dumps(self._facts(), indent=1))

    def _targets(self) -> Sequence[targets.Gate | targets.Limit]:
        """Return the targets of what was measured, and those of all suites where any was."""
        compared = targets.CUDA if self.is_cuda else targets.CPU
        return (*(compared if self.suites else ()), *(targets.CODECS if self.codecs else ()))

    def _head(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self.machine.items())
        measured = "elapsed seconds" if self.is_cuda else "CPU seconds of this process and its children"
        return (
            f"Measured on {date.today().isoformat()} by `{self.command}`, in one process, with the same weights and "
            f"the same images, in interleaved rounds. Seconds are {measured}, medians over the rounds. A ratio is the "
            "cost of the other contender over artbank's: the median of the pairs within a round, and their range. The "
            f"samples in each network were counted during the measurement.\n\n{facts}"
        )

    def _shipped(self) -> list[str]:
        files = "Stylizing, from JPEG files to JPEG files; artbank also scores each picture and keeps its results:"
        return [
            "## A. As shipped",
            *self._table("training", tables.SHIPPED_TRAINING, "sample", "Training, each with its own defaults:"),
            *self._table("files", tables.SHIPPED_FILES, "image", files),
            f"The other programs draw at strength {STRENGTH:g}. Evaluations compare at the same strength only:",
            tables.evaluations_by_strength(),
        ]

    def _equal(self) -> list[str]:
        return [
            "## B. Equal work",
            *self._table("training", tables.EQUAL_TRAINING, "sample", "Training, batches of the same size:"),
            *self._table("pictures", tables.EQUAL_PICTURES, "image", "Stylizing decoded pictures, the model alone:"),
            *self._table("files", tables.EQUAL_FILES, "image", "Stylizing files, equal evaluations:"),
        ]

    def _matched(self) -> list[str]:
        said = "Presets as they are beside the released script, from pictures, with the same bank on the same photos:"
        return ["## C. Quality-matched", said, self.quality] if self.quality else []

    def _table(self, suite: str, lines: Sequence[tables.Line], unit: str, said: str) -> list[str]:
        if suite not in self.suites:
            return []
        return [said, tables.markdown(self.suites[suite], lines, unit, self.clock)]

    def _notes(self) -> list[str]:
        rounds = ", ".join(f"{name} {table.rounds}" for name, table in self.suites.items())
        of_suites = [note for table in self.suites.values() for note in table.notes]
        return [*([f"rounds: {rounds}"] if rounds else []), *self.notes, *of_suites]

    def _facts(self) -> dict[str, Any]:
        rows = {
            suite: {key: _row_facts(row) for key, row in table.rows.items()} for suite, table in self.suites.items()
        }
        curves = {curve.title: curve.points for curve in self.curves}
        codecs = [asdict(row) for row in self.codecs.rows] if self.codecs else []
        facts = {"machine": dict(self.machine), "suites": rows, "figures": self.figures}
        return {**facts, "codecs": codecs, "scaling": curves}


def _row_facts(row: Row) -> dict[str, Any]:
    """Return the facts of a row without its pictures."""
    facts = {name: value for name, value in vars(row).items() if name not in ("album", "costs")}
    return facts | {"costs": [asdict(cost) for cost in row.costs]}
