"""What a simulation found, and what it is allowed to find.

Bands are those of 20,000 studies; with fewer, a band is widened by what its Monte-Carlo error is larger than there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from retrain_equivalence.equivalence.measurements import Floats

FULL = 20_000
"""Studies at which the bands are stated."""
Z = 3.29
"""Monte-Carlo errors of a rate that a band allows: 99.9 %, two-sided."""
Z_OF_MEANS = 4.0
"""Those that a mean error may be away from 0: there are many of these rows."""
ALPHA = 0.05
APPROXIMATE = 0.065
"""What a procedure that is not exact may err at nominal 5 %, from five replicates on."""
FEW_DIRECTIONS = 0.07
"""What is allowed to bounds of squared norms where runs scatter in one to three directions."""
POINTS_OF_POWER = 0.025
POINTS_OF_SIZE = 0.008
CHECKED = 200
"""Studies on which a batch form is compared with the function of the package."""
ROUNDING = 1e-9


class Role(StrEnum):
    """What a row is for."""

    GATE = "gate"
    """It must lie in its band."""
    CONTROL = "control"
    """A wrong procedure: it must be seen to err."""
    REPORT = "report"
    """For the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of a table."""

    setting: str
    quantity: str
    value: float
    low: float | None = None
    """Least value that passes."""
    high: float | None = None
    """Largest value that passes."""
    role: Role = Role.GATE
    percent: bool = True
    """Whether the value is a rate, shown in per cent."""

    @property
    def passes(self) -> bool:
        """Whether the value lies in its band; a report always does."""
        if not math.isfinite(self.value):
            return self.role is Role.REPORT
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How many studies, under which seed."""

    studies: int
    seed: int
    name: str
    """Of the question: every question draws its own numbers."""

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator of this question and seed."""
        return np.random.Generator(np.random.Philox(key=[self.seed, int.from_bytes(self.name.encode()[:8], "big")]))

    def chunks(self, size: int = 1_000) -> Iterator[int]:
        """Numbers of studies that fit in memory at once."""
        done = 0
        while done < self.studies:
            yield min(size, self.studies - done)
            done += size

    def some(self, share: int) -> Run:
        """The same with one study in `share`: for what costs more, with bands as wide as that needs."""
        return Run(studies=max(self.studies // share, 100), seed=self.seed, name=self.name)

    def widening(self, rate: float) -> float:
        """What is added to a band of a rate because there are fewer than 20,000 studies."""
        sd = math.sqrt(rate * (1 - rate))
        return Z * sd * max(0.0, 1 / math.sqrt(self.studies) - 1 / math.sqrt(FULL))

    def error(self, rate: float) -> float:
        """The Monte-Carlo error that is allowed to a rate."""
        return Z * math.sqrt(rate * (1 - rate) / self.studies)

    def at_most(self, setting: str, quantity: str, value: float, limit: float = ALPHA) -> Row:
        """A rate that must not exceed its limit by more than Monte-Carlo error."""
        return Row(setting=setting, quantity=quantity, value=value, high=limit + self.error(limit))

    def approximate(
        self, setting: str, quantity: str, value: float, *, gated: bool = True, limit: float = APPROXIMATE
    ) -> Row:
        """The error rate of a procedure that is not exact: 6.5 % at most, one-sided."""
        high = limit + self.widening(limit)
        role = Role.GATE if gated else Role.REPORT
        return Row(setting=setting, quantity=quantity, value=value, high=high if gated else None, role=role)

    def exact(self, setting: str, quantity: str, value: float, rate: float = ALPHA) -> Row:
        """The rate of a continuous exact procedure: its nominal one within Monte-Carlo error (4.5 to 5.5 %)."""
        half = self.error(rate)
        return Row(setting=setting, quantity=quantity, value=value, low=rate - half, high=rate + half)

    def discrete(self, setting: str, quantity: str, value: float, attainable: float) -> Row:
        """The size of an exact discrete test: at most 5 %, and near the largest that its p-values allow."""
        wide = POINTS_OF_SIZE + self.widening(ALPHA)
        return Row(
            setting=setting,
            quantity=quantity,
            value=value,
            low=max(attainable - wide, 0.0),
            high=min(ALPHA + self.error(ALPHA), attainable + wide),
        )

    def coverage(self, setting: str, value: float, *, gated: bool = True, quantity: str = "coverage of 95 %") -> Row:
        """The coverage of a 95 % interval: 94 to 96 %."""
        wide = 0.01 + self.widening(0.05)
        if not gated:
            return Row(setting=setting, quantity=quantity, value=value, role=Role.REPORT)
        return Row(setting=setting, quantity=quantity, value=value, low=0.95 - wide, high=0.95 + wide)

    def power(self, setting: str, quantity: str, value: float, stated: float) -> Row:
        """A power against the stated one: within 2.5 points."""
        wide = POINTS_OF_POWER + self.widening(stated)
        return Row(
            setting=setting, quantity=quantity, value=value, low=max(stated - wide, 0.0), high=min(stated + wide, 1.0)
        )

    def unbiased(self, setting: str, quantity: str, errors: Floats) -> Row:
        """The mean error of an estimator: 0 within Monte-Carlo error."""
        half = Z_OF_MEANS * float(np.std(errors)) / math.sqrt(len(errors))
        value = float(np.mean(errors))
        return Row(setting=setting, quantity=quantity, value=value, low=-half, high=half, percent=False)

    def control(self, setting: str, quantity: str, value: float, least: float, *, percent: bool = True) -> Row:
        """A wrong procedure that must be seen to err at least this much."""
        low = least - self.widening(least) if percent else least
        return Row(setting=setting, quantity=quantity, value=value, low=low, role=Role.CONTROL, percent=percent)


def report(setting: str, quantity: str, value: float, *, percent: bool = True) -> Row:
    """A number for the reader."""
    return Row(setting=setting, quantity=quantity, value=value, role=Role.REPORT, percent=percent)


def same(setting: str, difference: float) -> Row:
    """The largest difference between a batch form and the function of the package: rounding."""
    quantity = f"largest difference from the package on {CHECKED} studies"
    return Row(setting=setting, quantity=quantity, value=difference, high=ROUNDING, percent=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One table of the page."""

    name: str
    title: str
    meaning: str
    """What its rows mean for a user."""
    ask: Callable[[Run], Iterator[Row]]
