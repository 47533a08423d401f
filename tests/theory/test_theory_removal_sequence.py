"""Removals in turn: sums of bounds over the gradient itself, and the weights against retraining by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.certified_logistic import LIPSCHITZ, LogisticObjective, logistic_removal
from retrain_equivalence.theory.removal_sequence import remove_in_turn


def drawn(seed: int) -> LogisticObjective:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((80, 5))
    inputs /= np.linalg.norm(inputs, axis=1).max()
    labels = np.sign(inputs @ rng.standard_normal(5) + 0.3 * rng.standard_normal(80))
    return LogisticObjective(inputs=inputs, labels=labels, penalty=0.01, noise=0.5 * rng.standard_normal(5))


def test_the_gradient_lies_under_every_sum() -> None:
    for seed in range(30):
        objective = drawn(seed)
        rows = np.random.default_rng(seed).permutation(80)[:30].tolist()
        # An optimiser that stopped early: its residual is no rounding error, and is part of every sum.
        start = objective.minimum() + 1e-3
        run = remove_in_turn(objective, start, rows, lipschitz=LIPSCHITZ)
        assert run.optimiser_residual > 1e-4
        assert (run.measured <= run.total(run.added) + 1e-12).all()
        for bounds in (run.tight, run.data_dependent, run.worst_case):
            assert (run.added <= bounds + 1e-12).all()
            assert (run.measured <= run.total(bounds)).all()


def test_weights_are_those_of_single_removals_and_near_retraining() -> None:
    for seed in range(10):
        objective = drawn(seed)
        rows = np.random.default_rng(seed).permutation(80)[:10].tolist()
        run = remove_in_turn(objective, objective.minimum(), rows)
        data, weights = objective, objective.minimum()
        for done, row in enumerate(rows):
            place = row - sum(earlier < row for earlier in rows[:done])
            weights, data = logistic_removal(data, weights, [place]).weights, data.without([place])
        assert run.weights == pytest.approx(weights, rel=1e-12)
        retained = objective.without(rows)
        other = optimize.minimize(
            retained.value, weights, jac=retained.gradient, method="BFGS", options={"gtol": 1e-9}
        ).x  # fmt: skip
        # n'λ-strong convexity turns the measured gradient into a distance.
        assert np.linalg.norm(run.weights - other) <= (run.measured[-1] + 1e-7) / (70 * 0.01)


def test_bad_rows() -> None:
    with pytest.raises(InputError, match="E-DATA-127"):
        remove_in_turn(drawn(0), np.zeros(5), [1, 1])
