"""`artbank verify`: what is wrong with an output, for people and for scripts, and mending it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from artbank.config import StylizeConfig
from artbank.errors import ArtbankError
from artbank_cli.server import start_server

if TYPE_CHECKING:
    from artbank.results.verification.pictures import Progress
    from artbank.results.verification.verify import Report

_EXAMPLES = 5  # of each kind, for people


@dataclass(frozen=True)
class Mended:
    """What a repair came to.

    Attributes:
        num_wanted: Pictures that were to be drawn again.
        left: What is still wrong, in sentences.
        removed: What cannot be drawn because its photo is gone, likewise.
    """

    num_wanted: int
    left: list[str]
    removed: list[str]


def check(output_uri: str, *, quick: bool, repair: bool, given: StylizeConfig | None, as_json: bool) -> bool:
    """Look at an output, mend it if asked to, and print what came of it; returns whether all is well now."""
    report = verify_output(output_uri, quick=quick)
    if not as_json:
        tell_report(report)
    mended = repair_output(report, given) if repair and len(report.findings) else None
    if as_json:
        print(json.dumps(to_json(report, mended), ensure_ascii=False))
    elif mended is not None:
        tell_repair(mended)
    return not (len(report.problems) if mended is None else mended.left)


def verify_output(output_uri: str, *, quick: bool) -> Report:
    """Look at an output, with a bar at a terminal."""
    from artbank.results.verification.verify import verify
    from artbank.store.objects import Store

    with _show_progress() as show:
        return verify(Store.open(output_uri), quick=quick, progress=show)


def repair_output(report: Report, given: StylizeConfig | None) -> Mended:
    """Mend what was found."""
    from artbank.results.verification import repair as repairs

    repair, left = repairs.prepare(report, given), []
    if repair.configs:
        from flows.stylize_archive import stylize_archive

        start_server()
        for config in repair.configs:
            try:
                stylize_archive(config)
            except ArtbankError as error:  # the others can be drawn all the same
                left.append(f"{', '.join(config.styles)}: {error}")
    left += repairs.finish(report, repair)
    undone, removed = repairs.find_undone(report, repair)
    return Mended(len(repair.wanted), [*left, *undone], removed)


def tell_report(report: Report) -> None:
    """Print what was found, a few examples of each kind."""
    from artbank.results.verification.verify import NOTES, PROBLEMS

    problems = len(report.problems)
    how = "looked up" if report.quick else "looked at"
    print(f"{report.num_pictures:,} pictures {how}: {f'{problems:,} problems' if problems else 'all is well'}")
    found = report.findings.to_pylist()
    for kind, count in report.counts.items():
        print(f"{'note: ' if kind in NOTES else ''}{kind}, {count:,}: {(PROBLEMS | NOTES)[kind]}")
        examples = [row for row in found if row["kind"] == kind][:_EXAMPLES]
        print("\n".join(f"  {_name(row)}" for row in examples))


def tell_repair(mended: Mended) -> None:
    """Print what a repair came to."""
    print(f"repaired: {mended.num_wanted:,} pictures were to be drawn again, {len(mended.left):,} things are left")
    for text in (*mended.left, *(f"note: {text}" for text in mended.removed)):
        print(f"  {text}")


def to_json(report: Report, mended: Mended | None) -> dict[str, Any]:
    """Return all that was found, for scripts."""
    from artbank.results.verification.verify import PROBLEMS

    found = report.findings.to_pylist()
    facts = {"num_pictures": report.num_pictures, "quick": report.quick, "counts": report.counts}
    facts["problems"] = [row for row in found if row["kind"] in PROBLEMS]
    facts["notes"] = [row for row in found if row["kind"] not in PROBLEMS]
    if mended is not None:
        facts["repaired"] = asdict(mended)
    return facts


def _name(row: dict[str, str | None]) -> str:
    photo = f"{row['key']} in {row['style']}" if row["key"] else ""
    place = photo or row["file_name"] or ""
    return f"{place}: {row['text']}" if row["text"] else place


@contextmanager
def _show_progress() -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(desc="pictures", unit="picture", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
