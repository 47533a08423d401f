"""(ε, δ) of objective perturbation: both forms, by simulation, and where the printed statement does not reach."""

from __future__ import annotations

from functools import partial
from math import exp

import numpy as np
import pytest
from scipy import optimize, stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.certified_logistic import LIPSCHITZ, LogisticObjective, logistic_removal
from retrain_equivalence.theory.certified_ridge import RidgeObjective
from retrain_equivalence.theory.objective_perturbation import (
    Accounting,
    analytic_delta,
    classical_delta,
    classical_limit,
    noise_for,
    residual_budget,
)

DELTAS = (1e-2, 1e-4, 1e-6)


def test_budget_noise_and_delta_are_inverses() -> None:
    for delta in DELTAS:
        for epsilon in (0.1, 1.0, 5.0, 12.0):
            for kind, of in ((Accounting.CLASSICAL, classical_delta), (Accounting.ANALYTIC, analytic_delta)):
                beta = residual_budget(0.7, epsilon, delta, accounting=kind)
                assert of(beta, 0.7, epsilon) == pytest.approx(delta, rel=1e-8)
                assert noise_for(beta, epsilon, delta, accounting=kind) == pytest.approx(0.7, rel=1e-12)


def test_printed_form_by_hand() -> None:
    # c = sqrt(2 log(1.5/1e-4)) = 4.3854; sigma * eps / c = .2280.
    assert residual_budget(1.0, 1.0, 1e-4) == pytest.approx(0.22803, rel=1e-4)


def test_printed_form_is_safe_below_its_limit_and_not_above() -> None:
    for delta in DELTAS:
        limit = classical_limit(delta)
        assert 6 < limit < 10
        for epsilon in np.geomspace(0.01, limit * 0.999, 40):
            assert analytic_delta(residual_budget(1.0, epsilon, delta), 1.0, epsilon) <= delta
        for epsilon in np.geomspace(limit * 1.001, 100, 40):
            assert analytic_delta(residual_budget(1.0, epsilon, delta), 1.0, epsilon) > delta


def test_above_the_limit_the_printed_form_fails_by_simulation() -> None:
    # ε = 20, δ = .01: the printed β; one coordinate, b − β against b, at the best region of the likelihood ratio.
    epsilon, delta = 20.0, 1e-2
    beta = residual_budget(1.0, epsilon, delta)
    b = np.random.default_rng(0).standard_normal(1_000_000)
    region = beta / 2 + epsilon / beta
    excess = float((b + beta > region).mean() - exp(epsilon) * stats.norm.sf(region))
    assert excess == pytest.approx(analytic_delta(beta, 1.0, epsilon), abs=0.003)
    assert excess > 10 * delta


def test_a_gradient_left_over_is_the_minimum_for_shifted_noise() -> None:
    rng = np.random.default_rng(3)
    data = RidgeObjective(
        inputs=rng.standard_normal((9, 4)), targets=rng.standard_normal(9), penalty=0.2, noise=rng.standard_normal(4)
    )
    released = data.minimum() + rng.standard_normal(4)
    assert data.noise is not None
    shifted = data.noise - data.gradient(released)
    other = RidgeObjective(inputs=data.inputs, targets=data.targets, penalty=0.2, noise=shifted)
    assert released == pytest.approx(other.minimum(), rel=1e-10)


def four_rows() -> LogisticObjective:
    rng = np.random.default_rng(7)
    inputs = rng.uniform(-1, 1, (4, 1))
    return LogisticObjective(inputs=inputs, labels=np.where(rng.random(4) < 0.5, 1.0, -1.0), penalty=0.005)


def _removed(objective: LogisticObjective, b: float) -> tuple[float, float, float]:
    """Weights after removing row 0 under noise b, their gradient, and the tight bound on it."""
    noisy = LogisticObjective(
        inputs=objective.inputs, labels=objective.labels, penalty=objective.penalty, noise=np.array([b])
    )
    found = logistic_removal(noisy, noisy.minimum(), [0], lipschitz=LIPSCHITZ)
    return float(found.weights[0]), float(noisy.without([0]).gradient(found.weights)[0]), found.tight


def test_a_residual_that_moves_with_the_noise_breaks_both_forms() -> None:
    # An event, its probability under retraining and under removal, both exact: no density is estimated.
    objective, epsilon = four_rows(), 0.445
    table = np.array([(b, *_removed(objective, float(b))) for b in np.linspace(-6, 6, 601)])
    assert (np.diff(table[:, 1]) < 0).all()
    beta = float(np.abs(table[:, 2]).max())
    bound = float(table[:, 3].max())
    retained = objective.without([0])
    # Retrained weights are w iff b = −∇L(w). Both weights fall as b rises, so intervals of w are intervals of b.
    retrained = np.array([-retained.gradient(np.array([w]))[0] for w in table[:, 1]])
    forward = np.diff(stats.norm.cdf(retrained)) - exp(epsilon) * np.diff(stats.norm.cdf(table[:, 0]))
    found = float(forward[forward > 0].sum())
    assert found > 2e-3
    assert analytic_delta(beta, 1.0, epsilon) < 1e-6
    assert classical_delta(beta, 1.0, epsilon) < 3e-4
    # What is certified in practice is the bound, not the residual, and at the bound it holds here.
    assert bound > beta
    assert found < analytic_delta(bound, 1.0, epsilon)


def test_certificates_at_the_bound_hold_in_every_small_case() -> None:
    cases = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 9))
        objective = LogisticObjective(
            inputs=rng.uniform(-1, 1, (n, 1)), labels=np.where(rng.random(n) < 0.5, 1.0, -1.0), penalty=0.02
        )
        b = np.linspace(-6, 6, 401)
        weights, _, tight = np.array([_removed(objective, float(one)) for one in b]).T
        retained = objective.without([0])
        retrained = np.array([-retained.gradient(np.array([w]))[0] for w in weights])
        assert (np.diff(retrained) > 0).all()
        p, q = np.diff(stats.norm.cdf(b)), np.diff(stats.norm.cdf(retrained))
        for epsilon in np.geomspace(0.01, 2, 12):
            cases += 1
            excess = max(
                float(np.maximum(p - exp(epsilon) * q, 0).sum()), float(np.maximum(q - exp(epsilon) * p, 0).sum())
            )
            # 1e-8: the mass beyond |b| = 6, where no residual was computed.
            assert excess <= analytic_delta(float(tight.max()), 1.0, epsilon) + 1e-8
    assert cases == 72


def test_rounding_the_noise_defeats_every_epsilon() -> None:
    # |u(b)| ≤ β/2 for every b, and yet removed weights give themselves away: they lie on a grid.
    beta = 0.1
    b = np.random.default_rng(1).standard_normal(10_000)
    left = b - np.round(b / beta) * beta
    assert np.abs(left).max() <= beta / 2 + 1e-12
    on_grid = partial(np.isclose, 0, atol=1e-9)
    assert on_grid((b - left) / beta - np.round((b - left) / beta)).all()
    assert not on_grid(b / beta - np.round(b / beta)).any()


def test_bad_input() -> None:
    for delta in (0.0, 1.0, float("nan")):
        for kind in Accounting:
            with pytest.raises(InputError, match="E-DATA-128"):
                residual_budget(1.0, 1.0, delta, accounting=kind)
    with pytest.raises(InputError, match="E-DATA-102"):
        noise_for(0.0, 1.0, 1e-4)
    with pytest.raises(InputError, match="E-DATA-102"):
        classical_delta(1.0, 0.0, 1.0)


def test_the_limit_is_where_the_two_budgets_meet() -> None:
    for delta in DELTAS:
        root = optimize.brentq(
            lambda e, d=delta: analytic_delta(residual_budget(1.0, e, d), 1.0, e) - d, 1.0, 50.0, xtol=1e-10
        )
        assert classical_limit(delta) == pytest.approx(root, rel=1e-6)
