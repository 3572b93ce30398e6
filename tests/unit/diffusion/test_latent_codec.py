"""The memory of the VAE: how much a call needs, and what leaves the device for it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.compilation import Compiler
from artbank.diffusion.latent_codec import LatentCodec
from artbank.diffusion.lora_layers import add_low_rank, list_attention_layers
from artbank.diffusion.offloading import Offloader, plan_call
from artbank.diffusion.vae_memory import count_decode_bytes, count_encode_bytes

GIB = 2**30
OF_SDXL: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}


class _Peak(TorchDispatchMode):
    """Measures the most bytes that the results of operations hold at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple) else (found,):
            if isinstance(tensor, Tensor):
                self._hold(tensor)
        return found

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self._now += 0 if self._users[key] else size
        self._users[key] += 1
        self.most = max(self.most, self._now)
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._users[key] -= 1
        self._now -= 0 if self._users[key] else size


@pytest.mark.parametrize(("height_px", "width_px", "batch"), [(1024, 1024, 1), (832, 1216, 1), (1024, 1024, 2)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_counted_bytes_are_those_of_the_full_size(
    height_px: int, width_px: int, batch: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda query, *_, **__: torch.empty_like(query))
    with torch.device("meta"), torch.no_grad():
        vae: Any = AutoencoderKL(**OF_SDXL).to(dtype)
        latents = torch.empty(batch, 4, height_px // 8, width_px // 8, dtype=dtype)
        with _Peak() as decoding:
            assert vae.decode(latents).sample.shape[2:] == (height_px, width_px)
        with _Peak() as encoding:
            vae.encode(torch.empty(batch, 3, height_px, width_px, dtype=dtype))
    expected = batch * count_decode_bytes(vae, height_px, width_px)
    assert expected == pytest.approx(decoding.most, rel=0.05)
    assert batch * count_encode_bytes(vae, height_px, width_px) == pytest.approx(encoding.most, rel=0.05)
    if (height_px, batch, dtype) == (1024, 1, torch.bfloat16):
        assert expected / GIB == 1.5


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (100, (4, 0)),  # all images at once
        (25, (2, 0)),
        (12, (1, 0)),
        (8, (1, 1)),  # one image fits beside the UNet when the text encoders are away
        (2, (4, 2)),
        (0, (4, 2)),
        (-45, (1, 2)),  # it does not fit, and is tried
    ],
)
def test_networks_leave_only_where_not_even_one_image_fits(free: int, expected: tuple[int, int]) -> None:
    assert plan_call(10, 4, free, [5, 45]) == expected


def codec_of(base: BaseModel, free: int, **options: Any) -> tuple[LatentCodec, list[tuple[int, int]]]:
    """Return the codec of a base model whose device has so many free bytes, and a list of the calls that it makes."""
    calls: list[tuple[int, int]] = []
    others = [base.text_encoder, base.unet]
    codec = LatentCodec(base.vae, others, most=4, measure=lambda device: free, **options)
    waiting: Callable[[int], Any] = codec._offloader.waiting
    decode = codec._decode

    def note_waiting(count: int) -> Any:
        calls.append((0, count))
        return waiting(count)

    def note_images(latents: Tensor) -> Tensor:
        calls[-1] = (max(calls[-1][0], len(latents)), calls[-1][1])
        return decode(latents)

    codec._offloader.waiting = note_waiting  # type: ignore[method-assign]
    codec._decode = note_images  # type: ignore[method-assign]
    return codec, calls


def test_pictures_do_not_depend_on_the_free_memory(base: BaseModel) -> None:
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    side_px = 8 * base.latent_factor
    needed = count_decode_bytes(base.vae, side_px, side_px)
    whole = base.decode_latents(latents)
    cases = {"auto": (0, (3, 1)), "off": (0, (1, 0)), "on": (10 * needed, (3, 2))}
    for offload, (free, expected) in cases.items():
        codec, calls = codec_of(base, free, offload=offload)
        assert torch.allclose(codec.decode(latents), whole, atol=1e-5), offload
        assert calls == [expected], offload
    codec, calls = codec_of(base, 10 * needed)
    assert torch.equal(codec.decode(latents), whole)
    assert calls == [(3, 0)]


def test_a_call_that_runs_out_of_memory_goes_on_with_one_image_and_all_networks_away(base: BaseModel) -> None:
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    codec, calls = codec_of(base, 2**40)
    decode = codec._decode

    def decode_one(part: Tensor) -> Tensor:
        if len(part) > 1:
            raise torch.OutOfMemoryError("no memory for two")
        return decode(part)

    codec._decode = decode_one  # type: ignore[method-assign]
    assert torch.allclose(codec.decode(latents), base.decode_latents(latents), atol=1e-5)
    assert calls == [(0, 0), (1, 2)]
    codec, _ = codec_of(base, 2**40, offload="off")

    def fail(part: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no memory at all")

    codec._decode = fail  # type: ignore[method-assign]
    with pytest.raises(torch.OutOfMemoryError, match="no memory at all"):
        codec.decode(latents)


OF_SD: dict[str, Any] = {**OF_SDXL, "block_out_channels": (8, 16, 16, 16), "norm_num_groups": 4}


@pytest.mark.parametrize("kind", ["mini", pytest.param("Stable Diffusion", marks=pytest.mark.faults)])
def test_the_compiled_vae_codes_images_as_the_uncompiled_one_does(base: BaseModel, kind: str) -> None:
    torch.manual_seed(0)
    vae: Any = base.vae if kind == "mini" else AutoencoderKL(**OF_SD).eval().requires_grad_(False)
    plain, codec = LatentCodec(vae, [], most=2), LatentCodec(vae, [], most=2, compiler=Compiler("on"))
    functions: list[Any] = [codec._compute_moments, codec._compute_images]
    for function in functions:
        function._options |= {"mode": None, "backend": "aot_eager"}
    images = torch.rand(3, 3, 64, 32) * 2 - 1
    for expected, found in zip(plain.encode(images), codec.encode(images), strict=True):
        assert torch.allclose(expected, found, atol=1e-4)
    latents = plain.encode(images)[0]
    assert torch.allclose(plain.decode(latents), codec.decode(latents), atol=1e-4)
    assert [len(function.shapes) for function in functions] == [2, 2], "of two images, and of the third"
    assert not any(function.has_failed for function in functions)
    torch._dynamo.reset()


def test_a_compiled_call_that_runs_out_of_memory_goes_on_with_one_image(base: BaseModel) -> None:
    codec = LatentCodec(base.vae, [base.unet], most=4, measure=lambda _: 2**40, compiler=Compiler("on"))
    sizes: list[int] = []

    def fail_for_many(graph: Any, examples: Any) -> Any:
        def run(*args: Any) -> Any:
            sizes.append(next(len(one) for one in args if one.ndim == 4 and one.shape[1:] == (4, 8, 8)))
            raise torch.OutOfMemoryError("no memory for the compiled code")

        return run

    function: Any = codec._compute_images
    function._options |= {"mode": None, "backend": fail_for_many}
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        assert torch.allclose(codec.decode(latents), base.decode_latents(latents), atol=1e-5)
    assert sizes == [2] and not function.has_failed
    torch._dynamo.reset()


def test_networks_and_the_copies_that_share_their_weights_return_as_they_were(base: BaseModel) -> None:
    names = list(list_attention_layers(base.unet))
    layers = {name: (torch.zeros(1, 1), torch.zeros(1, 1)) for name in names[:1]}
    adapted = add_low_rank(base, layers).unet
    before = {name: (id(one), one.clone(), one.stride()) for name, one in base.unet.state_dict(keep_vars=True).items()}
    offloader = Offloader([base.text_encoder, base.unet])
    assert offloader.sizes[1] == sum(one.nbytes for one in base.unet.parameters())
    with pytest.raises(KeyError), offloader.waiting(2):
        raise KeyError
    for name, (number, values, stride) in before.items():
        now = base.unet.state_dict(keep_vars=True)[name]
        assert id(now) == number and torch.equal(now, values) and now.stride() == stride, name
    shared = {id(one) for one in base.unet.parameters()} & {id(one) for one in adapted.parameters()}
    assert len(shared) == len(list(base.unet.parameters()))
