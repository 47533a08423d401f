"""Everything that the theorem and the stopping rules say of one world in two orders: A, B, ... and the reverse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np

from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.floor import Floor, floor
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.stopping import FirstStep, Stopping, first_above, first_step_for_good, stopping
from retrain_equivalence.theory.theorem import Bound, CorollaryStep, bound, corollary_step
from retrain_equivalence.theory.trajectory import log_path_distances
from retrain_equivalence.theory.world import LinearWorld, Order, stage_name

FITTED = 1e-10
"""A forget residual below this share of the targets is rounding: the rows are fitted, ascent has nothing to raise."""
NO_FLOOR = 1e-20
"""A floor below this share of the signal is rounding (its square root is below 1e-10 of a prediction)."""


def order_names(n_stages: int) -> tuple[str, str]:
    """Return how sentences call the two orders.

    >>> order_names(3)
    ('A then B then C', 'C then B then A')
    """
    names = [stage_name(number) for number in range(n_stages)]
    return " then ".join(names), " then ".join(reversed(names))


ORDER_NAMES = order_names(2)


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoOrders:
    """One world, one step size, one tolerance; each finding is computed when it is first asked for."""

    world: LinearWorld
    """Two or more stages; the forget rows anywhere in them."""
    learning_rate: float
    """η of the ascent."""
    tolerance_share: float
    """ε as a share of `signal`."""

    @property
    def orders(self) -> tuple[Order, Order]:
        """A, B, ... and the reverse."""
        first = tuple(range(len(self.world.stages)))
        return first, first[::-1]

    @cached_property
    def span(self) -> ForgetSpan:
        """Of the forget inputs."""
        return self.world.span()

    @cached_property
    def thetas(self) -> Array:
        """θ_0 of both orders, shape [2, d]."""
        return np.stack([self.world.trained(order) for order in self.orders])

    @cached_property
    def oracles(self) -> Array:
        """The own-order oracle of each, shape [2, d]."""
        return np.stack([self.world.own_oracle(order) for order in self.orders])

    @cached_property
    def signal(self) -> float:
        """Mean squared prediction on the test rows, averaged over the two oracles: the unit of distances."""
        predictions: Array = self.oracles @ self.world.test_inputs.T
        return float(np.square(predictions).mean())

    @property
    def tolerance(self) -> float:
        """ε, in the unit of d."""
        return positive(self.tolerance_share, "epsilon") * self.signal

    @property
    def gap(self) -> Array:
        """Δ_0, shape [d]."""
        found: Array = self.thetas[0] - self.thetas[1]
        return found

    @cached_property
    def oracle_gap(self) -> float:
        """d(r_AB, r_BA): how far the two right answers are apart."""
        apart: Array = self.world.test_inputs @ (self.oracles[0] - self.oracles[1])
        return float(np.square(apart).mean())

    @cached_property
    def bound(self) -> Bound:
        """The theorem's constants."""
        return bound(self.span, self.gap, self.world.test_inputs, learning_rate=self.learning_rate)

    @cached_property
    def corollary(self) -> CorollaryStep | None:
        """t* at the tolerance; None where the bound is vacuous."""
        return None if self.bound.is_vacuous else corollary_step(self.bound, self.tolerance)

    @cached_property
    def for_good(self) -> int | None:
        """The first step from which the true gap stays above the bound; None where the bound is vacuous."""
        if self.bound.is_vacuous:
            return None
        return first_step_for_good(
            self.bound, self.span, self.gap, self.world.test_inputs, learning_rate=self.learning_rate
        )

    def first_common(self, tolerance: float | None = None) -> FirstStep:
        """Return the first t with d > 4ε: no common reference serves both orders."""
        return self._first(log(4 * (self.tolerance if tolerance is None else tolerance)))

    def first_own(self, tolerance: float | None = None) -> FirstStep:
        """Return the first t with √d > 2√ε + √d(r_a, r_b): at least one order violates ε-RE with its own oracle."""
        epsilon = self.tolerance if tolerance is None else tolerance
        return self._first(2 * log(2 * epsilon**0.5 + self.oracle_gap**0.5))

    def is_before_corollary(self, first: FirstStep) -> bool:
        """Return whether a first step comes before Corollary 1's t*; a step that is not found does not."""
        return self.corollary is not None and first.step is not None and first.step < self.corollary.step

    @cached_property
    def stopping(self) -> Stopping:
        """The best step of each order against its own oracle, and one step for both; without meaning where `fitted`."""
        return stopping(
            self.span,
            self.world.forget_targets,
            self.thetas,
            self.oracles,
            self.world.test_inputs,
            learning_rate=self.learning_rate,
        )

    @cached_property
    def fitted(self) -> tuple[bool, bool]:
        """Whether training left the forget rows of each order without a residual.

        Ascent then stands still in exact arithmetic and raises rounding in floating point: no stopping step has a
        meaning.
        """
        targets = self.world.forget_targets
        residuals = np.linalg.norm(self.thetas @ self.world.forget_inputs.T - targets, axis=1)
        first, second = (bool(found) for found in residuals <= FITTED * np.linalg.norm(targets))
        return first, second

    @cached_property
    def floors(self) -> tuple[Floor, Floor]:
        """The t-free floor of each order against its own oracle."""
        first, second = (
            floor(self.span, theta, oracle, self.world.test_inputs)
            for theta, oracle in zip(self.thetas, self.oracles, strict=True)
        )
        return first, second

    @property
    def positive_floors(self) -> int:
        """How many of the two floors are above rounding."""
        return sum(found.value > NO_FLOOR * self.signal for found in self.floors)

    def log_gaps(self, steps: range) -> Array:
        """Return log d(θ_AB, θ_BA) at each step, shape [T]."""
        found: Array = log_path_distances(
            self.span, self.gap[None], self.world.test_inputs, learning_rate=self.learning_rate, steps=steps
        )[0]
        return found

    def _first(self, log_level: float) -> FirstStep:
        return first_above(
            self.span, self.gap, self.world.test_inputs, learning_rate=self.learning_rate, log_level=log_level
        )
