"""Whether the device that a run would take is there, and computes right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from artbank.config import RunConfig
from artbank.diffusion.devices import pick_device, pick_dtype
from artbank.doctor.checks import CheckResult, size_text
from artbank.errors import ConfigError

_NVIDIA = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg", "proc/driver/nvidia/version")  # dxg is that of WSL
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-2, torch.float16: 2e-3}  # TF32 is no mistake: 3e-4
_SIDE = 128


@dataclass(frozen=True)
class Gpu:
    """One CUDA device; `capability` is its major and minor, memory is bytes."""

    name: str
    capability: tuple[int, int]
    free: int
    total: int


@dataclass(frozen=True)
class Machine:
    """What torch, and the system beside it, say of this machine.

    Attributes:
        build: Version of torch.
        cuda: Version of CUDA, or of ROCm, that torch was built for; None for a CPU build.
        archs: What its kernels were built for, such as `sm_90` or `compute_90`.
        gpus: The devices that it sees.
        has_nvidia: The system has an NVIDIA device, whether or not torch sees it.
        has_mps: There is Apple's Metal.
        refusal: What CUDA says where it cannot be started.
    """

    build: str
    cuda: str | None
    archs: Sequence[str]
    gpus: Sequence[Gpu]
    has_nvidia: bool
    has_mps: bool
    refusal: str = ""


def check_devices(choice: RunConfig) -> Iterator[CheckResult]:
    """Look at the devices of this machine, and let the one that would be taken compute."""
    yield from judge_machine(inspect_machine())
    try:
        device = pick_device(choice.device)
    except ConfigError as error:
        yield CheckResult("problem", str(error), "leave --device at auto, or give one that is there")
        return
    yield CheckResult("OK", f"--device {choice.device} is {device} here")
    precision = pick_dtype(choice.dtype, device)
    for dtype in dict.fromkeys((precision, torch.bfloat16)):
        try:
            yield judge_error(dtype, device, measure_error(dtype, device), is_taken=dtype == precision)
        except (RuntimeError, TypeError) as error:  # not every device has every precision
            yield judge_error(dtype, device, math.nan, is_taken=dtype == precision, refusal=str(error))


def inspect_machine(root: Path = Path("/")) -> Machine:
    """Ask torch and the system what there is; `root` is that of the file system."""
    refusal = ""
    if torch.cuda.is_available():
        gpus = [_describe(number) for number in range(torch.cuda.device_count())]
    else:
        gpus, refusal = [], _ask_for_refusal()
    return Machine(
        build=torch.__version__,
        cuda=torch.version.cuda or getattr(torch.version, "hip", None),
        archs=torch.cuda.get_arch_list(),
        gpus=gpus,
        has_nvidia=has_nvidia(root),
        has_mps=torch.backends.mps.is_available(),
        refusal=refusal,
    )


def has_nvidia(root: Path) -> bool:
    """Tell whether the system has an NVIDIA device, by what its driver, or WSL, puts into the file system."""
    return any((root / name).exists() for name in _NVIDIA)


def judge_machine(machine: Machine) -> Iterator[CheckResult]:
    """Say what the devices are, and whether torch's build fits them."""
    for number, gpu in enumerate(machine.gpus):
        yield _judge_gpu(number, gpu, machine)
    if machine.gpus:
        return
    if machine.has_nvidia and machine.cuda is None:
        yield CheckResult(
            "problem",
            f"this machine has an NVIDIA device, but torch {machine.build} is a build for CPUs",
            "install torch's CUDA build: pip install --force-reinstall torch, without +cpu",
        )
    elif machine.has_nvidia:
        yield CheckResult(
            "problem",
            f"torch {machine.build} (CUDA {machine.cuda}) sees no device, but there is one: {machine.refusal}",
            "run nvidia-smi: update the driver, or install a torch for an older CUDA; see CUDA_VISIBLE_DEVICES",
        )
    elif machine.has_mps:
        yield CheckResult("OK", "Apple's Metal (mps)")
    else:
        yield CheckResult("warning", "no GPU; the CPU does the work", "take a machine with one for large archives")


def measure_error(dtype: torch.dtype, device: torch.device) -> float:
    """Return how far a product of two matrices is off, relative to the one in float64 of the same numbers."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_SIDE, _SIDE, generator=generator).to(dtype) for _ in range(2))
    exact = left.double() @ right.double()
    product = (left.to(device) @ right.to(device)).cpu().double()
    return ((product - exact).norm() / exact.norm()).item()


def judge_error(
    dtype: torch.dtype, device: torch.device, error: float, *, is_taken: bool, refusal: str = ""
) -> CheckResult:
    """Say whether a device computes right in a precision.

    Args:
        dtype: The precision.
        device: Where it was tried.
        error: What `measure_error` gave; nan where nothing came.
        is_taken: The run would use it.
        refusal: What was raised instead.
    """
    name = str(dtype).removeprefix("torch.")
    if error <= _TOLERANCE[dtype]:  # false for nan
        use = ", which a run takes here" if is_taken else ""
        return CheckResult("OK", f"{name}{use}: a product on {device} is off by {error:.0e}, no more than by rounding")
    found = refusal or f"a product on {device} is off by {error:.0e}, expected {_TOLERANCE[dtype]:.0e} at most"
    advice = "pass --dtype float32" if dtype != torch.float32 else "update driver and torch; do not use this device"
    return CheckResult("problem" if is_taken else "warning", f"{name}: {found}", advice)


def _judge_gpu(number: int, gpu: Gpu, machine: Machine) -> CheckResult:
    major, minor = gpu.capability
    text = f"cuda:{number} {gpu.name}, {size_text(gpu.free)} of {size_text(gpu.total)} free, capability {major}.{minor}"
    if _runs_on(gpu.capability, machine.archs):
        return CheckResult("OK", f"{text} (torch {machine.build})")
    return CheckResult(
        "problem",
        f"{text}, for which torch {machine.build} has no kernels; it has {', '.join(machine.archs)}",
        "install a torch that was built for this device, or leave it out by CUDA_VISIBLE_DEVICES",
    )


def _runs_on(capability: tuple[int, int], archs: Sequence[str]) -> bool:
    """Tell whether some kernel runs: one for its major version and no later minor, or code for older devices."""
    built = [(kind, divmod(int(digits), 10)) for kind, digits in _numbers(archs)]
    if not built:  # not CUDA's names, so nothing can be said
        return True
    native = any(kind == "sm" and own[0] == capability[0] and own <= capability for kind, own in built)
    return native or any(kind == "compute" and own <= capability for kind, own in built)


def _numbers(archs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for arch in archs:
        kind, _, name = arch.partition("_")
        if (digits := name.rstrip("af")).isdigit():  # sm_90a: for that device alone
            yield kind, digits


def _describe(number: int) -> Gpu:
    free, total = torch.cuda.mem_get_info(number)
    return Gpu(torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number), free, total)


def _ask_for_refusal() -> str:
    try:
        torch.cuda.init()
    except Exception as error:
        return str(error)
    return "it lists none"
