"""The budget: what it adds, and that it triggers when it should and not before."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.certified_logistic import LogisticObjective
from retrain_equivalence.theory.removal_budget import RemovalBudget, removals_before_retraining
from retrain_equivalence.theory.removal_sequence import remove_in_turn


def test_equality_may_be_released_and_anything_above_may_not() -> None:
    budget = RemovalBudget(limit=1.0, optimiser_residual=0.25)
    assert not budget.after(0.75).must_retrain
    assert budget.after(0.75 + 1e-12).must_retrain
    assert budget.after(0.5).n_removed == 1
    assert budget.after(0.5).spent == 0.75


def test_the_optimisers_residual_is_in_the_sum() -> None:
    bounds = [0.125] * 8
    assert removals_before_retraining(bounds, RemovalBudget(limit=1.0)) is None
    assert removals_before_retraining(bounds, RemovalBudget(limit=1.0, optimiser_residual=0.125)) == 7
    assert removals_before_retraining(bounds, RemovalBudget(limit=1.0, optimiser_residual=2.0)) == 0


def test_trigger_is_the_first_partial_sum_above_the_limit() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        bounds, limit, start = rng.exponential(size=int(rng.integers(1, 40))), float(rng.uniform(1, 30)), rng.random()
        over = np.flatnonzero(start + np.cumsum(bounds) > limit)
        wanted = int(over[0]) if len(over) else None
        budget = RemovalBudget(limit=limit, optimiser_residual=float(start))
        assert removals_before_retraining(bounds.tolist(), budget) == wanted


def test_retraining_starts_the_sum_again() -> None:
    spent = RemovalBudget(limit=1.0).after(0.9).after(0.9)
    assert spent.must_retrain
    fresh = spent.retrained(0.125)
    assert (fresh.limit, fresh.spent, fresh.n_removed, fresh.must_retrain) == (1.0, 0.125, 0, False)


def test_while_the_budget_lasts_the_gradient_is_inside_it() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        inputs = rng.standard_normal((60, 4))
        inputs /= np.linalg.norm(inputs, axis=1).max()
        objective = LogisticObjective(
            inputs=inputs, labels=np.sign(inputs @ rng.standard_normal(4) + 0.2 * rng.standard_normal(60)),
            penalty=float(10 ** rng.uniform(-3, -1)), noise=rng.standard_normal(4),
        )  # fmt: skip
        run = remove_in_turn(objective, objective.minimum(tolerance=1e-4), rng.permutation(60)[:20].tolist())
        # A limit that the data-dependent bounds pass half way.
        budget = RemovalBudget(limit=float(run.total(run.data_dependent)[9]), optimiser_residual=run.optimiser_residual)
        done = removals_before_retraining(run.data_dependent.tolist(), budget)
        # Ten fit, up to the rounding of two ways to add the same numbers.
        assert done in (9, 10)
        assert (run.measured[:done] <= budget.limit).all()
        tight = removals_before_retraining(run.tight.tolist(), budget)
        assert tight is None or tight > done


def test_bad_input() -> None:
    with pytest.raises(InputError, match="E-DATA-102"):
        RemovalBudget(limit=0.0)
    with pytest.raises(InputError, match="E-DATA-102"):
        RemovalBudget(limit=1.0, optimiser_residual=-1e-9)
    for bound in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="E-DATA-102"):
            RemovalBudget(limit=1.0).after(bound)
