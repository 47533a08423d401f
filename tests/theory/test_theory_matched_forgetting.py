"""Equal steps and equal forgetting: by hand, against explicit ascent, and the limits against far levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.inputs import LAWS
from retrain_equivalence.theory.matched_forgetting import (
    MatchedLimit,
    absolute_gap_exponent,
    equal_steps_gap,
    equal_steps_limit,
    matched_gap,
    matched_limit,
    residuals,
    steps_to_loss,
)
from retrain_equivalence.theory.trajectory import iterate, log_forget_loss
from retrain_equivalence.theory.world import WorldShape, draw_world

AXES = ForgetSpan.of([[2.0, 0.0], [0.0, 1.0]])
"""h = (4, 1); with η = 1 the modes grow by 5 and by 2 a step."""
ZEROS = [0.0, 0.0]


def _worlds(n: int) -> Any:
    for seed in range(n):
        shape = WorldShape(law=LAWS[seed % 3], dim=40, stage_rows=(12, 12), forget=(0, 1 + seed % 6), test_rows=5)
        world = draw_world(shape, seed)
        yield world, world.span(), np.stack([world.trained((0, 1)), world.trained((1, 0))])


def test_equal_steps_gap_is_that_of_explicit_ascent_and_tends_to_its_constant() -> None:
    for world, span, thetas in _worlds(60):
        rate = 1.0 / float(span.curvatures[0])
        path = iterate(world.forget_inputs, world.forget_targets, thetas, learning_rate=rate, n_steps=20)
        errors = path @ world.forget_inputs.T - world.forget_targets
        gap = np.square(errors[:, 0] - errors[:, 1]).sum(axis=1) / np.square(errors[:, 0]).sum(axis=1)
        found = equal_steps_gap(span, world.forget_targets, thetas, learning_rate=rate, steps=range(21))
        np.testing.assert_allclose(found, gap, rtol=1e-8)
        far = equal_steps_gap(span, world.forget_targets, thetas, learning_rate=rate, steps=[10**7])
        # The logarithms are near 10⁷: their rounding is 10⁻⁹ each.
        assert far[0] == pytest.approx(equal_steps_limit(span, world.forget_targets, thetas), rel=1e-7)


def test_each_history_leaves_the_targets_at_the_rate_of_the_leading_mode() -> None:
    for world, span, thetas in _worlds(60):
        logs = log_forget_loss(span, world.forget_targets, thetas, learning_rate=1.0, steps=[10**6, 2 * 10**6])
        rate = 2 * np.log1p(span.rates(1.0)[0])
        np.testing.assert_allclose((logs[:, 1] - logs[:, 0]) / 10**6, rate, rtol=1e-9)


def test_steps_to_loss_are_where_the_loss_is() -> None:
    for world, span, thetas in _worlds(60):
        how: dict[str, Any] = {"learning_rate": 0.7}
        whole = log_forget_loss(span, world.forget_targets, thetas, steps=[3, 40, 10**6], **how)
        for history in (0, 1):
            found = steps_to_loss(span, world.forget_targets, thetas, log_losses=whole[history], **how)[history]
            np.testing.assert_allclose(found, [3, 40, 10**6], rtol=1e-9)


def test_steps_below_the_start_are_none_and_without_residual_infinite() -> None:
    found = steps_to_loss(AXES, ZEROS, [[1.0, 1.0], [0.0, 0.0]], learning_rate=1.0, log_losses=[-50.0, 50.0])
    assert found[0, 0] == 0 and found[0, 1] > 0
    assert np.isposinf(found[1]).all()


def test_gap_by_hand() -> None:
    # Residuals (2·½, ±1): equal losses at every t, e_t = (5^t, ±2^t), gap = 4·4^t / (25^t + 4^t).
    levels = [math.log((25**t + 4**t) / 2) for t in range(5)]
    found = matched_gap(AXES, ZEROS, [[0.5, 1.0], [0.5, -1.0]], learning_rate=1.0, log_losses=levels)
    np.testing.assert_allclose(found, [4 * 4**t / (25**t + 4**t) for t in range(5)], rtol=1e-11)


def test_gap_is_that_of_explicit_ascent_stopped_at_one_loss() -> None:
    # History b starts where a's residual, doubled by ascent, would be: whole steps then match exactly.
    for world, span, thetas in _worlds(40):
        rate = 0.5 / float(span.curvatures[0])
        start = thetas[:1]
        path = iterate(world.forget_inputs, world.forget_targets, start, learning_rate=rate, n_steps=6)
        errors = path[:, 0] @ world.forget_inputs.T - world.forget_targets
        other = path[3] - 2 * (errors[3] @ np.linalg.pinv(world.forget_inputs).T)
        both = np.concatenate([start, other])
        level = math.log(np.square(errors[6]).mean())
        found = matched_gap(span, world.forget_targets, both, learning_rate=rate, log_losses=[level])
        # b's residual is −e_3: three steps take it to −e_6, the opposite of a's.
        assert found[0] == pytest.approx(4, rel=1e-8)
        assert matched_limit(span, world.forget_targets, both).outcome is MatchedLimit.FLIPS


def test_gap_tends_to_0_or_4_by_the_sign_on_the_leading_mode_in_300_worlds() -> None:
    counts = {MatchedLimit.COLLAPSES: 0, MatchedLimit.FLIPS: 0}
    for world, span, thetas in _worlds(300):
        hessian = world.forget_inputs @ world.forget_inputs.T
        leading = np.linalg.eigh(hessian)[1][:, -1]
        projected = (thetas @ world.forget_inputs.T - world.forget_targets) @ leading
        limit = matched_limit(span, world.forget_targets, thetas)
        expected = MatchedLimit.COLLAPSES if projected[0] * projected[1] > 0 else MatchedLimit.FLIPS
        assert limit.outcome is expected
        far = matched_gap(span, world.forget_targets, thetas, learning_rate=1.0, log_losses=[1e6])
        assert far[0] == pytest.approx(limit.value, abs=1e-6)
        counts[expected] += 1
    assert min(counts.values()) > 30


def test_absolute_gap_grows_with_the_stated_power_of_the_loss() -> None:
    for world, span, thetas in _worlds(60):
        exponent = absolute_gap_exponent(span, 1.0)
        if matched_limit(span, world.forget_targets, thetas).outcome is not MatchedLimit.COLLAPSES:
            continue
        if exponent is None:
            assert matched_gap(span, world.forget_targets, thetas, learning_rate=1.0, log_losses=[100.0])[0] < 1e-20
            continue
        # Far enough for the second mode to be alone, near enough for the gap not to underflow.
        levels = np.array([0.5, 0.6]) * 600 / max(1 - exponent, 0.05)
        gaps = np.log(matched_gap(span, world.forget_targets, thetas, learning_rate=1.0, log_losses=levels))
        slope = 1 + (gaps[1] - gaps[0]) / (levels[1] - levels[0])
        assert slope == pytest.approx(exponent, abs=0.02)


def test_losses_agree_where_predictions_are_opposite() -> None:
    thetas = [[0.5, 1.0], [-0.5, -1.0]]
    losses = log_forget_loss(AXES, ZEROS, thetas, learning_rate=1.0, steps=[0, 5, 1000])
    np.testing.assert_array_equal(losses[0], losses[1])
    gap = matched_gap(AXES, ZEROS, thetas, learning_rate=1.0, log_losses=losses[0])
    np.testing.assert_allclose(gap, 4, rtol=1e-14)


def test_named_limits() -> None:
    repeated = ForgetSpan.of(np.eye(2))
    cases = [
        (AXES, [[0.5, 1.0], [0.1, -3.0]], MatchedLimit.COLLAPSES, 0.0),
        (AXES, [[0.5, 1.0], [-0.1, 1.0]], MatchedLimit.FLIPS, 4.0),
        (AXES, [[0.5, 1.0], [0.0, 1.0]], MatchedLimit.ORTHOGONAL, 2.0),
        (AXES, [[0.5, 1.0], [0.0, 0.0]], MatchedLimit.NO_ASCENT, None),
        (repeated, [[1.0, 0.0], [3.0, 4.0]], MatchedLimit.BETWEEN, 0.8),
    ]
    for span, thetas, outcome, value in cases:
        found = matched_limit(span, ZEROS, thetas)
        assert found.outcome is outcome
        assert found.value == (None if value is None else pytest.approx(value))
        if value is not None:
            far = matched_gap(span, ZEROS, thetas, learning_rate=1.0, log_losses=[2000.0])
            assert far[0] == pytest.approx(value, abs=1e-9)
    assert equal_steps_limit(AXES, ZEROS, [[0.0, 0.0], [1.0, 1.0]]) is MatchedLimit.NO_ASCENT
    assert equal_steps_limit(AXES, ZEROS, [[0.0, 1.0], [1.0, 1.0]]) == float("inf")


def test_a_rounded_residual_is_none() -> None:
    world = draw_world(WorldShape(dim=40, stage_rows=(12, 12), forget=(0, 3)), 0)
    theta = world.trained((0, 1))
    fitted = theta + np.linalg.pinv(world.forget_inputs) @ (world.forget_targets - world.forget_inputs @ theta)
    assert not residuals(world.span(), world.forget_targets, [fitted]).any()
    assert residuals(world.span(), world.forget_targets, [theta]).all()


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("E-DATA-111", {"log_losses": [-5.0]}),
        ("E-DATA-111", {"thetas": [[1.0, 1.0], [0.0, 0.0]]}),
        ("E-DATA-100", {"thetas": [[1.0, 1.0]]}),
        ("E-DATA-100", {"thetas": [[1.0], [2.0]]}),
        ("E-DATA-100", {"log_losses": []}),
        ("E-DATA-101", {"log_losses": [float("inf")]}),
        ("E-DATA-102", {"learning_rate": 0.0}),
    ],
)
def test_bad_input_has_its_code(code: str, changed: dict[str, Any]) -> None:
    given: dict[str, Any] = {"thetas": [[1.0, 1.0], [1.0, 2.0]], "log_losses": [9.0], "learning_rate": 1.0} | changed
    with pytest.raises(InputError, match=code):
        matched_gap(AXES, ZEROS, given.pop("thetas"), **given)
