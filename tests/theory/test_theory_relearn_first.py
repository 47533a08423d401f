"""Relearning first is a delay: residual and path gap have one factor. Task vectors expand once, and boundedly."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.theory.explicit_run import run
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.relearn_first import (
    BreakEven,
    InterpolateThenAscend,
    RelearnThenAscend,
    RidgeThenAscend,
    break_even,
)
from retrain_equivalence.theory.task_vector import CommonTaskVector, OwnTaskVector


def _draw(seed: int) -> tuple[ForgetSpan, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return ForgetSpan.of(rng.standard_normal((4, 9))), rng.standard_normal(4), rng.standard_normal((2, 9))


def test_residual_and_difference_on_the_span_have_the_same_factor() -> None:
    for seed in range(100):
        span, targets, thetas = _draw(seed)
        rate = 0.5 / span.curvatures[0]
        for method in (
            RelearnThenAscend(relearn_rate=rate, relearn_steps=5, learning_rate=rate),
            RidgeThenAscend(penalty=0.5, learning_rate=rate),
        ):
            path = run(method, span.inputs, targets, thetas, n_steps=7)
            factor = np.exp(method.factors(span).log_sizes([7])[0])
            residual = (path[7] @ span.inputs.T - targets) @ span.left
            before = (thetas @ span.inputs.T - targets) @ span.left
            np.testing.assert_allclose(residual, factor * before, rtol=1e-8, atol=1e-12)
            gap = span.coordinates(path[7, 0] - path[7, 1])
            np.testing.assert_allclose(gap, factor * span.coordinates(thetas[0] - thetas[1]), rtol=1e-8, atol=1e-12)


def test_equal_steps_and_counts_shrink_iff_the_rate_is_below_root_two() -> None:
    span = ForgetSpan.of(np.eye(2))  # h = 1
    for rate, is_smaller in ((0.5, True), (1.41, True), (1.42, False)):
        method = RelearnThenAscend(relearn_rate=rate, relearn_steps=3, learning_rate=rate)
        size = method.factors(span).log_sizes([3])[0, 0]
        assert size == pytest.approx(3 * np.log(abs(1 - rate**2)), abs=1e-12)
        assert bool(size < 0) is is_smaller


def test_at_the_break_even_step_the_factor_is_one() -> None:
    for seed in range(50):
        span, _, _ = _draw(seed)
        rate = 0.6 / span.curvatures[0]
        for method in (
            RelearnThenAscend(relearn_rate=rate, relearn_steps=4, learning_rate=2 * rate),
            RidgeThenAscend(penalty=0.1, learning_rate=rate),
        ):
            factors = method.factors(span)
            for j, t in enumerate(break_even(method, span)):
                assert isinstance(t, float) and t > 0
                at = int(np.ceil(t))
                assert factors.log_sizes([at])[0, j] >= -1e-9
                assert factors.log_sizes([max(at - 1, 0)])[0, j] < 0
    formula = -4 * np.log(1 - rate * span.curvatures) / np.log1p(2 * rate * span.curvatures)
    steps = break_even(RelearnThenAscend(relearn_rate=rate, relearn_steps=4, learning_rate=2 * rate), span)
    np.testing.assert_allclose(steps, formula)


def test_after_convergence_ascent_never_starts() -> None:
    span, targets, thetas = _draw(1)
    method = InterpolateThenAscend(learning_rate=0.1 / span.curvatures[0])
    path = run(method, span.inputs, targets, thetas, n_steps=50)
    assert np.abs(path[50] - path[0]).max() < 1e-11
    assert np.abs(span.coordinates(path[50, 0] - path[50, 1])).max() < 1e-11
    assert np.abs(span.off_span(path[50, 0] - path[50, 1]) - span.off_span(thetas[0] - thetas[1])).max() < 1e-11
    relearn = RelearnThenAscend(relearn_rate=1.0, relearn_steps=1, learning_rate=1.0)
    assert break_even(relearn, ForgetSpan.of(np.eye(2))) == (BreakEven.NEVER_STARTS, BreakEven.NEVER_STARTS)


def test_ridge_shrinks_every_mode_and_removes_none() -> None:
    for seed in range(100):
        span, _, _ = _draw(seed)
        once = RidgeThenAscend(penalty=0.01, learning_rate=1.0).factors(span).once
        assert ((once > 0) & (once < 1)).all()


def test_own_task_vector_expands_at_most_by_one_plus_strength_unless_relearning_overshoots() -> None:
    for seed in range(100):
        span, targets, thetas = _draw(seed)
        rng = np.random.default_rng(seed)
        strength, steps = float(rng.uniform(0.1, 3)), int(rng.integers(1, 30))
        for share in (0.1, 1.0):
            method = OwnTaskVector(strength=strength, relearn_rate=share / span.curvatures[0], relearn_steps=steps)
            path = run(method, span.inputs, targets, thetas, n_steps=3)
            gap = np.abs(span.coordinates(path[3, 0] - path[3, 1]))
            before = np.abs(span.coordinates(thetas[0] - thetas[1]))
            assert (gap <= (1 + strength) * before * (1 + 1e-9)).all() and (gap >= before * (1 - 1e-9)).all()
            assert (path[3] == path[0]).all()
    # Source tables say 1 + α; one overshooting step goes beyond it: c = −0.9.
    over = OwnTaskVector(strength=1.0, relearn_rate=1.9, relearn_steps=1).factors(ForgetSpan.of(np.eye(2))).once
    assert over.tolist() == pytest.approx([2.9, 2.9])


def test_common_task_vector_is_a_translation() -> None:
    for seed in range(50):
        span, targets, thetas = _draw(seed)
        path = run(CommonTaskVector(strength=2.0), span.inputs, targets, thetas, n_steps=1)
        assert np.abs(path[1, 0] - path[1, 1] - (thetas[0] - thetas[1])).max() < 1e-13
        assert np.abs(path[1] - thetas).max() > 0.01
