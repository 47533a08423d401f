"""Mode factors of every linear method against explicit runs on states and labels."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.difference_map import (
    CommonFeatureDescent,
    CommonTargetDescent,
    GradientAscent,
    LinearMethod,
    ModeFactors,
    OwnTargetDescent,
    Regime,
    RewindAndReplay,
)
from retrain_equivalence.theory.explicit_run import run
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.relearn_first import InterpolateThenAscend, RelearnThenAscend, RidgeThenAscend
from retrain_equivalence.theory.task_vector import CommonTaskVector, OwnTaskVector

HAND = ForgetSpan.of([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""k = 2, so h = s² = (4, 1)."""


def _methods(rate: float) -> tuple[LinearMethod, ...]:
    return (
        GradientAscent(learning_rate=rate),
        CommonTargetDescent(learning_rate=rate),
        CommonFeatureDescent(learning_rate=rate),
        OwnTargetDescent(learning_rate=rate),
        RelearnThenAscend(relearn_rate=rate, relearn_steps=3, learning_rate=rate / 2),
        RidgeThenAscend(penalty=0.3, learning_rate=rate),
        OwnTaskVector(strength=0.7, relearn_rate=rate, relearn_steps=3),
        CommonTaskVector(strength=0.7),
    )


def _world(seed: int) -> tuple[ForgetSpan, np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 6))
    d = k + int(rng.integers(0, 6))
    span = ForgetSpan.of(rng.standard_normal((k, d)))
    rate = float(rng.uniform(0.05, 1.9) / span.curvatures[0])
    return span, rng.standard_normal(k), rng.standard_normal((2, d)), rate


def test_factors_by_hand() -> None:
    rate = 0.25  # x = (1, 0.25)
    expected = {
        GradientAscent(learning_rate=rate): [2.0**3, 1.25**3],
        CommonTargetDescent(learning_rate=rate): [0.0, 0.75**3],
        OwnTargetDescent(learning_rate=rate): [1.0, 1.0],
        RidgeThenAscend(penalty=1.0, learning_rate=rate): [2.0**3 / 5, 1.25**3 / 2],
        RelearnThenAscend(relearn_rate=0.125, relearn_steps=2, learning_rate=rate): [2, 0.875**2 * 1.25**3],
        OwnTaskVector(strength=2.0, relearn_rate=0.125, relearn_steps=1): [2.0, 1.25],
        CommonTaskVector(strength=2.0): [1.0, 1.0],
        RewindAndReplay(): [0.0, 0.0],
        InterpolateThenAscend(learning_rate=rate): [0.0, 0.0],
    }
    for method, factors in expected.items():
        off = 0.0 if isinstance(method, RewindAndReplay) else 1.0
        found = method.factors(HAND).applied(HAND, [[1.0, 1.0, 1.0]], 3)[0]
        np.testing.assert_allclose(found, [*factors, off], rtol=1e-14, err_msg=method.name)


def test_map_equals_the_explicit_run_of_every_method_in_200_random_worlds() -> None:
    for seed in range(200):
        span, targets, thetas, rate = _world(seed)
        for method in _methods(rate):
            path = run(method, span.inputs, targets, thetas, n_steps=6, constant=0.4)
            scale = np.abs(path).max()
            factors = method.factors(span)
            for t in (0, 1, 6):
                predicted = factors.applied(span, thetas[:1] - thetas[1:], t)[0]
                measured = path[t, 0] - path[t, 1]
                assert np.abs(predicted - measured).max() <= 1e-12 * scale, (seed, method.name, t)


def test_labels_and_start_cancel_but_labels_must_be_common() -> None:
    span, targets, thetas, rate = _world(3)
    method, delta = GradientAscent(learning_rate=rate), thetas[:1] - thetas[1:]
    predicted = method.factors(span).applied(span, delta, 5)[0]
    for shift in (0.0, 10.0):
        path = run(method, span.inputs, targets + shift, thetas + shift, n_steps=5)[5]
        np.testing.assert_allclose(path[0] - path[1], predicted, rtol=1e-9, atol=1e-9)
    a = run(method, span.inputs, targets, thetas[:1], n_steps=5)[5, 0]
    b = run(method, span.inputs, targets + 1, thetas[1:], n_steps=5)[5, 0]
    assert np.abs(a - b - predicted).max() > 0.1


def test_off_the_span_is_frozen_to_1e12_of_the_largest_norm() -> None:
    for seed in range(200):
        span, targets, thetas, rate = _world(seed)
        start = span.off_span(thetas[0] - thetas[1])
        for method in _methods(rate):
            path = run(method, span.inputs, targets, thetas, n_steps=60)
            scale = np.maximum.accumulate(np.linalg.norm(path, axis=2).max(axis=1))
            change = np.linalg.norm(span.off_span(path[:, 0] - path[:, 1]) - start, axis=1)
            assert (change <= 1e-12 * np.maximum(scale, np.linalg.norm(thetas))).all(), (seed, method.name)


def test_own_target_is_exactly_frozen_on_the_span_and_the_histories_still_move() -> None:
    for seed in range(100):
        span, targets, thetas, rate = _world(seed)
        path = run(OwnTargetDescent(learning_rate=rate), span.inputs, targets, thetas, n_steps=80, constant=1.0)
        change = np.abs(path[:, 0] - path[:, 1] - (thetas[0] - thetas[1])).max()
        assert change <= 1e-12 * np.abs(path).max()
        assert np.abs(path[-1] - thetas).max() > 1e-3


def test_local_slope_is_the_derivative_of_the_log_norm() -> None:
    rng = np.random.default_rng(0)
    for seed in range(100):
        span, _, thetas, rate = _world(seed)
        x, delta = span.rates(rate), thetas[:1] - thetas[1:]
        c, t, h = span.coordinates(delta)[0], float(rng.integers(1, 20)), 1e-4
        for sign, method in ((1, GradientAscent(learning_rate=rate)), (-1, CommonTargetDescent(learning_rate=rate))):
            size = np.abs(1 + sign * x)
            logs = [0.5 * np.log((size ** (2 * s) * c**2).sum()) for s in (t - h, t + h)]
            found = method.factors(span).local_slope(span, delta, [int(t)])[0, 0]
            assert found == pytest.approx((logs[1] - logs[0]) / (2 * h), abs=1e-6), (seed, sign)


def test_measured_rates_of_100_random_worlds_lie_between_the_predicted_local_slopes() -> None:
    apart = []
    for seed in range(100):
        span, targets, thetas, rate = _world(seed)
        delta = thetas[:1] - thetas[1:]
        for method in (GradientAscent(learning_rate=rate), CommonTargetDescent(learning_rate=rate)):
            path = run(method, span.inputs, targets, thetas, n_steps=12)
            sizes = np.linalg.norm(span.coordinates(path[:, 0] - path[:, 1]), axis=1)
            seen = int((sizes > 1e-8 * np.abs(path).max()).sum())
            change = np.diff(np.log(sizes[:seen]))
            slopes = method.factors(span).local_slope(span, delta, range(seen))[0]
            assert (change >= slopes[:-1] - 1e-6).all() and (change <= slopes[1:] + 1e-6).all(), (seed, method.name)
            # Convex: growth never slows, shrinking never quickens.
            assert (np.diff(slopes) >= -1e-12).all()
            apart.append(abs(change[0] - float(method.factors(span).log_rates.max())))
    # One eigenvalue is no prediction of the rate at the start.
    assert np.median(apart) > 0.02


def test_slope_tends_to_the_fastest_excited_mode() -> None:
    factors = GradientAscent(learning_rate=0.25).factors(HAND)
    slopes = factors.local_slope(HAND, [[1.0, 1.0, 5.0], [0.0, 1.0, 5.0], [0.0, 0.0, 1.0]], [0, 10_000])
    assert slopes[0, 0] == pytest.approx(np.log(2) / 2 + np.log(1.25) / 2)
    assert slopes[:2, 1].tolist() == pytest.approx([np.log(2), np.log(1.25)])
    assert (slopes[2] == -np.inf).all()
    gone = CommonTargetDescent(learning_rate=0.25).factors(HAND)
    assert gone.local_slope(HAND, [[1.0, 1.0, 0.0]], [0, 1]).tolist()[0] == [-np.inf, pytest.approx(np.log(0.75))]


def test_rate_of_the_theorem_is_below_the_average_rate_but_above_the_first_local_slope() -> None:
    for seed in range(200):
        span, _, thetas, rate = _world(seed)
        delta = thetas[:1] - thetas[1:]
        weights = np.square(span.coordinates(delta)[0])
        rho = float(weights @ span.rates(rate) / weights.sum())
        factors = GradientAscent(learning_rate=rate).factors(span)
        logs = factors.log_on_span(span, delta, [0, 1, 2, 10])[0]
        slopes = factors.local_slope(span, delta, [0, 1, 2, 10])[0]
        assert ((logs[1:] - logs[0]) / [1, 2, 10] >= np.log1p(rho) - 1e-12).all()
        assert (slopes[1:] >= np.log1p(rho) - 1e-12).all() and slopes[0] <= np.log1p(rho) + 1e-12


@pytest.mark.parametrize(
    ("rate", "regimes", "overall"),
    [
        (0.4, (Regime.CONTRACTING, Regime.CONTRACTING), Regime.CONTRACTING),  # x = (1.6, 0.4)
        (0.5, (Regime.FROZEN, Regime.CONTRACTING), Regime.FROZEN),  # x_1 = 2 exactly
        (0.6, (Regime.EXPANDING, Regime.CONTRACTING), Regime.EXPANDING),
    ],
)
def test_descent_contracts_iff_the_largest_rate_is_below_two(
    rate: float, regimes: tuple[Regime, ...], overall: Regime
) -> None:
    factors = CommonTargetDescent(learning_rate=rate).factors(HAND)
    assert factors.regimes() == regimes and factors.regime is overall
    path = run(CommonTargetDescent(learning_rate=rate), HAND.inputs, np.ones(2), np.eye(3)[:2], n_steps=201)
    gap = np.abs((path[:, 0] - path[:, 1])[[0, 1, 200, 201], 0])
    grown = gap[-1] / gap[0]
    assert {Regime.CONTRACTING: grown < 1e-9, Regime.FROZEN: grown == 1, Regime.EXPANDING: grown > 1e9}[regimes[0]]


def test_regimes_of_the_other_methods() -> None:
    assert {
        r for seed in range(50) for r in GradientAscent(learning_rate=1e-12).factors(_world(seed)[0]).regimes()
    } == {Regime.EXPANDING}
    assert OwnTargetDescent(learning_rate=9.0).factors(HAND).regime is Regime.FROZEN
    assert CommonTaskVector(strength=3.0).factors(HAND).regime is Regime.FROZEN
    own = OwnTaskVector(strength=3.0, relearn_rate=0.1, relearn_steps=2)
    assert own.factors(HAND).regime is Regime.EXPANDED_ONCE
    assert RewindAndReplay().factors(HAND).regime is Regime.REMOVED
    assert InterpolateThenAscend(learning_rate=1.0).factors(HAND).regime is Regime.REMOVED
    assert ModeFactors(once=np.array([0.5]), change=np.zeros(1)).regime is Regime.CONTRACTED_ONCE


def test_logs_and_signs_at_a_million_steps() -> None:
    factors = ModeFactors(once=np.array([1.0, -2.0, 0.0, 1.0]), change=np.array([1e-9, -2.5, 1.0, -1.0]))
    t = 1_000_000
    logs, signs = factors.log_sizes([0, t, t + 1]), factors.signs([0, t, t + 1])
    assert logs[1, 0] == pytest.approx(t * (1e-9 - 5e-19), rel=1e-14)
    assert logs[1, 1] == pytest.approx(np.log(2) + t * np.log(1.5), rel=1e-14)
    assert logs[0].tolist() == [0.0, np.log(2), -np.inf, 0.0] and logs[1, 2] == logs[1, 3] == -np.inf
    assert signs.tolist() == [[1, -1, 0, 1], [1, -1, 0, 0], [1, 1, 0, 0]]


def test_log_on_span_equals_the_norm_of_the_applied_map() -> None:
    for seed in range(50):
        span, _, thetas, rate = _world(seed)
        for method in _methods(rate):
            factors = method.factors(span)
            for t in (0, 1, 7):
                norm = np.linalg.norm(span.coordinates(factors.applied(span, thetas, t)), axis=1)
                np.testing.assert_allclose(
                    np.exp(factors.log_on_span(span, thetas, [t])[:, 0]), norm, rtol=1e-10, atol=1e-14
                )


def test_bad_input_has_its_code() -> None:
    factors = GradientAscent(learning_rate=1.0).factors(HAND)
    for code, call in (
        ("E-DATA-102", lambda: GradientAscent(learning_rate=0.0).factors(HAND)),
        ("E-DATA-102", lambda: OwnTargetDescent(learning_rate=-1.0).factors(HAND)),
        ("E-DATA-102", lambda: RidgeThenAscend(penalty=0.0, learning_rate=1.0).factors(HAND)),
        ("E-DATA-102", lambda: CommonTaskVector(strength=0.0).factors(HAND)),
        ("E-DATA-112", lambda: factors.log_sizes([])),
        ("E-DATA-112", lambda: factors.signs([-1])),
        ("E-DATA-112", lambda: RelearnThenAscend(relearn_rate=1.0, relearn_steps=-1, learning_rate=1.0).factors(HAND)),
        ("E-DATA-110", lambda: factors.applied(HAND, np.ones((1, 3)), 10_000)),
        ("E-DATA-100", lambda: factors.applied(HAND, np.ones((1, 4)), 1)),
        ("E-DATA-101", lambda: factors.local_slope(HAND, [[np.nan, 0, 0]], [1])),
        ("E-DATA-122", lambda: run(RewindAndReplay(), HAND.inputs, np.zeros(2), np.ones((1, 3)), n_steps=1)),
        (
            "E-DATA-100",
            lambda: run(
                GradientAscent(learning_rate=1.0),
                HAND.inputs,
                np.zeros(2),
                np.ones((1, 3)),
                n_steps=1,
                constant=np.zeros(3),
            ),
        ),
    ):
        with pytest.raises(InputError, match=code):
            call()
