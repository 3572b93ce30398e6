"""Check that the device of a run is available and computes correctly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from artbank.diffusion.devices import pick_device, pick_dtype
from artbank.doctor.checks import CheckResult, size_text
from artbank.errors import ConfigError
from artbank.parameters.run_config import RunConfig

_NVIDIA_FILES = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg", "proc/driver/nvidia/version")  # dxg is WSL's
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-2, torch.float16: 2e-3}  # TF32, which is allowed, has 3e-4
_MATRIX_SIDE = 128


@dataclass(frozen=True)
class Gpu:
    """One CUDA device; `capability` is its major and minor version, memory is in bytes."""

    name: str
    capability: tuple[int, int]
    free: int
    total: int


@dataclass(frozen=True)
class Machine:
    """This machine, as torch and the system describe it.

    Attributes:
        build: Version of torch.
        cuda: Version of CUDA or ROCm that torch was built for; None for a CPU build.
        archs: Architectures of torch's kernels, such as `sm_90` or `compute_90`.
        gpus: The devices that torch finds.
        has_nvidia: The system has an NVIDIA device, whether or not torch finds it.
        has_mps: Apple's Metal is available.
        cuda_error: CUDA's error if it cannot be started.
    """

    build: str
    cuda: str | None
    archs: Sequence[str]
    gpus: Sequence[Gpu]
    has_nvidia: bool
    has_mps: bool
    cuda_error: str = ""


def check_devices(config: RunConfig) -> Iterator[CheckResult]:
    """Check the devices of this machine, and compute on the one that a run would use."""
    yield from assess_machine(inspect_machine())
    try:
        device = pick_device(config.device)
    except ConfigError as error:
        yield CheckResult("problem", str(error), "leave --device at auto, or name a device of this machine")
        return
    yield CheckResult("OK", f"--device {config.device} uses {device} on this machine")
    chosen = pick_dtype(config.dtype, device)
    for dtype in dict.fromkeys((chosen, torch.bfloat16)):
        try:
            error = measure_error(dtype, device)
            exception = ""
        except (RuntimeError, TypeError) as raised:  # not every device has every precision
            error = math.nan
            exception = str(raised)
        yield assess_error(dtype, device, error, is_used=dtype == chosen, exception=exception)


def inspect_machine(root: Path = Path("/")) -> Machine:
    """Ask torch and the system for their devices; `root` is that of the file system."""
    gpus: list[Gpu] = []
    cuda_error = ""
    if torch.cuda.is_available():
        gpus = [_inspect_gpu(number) for number in range(torch.cuda.device_count())]
    else:
        cuda_error = _find_cuda_error()
    return Machine(
        build=torch.__version__,
        cuda=torch.version.cuda or getattr(torch.version, "hip", None),
        archs=torch.cuda.get_arch_list(),
        gpus=gpus,
        has_nvidia=has_nvidia(root),
        has_mps=torch.backends.mps.is_available(),
        cuda_error=cuda_error,
    )


def has_nvidia(root: Path) -> bool:
    """Return whether the system has an NVIDIA device, by the files that its driver or WSL creates."""
    return any((root / name).exists() for name in _NVIDIA_FILES)


def assess_machine(machine: Machine) -> Iterator[CheckResult]:
    """Report the devices, and whether this build of torch supports them."""
    for number, gpu in enumerate(machine.gpus):
        yield _assess_gpu(number, gpu, machine)
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
            f"this machine has an NVIDIA device, but torch {machine.build} (CUDA {machine.cuda}) cannot use it: "
            f"{machine.cuda_error}",
            "run nvidia-smi; update the driver or install a torch for an older CUDA; check CUDA_VISIBLE_DEVICES",
        )
    elif machine.has_mps:
        yield CheckResult("OK", "Apple's Metal (mps)")
    else:
        yield CheckResult("warning", "no GPU: runs use the CPU", "use a machine with a GPU for large archives")


def measure_error(dtype: torch.dtype, device: torch.device) -> float:
    """Return the relative error of a matrix product on a device, against the same product in float64."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_MATRIX_SIDE, _MATRIX_SIDE, generator=generator).to(dtype) for _ in range(2))
    exact = left.double() @ right.double()
    product = (left.to(device) @ right.to(device)).cpu().double()
    return ((product - exact).norm() / exact.norm()).item()


def assess_error(
    dtype: torch.dtype, device: torch.device, error: float, *, is_used: bool, exception: str = ""
) -> CheckResult:
    """Report whether a device computes correctly in a precision.

    Args:
        dtype: The precision.
        device: The device that was tried.
        error: From `measure_error`; nan if it raised an exception.
        is_used: The run would use this precision.
        exception: Text of the exception.
    """
    name = str(dtype).removeprefix("torch.")
    if error <= _TOLERANCE[dtype]:  # false for nan
        use = " (used by a run here)" if is_used else ""
        return CheckResult("OK", f"{name}{use}: a matrix product on {device} has error {error:.0e}, as rounding gives")
    fault = exception or (
        f"a matrix product on {device} has error {error:.0e}, expected at most {_TOLERANCE[dtype]:.0e}"
    )
    advice = "pass --dtype float32"
    if dtype == torch.float32:
        advice = "update driver and torch; do not use this device"
    return CheckResult("problem" if is_used else "warning", f"{name}: {fault}", advice)


def _assess_gpu(number: int, gpu: Gpu, machine: Machine) -> CheckResult:
    major, minor = gpu.capability
    text = f"cuda:{number} {gpu.name}, {size_text(gpu.free)} of {size_text(gpu.total)} free, capability {major}.{minor}"
    if _has_kernels(gpu.capability, machine.archs):
        return CheckResult("OK", f"{text} (torch {machine.build})")
    return CheckResult(
        "problem",
        f"{text}: torch {machine.build} has no kernels for it, only for {', '.join(machine.archs)}",
        "install a torch that supports this device, or hide the device with CUDA_VISIBLE_DEVICES",
    )


def _has_kernels(capability: tuple[int, int], archs: Sequence[str]) -> bool:
    """Return whether a build has code for a device: kernels of its major and no later minor version, or older PTX."""
    built = list(_parse_archs(archs))
    if not built:  # the names are not CUDA's, so nothing is known
        return True
    for kind, version in built:
        if kind == "sm" and version[0] == capability[0] and version <= capability:
            return True
        if kind == "compute" and version <= capability:
            return True
    return False


def _parse_archs(archs: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield kind and version of architectures: `sm_90a` is (sm, (9, 0))."""
    for arch in archs:
        kind, _, name = arch.partition("_")
        digits = name.rstrip("af")  # the suffix of kernels for one device alone
        if digits.isdigit():
            yield kind, divmod(int(digits), 10)


def _inspect_gpu(number: int) -> Gpu:
    free, total = torch.cuda.mem_get_info(number)
    return Gpu(torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number), free, total)


def _find_cuda_error() -> str:
    try:
        torch.cuda.init()
    except Exception as error:
        return str(error)
    return "it lists no device"
