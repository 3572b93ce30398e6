"""When functions are compiled, by a clock of the test; their graphs run as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from artbank.diffusion import compilation, stopwatch
from artbank.diffusion.compilation import Compiled, Compiler
from artbank.diffusion.latent_codec import LatentCodec
from artbank.diffusion.stopwatch import Stopwatch, Timing

pytestmark = pytest.mark.usefixtures("compile_anew")

COST_SECONDS = 60.0  # assumed at first; a call is assumed to save a fifth of its time
CALLS_THAT_PAY = 31  # of 10 s each


class Clock:
    """Goes on by 10 s whenever it is looked at, so that each call of a function takes 10 s."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 10
        return self.now


class Negation:
    """A function of tensors of any length, and the lengths that it was compiled for.

    Compiling it takes `build_seconds`, and a compiled call `compiled_seconds`.
    """

    def __init__(
        self, clock: Clock, compiler: Compiler, *, build_seconds: float = 30.0, compiled_seconds: float = 8.0
    ) -> None:
        self.built: list[int] = []

        def build(graph: Any, examples: Any) -> Any:
            self.built.append(len(examples[0]))
            clock.now += build_seconds - 30  # 30 s: the clock is looked at three times

            def run(*args: Any) -> Any:
                clock.now += compiled_seconds - 10
                return graph.forward(*args)

            return run

        self.compiled = Compiled(torch.neg, len, compiler, seconds=COST_SECONDS, mode=None, backend=build)

    def call(self, length: int, times: int = 1) -> None:
        for _ in range(times):
            assert self.compiled(torch.ones(length)).sum() == -length


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (compilation, stopwatch):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def compiler() -> Compiler:
    """One that decides as on CUDA, and times calls as on a CPU."""
    compiler = Compiler("auto")
    compiler.is_off = False
    return compiler


@pytest.mark.parametrize(("left", "built"), [(40, [3]), (20, [])])
def test_a_shape_is_compiled_once_the_calls_that_are_left_are_worth_it(
    clock: Clock, compiler: Compiler, left: int, built: list[int]
) -> None:
    negation = Negation(clock, compiler)
    compiler.expect(left + 2)
    for number in range(left + 2):
        negation.call(3)
        compiler.advance(1)
        assert negation.built == (built if number >= 2 else [])


def test_what_is_rare_among_the_calls_is_not_compiled(clock: Clock, compiler: Compiler) -> None:
    negation = Negation(clock, compiler, build_seconds=COST_SECONDS)
    compiler.expect(100)
    for _ in range(10):
        negation.call(3, 9)
        negation.call(4)
        compiler.advance(5)
    assert negation.built == [3]


def test_without_a_word_as_many_calls_are_expected_as_there_were(clock: Clock, compiler: Compiler) -> None:
    negation = Negation(clock, compiler)
    negation.call(3, CALLS_THAT_PAY - 1)
    assert negation.built == []
    negation.call(3)
    assert negation.built == [3]


def test_calls_of_an_earlier_job_do_not_count(clock: Clock, compiler: Compiler) -> None:
    negation = Negation(clock, compiler)
    negation.call(3, CALLS_THAT_PAY - 1)
    compiler.begin()
    negation.call(3, CALLS_THAT_PAY - 1)
    assert negation.built == []


@pytest.mark.parametrize(
    ("facts", "built"),
    [
        ({}, [3, 4]),
        ({"build_seconds": 600.0}, [3]),  # compiling takes ten times as long as was assumed
        ({"compiled_seconds": 10.0}, [3]),  # compiled code turns out to be no faster
    ],
)
def test_what_the_first_compiling_took_and_saved_decides_on_the_next(
    clock: Clock, compiler: Compiler, facts: dict[str, float], built: list[int]
) -> None:
    negation = Negation(clock, compiler, **facts)
    for length in (3, 4):
        negation.call(length, CALLS_THAT_PAY + 10)
    assert negation.built == built


def test_calls_ahead_follow_from_what_is_done_and_left(compiler: Compiler) -> None:
    assert compiler.calls_ahead == 1
    compiler.expect(300)
    assert compiler.calls_ahead == 0, "nobody knows yet how many calls a unit takes"
    compiler.advance(1)
    assert compiler.calls_ahead == 50
    compiler.advance(99)
    assert compiler.calls_ahead == 2
    compiler.advance(150)
    assert compiler.calls_ahead == 0.2
    compiler.expect(50, or_more=True)
    assert compiler.calls_ahead == 1
    compiler.begin()
    compiler.expect(1)
    compiler.advance(2)
    assert compiler.calls_ahead == 0


def test_on_compiles_every_shape_at_its_first_call_up_to_a_bound(clock: Clock) -> None:
    negation = Negation(clock, Compiler("on"))
    limit = torch._dynamo.config.recompile_limit
    for length in range(3, 75):
        negation.call(length, 2)
    assert negation.built == list(range(3, 67)), "PyTorch keeps 8 unless it is told otherwise"
    assert torch._dynamo.config.recompile_limit == limit < 64
    assert not negation.compiled.has_failed


@pytest.mark.parametrize(
    ("compiling", "device", "expected"),
    [
        ("on", "cpu", (False, True)),
        ("on", "cuda", (False, True)),
        ("auto", "cpu", (True, False)),
        ("auto", "cuda", (False, False)),
        ("off", "cuda", (True, False)),
    ],
)
def test_what_is_compiled_depends_on_the_option_and_the_device(
    compiling: str, device: str, expected: tuple[bool, bool]
) -> None:
    compiler = Compiler(compiling, torch.device(device))
    assert (compiler.is_off, compiler.is_at_once) == expected


def fail_with(error: Exception) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    return lambda graph, examples: fail


def test_what_cannot_be_compiled_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    backend = fail_with(RuntimeError("no compiler here"))
    compiled = Compiled(torch.neg, len, Compiler("on"), name="the VAE", mode=None, backend=backend)
    assert compiled(torch.ones(2)).tolist() == compiled(torch.ones(2)).tolist() == [-1, -1]
    assert caplog.text.count("the VAE runs uncompiled, because compiling failed: RuntimeError: no compiler here") == 1


def test_where_compiled_code_takes_too_much_memory_the_next_call_is_plain(caplog: pytest.LogCaptureFixture) -> None:
    backend = fail_with(torch.OutOfMemoryError("out of memory"))
    compiled = Compiled(torch.neg, len, Compiler("on"), mode=None, backend=backend)
    for length in (2, 3):
        with pytest.raises(torch.OutOfMemoryError):  # so that the caller halves its call
            compiled(torch.ones(length))
        assert compiled(torch.ones(length)).sum() == -length
    assert "compiling failed" not in caplog.text


def test_a_compiler_that_is_stopped_uses_nothing_that_was_compiled(clock: Clock) -> None:
    compiler = Compiler("on")
    negation = Negation(clock, compiler)
    negation.call(3)
    clock.now = 0.0
    compiler.stop()
    negation.call(3)
    negation.call(4)
    assert negation.built == [3] and clock.now == 0, "neither compiled nor timed"


def test_the_networks_that_wait_for_the_vae_stop_the_compiler(base: Any) -> None:
    latents = torch.zeros(1, 4, 8, 8)
    for free, is_off in ((2**40, False), (0, True)):
        compiler = Compiler("on")
        codec = LatentCodec(base.vae, [base.unet], most=4, measure=lambda _, free=free: free, compiler=compiler)
        for name in ("_compute_moments", "_compute_images"):
            getattr(codec, name)._options |= {"mode": None, "backend": "eager"}
        codec.decode(latents)
        assert compiler.is_off == is_off


class Event:
    """An event of a CUDA device that reaches it when the test says so."""

    reached = False

    def __init__(self, *, enable_timing: bool):
        assert enable_timing
        self.stream: Any = None

    def record(self, stream: Any) -> None:
        self.stream = stream

    def query(self) -> bool:
        return Event.reached

    def elapsed_time(self, later: Event) -> float:
        assert self.stream == later.stream == "stream of cuda:1"
        return 250.0  # ms


def test_calls_on_cuda_are_timed_without_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    monkeypatch.setattr(Event, "reached", False)
    stopwatch, timing = Stopwatch(torch.device("cuda:1")), Timing(num_first=1)
    for _ in range(3):
        with stopwatch.time(timing):
            pass
    assert timing.mean is None
    Event.reached = True
    with stopwatch.time(timing):
        pass
    assert timing.num_calls == 3 and timing.mean == 0.25
