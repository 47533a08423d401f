"""How t0 depends on the step size, the penalty, the share of forget rows, the dimension and the number of test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import log
from typing import TypeVar

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.inputs import ISOTROPIC, InputLaw
from retrain_equivalence.theory.stage import Converged, GradientSteps, LinearStage, ProximalRidge, StageRule
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.theorem import Bound, bound
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world


class Factor(StrEnum):
    """What is varied while all else stays."""

    LEARNING_RATE = "learning rate η"
    PENALTY = "penalty μ"
    FORGET_ROWS = "forget rows k"
    DIMENSION = "dimension d"
    TEST_ROWS = "test rows m"
    FORGET_SHARE = "share k/d at fixed d/n"


class Training(StrEnum):
    """How every stage is trained."""

    RIDGE = "ridge"
    GRADIENT = "gradient"
    CONVERGED = "converged"


class ForgetSet(StrEnum):
    """Which rows are to be forgotten."""

    PART = "part"
    """The first k rows of the last stage."""
    WHOLE = "whole"
    """All rows of the last stage."""
    SEVERAL = "several"
    """The first rows of every stage, k in all."""


Choice = TypeVar("Choice", Training, ForgetSet)


def choice_named(kind: type[Choice], name: str, place: str) -> Choice:
    """Return the member of this name.

    Raises:
        InputError: E-DATA-103 for a name that is none.

    >>> choice_named(ForgetSet, "whole", "forget").name
    'WHOLE'
    """
    if name not in {one.value for one in kind}:
        known = ", ".join(one.value for one in kind)
        raise InputError.of("E-DATA-103", place, f"there is no {place} '{name}'", f"use one of {known}")
    return kind(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One kind of world and an ascent; unless told otherwise two stages, and forget rows first in the last stage."""

    law: InputLaw = ISOTROPIC
    learning_rate: float = 1.0
    penalty: float = 0.1
    forget_rows: int = 20
    dim: int = 200
    test_rows: int = 60
    stage_rows: int = 60
    stages: int = 2
    training: Training = Training.RIDGE
    train_steps: int = 200
    """Of the gradient rule."""
    forget: ForgetSet = ForgetSet.PART

    def with_value(self, factor: Factor, value: float) -> Setting:
        """Return the setting with one factor changed.

        Raises:
            InputError: E-DATA-108 for a count that is not a whole number of at least 1, or a share k/d not above 0.
        """
        if factor is Factor.LEARNING_RATE:
            return replace(self, learning_rate=float(value))
        if factor is Factor.PENALTY:
            return replace(self, penalty=float(value))
        if factor is Factor.FORGET_SHARE:
            if not value > 0:
                raise InputError.of("E-DATA-108", factor.value, f"expected a share above 0, found {value}", "raise it")
            dim = max(round(self.forget_rows / value), 1)
            return replace(self, dim=dim, stage_rows=max(round(dim * self.stage_rows / self.dim), 1))
        if value != int(value) or value < 1:
            raise InputError.of(
                "E-DATA-108", factor.value, f"expected a whole number of at least 1, found {value}", "give a count"
            )
        if factor is Factor.FORGET_ROWS:
            return replace(self, forget_rows=int(value))
        if factor is Factor.DIMENSION:
            return replace(self, dim=int(value))
        return replace(self, test_rows=int(value))

    @property
    def has_independent_rows(self) -> bool:
        """Whether k rows of the last stage exist and can be linearly independent on the coordinates that it sees."""
        seen = len(self.law.window(self.dim, self.stages - 1, self.stages))
        return self.forget_rows <= min(self.stage_rows, seen)

    def shape(self) -> WorldShape:
        """Return the worlds to draw; the gradient rule needs the drawn rows, so `world` puts it in.

        Raises:
            InputError: E-DATA-108 for fewer than two stages, or fewer forget rows than stages that are to hold some.
        """
        n = self.stages
        if n < 2 or (self.forget is ForgetSet.SEVERAL and self.forget_rows < n):
            raise InputError.of(
                "E-DATA-108", "stages", f"{n} stages and {self.forget_rows} forget rows, forget set '{self.forget}'",
                "at least two stages, and a forget row for each of several",
            )  # fmt: skip
        forget = {
            ForgetSet.PART: (*(0,) * (n - 1), self.forget_rows),
            ForgetSet.WHOLE: (*(0,) * (n - 1), self.stage_rows),
            ForgetSet.SEVERAL: tuple((self.forget_rows + s) // n for s in range(n)),
        }[self.forget]
        rule: StageRule = Converged() if self.training is Training.CONVERGED else ProximalRidge(penalty=self.penalty)
        return WorldShape(
            law=self.law, dim=self.dim, stage_rows=(self.stage_rows,) * n, forget=forget, test_rows=self.test_rows,
            rule=rule,
        )  # fmt: skip

    def world(self, seed: int) -> LinearWorld:
        """Draw one world.

        Raises:
            InputError: as `shape` and `draw_world`.
        """
        drawn = draw_world(self.shape(), seed)
        if self.training is not Training.GRADIENT:
            return drawn
        return replace(drawn, rule=GradientSteps(n_steps=self.train_steps, learning_rate=stable_step(drawn)))

    def constants(self, seed: int) -> Bound:
        """Draw one world and return the theorem's constants for its first order and the reverse.

        Raises:
            InputError: as `world` and `bound`.
        """
        world = self.world(seed)
        order = tuple(range(self.stages))
        gap = world.trained(order) - world.trained(order[::-1])
        return bound(world.span(), gap, world.test_inputs, learning_rate=self.learning_rate)


def stable_step(world: LinearWorld) -> float:
    """Return 1/h, h the largest curvature 2s²/n of any stage, with or without its forget rows.

    One step size for all histories and oracles, so that they differ in nothing but order and rows; descent converges
    without oscillation on each of them.

    Source: derived.
    """
    stages: list[LinearStage] = []
    for stage, rows in zip(world.stages, world.forget_rows, strict=True):
        kept = stage.without(rows)
        stages += [stage] if kept is None else [stage, kept]
    return 1 / max(2 * float(stage.singular_values[0]) ** 2 / len(stage.targets) for stage in stages)


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
