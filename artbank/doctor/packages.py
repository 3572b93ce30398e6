"""Whether the installed packages are those that artbank requires, and can be imported."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from artbank import __version__
from artbank.doctor.checks import CheckResult

_SHOWN = ("torch", "diffusers", "transformers", "prefect", "s3fs", "pyarrow")
_IMPORTED = ("torch", "diffusers", "transformers", "s3fs", "pyarrow", "cv2")  # those with parts that are not Python


def check_packages() -> Iterator[CheckResult]:
    """Compare what is installed with artbank's own requirements, and import what most often cannot be."""
    yield judge_python(platform.python_version())
    try:
        required = [Requirement(line) for line in requires("artbank") or ()]
    except PackageNotFoundError:
        yield CheckResult(
            "warning",
            f"artbank {__version__} is no installed package, so nothing says what it requires",
            "install it: pip install -e . in the checkout, or make demo, which sets up .venv",
        )
    else:
        yield CheckResult("OK", f"artbank {__version__}")
        yield from judge_packages(required)
    yield from _import_packages()


def judge_python(found: str) -> CheckResult:
    """Compare a version of Python with the one that artbank requires."""
    try:
        wanted = metadata("artbank")["Requires-Python"]
    except (PackageNotFoundError, KeyError):
        return CheckResult("OK", f"python {found}")
    if found in SpecifierSet(wanted):
        return CheckResult("OK", f"python {found} (required: {wanted})")
    return CheckResult("problem", f"python {found}, but artbank requires {wanted}", f"install a Python {wanted}")


def judge_packages(required: Iterable[Requirement]) -> Iterator[CheckResult]:
    """Compare the installed packages with requirements; those that people ask for first are told one by one."""
    others = 0
    for requirement in required:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        verdict = _judge(requirement)
        if verdict.level != "OK" or requirement.name in _SHOWN:
            yield verdict
        else:
            others += 1
    yield CheckResult("OK", f"{others} other packages are as artbank requires them")


def _judge(requirement: Requirement) -> CheckResult:
    advice = f"pip install '{requirement}'"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return CheckResult("problem", f"{requirement.name} is not installed", advice)
    wanted = str(requirement.specifier)
    if requirement.specifier.contains(found, prereleases=True):
        return CheckResult("OK", f"{requirement.name} {found} (required: {wanted})")
    return CheckResult("problem", f"{requirement.name} {found}, but artbank requires {wanted}", advice)


def _import_packages() -> Iterator[CheckResult]:
    for name in _IMPORTED:
        try:
            importlib.import_module(name)
        except Exception as error:  # a missing library of the system, or two packages that do not fit
            yield CheckResult(
                "problem", f"{name} cannot be imported: {error}", f"install {name} anew, or what it names"
            )
