"""The rules of training against solvers and explicit loops."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.stage import (
    Converged,
    GradientSteps,
    LinearStage,
    ProximalRidge,
    StageRule,
    StochasticSteps,
)


def _stage(seed: int) -> tuple[LinearStage, Array]:
    """A stage with more rows than dimensions, or fewer, or dependent rows, and where its training starts."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 12)), int(rng.integers(2, 12))
    rows = rng.standard_normal((n, d))
    if seed % 3 == 0:
        rows[-1] = rows[0]
    return LinearStage("A", rows, rng.standard_normal(n)), rng.standard_normal(d)


def test_proximal_ridge_solves_its_normal_equations() -> None:
    for seed in range(100):
        stage, theta = _stage(seed)
        x, y, mu = stage.inputs, stage.targets, 0.01 * (seed + 1)
        expected = np.linalg.solve(x.T @ x + mu * np.eye(x.shape[1]), x.T @ y + mu * theta)
        np.testing.assert_allclose(ProximalRidge(penalty=mu).train(theta, stage), expected, rtol=1e-8, atol=1e-10)


def test_gradient_steps_are_the_explicit_loop() -> None:
    for seed in range(100):
        stage, theta = _stage(seed)
        x, y = stage.inputs, stage.targets
        rate = (0.3, 1.0, 1.9)[seed % 3] / float(2 / len(y) * np.linalg.norm(x, 2) ** 2)
        moving = theta.copy()
        for _ in range(seed + 1):
            moving = moving - rate * 2 / len(y) * x.T @ (x @ moving - y)
        found = GradientSteps(n_steps=seed + 1, learning_rate=rate).train(theta, stage)
        np.testing.assert_allclose(found, moving, rtol=1e-9, atol=1e-11)


def test_converged_is_the_nearest_least_squares_solution() -> None:
    for seed in range(100):
        stage, theta = _stage(seed)
        moved, *_ = np.linalg.lstsq(stage.inputs, stage.targets - stage.inputs @ theta, rcond=1e-10)
        np.testing.assert_allclose(Converged().train(theta, stage), theta + moved, rtol=1e-7, atol=1e-9)


def test_converged_is_the_limit_of_the_others() -> None:
    stage, theta = _stage(7)
    end = Converged().train(theta, stage)
    np.testing.assert_allclose(ProximalRidge(penalty=1e-10).train(theta, stage), end, atol=1e-7)
    np.testing.assert_allclose(GradientSteps(n_steps=10**6, learning_rate=0.05).train(theta, stage), end, atol=1e-9)


def test_by_hand() -> None:
    # x = 2, y = 6, θ = 1, μ = 4: (2·6 + 4·1) / (4 + 4) = 2. One step of η = 1/16: 1 − (1/16)·2·2·(2 − 6) = 2.
    stage = LinearStage("A", np.array([[2.0]]), np.array([6.0]))
    assert ProximalRidge(penalty=4.0).train(np.ones(1), stage) == pytest.approx([2.0], rel=1e-14)
    assert GradientSteps(n_steps=1, learning_rate=1 / 16).train(np.ones(1), stage) == pytest.approx([2.0], rel=1e-14)
    assert Converged().train(np.ones(1), stage) == pytest.approx([3.0], rel=1e-14)


def test_stochastic_steps_with_full_batches_are_gradient_steps() -> None:
    stage, theta = _stage(4)
    found = StochasticSteps(n_epochs=25, batch_size=100, learning_rate=0.05).train(theta, stage)
    expected = GradientSteps(n_steps=25, learning_rate=0.05).train(theta, stage)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_stochastic_steps_share_their_order_across_histories() -> None:
    stage, theta = _stage(5)
    rule = StochasticSteps(n_epochs=3, batch_size=2, learning_rate=0.02, seed=1)
    both = rule.train(np.stack([theta, theta + 1]), stage)
    np.testing.assert_allclose(both[0], rule.train(theta, stage), rtol=1e-13)
    np.testing.assert_allclose(both[1], rule.train(theta + 1, stage), rtol=1e-13)
    other = StochasticSteps(n_epochs=3, batch_size=2, learning_rate=0.02, seed=2).train(theta, stage)
    assert not np.allclose(other, both[0])


def test_stochastic_steps_by_hand() -> None:
    # One row a step, x = 1 for both: whatever the order, θ ← θ + 2η(y − θ) twice with equal y.
    stage = LinearStage("A", np.ones((2, 1)), np.array([4.0, 4.0]))
    found = StochasticSteps(n_epochs=1, batch_size=1, learning_rate=0.25).train(np.zeros(1), stage)
    assert found == pytest.approx([3.0], rel=1e-15)


def test_several_histories_train_at_once() -> None:
    stage, theta = _stage(8)
    starts = np.stack([theta, -theta, theta * 2])
    rules: tuple[StageRule, ...] = (ProximalRidge(), GradientSteps(n_steps=9, learning_rate=0.01), Converged())
    for rule in rules:
        alone = np.stack([rule.train(start, stage) for start in starts])
        np.testing.assert_allclose(rule.train(starts, stage), alone, rtol=1e-12)


def test_without_rows() -> None:
    stage, _ = _stage(10)
    shorter = stage.without([0])
    assert shorter is not None
    np.testing.assert_array_equal(shorter.inputs, stage.inputs[1:])
    np.testing.assert_array_equal(shorter.targets, stage.targets[1:])
    assert stage.without(range(len(stage.targets))) is None


def test_bad_stages_and_rules() -> None:
    wide = LinearStage("wide", np.ones((1, 2)), np.ones(1))
    with pytest.raises(InputError, match=r"E-DATA-104.*rank 1 of 2"):
        ProximalRidge(penalty=0.0).train(np.zeros(2), wide)
    for penalty in (-1.0, float("nan")):
        with pytest.raises(InputError, match="E-DATA-102"):
            ProximalRidge(penalty=penalty).train(np.zeros(2), wide)
    # 2η s²/n = 2 · 0.6 · 2 = 2.4.
    with pytest.raises(InputError, match=r"E-DATA-105.*2\.4.*below 0\.5"):
        GradientSteps(n_steps=3, learning_rate=0.6).train(np.zeros(2), wide)
    with pytest.raises(InputError, match="E-DATA-105"), np.errstate(over="ignore", invalid="ignore"):
        StochasticSteps(n_epochs=2000, batch_size=1, learning_rate=5.0).train(np.zeros(2), wide)
    bad: tuple[StageRule, ...] = (
        GradientSteps(n_steps=0, learning_rate=0.1),
        GradientSteps(n_steps=1, learning_rate=0.0),
        StochasticSteps(n_epochs=0, batch_size=1, learning_rate=0.1),
        StochasticSteps(n_epochs=1, batch_size=0, learning_rate=0.1),
        StochasticSteps(n_epochs=1, batch_size=1, learning_rate=-0.1),
    )
    for rule in bad:
        with pytest.raises(InputError, match="E-DATA-102"):
            rule.train(np.zeros(2), wide)
    with pytest.raises(InputError, match=r"E-DATA-100.*wide.targets"):
        LinearStage("wide", np.ones((1, 2)), np.ones(2))
    with pytest.raises(InputError, match=r"E-DATA-101.*wide.inputs"):
        LinearStage("wide", np.full((1, 2), np.nan), np.ones(1))


def test_ridge_without_penalty_is_least_squares_where_that_is_unique() -> None:
    rng = np.random.default_rng(11)
    stage = LinearStage("tall", rng.standard_normal((9, 3)), rng.standard_normal(9))
    expected, *_ = np.linalg.lstsq(stage.inputs, stage.targets, rcond=None)
    np.testing.assert_allclose(ProximalRidge(penalty=0.0).train(np.ones(3), stage), expected, rtol=1e-10)


def test_a_stage_of_zeros_moves_nothing() -> None:
    nothing = LinearStage("zeros", np.zeros((2, 3)), np.ones(2))
    rules: tuple[StageRule, ...] = (ProximalRidge(), Converged(), GradientSteps(n_steps=5, learning_rate=0.1))
    for rule in rules:
        assert rule.train(np.arange(3.0), nothing).tolist() == [0.0, 1.0, 2.0]
