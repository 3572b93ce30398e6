"""Compile the functions of a base model for the shapes of calls of which enough are left.

Compiling costs a minute or more for each shape, and by published figures makes each call after it some tenths faster.
So a function is compiled for a shape when the seconds that its calls to come would save are more than those that
compiling costs.

Callers say how much they have done and how much is left, in units of their own, such as pictures or steps. How many
calls of which shape belong to a unit is seen from the calls so far. Without such a report, as many calls are expected
to come as were made so far. If none come, compiling has cost no more time than it would have saved before.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from packaging.version import Version

from artbank.diffusion.compiled_check import MOST_DIFFERENCE, find_difference
from artbank.diffusion.stopwatch import Stopwatch, Timing

logger = logging.getLogger(__name__)

Output = TypeVar("Output")

UNET_SECONDS = 60.0
"""Assumed seconds of compiling a UNet for one shape, until one was measured; never measured on a GPU."""
VAE_SECONDS = 30.0
"""Assumed seconds of compiling one half of a VAE for one shape, as above."""

_SAVED_SHARE = 0.2  # of a call, until it was measured; assumed
_MOST_AHEAD = 50.0  # calls to come for each so far: the first calls do not tell how common their shape is
_MOST_SHAPES = 64  # of a function; each takes a minute, and memory of the device for its CUDA graph
_TORCH_LIMIT = 256  # versions of a function's code that PyTorch keeps, of all models of the process; its default is 8
_FIRST_PLAIN = 1  # calls that are not timed: kernels are loaded and chosen
_FIRST_COMPILED = 3  # calls that are not timed: compiled, run once, recorded as a CUDA graph
# Before PyTorch 2.13 CUDA graphs of compiled code fail in threads, in which all runs draw (pytorch issue 123177).
_MODE = "reduce-overhead" if Version(torch.__version__) >= Version("2.13") else "default"


@dataclass
class _Shape:
    """The calls of a function with one shape.

    Attributes:
        job: The number of the job whose calls are counted.
        num_calls: Calls since that job began.
        plain: Times of uncompiled calls.
        compiled: Times of compiled calls.
    """

    job: int = 0
    num_calls: int = 0
    plain: Timing = field(default_factory=lambda: Timing(_FIRST_PLAIN))
    compiled: Timing = field(default_factory=lambda: Timing(_FIRST_COMPILED))

    @property
    def saved_share(self) -> float | None:
        """The share of a call's time that compiling saves; None if it was not measured yet."""
        before, after = self.plain.mean, self.compiled.mean
        return None if before is None or after is None else 1 - after / before


class Compiler:
    """Decides for all functions of a base model whether they are compiled, by what is left of a job.

    Attributes:
        is_off: Whether nothing is compiled.
        is_at_once: Whether all is compiled, at the first call of a shape.
        device: Where the functions run.
        job: The number of the job.
    """

    def __init__(self, compiling: str = "off", device: torch.device | None = None):
        """Begin a job; how much of it is left is not known yet.

        Args:
            compiling: See `RunConfig.compiling`.
            device: Where the functions run; the CPU by default.
        """
        self.device = device or torch.device("cpu")
        self.is_at_once = compiling == "on"
        self.is_off = not (self.is_at_once or (compiling == "auto" and self.device.type == "cuda"))
        self.job = 0
        self._done = 0
        self._left: int | None = None
        self._may_go_on = False

    def begin(self) -> None:
        """Begin another job; how much of it is left is not known yet."""
        self.job += 1
        self._done = 0
        self._left = None

    def expect(self, left: int, *, or_more: bool = False) -> None:
        """Say how many units of the job are left.

        Args:
            left: Pictures, steps, or whatever else the job is counted in.
            or_more: More units may follow after these.
        """
        self._left = left
        self._may_go_on = or_more

    def advance(self, count: int) -> None:
        """Say that some more units of the job are done."""
        self._done += count
        if self._left is not None:
            self._left = max(self._left - count, 0)

    def stop(self) -> None:
        """Compile nothing from now on, and use nothing that was compiled."""
        if not self.is_off:
            logger.info("going on without compiled code")
        self.is_off = True

    @property
    def calls_ahead(self) -> float:
        """The calls that are expected for each one since the job began."""
        if self._left is None:
            return 1.0
        ahead = min(self._left / self._done, _MOST_AHEAD) if self._done else 0.0
        return max(ahead, 1.0) if self._may_go_on else ahead


class Compiled(Generic[Output]):
    """A function that is compiled for the shapes that are worth it, and runs uncompiled for others.

    Where compiling fails, or compiled code gives other results or gradients than the function, the function runs
    uncompiled from then on. Where a compiled call runs out of memory, so do calls of its shape: compiled code holds
    more memory. In a training only the forward pass is timed, in calls and in compiling.
    """

    def __init__(
        self,
        function: Callable[..., Output],
        shape_of: Callable[..., Hashable],
        compiler: Compiler,
        *,
        name: str = "the UNet",
        seconds: float = UNET_SECONDS,
        **options: Any,
    ):
        """Wrap a function.

        Args:
            function: Compiled as one graph.
            shape_of: Takes the function's arguments and returns what the compiled code depends on.
            compiler: Knows how much is left.
            name: What is compiled, for the log.
            seconds: What compiling costs until it was measured.
            options: For `torch.compile`; fixed shapes by default, and CUDA graphs where threads can use them.
        """
        self._function = function
        self._shape_of = shape_of
        self._compiler = compiler
        self._name = name
        self._cost = Timing(0)
        self._assumed_cost = seconds
        self._options = {"mode": _MODE, "dynamic": False, "fullgraph": True} | options
        self._compiled: Callable[..., Output] | None = None
        self.has_failed = False
        self._stopwatch = Stopwatch(compiler.device)
        self._seen: defaultdict[Hashable, _Shape] = defaultdict(_Shape)
        self._too_large: set[Hashable] = set()
        self.shapes: set[Hashable] = set()

    def __call__(self, *args: Any) -> Output:
        """Call the function, compiled if that is worth it for its shape."""
        if self.has_failed or self._compiler.is_off:
            return self._function(*args)
        key = self._shape_of(*args)
        shape = self._count(key)
        if key in self.shapes:
            return self._call_compiled(key, args, shape.compiled)
        if key in self._too_large or not self._is_worth_it(shape):
            with self._stopwatch.time(shape.plain):
                return self._function(*args)
        return self._compile(key, args, shape.compiled)

    def _count(self, key: Hashable) -> _Shape:
        shape = self._seen[key]
        if shape.job != self._compiler.job:
            shape.job, shape.num_calls = self._compiler.job, 0
        shape.num_calls += 1
        return shape

    def _is_worth_it(self, shape: _Shape) -> bool:
        """Return whether the calls of a shape that are left would save more than compiling costs."""
        if len(self.shapes) >= _MOST_SHAPES:
            return False
        if self._compiler.is_at_once:
            return True
        seconds = shape.plain.mean
        if seconds is None:
            return False
        num_left = shape.num_calls * self._compiler.calls_ahead
        return num_left * seconds * self._saved_share > (self._cost.mean or self._assumed_cost)

    @property
    def _saved_share(self) -> float:
        """The share of a call's time that compiling saves, by the calls so far."""
        shares = [share for shape in self._seen.values() if (share := shape.saved_share) is not None]
        return sum(shares) / len(shares) if shares else _SAVED_SHARE

    def _compile(self, key: Hashable, args: tuple[Any, ...], timing: Timing) -> Output:
        """Compile the function for a shape, and call it."""
        logger.info("compiling %s for %s", self._name, key)
        self.shapes.add(key)
        start = time.perf_counter()
        if self._compiled is None:
            self._compiled = torch.compile(self._function, **self._options)
        with torch._dynamo.config.patch(recompile_limit=_TORCH_LIMIT):
            self._check(key, args)
            result = self._function(*args) if self.has_failed else self._call_compiled(key, args, timing)
        self._cost.add(time.perf_counter() - start)
        return result

    def _check(self, key: Hashable, args: tuple[Any, ...]) -> None:
        """Compile the function for a shape, and see whether results and gradients are those of uncompiled code."""
        assert self._compiled is not None
        with self._guard(key):
            difference = find_difference(self._function, self._compiled, args)
            if difference > MOST_DIFFERENCE:
                raise ArithmeticError(
                    f"the compiled code for {key} is wrong: its results or gradients differ by {difference:.0%}"
                )

    def _call_compiled(self, key: Hashable, args: tuple[Any, ...], timing: Timing) -> Output:
        assert self._compiled is not None
        with self._guard(key), self._stopwatch.time(timing):
            return self._compiled(*args)
        return self._function(*args)

    @contextmanager
    def _guard(self, key: Hashable) -> Iterator[None]:
        """Go on uncompiled where compiled code fails; out of memory, remember the shape and raise."""
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError):
            self.shapes.discard(key)
            self._too_large.add(key)
            raise
        except Exception as error:  # compilers raise exceptions of every kind
            kind = type(error).__name__
            logger.warning("%s runs uncompiled, because compiling failed: %s: %s", self._name, kind, error)
            self.has_failed = True
