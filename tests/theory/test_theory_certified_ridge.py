"""Ridge removal against retraining by scikit-learn, by hand, and with an optimiser that stopped early."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.certified_ridge import RidgeObjective, proximal_effect, ridge_removal
from retrain_equivalence.theory.inversion import ascended, inverting_learning_rate
from retrain_equivalence.theory.stage import LinearStage, ProximalRidge


def drawn(seed: int, *, noise: bool = False) -> tuple[RidgeObjective, list[int]]:
    """A ridge problem with a retained Hessian of condition number at most 1,000, and rows to remove."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(5, 60)), int(rng.integers(1, 25))
    inputs = rng.standard_normal((n, d)) * rng.uniform(0.1, 2, d)
    gone = rng.permutation(n)[: int(rng.integers(1, n))].tolist()
    largest = float(np.linalg.norm(np.delete(inputs, gone, axis=0), 2) ** 2) / (n - len(gone))
    objective = RidgeObjective(
        inputs=inputs,
        targets=rng.standard_normal(n) * 3,
        penalty=largest / float(10 ** rng.uniform(0, 2.9)),
        noise=rng.standard_normal(d) if noise else None,
    )
    assert np.linalg.cond(objective.without(gone).hessian) <= 1e3
    return objective, gone


def relative(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def retrained(objective: RidgeObjective, gone: list[int]) -> Array:
    kept = np.delete(np.arange(len(objective.targets)), gone)
    model = Ridge(alpha=len(kept) * objective.penalty, fit_intercept=False, solver="cholesky")
    found: Array = model.fit(objective.inputs[kept], objective.targets[kept]).coef_
    return found


def test_removal_is_retraining_by_scikit_learn() -> None:
    worst = 0.0
    for seed in range(300):
        objective, gone = drawn(seed)
        worst = max(worst, relative(ridge_removal(objective, objective.minimum(), gone), retrained(objective, gone)))
    assert worst < 1e-10


def test_removal_with_noise_in_the_objective_is_retraining_with_the_same_noise() -> None:
    for seed in range(100):
        objective, gone = drawn(seed, noise=True)
        kept = np.delete(np.arange(len(objective.targets)), gone)
        x, d = objective.inputs[kept], objective.inputs.shape[1]
        assert objective.noise is not None
        system = x.T @ x + len(kept) * objective.penalty * np.eye(d)
        wanted = np.linalg.inv(system) @ (x.T @ objective.targets[kept] - objective.noise)
        assert relative(ridge_removal(objective, objective.minimum(), gone), wanted) < 1e-10


def test_one_by_one_is_all_at_once() -> None:
    for seed in range(30):
        objective, gone = drawn(seed)
        numbers, weights, data = list(range(len(objective.targets))), objective.minimum(), objective
        for row in gone:
            place = numbers.index(row)
            weights, data = ridge_removal(data, weights, [place]), data.without([place])
            numbers.pop(place)
        assert relative(weights, retrained(objective, gone)) < 1e-10


def test_an_optimisers_residual_stays_as_it_was() -> None:
    for seed in range(100):
        objective, gone = drawn(seed)
        rng = np.random.default_rng(seed)
        early = objective.minimum() + rng.standard_normal(objective.inputs.shape[1])
        before = objective.gradient(early)
        after = objective.without(gone).gradient(ridge_removal(objective, early, gone))
        assert np.linalg.norm(after - before) < 1e-10 * np.linalg.norm(objective.hessian, 2) * np.linalg.norm(early)


def test_the_gradient_is_that_of_the_loss() -> None:
    objective, _ = drawn(3, noise=True)
    w: Array = np.random.default_rng(0).standard_normal((objective.inputs.shape[1],))
    noise = objective.noise
    assert noise is not None

    def loss(at: Array) -> float:
        fit = 0.5 * np.square(objective.inputs @ at - objective.targets).sum()
        return float(fit + len(objective.targets) * objective.penalty / 2 * at @ at + noise @ at)

    steps = np.eye(len(w)) * 1e-5
    differences = [(loss(w + step) - loss(w - step)) / 2e-5 for step in steps]
    assert objective.gradient(w) == pytest.approx(np.array(differences), rel=1e-6, abs=1e-6)


def test_effect_within_a_stage_is_training_with_and_without_the_rows() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        d, n = 20, int(rng.integers(2, 30))
        k, mu = int(rng.integers(1, n + 1)), float(10 ** rng.uniform(-1, 1))
        rule, start = ProximalRidge(penalty=mu), rng.standard_normal(d)
        stage = LinearStage("U", rng.standard_normal((n, d)) / np.sqrt(d), rng.standard_normal(n))
        reduced = stage.without(range(k))
        wanted = rule.train(start, stage) - (start if reduced is None else rule.train(start, reduced))
        theta = rule.train(start, stage)
        found = proximal_effect(stage.inputs[k:], stage.inputs[:k], stage.targets[:k], theta, penalty=mu)
        assert relative(found, wanted) < 1e-9


def test_for_a_whole_stage_the_step_is_one_step_of_ascent() -> None:
    rng = np.random.default_rng(5)
    inputs, targets, theta = rng.standard_normal((4, 9)), rng.standard_normal(4), rng.standard_normal(9)
    effect = proximal_effect(np.zeros((0, 9)), inputs, targets, theta, penalty=0.3)
    assert theta - effect == pytest.approx(ascended(theta, inputs, targets, inverting_learning_rate(4, 0.3)), rel=1e-12)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="E-DATA-102"):
        RidgeObjective(inputs=np.eye(2), targets=np.ones(2), penalty=0)
    with pytest.raises(InputError, match="E-DATA-100"):
        RidgeObjective(inputs=np.eye(2), targets=np.ones(3), penalty=1)
    with pytest.raises(InputError, match="E-DATA-101"):
        RidgeObjective(inputs=np.eye(2), targets=np.ones(2), penalty=1, noise=np.array([0, np.nan]))
    objective = RidgeObjective(inputs=np.eye(2), targets=np.ones(2), penalty=1)
    with pytest.raises(InputError, match="E-DATA-106"):
        ridge_removal(objective, np.ones(2), [])
    with pytest.raises(InputError, match="E-DATA-100"):
        proximal_effect(np.ones((1, 3)), np.eye(2), np.ones(2), np.ones(2), penalty=1)
