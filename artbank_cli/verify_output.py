"""`artbank verify OUTPUT_URI`: report what is wrong with an output, for people and for scripts, and repair it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from artbank.errors import ArtbankError, ConfigError
from artbank.runtime.extras import is_installed
from artbank.store.explanations import explain
from artbank_cli.output import say, say_json
from artbank_cli.server import start_server

if TYPE_CHECKING:
    from artbank.config import StylizeConfig
    from artbank.results.recorded_runs import Operator
    from artbank.results.verification.repair import Repair
    from artbank.results.verification.verify import Report

_EXAMPLES = 5  # of each kind, for people
_MOST_LEFT = 20  # sentences about what a repair left, for people


@dataclass(frozen=True)
class RepairSummary:
    """The effects of a repair.

    Attributes:
        num_wanted: Pictures that had to be drawn again.
        left: Problems that are left, one sentence each.
        removed: Pictures that cannot be drawn because their photo was removed, one sentence each.
    """

    num_wanted: int
    left: list[str]
    removed: list[str]


def check(output_uri: str, operator: Operator, *, quick: bool, repair: bool, as_json: bool) -> bool:
    """Verify an output, repair it if asked to, and print the findings; return whether no problem is left."""
    report = verify_output(output_uri, operator, quick=quick)
    if not as_json:
        print_report(report)
    repaired = repair_output(report) if repair and len(report.findings) else None
    if as_json:
        say_json(to_json(report, repaired))
    elif repaired is not None:
        print_repair(repaired)
    if repaired is not None:
        return not repaired.left
    return not len(report.problems)


def verify_output(output_uri: str, operator: Operator, *, quick: bool) -> Report:
    """Verify an output, with a progress bar at a terminal."""
    from artbank.catalog.store_places import has_catalog
    from artbank.results.output_place import check_is_output
    from artbank.results.verification.verify import verify
    from artbank.store.objects import Store
    from artbank.store.places import check_is_no_file

    output = Store.open(output_uri)
    check_is_no_file(output, "output")
    try:
        check_is_output(output)
    except ConfigError as error:
        if has_catalog(output):
            advice = f"it is a store of banks, which `artbank verify --store {shlex.quote(output_uri)}` checks"
            raise ConfigError(f"{error}; {advice}") from error
        raise
    with _show_progress() as show:
        return verify(output, operator, quick=quick, progress=show)


def repair_output(report: Report) -> RepairSummary:
    """Repair what was found."""
    from artbank.results.verification import repair as repairs
    from artbank.runtime.style_names import style_folder

    repair = repairs.prepare(report, partial(_check_inputs, report))
    _show_what_the_output_names(repair)
    left: list[str] = []
    failed_styles: set[str] = set()
    if repair.configs:
        stylize_archive = _load_stylizing()
        for config in repair.configs:
            try:
                stylize_archive(config)
            except ArtbankError as error:  # the other configs may still succeed
                left.append(f"{', '.join(config.styles)}: {explain(error)}")
                failed_styles.update(map(style_folder, config.styles))
    left += repairs.finish(report, repair)
    undone, removed = repairs.find_undone(report, repair, failed_styles)
    return RepairSummary(len(repair.wanted), [*left, *undone], removed)


def _check_inputs(report: Report, config: StylizeConfig) -> None:
    """Check that a repair would find photos and banks.

    Raises:
        ConfigError: It would not, or too many photos of the last run are missing.
        OSError: A store failed.
    """
    from artbank.archive.inputs import check_places
    from artbank.archive.stores import RunStores

    check_places(RunStores.open(config))
    if report.inventory.photos is not None:
        report.inventory.check_photos(report.inventory.photos)


def _load_stylizing() -> Callable[[StylizeConfig], Any]:
    """Return the function that stylizes an archive: the flow, or without Prefect the same work in this process."""
    if not is_installed("prefect"):
        from artbank.archive import local_run

        return local_run.stylize_archive
    from artbank_prefect.flows.stylize_archive import stylize_archive

    start_server()
    return stylize_archive


def _show_what_the_output_names(repair: Repair) -> None:
    for place in repair.trusted:
        say(f"named by the output: {place}", to_stderr=True)
    for runner in repair.runners:
        say(f"not used: runner {runner} of the output; --runner names one", to_stderr=True)


def print_report(report: Report) -> None:
    """Print the findings, with a few examples of each kind."""
    from artbank.results.verification.verify import NOTES, PROBLEMS
    from artbank.runtime.counts import number_text

    num_problems = len(report.problems)
    problems = number_text(num_problems, "problem") if num_problems else "no problems"
    checked = "checked by name and size" if report.quick else "checked"
    say(f"{number_text(report.num_pictures, 'picture')} {checked}: {problems}")
    found = report.findings.to_pylist()
    for kind, count in report.counts.items():
        prefix = "note: " if kind in NOTES else ""
        say(f"{prefix}{kind}, {count:,}: {(PROBLEMS | NOTES)[kind]}")
        examples = [row for row in found if row["kind"] == kind][:_EXAMPLES]
        for row in examples:
            say(f"  {_name(row)}")


def print_repair(repaired: RepairSummary) -> None:
    """Print the effects of a repair."""
    from artbank.runtime.counts import number_text

    wanted = number_text(repaired.num_wanted, "picture")
    say(f"repaired: {wanted} had to be drawn again; problems left: {len(repaired.left):,}")
    texts = [*repaired.left, *(f"note: {text}" for text in repaired.removed)]
    for text in texts[:_MOST_LEFT]:
        say(f"  {text}")
    if len(texts) > _MOST_LEFT:
        say(f"  and {len(texts) - _MOST_LEFT:,} more; --json lists all")


def to_json(report: Report, repaired: RepairSummary | None) -> dict[str, Any]:
    """Return all findings, for scripts."""
    from artbank.results.verification.verify import PROBLEMS

    found = report.findings.to_pylist()
    facts = {"num_pictures": report.num_pictures, "quick": report.quick, "counts": report.counts}
    facts["problems"] = [row for row in found if row["kind"] in PROBLEMS]
    facts["notes"] = [row for row in found if row["kind"] not in PROBLEMS]
    if repaired is not None:
        facts["repaired"] = asdict(repaired)
    return facts


def _name(row: dict[str, str | None]) -> str:
    photo = f"{row['key']} in {row['style']}" if row["key"] else ""
    place = photo or row["file_name"] or ""
    return f"{place}: {row['text']}" if row["text"] else place


@contextmanager
def _show_progress() -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    with tqdm(desc="pictures", unit="picture", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
