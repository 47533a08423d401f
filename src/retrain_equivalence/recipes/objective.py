"""An objective as a torch-free value: its name, its parameters, and the source that was locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRecipe:
    """Which objective with which parameters; enters the key of everything trained with it."""

    name: str
    """A name that `retrain-equivalence list objectives` shows, or that a plug-in registers."""
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    """Every parameter by name, defaults written out once the study is resolved."""
    source: str = ""
    """Empty for the package's own; `name@sha256` of the file for a plug-in."""
    terms: tuple[Term, ...] = ()
    """What a `weighted_sum` adds up; empty for every other objective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand of a weighted sum."""

    objective: ObjectiveRecipe
    """Which objective; not a sum itself."""
    weight: float = 1.0
    """Its factor, > 0: an objective's sign is its own."""
