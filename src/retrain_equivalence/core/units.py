"""Units and quantities: a number never travels without saying what it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """The units that measurements and findings carry; the value is how the unit is printed."""

    NATS_PER_TOKEN = "nats/token"  # noqa: S105 - a unit
    NATS = "nats"
    FRACTION = "fraction"
    HELLINGER_SQUARED = "Hellinger²"
    SQUARED_L2 = "squared L2 on probabilities"
    STEPS = "steps"
    RATIO = "ratio"
    PER_STEP = "log units/step"
    COUNT = "count"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A value with its unit; adding or subtracting different units raises `ValueError`."""

    value: float
    unit: Unit

    def __add__(self, other: Quantity) -> Quantity:
        self._same_unit(other)
        return Quantity(value=self.value + other.value, unit=self.unit)

    def __sub__(self, other: Quantity) -> Quantity:
        self._same_unit(other)
        return Quantity(value=self.value - other.value, unit=self.unit)

    def _same_unit(self, other: Quantity) -> None:
        if self.unit is not other.unit:
            raise ValueError(f"cannot combine {self.unit.name} with {other.unit.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long to train: exactly one of epochs, steps or tokens."""

    epochs: int | None = None
    """Passes over the data set, >= 1."""
    steps: int | None = None
    """Optimizer steps, >= 1."""
    tokens: int | None = None
    """Real (unpadded) tokens, >= 1; rounded up to whole steps."""

    def __post_init__(self) -> None:
        given = [value for value in (self.epochs, self.steps, self.tokens) if value is not None]
        if len(given) != 1 or given[0] < 1:
            raise ValueError("a duration is exactly one of epochs, steps or tokens, and at least 1")
