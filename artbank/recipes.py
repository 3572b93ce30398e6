"""Both recipes, for programs: what shapes a bank, and what shapes a picture."""

from __future__ import annotations

from artbank.parameters.bank_recipe import BankRecipe
from artbank.parameters.stylize_recipe import StylizeRecipe

__all__ = ["BankRecipe", "StylizeRecipe"]
