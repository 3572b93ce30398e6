from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions, requires, version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from artbank.doctor.checks import Check, CheckResult, run_checks
from artbank.doctor.devices import (
    Gpu,
    Machine,
    assess_error,
    assess_machine,
    check_devices,
    has_nvidia,
    inspect_machine,
    measure_error,
)
from artbank.doctor.disk_space import assess_gpu_memory, assess_memory, check_disks, check_semaphores, measure_available
from artbank.doctor.packages import assess_packages, assess_python, check_packages
from artbank.parameters.run_config import RunConfig

CPU = torch.device("cpu")


def levels(verdicts: Iterator[CheckResult]) -> list[str]:
    return [verdict.level for verdict in verdicts]


def one(verdicts: Iterator[CheckResult]) -> CheckResult:
    [verdict] = verdicts
    return verdict


def test_a_check_that_crashes_is_told_and_spares_the_others() -> None:
    def crash() -> Iterator[CheckResult]:
        yield CheckResult("OK", "so far")
        raise RuntimeError("s3://me:secret@host/x broke\nin two lines")

    found = run_checks([Check("first", crash), Check("second", lambda: [CheckResult("OK", "fine")])], 1)
    assert [verdict.level for verdict in found["first"]] == ["OK", "problem"]
    assert "RuntimeError: s3://***@host/x broke in two lines" in found["first"][1].text
    assert found["second"] == [CheckResult("OK", "fine")]


def test_checks_that_never_end_are_waited_for_together_and_left_behind() -> None:
    never = threading.Event()
    begun: list[str] = []
    begun_at_first_end: list[str] = []

    def hang() -> Iterator[CheckResult]:
        begun.append("one more")
        yield CheckResult("OK", "so far")
        never.wait()

    def note(subject: str, results: Sequence[CheckResult]) -> None:
        begun_at_first_end.extend(begun if not begun_at_first_end else [])

    found = run_checks([Check(name, hang, may_hang=True) for name in "abcd"], 1.0, note)
    assert len(begun_at_first_end) == 4  # one after the other the first would be given up alone
    never.set()
    assert [verdict.is_late for verdict in found["d"]] == [False, True]
    assert (found["d"][1].level, found["d"][1].text) == ("problem", "no answer within 1 s")


def test_each_check_is_told_as_it_ends_and_a_slow_one_holds_up_no_other() -> None:
    told: list[str] = []
    first_is_told = threading.Event()

    def await_other() -> list[CheckResult]:
        assert first_is_told.wait(60)
        return [CheckResult("OK", "fine")]

    def tell(subject: str, results: Sequence[CheckResult]) -> None:
        told.append(f"{subject}: {results[0].level}")
        first_is_told.set()

    checks = [
        Check("slow", await_other, may_hang=True),
        Check("quick", lambda: [CheckResult("OK", "fine")], may_hang=True),
    ]
    found = run_checks(checks, 60, tell)
    assert told == ["quick: OK", "slow: OK"]
    assert list(found) == ["slow", "quick"]


def test_signs_that_cannot_be_seen_are_not_shown() -> None:
    assert CheckResult("OK", "a\x1b[31m b\u202ec").text == "a\ufffd[31m b\ufffdc"


def test_every_requirement_of_the_package_is_looked_at() -> None:
    found = list(check_packages())
    assert {verdict.level for verdict in found} == {"OK"}
    told = [verdict.text.split()[0] for verdict in found]
    assert told[:2] == ["python", "artbank"] and {"torch", "prefect", "s3fs", "pyarrow"} < set(told)
    counted = int(found[-1].text.split()[0])
    installed = {canonicalize_name(name) for own in distributions() if (name := own.metadata["Name"])}
    needed = {
        canonicalize_name(Requirement(line).name)
        for line in requires("artbank") or ()
        if "extra ==" not in line or canonicalize_name(Requirement(line).name) in installed
    }
    assert counted + len(found) - 3 == len(needed)


@pytest.mark.parametrize(
    ("required", "text", "advice"),
    [
        ("torch>=999", "torch .*, but artbank requires >=999", "pip install 'torch>=999'"),
        ("prefect<0.1", "prefect .*, but artbank requires <0.1", "pip install 'prefect<0.1'"),
        ("no-such-package>=1", "no-such-package is not installed", "pip install 'no-such-package>=1'"),
    ],
)
def test_a_package_that_is_not_as_required_is_a_problem(required: str, text: str, advice: str) -> None:
    wrong, _ = assess_packages([Requirement(required)])
    assert (wrong.level, wrong.advice) == ("problem", advice)
    assert re.search(text, wrong.text)


def test_a_requirement_of_other_systems_is_not_looked_at() -> None:
    assert levels(assess_packages([Requirement("no-such-package; sys_platform == 'elsewhere'")])) == ["OK"]


def test_a_package_that_several_extras_require_has_one_line() -> None:
    extras = [Requirement("prefect>=3; extra == 'prefect'"), Requirement("Prefect<4; extra == 'dask'")]
    [found, others] = assess_packages(extras)
    assert re.fullmatch(r"prefect \S+ \(required: <4,>=3\)", found.text) and others.text.startswith("0 other")


def test_an_old_python_is_a_problem() -> None:
    assert assess_python("3.9.1").level == "problem"
    assert version("artbank") and assess_python("3.11.2").level == "OK"


def machine(**facts: object) -> Machine:
    known = {"build": "2.13.0", "cuda": "12.8", "archs": ("sm_80", "sm_90", "compute_90"), "gpus": ()}
    return Machine(**{**known, "has_nvidia": True, "has_mps": False, **facts})  # pyright: ignore[reportArgumentType]


def test_a_cpu_build_on_a_machine_with_an_nvidia_device_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert has_nvidia(tmp_path) and inspect_machine(tmp_path).has_nvidia
    wrong = one(assess_machine(machine(build="2.13.0+cpu", cuda=None)))
    assert wrong.level == "problem" and "build for CPUs" in wrong.text and "CUDA build" in wrong.advice


def test_a_cuda_build_that_sees_no_device_says_why() -> None:
    wrong = one(assess_machine(machine(cuda_error="The NVIDIA driver on your system is too old")))
    assert wrong.level == "problem" and "driver on your system is too old" in wrong.text


@pytest.mark.parametrize(
    ("capability", "archs", "level"),
    [
        ((8, 0), ("sm_80",), "OK"),
        ((8, 9), ("sm_80", "sm_90"), "OK"),
        ((9, 0), ("sm_90a",), "OK"),
        ((12, 0), ("sm_90", "compute_90"), "OK"),
        ((12, 0), ("sm_80", "sm_90"), "problem"),
        ((7, 0), ("sm_75", "sm_80", "compute_90"), "problem"),
        ((9, 4), ("gfx942",), "OK"),
    ],
)
def test_a_device_needs_kernels_that_were_built_for_it(
    capability: tuple[int, int], archs: tuple[str, ...], level: str
) -> None:
    gpu = Gpu("A GPU", capability, 70_000_000_000, 80_000_000_000)
    verdict = one(assess_machine(machine(gpus=(gpu,), archs=archs)))
    assert verdict.level == level and "cuda:0 A GPU, 70 GB of 80 GB free" in verdict.text


def test_no_device_at_all_is_a_warning_and_metal_is_none() -> None:
    assert one(assess_machine(machine(has_nvidia=False))).level == "warning"
    assert one(assess_machine(machine(has_nvidia=False, has_mps=True))).level == "OK"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_this_machine_computes_right(dtype: torch.dtype) -> None:
    assert assess_error(dtype, CPU, measure_error(dtype, CPU), is_used=True).level == "OK"


@pytest.mark.parametrize("error", [math.nan, 0.5, math.inf])
def test_a_device_that_computes_wrong_is_a_problem_only_where_it_is_used(error: float) -> None:
    told = assess_error(torch.bfloat16, CPU, error, is_used=True)
    assert (told.level, told.advice) == ("problem", "pass --dtype float32")
    assert assess_error(torch.bfloat16, CPU, error, is_used=False).level == "warning"


def test_a_device_that_is_not_there_is_a_problem() -> None:
    found = list(check_devices(RunConfig(device="cuda:63")))
    assert found[-1].level == "problem" and "cuda:63" in found[-1].text


@pytest.mark.parametrize(("available", "level"), [(1e9, "problem"), (3e9, "warning"), (5e9, "OK")])
def test_memory_must_hold_the_weights_and_should_hold_the_largest_image(available: float, level: str) -> None:
    assert assess_memory(int(available), 2_000_000_000, 100_000_000).level == level


def test_a_gpu_must_hold_the_weights() -> None:
    assert assess_gpu_memory("cuda", 1_000_000_000, 8_000_000_000, 2_000_000_000).level == "problem"
    assert assess_gpu_memory("cuda", 3_000_000_000, 8_000_000_000, 2_000_000_000).level == "OK"


@pytest.mark.parametrize(
    "files", [("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")]
)
def test_a_containers_limit_counts(tmp_path: Path, files: tuple[str, str]) -> None:
    assert measure_available(tmp_path) > 1_000_000
    for name, text in zip(files, ("1000000\n", "250000\n"), strict=True):
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert measure_available(tmp_path) == 750_000
    (tmp_path / "sys/fs/cgroup" / files[0]).write_text("max\n")
    assert measure_available(tmp_path) > 1_000_000


def test_semaphores_can_be_made_here() -> None:
    assert check_semaphores().level == "OK"


def test_disks_are_told_once_and_are_too_full_for_a_file_that_is_larger(tmp_path: Path) -> None:
    verdicts = list(check_disks(RunConfig(max_megabytes=1), {"output": str(tmp_path / "new"), "store": "s3://b/c"}))
    assert any("output" in verdict.text for verdict in verdicts) and not any("store" in v.text for v in verdicts)
    assert levels(check_disks(RunConfig(max_megabytes=1e12), {}))[0] == "warning"
    assert list(tmp_path.iterdir()) == []
