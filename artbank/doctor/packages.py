"""Check that the installed packages are those that artbank requires, and that they can be imported."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterable, Iterator
from copy import copy
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from artbank import __version__
from artbank.doctor.checks import CheckResult
from artbank.runtime.extras import is_installed

_ALWAYS_SHOWN = ("torch", "diffusers", "transformers", "prefect", "s3fs", "pyarrow")
_IMPORTED = ("torch", "diffusers", "transformers", "s3fs", "pyarrow", "cv2")  # those that have compiled parts

_OPTIONAL = ("s3fs",)  # of an extra


def check_packages() -> Iterator[CheckResult]:
    """Compare the installed packages with artbank's requirements, and import those that fail most often."""
    yield assess_python(platform.python_version())
    try:
        requirements = [Requirement(line) for line in requires("artbank") or ()]
    except PackageNotFoundError:
        yield CheckResult(
            "warning",
            f"artbank {__version__} is not an installed package, so its requirements are unknown",
            "install it: pip install -e . in the checkout, or make demo, which creates .venv",
        )
    else:
        yield CheckResult("OK", f"artbank {__version__}")
        yield from assess_packages(requirements)
    yield from _import_packages()


def assess_python(found: str) -> CheckResult:
    """Compare a version of Python with the one that artbank requires."""
    try:
        wanted = metadata("artbank")["Requires-Python"]
    except (PackageNotFoundError, KeyError):
        return CheckResult("OK", f"python {found}")
    if found in SpecifierSet(wanted):
        return CheckResult("OK", f"python {found} (required: {wanted})")
    return CheckResult("problem", f"python {found}, but artbank requires {wanted}", f"install a Python {wanted}")


def assess_packages(requirements: Iterable[Requirement]) -> Iterator[CheckResult]:
    """Compare the installed packages with requirements; the main ones and the wrong ones get a line of their own."""
    num_others = 0
    for requirement in _merge(filter(_is_needed, requirements)):
        result = _assess_package(requirement)
        if result.level != "OK" or requirement.name in _ALWAYS_SHOWN:
            yield result
        else:
            num_others += 1
    yield CheckResult("OK", f"{num_others} other packages are as artbank requires them")


def _is_needed(requirement: Requirement) -> bool:
    """Return whether a requirement holds here; that of an extra does where its package is installed."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        return True
    try:
        version(requirement.name)
    except PackageNotFoundError:
        return False
    return "extra ==" in str(requirement.marker)


def _merge(requirements: Iterable[Requirement]) -> Iterable[Requirement]:
    """Return one requirement for each package, which several extras may require."""
    merged: dict[str, Requirement] = {}
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if name in merged:
            merged[name].specifier &= requirement.specifier
        else:
            merged[name] = copy(requirement)
    return merged.values()


def _assess_package(requirement: Requirement) -> CheckResult:
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
        if name in _OPTIONAL and not is_installed(name):
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # a missing system library, or two packages that do not fit together
            advice = f"reinstall {name}, or install what the message names"
            yield CheckResult("problem", f"{name} cannot be imported: {error}", advice)
