"""Stopping: scans in closed form against brute force by explicit iteration."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.random import default_rng

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.floor import floor
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.stopping import (
    ScanOutcome,
    first_above,
    first_step_for_good,
    stopping,
)
from retrain_equivalence.theory.theorem import bound
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world

RATE = 1.0
ORDERS = ((0, 1), (1, 0))


def small(seed: int) -> tuple[LinearWorld, Array, Array]:
    """A world, the ends of both orders and their oracles."""
    rng = default_rng(seed)
    forget = ((0, 3), (3, 0), (2, 2))[seed % 3]
    shape = WorldShape(dim=20, stage_rows=(8, 8), forget=forget, test_rows=int(rng.integers(6, 15)))
    world = draw_world(shape, seed)
    return (
        world,
        np.stack([world.trained(order) for order in ORDERS]),
        np.stack([world.own_oracle(order) for order in ORDERS]),
    )


def walked(world: LinearWorld, thetas: Array, last: int) -> Array:
    """Every iterate of ascent, [last + 1, H, d], written out here."""
    x, y, moving, path = world.forget_inputs, world.forget_targets, thetas, [thetas]
    for _ in range(last):
        moving = moving + RATE * 2 / len(y) * (moving @ x.T - y) @ x
        path.append(moving)
    return np.stack(path)


def test_first_step_above_a_level_equals_brute_force() -> None:
    steps = []
    for seed in range(60):
        world, thetas, _ = small(seed)
        path = walked(world, thetas, 80)
        gaps = np.square((path[:, 0] - path[:, 1]) @ world.test_inputs.T).mean(axis=1)
        for level in gaps[0] * np.array([0.5, 1.01, 3.0, 30.0]):
            expected = int(np.flatnonzero(gaps > level)[0])
            found = first_above(
                world.span(), thetas[0] - thetas[1], world.test_inputs, learning_rate=RATE, log_level=log(level)
            )
            assert (found.step, found.outcome) == (expected, ScanOutcome.FOUND)
            steps.append(expected)
    assert min(steps) == 0 and max(steps) > 10


def test_gap_that_shrinks_first_is_scanned_not_bisected() -> None:
    # d = (2^t − 2)²: 1, 0, 4, 36: above 3 for the first time at t = 2, above 0.5 at once though not at t = 1.
    span, delta, rows = ForgetSpan.of([[1.0, 0.0]]), np.array([1.0, 2.0]), np.array([[1.0, -1.0]])
    first = [first_above(span, delta, rows, learning_rate=0.5, log_level=log(level)).step for level in (0.5, 3.0, 30.0)]
    assert first == [0, 2, 3]


def test_scans_that_find_nothing_say_why() -> None:
    span = ForgetSpan.of([[1.0, 0.0]])
    still = first_above(span, np.array([0.0, 1.0]), np.eye(2), learning_rate=0.5, log_level=log(100))
    assert (still.step, still.outcome) == (None, ScanOutcome.NEVER)
    at_once = first_above(span, np.array([0.0, 1.0]), np.eye(2), learning_rate=0.5, log_level=log(0.1))
    assert (at_once.step, at_once.outcome) == (0, ScanOutcome.FOUND)
    short = first_above(span, np.array([1.0, 1.0]), np.eye(2), learning_rate=0.5, log_level=1e4, most=1000)
    assert (short.step, short.outcome) == (None, ScanOutcome.NOT_WITHIN)
    # 4^t / 2 > e^10000 from t = 7214 on: far beyond float64, found in log space.
    far = first_above(span, np.array([1.0, 1.0]), np.eye(2), learning_rate=0.5, log_level=1e4)
    assert far.step == int((1e4 + log(2)) / log(4)) + 1


def test_first_step_for_good_equals_brute_force() -> None:
    late = 0
    for seed in range(200):
        rng = default_rng(seed)
        k, m = int(rng.integers(1, 3)), int(rng.integers(2, 4))
        span = ForgetSpan.of(rng.standard_normal((k, 5)))
        delta = rng.standard_normal(5) + 3 * span.off_span(rng.standard_normal(5))
        rows = rng.standard_normal((max(m, k), 5))
        rate = 0.2 / span.curvatures[0]
        found = bound(span, delta, rows, learning_rate=rate)
        last = max(found.start, found.start_tight) + 5
        moving, holds = delta.copy(), []
        for t in range(last + 1):
            holds.append(np.log(np.square(rows @ moving).mean()) >= found.log_at([t])[0])
            moving = moving + rate * 2 / k * span.inputs.T @ (span.inputs @ moving)
        failures = np.flatnonzero(~np.array(holds))
        expected = int(failures[-1]) + 1 if len(failures) else 0
        assert first_step_for_good(found, span, delta, rows, learning_rate=rate) == expected <= found.start_tight
        late += expected > 0
    # Worlds in which the truth does dip below the bound before t0: or nothing here could fail.
    assert late >= 5


def test_best_steps_equal_brute_force() -> None:
    for seed in range(45):
        world, thetas, oracles = small(seed)
        path = walked(world, thetas, 120)
        gaps = np.square((path - oracles) @ world.test_inputs.T).mean(axis=2)
        found = stopping(world.span(), world.forget_targets, thetas, oracles, world.test_inputs, learning_rate=RATE)
        assert [stop.step for stop in found.best] == gaps.argmin(axis=0).tolist()
        assert [stop.value for stop in found.best] == pytest.approx(gaps.min(axis=0), rel=1e-9)
        assert [stop.at_start for stop in found.best] == pytest.approx(gaps[0], rel=1e-9)
        assert found.universal_step == int(gaps.mean(axis=1).argmin())
        assert found.universal == pytest.approx(gaps[found.universal_step], rel=1e-9)
        assert found.worst_case_step == int(gaps.max(axis=1).argmin())
        assert found.worst_case == pytest.approx(gaps[found.worst_case_step], rel=1e-9)
        assert found.price == pytest.approx(float((gaps[found.universal_step] - gaps.min(axis=0)).mean()), abs=1e-12)
        assert found.price >= 0
        assert all(stop.is_certified for stop in found.best)


def test_no_local_path_is_below_its_floor() -> None:
    for seed in range(45):
        world, thetas, oracles = small(seed)
        span = world.span()
        found = stopping(span, world.forget_targets, thetas, oracles, world.test_inputs, learning_rate=RATE)
        for stop, theta, oracle in zip(found.best, thetas, oracles, strict=True):
            assert stop.value >= floor(span, theta, oracle, world.test_inputs).value * (1 - 1e-9)


def test_by_hand() -> None:
    # θ_t = 2^t on the span (y = 0). Oracles 2 and 4: best t = 1 and 2, both at distance 0.
    # At t = 0, 1, 2 the distances are (1, 9), (0, 4), (4, 0): the mean is least at t = 1 first, and the price is 2.
    span = ForgetSpan.of([[1.0, 0.0]])
    thetas, oracles = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[2.0, 0.0], [4.0, 0.0]])
    found = stopping(span, np.zeros(1), thetas, oracles, np.array([[1.0, 0.0]]), learning_rate=0.5)
    assert [(stop.step, round(stop.value, 12)) for stop in found.best] == [(1, 0.0), (2, 0.0)]
    assert (found.universal_step, found.price) == (1, pytest.approx(2.0))


def test_equal_histories_pay_nothing_for_one_step() -> None:
    world, thetas, oracles = small(3)
    same = np.stack([thetas[0], thetas[0]])
    found = stopping(
        world.span(), world.forget_targets, same, np.stack([oracles[0]] * 2), world.test_inputs, learning_rate=RATE
    )
    assert found.price == found.relative_price == 0
    assert found.universal_step == found.worst_case_step == found.best[0].step


def test_fewer_test_rows_than_forget_rows_are_certified_by_the_fastest_mode() -> None:
    for seed in range(20):
        world, thetas, oracles = small(seed)
        rows = world.test_inputs[:2]
        gaps = np.square((walked(world, thetas, 100) - oracles) @ rows.T).mean(axis=2)
        found = stopping(world.span(), world.forget_targets, thetas, oracles, rows, learning_rate=RATE)
        assert all(stop.is_certified for stop in found.best)
        assert [stop.step for stop in found.best] == gaps.argmin(axis=0).tolist()
        assert found.universal_step == int(gaps.mean(axis=1).argmin())


def test_without_a_certificate_it_says_so() -> None:
    world, thetas, oracles = small(0)
    given = (world.span(), world.forget_targets, thetas, oracles, world.test_inputs)
    best = stopping(*given, learning_rate=RATE).best
    assert best[0].step >= 2 and best[0].is_certified
    cut = stopping(*given, learning_rate=RATE, most=best[0].step - 1).best
    assert cut[0].step == best[0].step - 1 and not cut[0].is_certified
    # A history that fits its forget rows does not move: every step is as near as the first, and none is certified.
    span, fitting, oracle = ForgetSpan.of([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.zeros((1, 2))
    still = stopping(span, np.zeros(1), fitting, oracle, np.eye(2), learning_rate=0.5, most=200)
    assert (still.best[0].step, still.best[0].value, still.best[0].is_certified) == (0, pytest.approx(0.5), False)


def test_one_reference_per_history() -> None:
    world, thetas, oracles = small(0)
    with pytest.raises(InputError, match="E-DATA-115"):
        stopping(world.span(), world.forget_targets, thetas, oracles[:1], world.test_inputs, learning_rate=RATE)
