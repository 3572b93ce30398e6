"""ControlNets as options name them: KIND=SOURCE, KIND=SOURCE:WEIGHT or KIND=SOURCE:WEIGHT:FROM-UNTIL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from artbank.parameters.model_pins import PIN, split_pin

NO_CONTROL = "none"
"""Option for a run without any ControlNet."""

EMBEDDED_CONTROL = "gray=mini:0.7"
"""The ControlNet of the embedded model, which its pictures are drawn with by default."""

_EMBEDDED_MODEL = "mini"

ControlKind = Literal["canny", "depth", "gray", "tile"]

MOST_WEIGHT = 2.0
"""The largest weight of a ControlNet; pictures become copies of edges or textures above it."""

CANNY_THRESHOLDS = (100, 200)
"""Gradients, as OpenCV counts them, above which an edge goes on, and above which it begins."""

CONDITIONING: dict[ControlKind, str] = {
    "canny": "edges {}-{}".format(*CANNY_THRESHOLDS),
    "depth": "relative depth",
    "gray": "luma",
    "tile": "photo",
}
"""The way in which each kind of image is computed, as a part of recipe ids: change the text when the way changes."""

_TAIL = re.compile(r"[-+.\d][^/:]*")
_SHAPE = "expected KIND=SOURCE, KIND=SOURCE:WEIGHT or KIND=SOURCE:WEIGHT:FROM-UNTIL"


@dataclass(frozen=True)
class ControlSpec:
    """A ControlNet and how much it acts.

    Attributes:
        kind: The image of the photo that it sees.
        source: `mini`, or a folder, a store URI or a hub id of its weights, which may pin their hash.
        weight: Factor of what it adds to the UNet, above 0, at most 2; 1 as it was trained.
        start: Fraction of the executed steps after which it begins to act, 0..1.
        end: Fraction of the executed steps after which it no longer acts, 0..1, above `start`.
    """

    kind: ControlKind
    source: str
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def acts_in(self, step: int, num_steps: int) -> bool:
        """Return whether it acts in an executed step, counted from 0: one that lies in the interval as a whole."""
        return step / num_steps >= self.start and (step + 1) / num_steps <= self.end


@dataclass(frozen=True)
class UsedControl:
    """A ControlNet of a run, by what determines the pictures.

    Attributes:
        kind: See `ControlSpec`.
        name: Name of its folder, or its hub id.
        sha256: SHA-256 of its weights and settings, hex.
        weight: See `ControlSpec`.
        start: See `ControlSpec`.
        end: See `ControlSpec`.
        depth_sha256: SHA-256 of the model that estimates depth, hex; empty for other kinds.
        is_joint: Whether a Union sees the image together with those of other kinds.
    """

    kind: ControlKind
    name: str
    sha256: str
    weight: float
    start: float
    end: float
    depth_sha256: str = ""
    is_joint: bool = False

    @property
    def title(self) -> str:
        """Kind, name, hash, weight and interval, such as `canny=sd15-canny@0123456789ab:0.8:0-1`."""
        return f"{self.kind}={self.name}@{self.sha256[:12]}:{self.weight:g}:{self.start:g}-{self.end:g}"

    @property
    def facts(self) -> list[Any]:
        """The settings that decide whether a picture is current."""
        numbers = [round(number, 6) for number in (self.weight, self.start, self.end)]
        joint = ["joint"] if self.is_joint else []
        return ["control", self.kind, CONDITIONING[self.kind], self.sha256, *numbers, self.depth_sha256, *joint]


def list_named(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the ControlNets that options name; empty if they are `none`.

    Raises:
        ValueError: There are others beside `none`.
    """
    if NO_CONTROL not in texts:
        return tuple(texts)
    if len(texts) > 1:
        raise ValueError(f"expected {NO_CONTROL} alone, found other ControlNets beside it; leave one or the other out")
    return ()


def choose_controls(texts: Sequence[str] | None, base_model: str, structure: float) -> tuple[str, ...]:
    """Return the ControlNets of a run as options name them: the given ones, or the default.

    The default is that of the embedded model, where pictures are held to their photos. Other models have none.

    Args:
        texts: The given ones; None for the default.
        base_model: Source of the base model.
        structure: How firmly pictures are held to their photos, 0..1.
    """
    if texts is not None:
        return list_named(texts)
    has_default = split_pin(base_model)[0] == _EMBEDDED_MODEL and structure > 0
    return (EMBEDDED_CONTROL,) if has_default else ()


def parse_control(text: str) -> ControlSpec:
    """Read a ControlNet with its weight and interval, such as `canny=models/canny:0.8:0-0.6`.

    Raises:
        ValueError: The kind is unknown, weight or interval are outside their ranges, or a pinned hash is no SHA-256.
    """
    kind, _, rest = text.partition("=")
    if kind not in get_args(ControlKind) or not rest:
        raise ValueError(f"{_SHAPE} with KIND {', '.join(get_args(ControlKind))}, or {NO_CONTROL}, found {text}")
    tails: list[str] = []
    while len(tails) < 2 and ":" in rest:
        before, _, tail = rest.rpartition(":")
        if not _TAIL.fullmatch(tail) or f"{before}:".endswith(PIN):
            break
        rest = before
        tails.insert(0, tail)
    if not split_pin(rest)[0]:
        raise ValueError(f"{_SHAPE}, found no source in {text}")
    weight = _read_weight(tails[0], text) if tails else 1.0
    start, end = _read_interval(tails[1], text) if len(tails) > 1 else (0.0, 1.0)
    return ControlSpec(kind, rest, weight, start, end)  # pyright: ignore[reportArgumentType]


def read_controls(texts: Sequence[str], depth_model: str | None, num_steps: int) -> tuple[ControlSpec, ...]:
    """Read the ControlNets of a run, and check them together; returns them in the order of their kinds.

    Args:
        texts: The options.
        depth_model: Source of the model that estimates depth; None for none.
        num_steps: Steps that the recipe executes.

    Raises:
        ValueError: One is malformed, a kind is named twice, one acts in no step, or kind depth has no model that
            estimates depth.
    """
    specs = sorted(map(parse_control, texts), key=lambda spec: spec.kind)
    if len({spec.kind for spec in specs}) < len(specs):
        raise ValueError(f"a kind of control is named twice in {', '.join(texts)}; name each once")
    for spec in specs:
        if not any(spec.acts_in(step, num_steps) for step in range(num_steps)):
            raise ValueError(
                f"control {spec.kind}: expected a step in {spec.start:g}-{spec.end:g} of the {num_steps} executed "
                "steps, found none; widen the interval"
            )
    if depth_model is None and any(spec.kind == "depth" for spec in specs):
        raise ValueError("control depth needs a model that estimates depth; name it with depth_model (--depth-model)")
    return tuple(specs)


def _read_weight(tail: str, text: str) -> float:
    weight = _to_number(tail)
    if weight is None or not 0 < weight <= MOST_WEIGHT:
        raise ValueError(f"expected a weight above 0 and at most {MOST_WEIGHT:g}, found {tail} in {text}")
    return weight


def _read_interval(tail: str, text: str) -> tuple[float, float]:
    start, end = (_to_number(part) for part in tail.partition("-")[::2])
    if start is None or end is None or not 0 <= start < end <= 1:
        raise ValueError(f"expected an interval FROM-UNTIL such as 0-0.6, of 0 to 1, found {tail} in {text}")
    return start, end


def _to_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
