"""Optimisers: what is frozen off the span, and the linear bounds on gaps."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.optimizers import (
    Adam,
    Clipped,
    Decayed,
    LowRank,
    Momentum,
    OffSpan,
    Plain,
    squared_loss_gradient,
)


def _world(seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((4, 12)) / 3, rng.standard_normal((4, 2)), rng.standard_normal((2, 2, 12))


def _off(inputs: Array, values: Array) -> Array:
    basis = np.linalg.svd(inputs, full_matrices=False)[2]
    return values - values @ basis.T @ basis


def _weighted(inputs: Array, targets: Array):
    """Return the gradient of a loss that is neither squared nor convex, with weights that depend on the parameters."""

    def gradient(theta: Array) -> Array:
        error = inputs @ np.swapaxes(theta, -1, -2) - targets
        return np.swapaxes(np.sin(error) * np.exp(-(error**2)), -1, -2) @ inputs

    return gradient


def test_gradient_is_that_of_the_mean_squared_loss() -> None:
    inputs, targets, starts = _world(0)
    theta, width = starts[0], 1e-6
    found = squared_loss_gradient(inputs, targets)(theta)

    def loss(at):
        return np.sum((inputs @ at.T - targets) ** 2) / len(inputs)

    for index in np.ndindex(theta.shape):
        nudge = np.zeros_like(theta)
        nudge[index] = width
        assert found[index] == pytest.approx((loss(theta + nudge) - loss(theta - nudge)) / (2 * width), abs=1e-7)


@pytest.mark.parametrize("make", [squared_loss_gradient, _weighted])
@pytest.mark.parametrize(
    "rule", [Plain(learning_rate=0.05), Momentum(learning_rate=0.02), Clipped(learning_rate=0.05, clip=0.3)],
    ids=lambda r: r.name,
)  # fmt: skip
def test_plain_momentum_and_clipping_freeze_the_off_span_part_for_any_loss(rule, make) -> None:
    for seed in range(5):
        inputs, targets, starts = _world(seed)
        path = rule.states(make(inputs, targets), starts, 100)
        moved = np.abs(_off(inputs, path - path[0])).max()
        assert moved <= 1e-13 * np.abs(path).max()
        assert np.linalg.norm(path[-1] - path[0]) > 0.05
        assert rule.off_span is OffSpan.FROZEN


@pytest.mark.parametrize("make", [squared_loss_gradient, _weighted])
def test_weight_decay_shrinks_the_off_span_part_exactly(make) -> None:
    inputs, targets, starts = _world(1)
    rule = Decayed(learning_rate=0.05, decay=0.1)
    path = rule.states(make(inputs, targets), starts, 80)
    expected = (1 - 0.05 * 0.1) ** 80 * _off(inputs, starts)
    np.testing.assert_allclose(_off(inputs, path[-1]), expected, atol=1e-11)


def test_adam_moves_the_off_span_difference() -> None:
    inputs, targets, starts = _world(2)
    path = Adam(learning_rate=0.02).states(squared_loss_gradient(inputs, targets), starts, 200)
    off = _off(inputs, path[:, 0] - path[:, 1])
    assert np.linalg.norm(off[-1] - off[0]) > 0.1 * np.linalg.norm(off[0])


def test_adam_is_pytorchs_rule_by_hand() -> None:
    # Two steps on gradients 1 and −2 with β = (0.5, 0.75), ε = 0:
    # m = .5, v = .25 → 1; m = −.75, v = 1.1875 → (−.75/.75)/√(1.1875/.4375).
    gradients = iter([np.array([[1.0]]), np.array([[-2.0]])])
    rule = Adam(learning_rate=1.0, beta1=0.5, beta2=0.75, epsilon=0.0)
    path = rule.states(lambda _: next(gradients), np.array([[0.0]]), 2)[:, 0, 0]
    np.testing.assert_allclose(path, [0.0, 1.0, 1.0 - 1 / np.sqrt(1.1875 / 0.4375)])


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_gaps_stay_under_the_linear_bounds(rate: float) -> None:
    for seed in range(20):
        inputs, targets, starts = _world(seed)
        gradient = squared_loss_gradient(inputs, targets)
        clipped = Clipped(learning_rate=rate, clip=0.5)
        gaps = np.diff(clipped.states(gradient, starts, 60), axis=1)[:, 0]
        norms = np.linalg.norm(gaps, axis=(1, 2))
        assert all(norms[t] <= clipped.gap_bound(norms[0], t) * (1 + 1e-12) for t in range(61))
        adam = Adam(learning_rate=rate)
        gaps = np.abs(np.diff(adam.states(gradient, starts, 60), axis=1)[:, 0]).max(axis=(1, 2))
        assert all(gaps[t] <= adam.gap_bound(gaps[0], t) * (1 + 1e-12) for t in range(61))


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.9, 0.95), (0.5, 0.9)])
def test_largest_adam_step_is_reached_by_growing_gradients_and_never_passed(beta1: float, beta2: float) -> None:
    rule = Adam(learning_rate=1.0, beta1=beta1, beta2=beta2, epsilon=0.0)
    for number in (1, 2, 5, 40):
        rates = (beta2 / beta1) ** np.arange(number)
        feed = iter(rates / rates[-1])
        path = rule.states(lambda _, feed=feed: np.array([[next(feed)]]), np.zeros((1, 1)), number)[:, 0, 0]
        assert path[-1] - path[-2] == pytest.approx(rule.largest_step(number), rel=1e-9)
    rng = np.random.default_rng(5)
    for _ in range(100):
        feed = iter(rng.standard_normal(30) * np.exp(rng.uniform(-1, 1) * np.arange(30)))
        path = rule.states(lambda _, feed=feed: np.array([[next(feed)]]), np.zeros((1, 1)), 30)[:, 0, 0]
        bounds = np.array([rule.largest_step(t) for t in range(1, 31)])
        assert (np.abs(np.diff(path)) <= bounds * (1 + 1e-9)).all()
        assert bounds.max() <= rule.largest_step() * (1 + 1e-12)


def test_one_gradient_after_silence_steps_by_the_published_ratio() -> None:
    rule = Adam(learning_rate=1.0, epsilon=1e-300)
    feed = iter([*[0.0] * 20_000, 1.0])
    path = rule.states(lambda _: np.array([[next(feed)]]), np.zeros((1, 1)), 20_001)[:, 0, 0]
    assert path[-1] == pytest.approx(0.1 / np.sqrt(0.001), rel=1e-6)
    assert rule.largest_step() == pytest.approx(7.27, abs=0.005)


def test_lora_with_frozen_a_moves_in_the_span_of_xaa_only() -> None:
    inputs, targets, starts = _world(3)
    down = np.random.default_rng(0).standard_normal((2, 12)) / 3
    gradient = squared_loss_gradient(inputs, targets)
    frozen = LowRank(learning_rate=0.005, down=down, frozen_down=True).states(gradient, starts, 50)
    free = LowRank(learning_rate=0.005, down=down).states(gradient, starts, 50)
    basis = np.linalg.svd(inputs @ down.T @ down, full_matrices=False)[2][:2]
    for path, inside in ((frozen, True), (free, False)):
        change = path[-1] - path[0]
        outside = np.linalg.norm(change - change @ basis.T @ basis) / np.linalg.norm(change)
        assert bool(outside < 1e-10) is inside
        assert np.linalg.norm(_off(inputs, change)) > 0.1 * np.linalg.norm(change)


def test_lora_first_step_is_the_chain_rule() -> None:
    inputs, targets, starts = _world(4)
    down = np.random.default_rng(1).standard_normal((3, 12))
    gradient = squared_loss_gradient(inputs, targets)
    path = LowRank(learning_rate=0.01, down=down).states(gradient, starts[0], 1)
    np.testing.assert_allclose(path[1] - path[0], 0.01 * gradient(starts[0]) @ down.T @ down, atol=1e-13)


def test_bad_constants_and_overflow_are_named() -> None:
    inputs, targets, starts = _world(5)
    gradient = squared_loss_gradient(inputs, targets)
    with pytest.raises(InputError, match="E-DATA-125"):
        Adam(learning_rate=0.1, beta1=1.0).states(gradient, starts, 1)
    with pytest.raises(InputError, match="E-DATA-125"):
        Momentum(learning_rate=0.1, momentum=-0.1).states(gradient, starts, 1)
    with pytest.raises(InputError, match="E-DATA-125"):
        Adam(learning_rate=0.1, beta1=0.99, beta2=0.9).largest_step()
    with pytest.raises(InputError, match="E-DATA-123"):
        Plain(learning_rate=1e6).states(gradient, starts, 100)
