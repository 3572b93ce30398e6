"""The networks of Stable Diffusion 1.5 and 2.1 in full size, without numbers: their memory, and how they start.

On the device `meta` nothing is computed, and reading a number raises. So these tests also show that no call of the UNet
waits for the device. Attention counts as one operation, as on CUDA.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from artbank.diffusion.compilation import Compiled, Compiler
from artbank.diffusion.latent_codec import LatentCodec
from artbank.diffusion.memory_count import count_bytes
from artbank.diffusion.network_copies import copy_to_meta
from artbank.diffusion.unet import DeepFeatures, Denoiser
from artbank.parameters.presets import PRESETS
from bench import memory_by_card as cards

GIB = 2**30
# Operations that only look at memory in another way
VIEWS = {
    *("alias", "as_strided", "detach", "expand", "permute", "select", "slice", "split", "split_with_sizes", "squeeze"),
    *("t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view"),
}
# 2.1 projects rows of planes by a product and a sum, 16 times, where 1.5 convolves. On CUDA, where convolutions return
# channels last, each of the 61 norms also copies its planes first; here only 11 of them do, with 2.1
LAUNCHES = {"1.5": 574, "2.1": 601}
BANK_EXAMPLES = 8
"""The examples that a bank takes in a step, by default."""


class _Launches(TorchDispatchMode):
    """Counts the operations that would start a kernel on CUDA, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in VIEWS:
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", cards.UNETS)
def test_a_guided_call_starts_few_kernels_and_waits_for_nothing(name: str) -> None:
    denoiser = Denoiser(cards.build_unet(name))
    with torch.device("meta"), torch.no_grad():
        prompts = torch.empty(2, 77, denoiser.unet.config.cross_attention_dim, dtype=torch.bfloat16)
        cache = denoiser.cache_prompts(prompts)
        denoiser(torch.empty(1, 4, 8, 8), 500, cache, num_prompts=2)  # what depends on the timestep is computed once
        latents = torch.empty(4, 4, 64, 64)
        with count_bytes(), _Launches() as launches:
            found = denoiser(latents, 500, cache, num_prompts=2)
    assert found.shape == (8, 4, 64, 64)
    assert launches.count["native_group_norm"] == 61 and launches.count["silu"] == 45
    assert not launches.count["div"]
    assert launches.count["empty_like"] == launches.count.pop("empty") == 32, "an attention makes its result and sums"
    assert sum(launches.count.values()) <= LAUNCHES[name], launches.count


@pytest.fixture
def graphs() -> Iterator[list[Any]]:
    """The graphs that were compiled; they run as they are."""
    found: list[Any] = []
    yield found
    torch._dynamo.reset()


def compile_into(graphs: list[Any], *functions: Compiled[Any]) -> None:
    """Let functions be compiled as one graph each, as on CUDA, but for the kernels."""

    def keep(graph: Any, examples: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    for function in functions:
        assert function._options["fullgraph"]
        function._options |= {"mode": None, "backend": keep}


def list_devices(graph: Any) -> set[str]:
    """Return the devices of all tensors of a graph; one on the CPU would keep it out of a CUDA graph."""
    values = [node.meta.get("example_value") for node in graph.graph.nodes]
    return {value.device.type for value in values if isinstance(value, Tensor)}


@pytest.mark.parametrize("kind", ["_forward", "_forward_keeping", "_forward_outer"])
@pytest.mark.parametrize("name", ["1.5", pytest.param("2.1", marks=pytest.mark.slow)])
@torch.no_grad()
def test_every_kind_of_call_compiles_as_one_graph(name: str, kind: str, graphs: list[Any]) -> None:
    plain, denoiser = Denoiser(cards.build_unet(name)), Denoiser(cards.build_unet(name), Compiler("on"))
    function = getattr(denoiser, kind)
    compile_into(graphs, function)
    width, meta = denoiser.unet.config.cross_attention_dim, torch.device("meta")
    cache = denoiser.cache_prompts(torch.empty(2, 77, width, device=meta))
    latents, deep = torch.empty(4, 4, 64, 64, device=meta), DeepFeatures()
    if kind == "_forward_outer":
        plain(latents, 500, cache, num_prompts=2, deep=deep)  # which gives it features
    options: Any = {} if kind == "_forward" else {"deep": deep}
    assert denoiser(latents, 500, cache, num_prompts=2, **options).shape == (8, 4, 64, 64)
    assert len(function.shapes) == 1 and not function.has_failed
    assert len(graphs) == 1 and list_devices(graphs[0]) == {"meta"}


def test_both_halves_of_the_vae_compile_as_one_graph(graphs: list[Any]) -> None:
    codec: Any = LatentCodec(cards.build_vae(), [], most=4, compiler=Compiler("on"))
    functions = [codec._compute_moments, codec._compute_images]
    compile_into(graphs, *functions)
    mean, std = codec.encode(torch.empty(4, 3, 512, 512, device="meta"))
    assert mean.shape == std.shape == (4, 4, 64, 64)
    assert codec.decode(mean).shape == (4, 3, 512, 512)
    assert not any(function.has_failed for function in functions)
    assert len(graphs) == 2 and all(list_devices(graph) == {"meta"} for graph in graphs)


@pytest.mark.parametrize("name", cards.UNETS)
@pytest.mark.parametrize(("side_px", "gib"), [(512, 0.72), (768, 1.6)])
def test_an_example_of_training_takes_so_much_memory(name: str, side_px: int, gib: float) -> None:
    counted = cards.count_training(name, side_px) / GIB
    assert gib * 0.94 <= counted <= gib
    assert cards.count_training(name, side_px, is_checkpointing=True) / GIB <= 0.25 * counted


def test_every_example_of_a_call_takes_as_much_memory_as_one() -> None:
    one, three = (cards.count_call_bytes(cards.build_unet("1.5"), (4, 32, 32), count) for count in (1, 3))
    assert three == pytest.approx(3 * one, rel=0.01)


def test_a_card_of_12_gb_trains_a_bank_in_one_call_and_one_of_8_gb_in_smaller_ones() -> None:
    examples, is_checkpointing = cards.choose_examples("1.5", 512, 12)
    assert examples >= BANK_EXAMPLES and not is_checkpointing
    examples, is_checkpointing = cards.choose_examples("1.5", 512, 8)
    assert BANK_EXAMPLES > examples >= 2 and not is_checkpointing
    examples, is_checkpointing = cards.choose_examples("1.5", 1280, 8)
    assert examples >= 1 and is_checkpointing


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_of_each_preset_fits_in_little_memory(preset: str) -> None:
    gib = 1.7 if preset == "turbo" else 2.0  # turbo is not guided, so decoding takes most
    assert 0.8 * gib <= cards.count_stylizing("1.5", 512, 16, preset) / GIB <= gib


def test_coding_four_images_takes_so_much_memory() -> None:
    assert 1.2 <= cards.count_decoding(512) / GIB <= 1.6
    assert 1.0 <= cards.count_encoding(512) / GIB <= 1.6


def test_bytes_are_those_of_the_tensors_that_exist_at_one_time() -> None:
    """Against a count by hand; views and operations in place take nothing."""
    given = torch.empty(256, device="meta")
    with count_bytes() as counted:
        first = given + 1  # 1 KiB
        assert counted.live == 1024
        view = first.view(16, 16).mul_(2)
        second = torch.cat([first, first])  # 2 KiB more
        del first
        assert counted.live == 3072, "the view holds it"
        del view
        assert counted.live == 2048
        third = second.to(torch.bfloat16)  # 1 KiB more
    assert third.shape == (512,) and counted.peak == 3072


def test_a_copy_without_numbers_is_the_network_and_leaves_it_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network[0].requires_grad_(False)
    copied = copy_to_meta(network)
    for own, other in zip(network.state_dict().values(), copied.state_dict().values(), strict=True):
        assert (own.device.type, other.device.type) == ("cpu", "meta")
        assert (own.shape, own.stride(), own.dtype) == (other.shape, other.stride(), other.dtype)
    assert [one.requires_grad for one in copied.parameters()] == [False, False, True, True]
    assert isinstance(copied(torch.empty(1, 4, 8, 8, device="meta")), Tensor)
