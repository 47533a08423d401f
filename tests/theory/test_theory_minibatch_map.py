"""Common batches keep the difference map; different batches break it by a forcing term."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.minibatch_map import BatchSteps, forcing
from retrain_equivalence.theory.trajectory import Direction, iterate


def _draw(seed: int, direction: Direction = "ascent") -> tuple[BatchSteps, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    k, d = 6, 9
    inputs = rng.standard_normal((k, d))
    batches = [rng.choice(k, size=int(rng.integers(1, k + 1)), replace=False).tolist() for _ in range(12)]
    rates = rng.uniform(0.005, 0.05, size=12).tolist()
    steps = BatchSteps(inputs=inputs, batches=batches, learning_rates=rates, direction=direction)
    return steps, rng.standard_normal(k), rng.standard_normal((2, d))


@pytest.mark.parametrize("direction", get_args(Direction))
def test_common_batches_keep_the_map_whatever_the_labels(direction: Direction) -> None:
    for seed in range(100):
        steps, targets, thetas = _draw(seed, direction)
        path = steps.iterate(targets, thetas)
        product = np.eye(9)
        sign = 1 if direction == "ascent" else -1
        for batch, rate in zip(steps.batches, steps.learning_rates, strict=True):
            rows = steps.inputs[list(batch)]
            product = (np.eye(9) + sign * rate * 2 / len(batch) * rows.T @ rows) @ product
        delta = thetas[0] - thetas[1]
        np.testing.assert_allclose(path[-1, 0] - path[-1, 1], product @ delta, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(steps.mapped(delta[None])[-1, 0], product @ delta, rtol=1e-10, atol=1e-10)


def test_ascent_on_common_batches_never_shrinks_the_difference() -> None:
    for seed in range(100):
        steps, targets, thetas = _draw(seed)
        path = steps.iterate(targets, thetas)
        norms = np.linalg.norm(path[:, 0] - path[:, 1], axis=1)
        assert (np.diff(norms) >= -1e-12 * norms[1:]).all()


def test_descent_on_common_batches_never_expands_iff_the_largest_batch_rate_is_at_most_two() -> None:
    for seed in range(100):
        drawn, _, thetas = _draw(seed, "descent")
        scale = 2 / drawn.largest_rate
        safe = replace(drawn, learning_rates=[scale * rate for rate in drawn.learning_rates])
        assert safe.largest_rate == pytest.approx(2)
        norms = np.linalg.norm(safe.mapped(thetas), axis=2)
        assert (np.diff(norms, axis=0) <= 1e-12 * norms[:-1]).all()
        worst = max(
            range(12), key=lambda i: safe.learning_rates[i] * np.linalg.norm(safe.inputs[list(safe.batches[i])], 2) ** 2
            / len(safe.batches[i]),
        )  # fmt: skip
        rows = safe.inputs[list(safe.batches[worst])]
        top = np.linalg.svd(rows)[2][0]
        one = BatchSteps(
            inputs=safe.inputs, batches=[safe.batches[worst]], learning_rates=[1.05 * safe.learning_rates[worst]],
            direction="descent",
        )  # fmt: skip
        assert np.linalg.norm(one.mapped(top[None])[1]) > 1.05


def test_different_batches_break_the_map_by_exactly_the_forcing_term() -> None:
    broken = 0
    for seed in range(100):
        first, targets, thetas = _draw(seed)
        rng = np.random.default_rng(1_000 + seed)
        second = replace(first, batches=[rng.permutation(6)[:3].tolist() for _ in range(12)])
        a, b = first.iterate(targets, thetas[:1])[:, 0], second.iterate(targets, thetas[1:])[:, 0]
        added = forcing(first, second, targets, b)
        delta = a[0] - b[0]
        for t, (batch, rate) in enumerate(zip(first.batches, first.learning_rates, strict=True)):
            rows = first.inputs[list(batch)]
            delta = delta + rate * 2 / len(batch) * rows.T @ (rows @ delta) + added[t]
        np.testing.assert_allclose(a[-1] - b[-1], delta, rtol=1e-9, atol=1e-9)
        mapped = first.mapped((thetas[0] - thetas[1])[None])[-1, 0]
        broken += bool(np.abs(mapped - (a[-1] - b[-1])).max() > 1e-3)
        # Two histories that start at one point come apart: no function of Δ_0 = 0 does that.
        same = second.iterate(targets, thetas[:1])[-1, 0]
        assert np.abs(a[-1] - same).max() > 1e-4
        # And both stay in the span of all forget inputs.
        span = ForgetSpan.of(first.inputs)
        assert np.abs(span.off_span(a[-1] - same)).max() < 1e-10
    assert broken == 100


def test_full_batches_are_the_explicit_loop() -> None:
    steps, targets, thetas = _draw(0)
    full = replace(steps, batches=[list(range(6))] * 5, learning_rates=[0.1] * 5)
    expected = iterate(steps.inputs, targets, thetas, learning_rate=0.1, n_steps=5)
    np.testing.assert_allclose(full.iterate(targets, thetas), expected, rtol=1e-12)


def test_bad_input_has_its_code() -> None:
    steps, targets, thetas = _draw(0)
    for code, call in (
        ("E-DATA-120", lambda: replace(steps, batches=steps.batches[1:])),
        ("E-DATA-120", lambda: replace(steps, batches=[], learning_rates=[])),
        ("E-DATA-120", lambda: replace(steps, batches=[[], *steps.batches[1:]])),
        ("E-DATA-120", lambda: replace(steps, batches=[[6], *steps.batches[1:]])),
        ("E-DATA-120", lambda: forcing(steps, replace(steps, direction="descent"), targets, thetas)),
        ("E-DATA-102", lambda: replace(steps, learning_rates=[0.0] * 12)),
        ("E-DATA-100", lambda: steps.iterate(targets[1:], thetas)),
    ):
        with pytest.raises(InputError, match=code):
            call()
