"""The UNets of Stable Diffusion 1.5 and 2.1 in full size, without numbers: what they hold in memory and how they start.

On the device `meta` nothing is computed, and reading a number raises. So these tests also show that no call of the UNet
waits for the device. Attention counts as one operation, as on CUDA.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from artbank.diffusion.unet import Denoiser

GIB = 2**30
MODELS: dict[str, dict[str, Any]] = {
    "1.5": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "2.1": {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
}
# Operations that only look at memory in another way
VIEWS = {
    *("alias", "as_strided", "detach", "expand", "permute", "select", "slice", "split", "split_with_sizes", "squeeze"),
    *("t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view"),
}


class _OneAttention(torch.autograd.Function):
    """Attention in one operation, which keeps its inputs and its result for the way back, as the kernels of CUDA do."""

    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, attended)
        return attended


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


@pytest.fixture(params=MODELS)
def denoiser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Denoiser:
    monkeypatch.setattr(functional, "scaled_dot_product_attention", _OneAttention.apply)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**MODELS[request.param])
        return Denoiser(unet.to(torch.bfloat16).requires_grad_(False).eval())


def test_a_guided_call_starts_few_kernels_and_waits_for_nothing(denoiser: Denoiser) -> None:
    width = denoiser.unet.config.cross_attention_dim
    with torch.device("meta"), torch.no_grad():
        cache = denoiser.cache_prompts(torch.empty(2, 77, width, dtype=torch.bfloat16))
        with _Launches() as launches:
            found = denoiser(torch.empty(4, 4, 64, 64), denoiser.embed_time(500), cache, num_prompts=2)
    assert found.shape == (8, 4, 64, 64)
    assert launches.count["empty_like"] == 32, "an attention is missing"
    assert sum(launches.count.values()) <= 690, launches.count  # 655 and 682


@pytest.mark.parametrize(("side_px", "gib"), [(512, 0.686), (768, 1.54)])
def test_an_example_of_training_keeps_so_many_bytes_for_the_way_back(
    denoiser: Denoiser, side_px: int, gib: float
) -> None:
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    width = denoiser.unet.config.cross_attention_dim
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        prompts = torch.empty(4, 77, width, dtype=torch.bfloat16).requires_grad_()
        times = denoiser.embed_time(500).expand(4, -1)
        denoiser(torch.empty(4, 4, side_px // 8, side_px // 8), times, denoiser.cache_prompts(prompts))
    for weight in denoiser.unet.parameters():
        kept.pop(weight.untyped_storage()._cdata, None)
    assert sum(kept.values()) / 4 / GIB == pytest.approx(gib, rel=0.05)
