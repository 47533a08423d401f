"""Logistic removal: bounds against the truth in 1,000 random removals, and retraining by scikit-learn and scipy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.certified_logistic import (
    LIPSCHITZ,
    PAPER_LIPSCHITZ,
    LogisticObjective,
    LogisticRemoval,
    logistic_removal,
    worst_case_residual,
)


def drawn(seed: int, *, noise: float = 0.0) -> LogisticObjective:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(20, 120)), int(rng.integers(1, 12))
    inputs = rng.standard_normal((n, d))
    inputs /= np.linalg.norm(inputs, axis=1).max()
    scores = inputs @ rng.standard_normal(d) * float(10 ** rng.uniform(-0.5, 1.5))
    return LogisticObjective(
        inputs=inputs,
        labels=np.where(rng.random(n) < special.expit(scores), 1.0, -1.0),
        penalty=float(10 ** rng.uniform(-4, -1)),
        noise=noise * rng.standard_normal(d) if noise else None,
    )


@dataclass(frozen=True)
class Case:
    objective: LogisticObjective
    start: Array
    gone: list[int]
    removal: LogisticRemoval


def removals(lipschitz: float) -> Iterator[Case]:
    """1,000 removals: 200 data sets, half of them with noise, five removals each, the last of several rows."""
    for seed in range(200):
        objective = drawn(seed, noise=1.0 if seed % 2 else 0.0)
        start, rng = objective.minimum(tolerance=1e-9), np.random.default_rng(seed)
        for size in (1, 1, 1, 1, int(rng.integers(2, 6))):
            gone = rng.permutation(objective.n_rows)[:size].tolist()
            yield Case(objective, start, gone, logistic_removal(objective, start, gone, lipschitz=lipschitz))


@pytest.mark.parametrize("lipschitz", [PAPER_LIPSCHITZ, LIPSCHITZ])
def test_a_thousand_removals_lie_under_every_bound(lipschitz: float) -> None:
    count, rounding = 0, 1e-12
    for case in removals(lipschitz):
        count += 1
        found = case.removal
        residual = float(np.linalg.norm(case.objective.without(case.gone).gradient(found.weights)))
        optimiser = float(np.linalg.norm(case.objective.gradient(case.start)))
        assert optimiser <= 1e-9
        # Each link of the chain; without the optimiser's residual the first would fail wherever rounding leaves one.
        assert residual <= found.added + optimiser + rounding
        assert found.added <= found.tight + rounding
        assert found.tight <= found.data_dependent / 2 + rounding
        assert found.data_dependent <= found.worst_case + rounding
        # Not proved with noise, see below; not seen to fail either.
        printed = worst_case_residual(
            case.objective.n_rows, case.objective.penalty, n_removed=len(case.gone), lipschitz=lipschitz
        )
        assert found.added <= printed
    assert count == 1000


def test_removal_is_near_retraining_by_scikit_learn() -> None:
    for seed in range(0, 60, 2):
        objective = drawn(seed)
        gone = np.random.default_rng(seed).permutation(objective.n_rows)[:1].tolist()
        kept = np.delete(np.arange(objective.n_rows), gone)
        if len(set(objective.labels[kept])) == 1:
            continue
        start = objective.minimum()
        found = logistic_removal(objective, start, gone)
        model = LogisticRegression(
            C=1 / (len(kept) * objective.penalty),
            fit_intercept=False,
            solver="newton-cholesky",
            tol=1e-10,
            max_iter=1000,
        )
        retrained = model.fit(objective.inputs[kept], objective.labels[kept]).coef_[0]
        # The retained objective is n'λ-strongly convex: distance at most residual over n'λ.
        limit = (found.tight + 1e-8) / (len(kept) * objective.penalty)
        assert np.linalg.norm(found.weights - retrained) <= limit, seed
        # And the step does something: without it the distance is larger.
        assert np.linalg.norm(found.weights - retrained) < np.linalg.norm(start - retrained), seed


def test_training_is_the_minimum_by_scipy() -> None:
    for seed in range(20):
        objective = drawn(seed, noise=0.7)
        other = optimize.minimize(
            objective.value, np.zeros(objective.inputs.shape[1]), jac=objective.gradient, method="BFGS",
            options={"gtol": 1e-7},
        )  # fmt: skip
        found = objective.minimum()
        assert np.linalg.norm(objective.gradient(found)) <= 1e-10
        assert objective.value(found) <= other.fun + 1e-9
        assert np.linalg.norm(found - other.x) <= 1e-4 * (1 + np.linalg.norm(found)), seed


def test_gradient_and_hessian_by_finite_differences() -> None:
    objective = drawn(11, noise=1.0)
    w: Array = np.random.default_rng(1).standard_normal((objective.inputs.shape[1],))
    steps = np.eye(len(w)) * 1e-5
    first = np.array([(objective.value(w + s) - objective.value(w - s)) / 2e-5 for s in steps])
    second = np.array([(objective.gradient(w + s) - objective.gradient(w - s)) / 2e-5 for s in steps])
    assert objective.gradient(w) == pytest.approx(first, rel=1e-6, abs=1e-7)
    assert objective.hessian(w) == pytest.approx(second, rel=1e-6, abs=1e-7)


def test_least_lipschitz_constant_is_the_largest_third_derivative() -> None:
    z = np.linspace(-10, 10, 200_001)
    chance = special.expit(z)
    third = np.abs(chance * (1 - chance) * (1 - 2 * chance)).max()
    assert third == pytest.approx(LIPSCHITZ, rel=1e-9)
    assert round(PAPER_LIPSCHITZ / LIPSCHITZ, 3) == 2.598


def test_worst_case_is_the_printed_one_without_noise() -> None:
    # 4 γ C² / (λ² (n − 1)), and m² of it over n − m.
    assert worst_case_residual(11_982, 1e-2) == pytest.approx(4 * 0.25 / (1e-4 * 11_981), rel=1e-12)
    assert worst_case_residual(100, 0.5, n_removed=10) == pytest.approx(4 * 0.25 * 100 / (0.25 * 90), rel=1e-12)


def test_noise_breaks_the_printed_step_to_the_worst_case() -> None:
    # The printed form uses ‖w‖ ≤ C/λ, so ‖Δ‖ ≤ 2C. With b it needs ‖b‖/(nλ) more.
    inputs, labels = np.array([[1.0], [1.0], [-1.0]]), np.array([1.0, -1.0, 1.0])
    objective = LogisticObjective(inputs=inputs, labels=labels, penalty=0.1, noise=np.array([30.0]))
    w = objective.minimum()
    assert abs(w[0]) > 1 / objective.penalty
    delta = objective.penalty * w[0] - special.expit(-w[0])
    assert 2 < abs(delta) <= 2 + 30 / 3
    found = logistic_removal(objective, w, [0])
    assert found.worst_case == pytest.approx(0.25 * 12**2 / (0.01 * 2), rel=1e-6)


def test_one_dimension_by_hand() -> None:
    # x = ±1 with label ±1 twice, w = 0: slopes −½ x, Hessian ¼ + λ per row.
    inputs, labels = np.array([[1.0], [1.0], [-1.0]]), np.ones(3)
    objective = LogisticObjective(inputs=inputs, labels=labels, penalty=0.25)
    found = logistic_removal(objective, np.zeros(1), [0])
    # Δ = −½; H' = 2·¼ + 2·¼ = 1.
    assert found.weights.tolist() == [-0.5]
    assert found.data_dependent == pytest.approx(0.25 * np.sqrt(2) * 0.5 * np.sqrt(0.5))
    assert found.tight == pytest.approx(0.125 * np.sqrt(2) * np.sqrt(2) / 4)
    assert found.worst_case == pytest.approx(0.25 * (2 + 0.5 / 3) ** 2 / (0.0625 * 2))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="E-DATA-126"):
        LogisticObjective(inputs=np.array([[1.1], [0.0]]), labels=np.ones(2), penalty=1)
    with pytest.raises(InputError, match="E-DATA-126"):
        LogisticObjective(inputs=np.array([[1.0], [0.0]]), labels=np.array([0.0, 1.0]), penalty=1)
    objective = LogisticObjective(inputs=np.array([[1.0], [0.5]]), labels=np.ones(2), penalty=1)
    with pytest.raises(InputError, match="E-DATA-127"):
        logistic_removal(objective, np.zeros(1), [0, 1])
    with pytest.raises(InputError, match="E-DATA-102"):
        logistic_removal(objective, np.zeros(1), [0], lipschitz=0)
    with pytest.raises(InputError, match="E-DATA-127"):
        worst_case_residual(3, 0.1, n_removed=3)
    with pytest.raises(InputError, match="E-DATA-129"):
        drawn(0).minimum(tolerance=1e-300)
