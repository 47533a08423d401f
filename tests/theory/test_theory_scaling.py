"""How t0 scales: constants that do not depend on the step size, the 1/η law, worlds without a bound counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.inputs import LAWS
from retrain_equivalence.theory.scaling import (
    Factor,
    ForgetSet,
    Setting,
    Training,
    along,
    small_step_constant,
    stable_step,
)
from retrain_equivalence.theory.theorem import BoundOutcome

SMALL = Setting(dim=40, stage_rows=12, forget_rows=4, test_rows=14)


def test_t0_grows_like_one_over_the_step_size() -> None:
    for law in LAWS:
        for seed in range(10):
            setting = Setting(law=law, dim=40, stage_rows=12, forget_rows=4, test_rows=14)
            reference = setting.constants(seed)
            limit = small_step_constant(reference, 1.0)
            assert limit is not None
            for rate in (1e-1, 1e-2, 1e-4, 1e-6):
                found = setting.with_value(Factor.LEARNING_RATE, rate).constants(seed)
                assert (found.sigma, found.c0, found.on_span) == (reference.sigma, reference.c0, reference.on_span)
                assert found.rho == pytest.approx(rate * reference.rho, rel=1e-12)
                assert found.t0 is not None
                # ρ/2 is how far log(1 + ρ) can fall short of ρ; one step is rounding up.
                assert -1e-9 * abs(limit) <= found.t0 * rate - limit <= rate + found.rho / 2 * abs(limit) + 1e-9
                assert small_step_constant(found, rate) == pytest.approx(limit, rel=1e-9)


def test_there_is_no_constant_without_t0() -> None:
    vacuous = SMALL.with_value(Factor.TEST_ROWS, 3).constants(0)
    assert vacuous.outcome is BoundOutcome.FEW_TEST_ROWS
    assert small_step_constant(vacuous, 1.0) is None


def test_worlds_without_a_bound_are_counted() -> None:
    few, enough = along(Factor.TEST_ROWS, (3, 14), SMALL, seeds=6)
    assert (few.n_vacuous, few.t0, few.t0_tight, few.t0_modes, few.rate) == (6, None, None, None, None)
    assert enough.n_vacuous == 0 and enough.t0 is not None and enough.t0.n == 6


def test_summaries_are_of_the_worlds_drawn() -> None:
    (found,) = along(Factor.PENALTY, (2.0,), SMALL, seeds=5, seed=3)
    drawn = [SMALL.with_value(Factor.PENALTY, 2.0).constants(seed) for seed in range(3, 8)]
    assert found.t0 is not None and found.t0_tight is not None and found.t0_modes is not None and found.rate is not None
    assert found.t0.median == np.median([max(one.t0 or 0, 0) for one in drawn])
    assert found.rate.high == max(one.rho for one in drawn)
    assert found.t0_modes.median <= found.t0_tight.median <= found.t0.median


def test_each_factor_changes_what_it_names() -> None:
    for factor, value, field in (
        (Factor.LEARNING_RATE, 0.5, "learning_rate"),
        (Factor.PENALTY, 3.0, "penalty"),
        (Factor.FORGET_ROWS, 5, "forget_rows"),
        (Factor.DIMENSION, 50, "dim"),
        (Factor.TEST_ROWS, 9, "test_rows"),
    ):
        assert getattr(SMALL.with_value(factor, value), field) == value
    world_shape = SMALL.with_value(Factor.FORGET_ROWS, 5).shape()
    assert (world_shape.forget, world_shape.dim, world_shape.stage_rows) == ((0, 5), 40, (12, 12))


def test_share_is_varied_at_fixed_d_over_n() -> None:
    for share in (0.05, 0.1, 0.2):
        found = Setting().with_value(Factor.FORGET_SHARE, share)
        assert found.forget_rows == 20 and found.forget_rows / found.dim == share
        assert found.dim / found.stage_rows == pytest.approx(200 / 60, rel=1e-12)
    with pytest.raises(InputError, match="E-DATA-108"):
        Setting().with_value(Factor.FORGET_SHARE, 0)


def test_forget_sets_are_what_they_are_called() -> None:
    def rows(forget: ForgetSet, stages: int) -> tuple[int, ...]:
        return replace(SMALL, forget=forget, stages=stages).shape().forget

    assert rows(ForgetSet.PART, 3) == (0, 0, 4)
    assert rows(ForgetSet.WHOLE, 2) == (0, 12)
    assert rows(ForgetSet.SEVERAL, 3) == (1, 1, 2)


def test_gradient_rule_takes_one_stable_step_size_and_tends_to_convergence() -> None:
    setting = replace(SMALL, training=Training.GRADIENT, train_steps=200_000)
    world = setting.world(3)
    largest = 0.0
    for stage, forgotten in zip(world.stages, world.forget_rows, strict=True):
        for inputs in (stage.inputs, stage.inputs[len(forgotten) :]):
            largest = max(largest, float(np.linalg.eigvalsh(2 / len(inputs) * inputs.T @ inputs)[-1]))
    assert stable_step(world) == pytest.approx(1 / largest, rel=1e-9)
    converged = replace(SMALL, training=Training.CONVERGED).world(3)
    assert world.trained((1, 0)) == pytest.approx(converged.trained((1, 0)), abs=1e-6)
    assert world.own_oracle((0, 1)) == pytest.approx(converged.own_oracle((0, 1)), abs=1e-6)


@pytest.mark.parametrize("value", [0, -3, 2.5])
def test_counts_are_whole_numbers(value: float) -> None:
    with pytest.raises(InputError, match="E-DATA-108"):
        SMALL.with_value(Factor.TEST_ROWS, value)


def test_more_forget_rows_and_fewer_test_rows_delay_the_theorem() -> None:
    by_k = [part.t0.median for part in along(Factor.FORGET_ROWS, (2, 20, 60), Setting(), seeds=8) if part.t0]
    by_m = [part.t0.median for part in along(Factor.TEST_ROWS, (20, 60, 240), Setting(), seeds=8) if part.t0]
    assert by_k == sorted(by_k) and by_k[2] > 10 * by_k[0]
    assert by_m == sorted(by_m, reverse=True) and by_m[0] > 2 * by_m[2]
