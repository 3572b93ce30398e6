"""Attention modules that shape a bank's vectors during training; a finished bank no longer needs them.

Shape legend: N vectors in a bank, D their width, H heads of d = D / H.

Vectors are in the unit of the text encoder's first layer, see `PromptEncoder.layer_rms`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HEAD_WIDTH = 64
_EPSILON = 1e-5


class SpatialStatisticalAttention(nn.Module):
    """SSAM: self-attention over the vectors, beside the mean and standard deviation of what each vector attends to.

    The gates of both branches start at 0, so an untrained bank is plain textual inversion.

    Source: ArtBank, Zhang et al., AAAI 2024, section "Spatial-Statistical Self-Attention Module"; the paper gives no
    formula for the statistical branch. Ours is attention-weighted mean and spread, in the manner of AdaAttN (Liu et
    al., ICCV 2021, eq. 4-6); see docs/paper-to-code.md.
    """

    def __init__(self, width: int):
        """Make a module for vectors of `width` entries, D."""
        super().__init__()
        self.heads = _num_heads(width)
        self.norm = nn.LayerNorm(width)
        self.query = _linear(width)
        self.key = _linear(width)
        self.spatial_value = _linear(width)
        self.statistical_value = _linear(width)
        self.spatial_out = _linear(width)
        self.statistical_out = _linear(width)
        self.spatial_gate = nn.Parameter(torch.zeros(()))
        self.statistical_gate = nn.Parameter(torch.zeros(()))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the shaped vectors, [N, D]."""
        x = self.norm(vectors)  # [N, D]
        attention = _attend(_split(self.query(x), self.heads), _split(self.key(x), self.heads))  # [H, N, N]
        spatial = _join(attention @ _split(self.spatial_value(x), self.heads))  # [N, D]
        value = _split(self.statistical_value(x), self.heads)  # [H, N, d]
        mean = attention @ value
        std = torch.sqrt((attention @ value.square() - mean.square()).clamp(min=0) + _EPSILON)
        statistical = _join(std) * _standardize(x) + _join(mean)  # [N, D]
        return (
            vectors
            + self.spatial_gate * self.spatial_out(spatial)
            + self.statistical_gate * self.statistical_out(statistical)
        )


class SelfAttention(nn.Module):
    """Plain multi-head self-attention with a gated residual: the ablation without the statistics."""

    def __init__(self, width: int):
        """Make a module for vectors of `width` entries, D."""
        super().__init__()
        self.heads = _num_heads(width)
        self.norm = nn.LayerNorm(width)
        self.query = _linear(width)
        self.key = _linear(width)
        self.value = _linear(width)
        self.out = _linear(width)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the shaped vectors, [N, D]."""
        x = self.norm(vectors)
        attention = _attend(_split(self.query(x), self.heads), _split(self.key(x), self.heads))
        return vectors + self.gate * self.out(_join(attention @ _split(self.value(x), self.heads)))


class ReleasedAttention(nn.Module):
    """The topology of the authors' release: two attention layers and a linear one, no residual, norm or statistics.

    With one vector every softmax is 1, and the module is an affine map. It is kept for comparison.
    """

    def __init__(self, width: int):
        """Make a module for vectors of `width` entries, D."""
        super().__init__()
        self.first = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.second = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.out = nn.Linear(width, width)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the shaped vectors, [N, D]."""
        for layer in (self.first, self.second):
            query, key, value = (layer[name](vectors)[None] for name in ("query", "key", "value"))  # each [1, N, D]
            vectors = (_attend(query, key) @ value)[0]
        return self.out(vectors)


def build_attention(kind: str, width: int) -> nn.Module:
    """Build the module of a name in `bank_recipe.Attention`; `none` gives one that changes nothing."""
    kinds = {"ssam": SpatialStatisticalAttention, "self": SelfAttention, "released": ReleasedAttention}
    if kind not in kinds:
        return nn.Identity()
    return kinds[kind](width)


def _num_heads(width: int) -> int:
    return width // _HEAD_WIDTH if width % _HEAD_WIDTH == 0 else 1


def _linear(width: int) -> nn.Linear:
    return nn.Linear(width, width, bias=False)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(0, 1)  # [H, N, d]


def _join(x: Tensor) -> Tensor:
    return x.transpose(0, 1).flatten(1)  # [N, D]


def _attend(query: Tensor, key: Tensor) -> Tensor:
    return F.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)


def _standardize(x: Tensor) -> Tensor:
    """Standardise each column over the vectors; a single vector gives 0."""
    centred = x - x.mean(0, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(0, keepdim=True) + _EPSILON)
