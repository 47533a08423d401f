"""How t0 depends on the step size, the penalty, the share of forget rows and the number of test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import log

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.inputs import ISOTROPIC, InputLaw
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.theorem import Bound, bound
from retrain_equivalence.theory.world import WorldShape, draw_world


class Factor(StrEnum):
    """What is varied while all else stays."""

    LEARNING_RATE = "learning rate η"
    PENALTY = "penalty μ"
    FORGET_ROWS = "forget rows k"
    DIMENSION = "dimension d"
    TEST_ROWS = "test rows m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One kind of world with two stages and an ascent; the forget rows are the first of the last stage."""

    law: InputLaw = ISOTROPIC
    learning_rate: float = 1.0
    penalty: float = 0.1
    forget_rows: int = 20
    dim: int = 200
    test_rows: int = 60
    stage_rows: int = 60

    def with_value(self, factor: Factor, value: float) -> Setting:
        """Return the setting with one factor changed.

        Raises:
            InputError: E-DATA-108 for a count that is not a whole number of at least 1.
        """
        if factor is Factor.LEARNING_RATE:
            return replace(self, learning_rate=float(value))
        if factor is Factor.PENALTY:
            return replace(self, penalty=float(value))
        if value != int(value) or value < 1:
            raise InputError.of(
                "E-DATA-108", factor.value, f"expected a whole number of at least 1, found {value}", "give a count"
            )
        if factor is Factor.FORGET_ROWS:
            return replace(self, forget_rows=int(value))
        if factor is Factor.DIMENSION:
            return replace(self, dim=int(value))
        return replace(self, test_rows=int(value))

    def shape(self) -> WorldShape:
        """Return the worlds to draw."""
        return WorldShape(
            law=self.law, dim=self.dim, stage_rows=(self.stage_rows, self.stage_rows), forget=(0, self.forget_rows),
            test_rows=self.test_rows, rule=ProximalRidge(penalty=self.penalty),
        )  # fmt: skip

    def constants(self, seed: int) -> Bound:
        """Draw one world and return the theorem's constants for its two orders.

        Raises:
            InputError: as `draw_world` and `bound`.
        """
        world = draw_world(self.shape(), seed)
        gap = world.trained((0, 1)) - world.trained((1, 0))
        return bound(world.span(), gap, world.test_inputs, learning_rate=self.learning_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """t0 at one value of a factor."""

    factor: Factor
    value: float
    n_vacuous: int
    """Worlds without a bound (m < k): counted, in no summary."""
    t0: Summary | None
    """max(t0, 0); None if every world is vacuous."""
    t0_tight: Summary | None
    """max(tight t0, 0)."""
    t0_modes: Summary | None
    """The exact first step of the proof's condition."""
    rate: Summary | None
    """ρ*."""


def along(factor: Factor, values: Sequence[float], setting: Setting, *, seeds: int, seed: int = 0) -> tuple[Along, ...]:
    """Return t0 at each value of one factor, over the same seeds.

    Raises:
        InputError: as `Setting.with_value`, `draw_world` and `bound`.
    """
    return tuple(_at(factor, value, setting.with_value(factor, value), seeds, seed) for value in values)


def small_step_constant(found: Bound, learning_rate: float) -> float | None:
    """Return lim η·t0 as η → 0: log(2 C_0 / (σ_U‖PΔ_0‖)) η/ρ*, in the unit of η; None where there is no t0.

    C_0, σ_U, PΔ_0 and ρ*/η do not depend on η, and log(1 + ρ*) ≈ ρ*: so t0 grows like 1/η, with an error of less than
    ρ*/2 of it and one step of rounding up. The time η·t0 is what stays.

    Args:
        found: constants at any step size.
        learning_rate: that step size η.

    Source: derived.
    """
    if found.is_vacuous or not found.c0:
        return None
    return (log(2 * found.c0) - log(found.sigma * found.on_span)) * learning_rate / found.rho


def _at(factor: Factor, value: float, setting: Setting, seeds: int, seed: int) -> Along:
    drawn = [setting.constants(s) for s in range(seed, seed + seeds)]
    kept = [found for found in drawn if not found.is_vacuous]
    return Along(
        factor=factor,
        value=value,
        n_vacuous=len(drawn) - len(kept),
        t0=Summary.of([found.start for found in kept]) if kept else None,
        t0_tight=Summary.of([found.start_tight for found in kept]) if kept else None,
        t0_modes=Summary.of([found.t0_modes or 0 for found in kept]) if kept else None,
        rate=Summary.of([found.rho for found in kept]) if kept else None,
    )
