"""A mix of banks, by weights: what `artbank.mix` and `BankStore.mix` return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING

from artbank.api.drawing_style import DrawingStyle
from artbank.api.trained_bank import TrainedBank
from artbank.errors import ConfigError

if TYPE_CHECKING:  # these load torch
    from artbank.scoring.style_reference import StyleReference
    from artbank.stylization.style import Style


class StyleMix(DrawingStyle):
    """Several banks as one style; draws as each of them does, with `stylize` and `stylize_each`.

    Attributes:
        banks: With their weights, which sum to 1.
        config: The base model, device and scorer that it draws with: those of the first bank.
    """

    def __init__(self, name: str, banks: Sequence[tuple[TrainedBank, float]]):
        """Use `artbank.mix` or `BankStore.mix` instead.

        Args:
            name: Its name.
            banks: At least one, with weights that sum to 1.
        """
        self.banks = tuple(banks)
        self.config = banks[0][0].config
        self._name = name

    @property
    def name(self) -> str:
        """The names of its banks with their weights, such as `monet_0.7+hokusai_0.3`."""
        return self._name

    def _load_style(self) -> tuple[Style, StyleReference]:
        from artbank.scoring.style_reference import StyleReference
        from artbank.stylization.style import Style

        reference = StyleReference.mix([(bank.reference, weight) for bank, weight in self.banks])
        return Style(self.name, tuple((bank.bank, weight) for bank, weight in self.banks), reference.palette), reference

    def __repr__(self) -> str:
        """Return its banks and their weights in one line."""
        return f"<StyleMix {', '.join(f'{bank.name} {weight:.0%}' for bank, weight in self.banks)}>"


def mix(banks: Mapping[TrainedBank, float]) -> StyleMix:
    """Mix banks of one base model into a style, such as `artbank.mix({monet: 0.7, hokusai: 0.3})`.

    Args:
        banks: Banks with their weights, above 0; only their ratios count.

    Raises:
        ConfigError: There is no bank, a weight is not above 0, or a bank is given by its name.
    """
    if not isinstance(banks, Mapping):
        raise _no_banks(type(banks).__name__)
    if not banks or not all(map(_is_weighted, banks, banks.values())):
        found = [f"{getattr(bank, 'name', bank)}: {weight}" for bank, weight in banks.items()]
        raise _no_banks(", ".join(found) or "none")
    total = sum(banks.values())
    name = "+".join(f"{bank.name}_{weight:g}" for bank, weight in banks.items())
    return StyleMix(name, [(bank, weight / total) for bank, weight in banks.items()])


def _no_banks(found: str) -> ConfigError:
    return ConfigError(
        f"expected banks with weights above 0, found {found}; pass {{bank: 0.7, other: 0.3}}, or names to "
        "store.mix('monet:0.7+hokusai:0.3')"
    )


def _is_weighted(bank: object, weight: object) -> bool:
    return isinstance(bank, TrainedBank) and isinstance(weight, Real) and 0 < float(weight) < math.inf
