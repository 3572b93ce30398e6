"""`artbank verify --store`: report what is wrong with a store of banks, and delete what killed runs left."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from artbank_cli.output import say, say_json

if TYPE_CHECKING:
    from artbank.catalog.store_check import StoreFinding, StoreReport

_EXAMPLES = 5  # of each kind, for people


def check_store_uri(store_uri: str, *, quick: bool, repair: bool, as_json: bool) -> bool:
    """Check a store, delete remains if asked to, and print the findings; return whether there is no problem."""
    from artbank.catalog.store_check import check_store, delete_remains
    from artbank.catalog.store_places import check_has_banks
    from artbank.store.objects import Store

    store = Store.open(store_uri)
    check_has_banks(store)
    report = check_store(store, quick=quick)
    num_deleted = delete_remains(store, report) if repair else 0
    if as_json:
        say_json(_to_json(report, quick, num_deleted))
    else:
        _print_report(report, quick)
        if repair:
            say(f"deleted: {num_deleted:,} objects")
    return not report.problems


def _print_report(report: StoreReport, quick: bool) -> None:
    from artbank.catalog.store_check import NOTES, PROBLEMS
    from artbank.runtime.counts import number_text

    how = "checked by name" if quick else "checked"
    say(f"{number_text(report.num_banks, 'bank')} {how}: {number_text(len(report.problems), 'problem')}")
    for kind, what_to_do in (PROBLEMS | NOTES).items():
        found = [finding for finding in report.findings if finding.kind == kind]
        if found:
            prefix = "note: " if kind in NOTES else ""
            say(f"{prefix}{kind}, {len(found):,}: {what_to_do}")
            for finding in found[:_EXAMPLES]:
                say(f"  {_describe(finding)}")


def _describe(finding: StoreFinding) -> str:
    return f"{finding.key}: {finding.text}" if finding.text else finding.key


def _to_json(report: StoreReport, quick: bool, num_deleted: int) -> dict[str, object]:
    """Return all findings, for scripts."""
    return {
        "num_banks": report.num_banks,
        "quick": quick,
        "counts": dict(Counter(finding.kind for finding in report.findings)),
        "problems": [asdict(finding) for finding in report.problems],
        "notes": [asdict(finding) for finding in report.findings if not finding.is_problem],
        "num_deleted": num_deleted,
    }
