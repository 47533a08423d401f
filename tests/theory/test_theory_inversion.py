"""One ascent step undoes a proximal stage: exactly when it is the last one, for any differentiable loss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.inversion import ascended, before_stage, inverting_learning_rate
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.world import WorldShape, draw_world


def test_ascended_by_hand() -> None:
    # X = (2, 0), y = 1, theta = (1, 1): residual 1, gradient of the mean loss (4, 0).
    moved = ascended(np.array([1.0, 1.0]), np.array([[2.0, 0.0]]), np.array([1.0]), 0.5)
    assert moved.tolist() == [3.0, 1.0]


def _after_over_before(penalty: float, seed: int) -> list[float]:
    """Return the ratio of RE distances by position, first to last."""
    shape = WorldShape(
        dim=40, stage_rows=(15, 15, 6), forget=(0, 0, 6), test_rows=12, rule=ProximalRidge(penalty=penalty)
    )
    world = draw_world(shape, seed)
    oracle, rate = world.common_oracle(), inverting_learning_rate(6, penalty)
    ratios = []
    for order in world.forget_at_each_position():
        theta = world.trained(order)
        back = ascended(theta, world.forget_inputs, world.forget_targets, rate)
        before, after = (np.square(world.test_inputs @ (state - oracle)).mean() for state in (theta, back))
        ratios.append(float(after / before))
    return ratios


def test_one_step_returns_the_oracle_from_the_last_position_and_ruins_the_others() -> None:
    ratios = np.array([_after_over_before(0.1, seed) for seed in range(40)])
    assert ratios[:, 2].max() < 1e-24
    assert ratios[:, :2].min() > 1


def test_a_large_penalty_makes_the_step_harmless_elsewhere_but_never_exact() -> None:
    ratios = np.array([_after_over_before(2.0, seed) for seed in range(40)])
    assert ratios[:, 2].max() < 1e-24
    assert (ratios[:, :2] < 1).mean() > 0.5
    assert ratios[:, :2].min() > 1e-4


def test_effect_of_the_last_stage_is_multiplied_by_one_minus_the_share() -> None:
    shape = WorldShape(dim=40, stage_rows=(15, 6), forget=(0, 6), test_rows=12)
    world = draw_world(shape, 3)
    theta, oracle = world.trained((0, 1)), world.common_oracle()
    for share in (0.25, 0.9, 1.5, 2.0, 3.0):
        moved = ascended(theta, world.forget_inputs, world.forget_targets, share * inverting_learning_rate(6, 0.1))
        assert moved - oracle == pytest.approx((1 - share) * (theta - oracle), abs=1e-12)


@pytest.mark.parametrize("kind", ["logistic", "non-convex"])
def test_any_differentiable_loss_is_inverted_up_to_the_optimisers_residual(kind: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows, signs, previous = rng.standard_normal((12, 5)), rng.choice([-1.0, 1.0], 12), rng.standard_normal(5)
        proximity = 0.8

        def gradient(theta: np.ndarray, rows: np.ndarray = rows, signs: np.ndarray = signs) -> np.ndarray:
            margins = signs * (rows @ theta)
            slope = -special.expit(-margins) if kind == "logistic" else np.cos(margins)
            return (signs * slope) @ rows

        def loss(theta: np.ndarray, rows: np.ndarray = rows, signs: np.ndarray = signs) -> float:
            margins = signs * (rows @ theta)
            return float((np.logaddexp(0, -margins) if kind == "logistic" else np.sin(margins)).sum())

        end = optimize.minimize(
            lambda x: loss(x) + proximity / 2 * np.square(x - previous).sum(), previous,  # noqa: B023
            jac=lambda x: gradient(x) + proximity * (x - previous), method="BFGS", options={"gtol": 1e-9},  # noqa: B023
        ).x  # fmt: skip
        residual = np.linalg.norm(gradient(end) + proximity * (end - previous))
        error = np.linalg.norm(before_stage(end, gradient, proximity) - previous)
        assert error == pytest.approx(residual / proximity, rel=1e-3, abs=1e-13)
        assert error < 1e-4
        assert np.linalg.norm(end - previous) > 0.1, "the stage moved nothing: inverting it would prove nothing"


def test_bad_input_has_its_code() -> None:
    for call in (
        lambda: inverting_learning_rate(3, 0.0),
        lambda: before_stage(np.ones(2), lambda x: x, -1.0),
        lambda: ascended(np.ones(2), np.eye(2), np.ones(2), 0.0),
    ):
        with pytest.raises(InputError, match="E-DATA-102"):
            call()
