"""NPO's first variation against finite differences, and its two limits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special

from retrain_equivalence.theory.npo_weights import (
    Reference,
    WeightedAscent,
    loss_at_constant_gradient,
    phase,
    state_map,
    weights,
)
from retrain_equivalence.theory.speed_law import SpeedPhase, flowed, log_loss, npo


@pytest.mark.parametrize("reference", list(Reference))
def test_first_variation_is_the_derivative_of_the_steps(reference: Reference) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rule = WeightedAscent(
            inputs=rng.standard_normal((4, 5)), beta=rng.uniform(0.1, 2), learning_rate=0.1, reference=reference,
            common=rng.uniform(0, 1),
        )  # fmt: skip
        start, direction = rng.standard_normal(5), rng.standard_normal(5)
        width = 1e-5
        ends = [rule.states(start + sign * width * direction, 40) for sign in (1, -1)]
        predicted = rule.differences(rule.states(start, 40), direction)
        measured = (ends[0] - ends[1]) / (2 * width)
        np.testing.assert_allclose(measured, predicted, rtol=1e-6, atol=1e-7)


def test_without_the_start_term_own_reference_is_wrong() -> None:
    rule = WeightedAscent(inputs=np.ones((1, 1)), beta=1.0, learning_rate=0.2)
    common = WeightedAscent(
        inputs=np.ones((1, 1)), beta=1.0, learning_rate=0.2, reference=Reference.COMMON,
        common=float(log_loss(np.array(2.0))),
    )  # fmt: skip
    path = rule.states(np.array([2.0]), 500)
    np.testing.assert_allclose(path, common.states(np.array([2.0]), 500))
    own, other = rule.differences(path, np.ones(1)), common.differences(path, np.ones(1))
    assert own[-1, 0] > 2 * other[-1, 0]


def test_steps_ascend_with_the_gradient_of_the_published_loss() -> None:
    rng = np.random.default_rng(4)
    rows, theta, beta, width = rng.standard_normal((3, 4)), rng.standard_normal(4), 0.3, 1e-6
    rule = WeightedAscent(inputs=rows, beta=beta, learning_rate=0.05)
    level = np.logaddexp(0, -rows @ theta)
    path = rule.states(theta, 6)

    def loss(at):
        return np.mean(2 / beta * np.logaddexp(0, -beta * (np.logaddexp(0, -rows @ at) - level)))

    for before, after in pairwise(path):
        slope = np.array([(loss(before + width * e) - loss(before - width * e)) / (2 * width) for e in np.eye(4)])
        np.testing.assert_allclose(after, before - 0.05 * slope, atol=1e-9)


def test_weight_tends_to_ascent_as_beta_vanishes() -> None:
    losses = np.linspace(0, 20, 9)
    np.testing.assert_allclose(weights(losses, np.zeros(9), beta=1e-9), 1, atol=1e-7)
    # 2 π^β / (π^β + ref^β)
    likely, ref = np.exp(-losses), np.exp(-1.0)
    np.testing.assert_allclose(
        weights(losses, np.ones(9), beta=0.4), 2 * likely**0.4 / (likely**0.4 + ref**0.4), rtol=1e-12
    )


def test_phase_is_the_sign_of_growth_along_the_gradient() -> None:
    seen = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        gradient = rng.standard_normal(3)
        root = rng.standard_normal((3, 3))
        hessian, weight, beta = root @ root.T, rng.uniform(0, 2), rng.uniform(0.1, 3)
        jacobian = state_map(
            np.array([weight]), gradient[None], hessian[None], beta=beta, learning_rate=1e-3
        )  # fmt: skip
        grown = gradient @ jacobian @ gradient / (gradient @ gradient)
        found = phase(weight, gradient, hessian, beta=beta)
        seen.add(found)
        assert found is (SpeedPhase.EXPANDING if grown > 1 else SpeedPhase.CONTRACTING)
    assert len(seen) == 2


def test_constant_gradient_form_solves_its_flow() -> None:
    starts, times, beta = np.array([0.5, 1.5]), np.array([0.0, 3.0, 50.0]), 0.7
    found = integrate.solve_ivp(
        lambda _, level: 2 * special.expit(-beta * (level - 0.4)), (0, 50), starts, t_eval=times, rtol=1e-11,
        atol=1e-11, method="DOP853",
    )  # fmt: skip
    np.testing.assert_allclose(loss_at_constant_gradient(starts, times, beta=beta, reference=0.4), found.y, rtol=1e-8)


def test_common_reference_gap_falls_as_one_over_time_and_own_is_frozen() -> None:
    starts, times = np.array([1.0, 2.0]), np.array([1e4, 1e5])
    common = loss_at_constant_gradient(starts, times, beta=0.5, reference=1.0)
    gaps = common[1] - common[0]
    assert gaps[1] / gaps[0] == pytest.approx(0.1, rel=1e-3)
    own = loss_at_constant_gradient(starts, times, beta=0.5, reference=starts)
    np.testing.assert_allclose(own[1] - own[0], 1.0, rtol=1e-12)


def test_own_reference_expands_and_returns_to_the_first_gap_in_loss() -> None:
    for margin in (1.0, 2.0, 3.0):
        times = [0.0, 5.0, 20.0, 1e3, 1e5]
        pair = [
            log_loss(flowed(npo(beta=0.5, reference=m).speed, np.array([m]), times)[0]) for m in (margin, margin - 1e-3)
        ]
        factors = (pair[1] - pair[0]) / (pair[1][0] - pair[0][0])
        assert factors.max() > 1.5
        assert factors[-1] == pytest.approx(1, abs=0.02)


def test_weights_per_example_keep_the_off_span_part() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows, starts = rng.standard_normal((3, 9)), rng.standard_normal((2, 9))
        rule = WeightedAscent(inputs=rows, beta=0.8, learning_rate=0.3)
        ends = np.stack([rule.states(start, 200)[-1] for start in starts])
        basis = np.linalg.svd(rows, full_matrices=False)[2]
        moved = ends - starts
        assert np.abs(moved).max() > 0.1
        np.testing.assert_allclose(moved - moved @ basis.T @ basis, 0, atol=1e-12)
