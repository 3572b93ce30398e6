"""ControlNets as options name them."""

from __future__ import annotations

import pytest

from artbank.config import StylizeConfig
from artbank.parameters.control_specs import ControlSpec, UsedControl, choose_controls, parse_control, read_controls
from artbank.recipes import StylizeRecipe
from tests.support.small_inputs import stylizing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("canny=models/canny", ControlSpec("canny", "models/canny")),
        ("tile=owner/name@abc:0.8", ControlSpec("tile", "owner/name@abc", 0.8)),
        (f"tile=owner/name@abc@sha256:{'0' * 64}:0.8", ControlSpec("tile", f"owner/name@abc@sha256:{'0' * 64}", 0.8)),
        (f"canny=models/canny@sha256:{'0' * 64}", ControlSpec("canny", f"models/canny@sha256:{'0' * 64}")),
        ("gray=s3://museum/gray:1.5:0.2-0.6", ControlSpec("gray", "s3://museum/gray", 1.5, 0.2, 0.6)),
        ("depth=http://host:9000/depth", ControlSpec("depth", "http://host:9000/depth")),
    ],
)
def test_source_weight_and_interval_are_read(text: str, expected: ControlSpec) -> None:
    assert parse_control(text) == expected


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["models/canny"], "expected KIND=SOURCE, .* with KIND canny, depth, gray, tile, or none, found models/canny"),
        (["pose=models/pose"], "found pose=models/pose"),
        (["canny=a:0"], "expected a weight above 0 and at most 2, found 0 in canny=a:0"),
        (["canny=a:3"], "found 3 in"),
        (["canny=a:1:0.5"], "expected an interval FROM-UNTIL such as 0-0.6, of 0 to 1, found 0.5 in"),
        (["canny=a:1:0.6-0.2"], "found 0.6-0.2 in"),
        (["canny=a", "canny=b"], "a kind of control is named twice"),
        (["canny=a:1:0.5-0.55"], "expected a step in 0.5-0.55 of the 9 executed steps, found none; widen the interval"),
        (["canny=a@sha256:0"], "expected 64 hex digits after @sha256:, found '0'"),
        (["depth=a"], "control depth needs a model that estimates depth"),
    ],
)
def test_wrong_ones_are_refused_in_a_line(texts: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_controls(texts, None, 9)


@pytest.mark.parametrize(
    ("texts", "base_model", "structure", "expected"),
    [
        (None, "mini", 0.6, ("gray=mini:0.7",)),
        (None, f"mini@sha256:{'0' * 64}", 0.6, ("gray=mini:0.7",)),
        (None, "mini", 0.0, ()),
        (None, "owner/model", 0.6, ()),
        (None, "models/mini", 0.6, ()),
        (("none",), "mini", 0.6, ()),
        ((), "mini", 0.6, ()),
        (("canny=a",), "mini", 0.6, ("canny=a",)),
    ],
)
def test_the_embedded_model_has_a_control_net_unless_another_or_none_is_named(
    texts: tuple[str, ...] | None, base_model: str, structure: float, expected: tuple[str, ...]
) -> None:
    assert choose_controls(texts, base_model, structure) == expected
    settings = {"recipe": StylizeRecipe(structure=structure), "controls": texts, "base_model": base_model}
    config = stylizing("photos", "art", "store", "novak", **settings)
    assert config.control_specs == tuple(map(parse_control, expected))
    again = StylizeConfig.model_validate_json(config.model_dump_json())
    assert again.control_specs == config.control_specs


def test_none_stands_alone() -> None:
    with pytest.raises(ValueError, match="expected none alone, found other ControlNets beside it"):
        stylizing("photos", "art", "store", "novak", controls=("none", "canny=a"))


def test_their_order_does_not_matter() -> None:
    texts = ["tile=a:0.5", "canny=b"]
    assert read_controls(texts, None, 9) == read_controls(texts[::-1], None, 9)


def test_every_fact_counts_and_the_name_does_not() -> None:
    facts = {"kind": "canny", "name": "a", "sha256": "0" * 64, "weight": 0.8, "start": 0.0, "end": 1.0}
    one = UsedControl(**facts)  # pyright: ignore[reportArgumentType]
    changed = {
        "kind": "tile",
        "sha256": "1" * 64,
        "weight": 0.7,
        "start": 0.1,
        "end": 0.9,
        "depth_sha256": "2",
        "is_joint": True,
    }
    for name, value in changed.items():
        assert UsedControl(**facts | {name: value}).facts != one.facts, name  # pyright: ignore[reportArgumentType]
    assert UsedControl(**facts | {"name": "b"}).facts == one.facts  # pyright: ignore[reportArgumentType]
    assert one.title == "canny=a@000000000000:0.8:0-1"
