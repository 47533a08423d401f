"""Logistic ascent in closed form, against explicit steps and integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.logistic_ascent import (
    clock,
    count_steps,
    extra_steps,
    iterate,
    limit_gap,
    margin_at,
    margins_after,
    steps_to,
)
from retrain_equivalence.theory.logistic_history import train_logistic, two_logistic_orders


def test_margin_at_inverts_the_clock() -> None:
    margins = np.concatenate([np.linspace(-700, 30, 500), [0.0, -1e-9, 1e-9]])
    np.testing.assert_allclose(margin_at(clock(margins)), margins, rtol=1e-10, atol=1e-10)


def test_closed_form_solves_the_flow() -> None:
    starts, times = np.array([-1.0, 1.0, 4.0]), np.array([0.0, 1.0, 10.0, 80.0])
    found = integrate.solve_ivp(
        lambda _, m: -special.expit(-m), (0, 80), starts, t_eval=times, rtol=1e-11, atol=1e-11, method="DOP853"
    )
    np.testing.assert_allclose(margins_after(starts, times), found.y, rtol=1e-8)


def test_gap_tends_to_the_finite_limit() -> None:
    rng = np.random.default_rng(1)
    for first, second in rng.uniform(-2, 4, (50, 2)):
        late = margins_after(np.array([first, second]), np.array([500.0]))[:, 0]
        assert late[0] - late[1] == pytest.approx(limit_gap(first, second), abs=1e-9)
        assert abs(limit_gap(first, second)) >= abs(first - second)
    explicit = iterate(np.array([2.0, 1.0]), step=0.001, n_steps=60_000)
    assert explicit[0, -1] - explicit[1, -1] == pytest.approx(limit_gap(2.0, 1.0), rel=1e-3)


def test_steps_to_a_margin_are_those_of_explicit_small_steps() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        start, norm = rng.uniform(0.5, 4), rng.uniform(0.5, 2)
        end = start - rng.uniform(0.5, 5)
        counted = count_steps(start, end, step=0.002 * norm)
        assert counted is not None
        assert counted == pytest.approx(steps_to(start, end, learning_rate=0.002, squared_norm=norm), rel=3e-3, abs=1)


def test_extra_steps_are_the_difference_to_any_common_end() -> None:
    for end in (-5.0, 0.0, 0.9):
        whole = steps_to(3.0, end, learning_rate=0.1) - steps_to(1.0, end, learning_rate=0.1)
        assert extra_steps(3.0, 1.0, learning_rate=0.1) == pytest.approx(whole)


def test_recency_of_two_logistic_stages_is_the_closed_form() -> None:
    later = 0
    for seed in range(10):
        rows, first, last = two_logistic_orders(
            seed=seed, dim=200, rows=10, conflict=0.4, learning_rate=2.0, n_steps=300
        )
        margins = float(rows[0] @ last), float(rows[0] @ first)
        counts = [count_steps(m, -1.0, step=0.05) for m in margins]
        assert counts[0] is not None
        assert counts[1] is not None
        predicted = extra_steps(*margins, learning_rate=0.05)
        assert counts[0] - counts[1] == pytest.approx(predicted, rel=0.03, abs=2)
        later += counts[0] > counts[1]
    assert later >= 8


def test_logistic_training_is_descent_on_the_mean_loss() -> None:
    rng = np.random.default_rng(3)
    rows, theta, width = rng.standard_normal((5, 3)), rng.standard_normal(3), 1e-6
    slopes = [
        (np.logaddexp(0, -rows @ (theta + width * e)).mean() - np.logaddexp(0, -rows @ (theta - width * e)).mean())
        / (2 * width)
        for e in np.eye(3)
    ]
    moved = train_logistic(theta, rows, learning_rate=0.5, n_steps=1)
    np.testing.assert_allclose(moved, theta - 0.5 * np.array(slopes), atol=1e-8)


def test_ascent_never_rises() -> None:
    with pytest.raises(InputError, match="E-DATA-125"):
        steps_to(1.0, 2.0, learning_rate=0.1)
    with pytest.raises(InputError, match="E-DATA-102"):
        steps_to(1.0, 0.0, learning_rate=0.0)
