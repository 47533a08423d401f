"""The speed law: gaps of flows against ratios of speeds."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.theory.speed_law import (
    ExamplesFlow,
    MarginFlow,
    NoRatio,
    SpeedPhase,
    ahead_by,
    ascent,
    distillation,
    flowed,
    gap_factor,
    log_loss,
    npo,
    phase_at,
    relabelling,
    simnpo,
    speed_ratio,
    weighted_ascent,
)

FLOWS = (
    ascent(), npo(beta=0.5, reference=2.0), simnpo(beta=0.5, gamma=0.1), weighted_ascent(beta=1.0), relabelling(),
    distillation(), distillation(teacher=-1.0),
)  # fmt: skip


@pytest.mark.parametrize("flow", FLOWS, ids=lambda f: f"{f.name}: {f.formula}")
def test_small_gap_grows_as_the_ratio_of_speeds_under_explicit_steps(flow: MarginFlow) -> None:
    step, small = 1e-3, 1e-4
    rng = np.random.default_rng(0)
    starts = rng.uniform(0.5, 3, 40)
    low, high = starts - small / 2, starts + small / 2
    middle = starts.copy()
    for number in range(8001):
        if number % 2000 == 0:
            predicted = np.array([gap_factor(flow.speed, s, m) for s, m in zip(starts, middle, strict=True)])
            np.testing.assert_allclose((high - low) / small, predicted, rtol=3e-3)
        low, high, middle = (m + step * flow.speed(m) for m in (low, high, middle))


@pytest.mark.parametrize("flow", FLOWS, ids=lambda f: f"{f.name}: {f.formula}")
def test_flow_agrees_with_explicit_small_steps(flow: MarginFlow) -> None:
    starts, step = np.array([0.5, 2.0]), 1e-3
    moving = starts.copy()
    for _ in range(4000):
        middle = moving + step / 2 * flow.speed(moving)
        moving = moving + step * flow.speed(middle)
    np.testing.assert_allclose(flowed(flow.speed, starts, [0.0, 4.0])[:, -1], moving, rtol=1e-6)


def test_margin_speeds_are_the_gradients_of_the_losses() -> None:
    margins, width, beta = np.linspace(-4, 4, 41), 1e-6, 0.7

    def slope(loss):
        return (loss(margins + width) - loss(margins - width)) / (2 * width)

    reference = log_loss(np.array(1.3))

    def npo_loss(m):
        return 2 / beta * np.log1p(np.exp(-beta * (log_loss(m) - reference)))

    np.testing.assert_allclose(ascent().speed(margins), slope(log_loss), atol=1e-8)
    np.testing.assert_allclose(npo(beta=beta, reference=1.3).speed(margins), -slope(npo_loss), atol=1e-8)
    np.testing.assert_allclose(relabelling().speed(margins), -slope(lambda m: log_loss(-m)), atol=1e-8)
    np.testing.assert_allclose(
        distillation().speed(margins), -slope(lambda m: (log_loss(m) + log_loss(-m)) / 2), atol=1e-8
    )
    likely = np.exp(-log_loss(margins))
    np.testing.assert_allclose(weighted_ascent(beta=beta).speed(margins), likely**beta * slope(log_loss), atol=1e-8)


def test_difference_along_the_flow_grows_as_the_speed_with_many_examples() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        inputs = rng.standard_normal((4, 6)) / 2
        flow = ExamplesFlow(inputs=inputs, speed=FLOWS[seed % len(FLOWS)].speed)
        start, times = rng.standard_normal(6), [0.0, 2.0, 6.0]
        path = flow.states(start, times)
        along = 1e-5 * flow.field(start) / np.linalg.norm(flow.field(start))
        moved = (flow.states(start + along, times) - flow.states(start - along, times)) / 2
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1) / 1e-5, speed_ratio(flow, path), rtol=1e-5)
        for theta, difference in zip(path, moved, strict=True):
            ahead, rest = ahead_by(flow, theta, difference)
            first = ahead_by(flow, start, along)[0]
            assert ahead == pytest.approx(first, rel=1e-4)
            assert rest < 1e-4 * np.linalg.norm(difference)


def test_transverse_part_does_not_follow_the_speed() -> None:
    inputs = np.array([[1.0, 0.0], [0.0, 1.0]])
    flow = ExamplesFlow(inputs=inputs, speed=ascent().speed)
    start, times = np.array([3.0, -3.0]), [0.0, 30.0]
    path = flow.states(start, times)
    velocity = flow.field(start)
    transverse = 1e-5 * np.array([-velocity[1], velocity[0]]) / np.linalg.norm(velocity)
    moved = (flow.states(start + transverse, times) - flow.states(start - transverse, times)) / 2
    assert abs(np.linalg.norm(moved[-1]) / 1e-5 / speed_ratio(flow, path)[-1] - 1) > 1


def test_method_expands_iff_it_accelerates() -> None:
    for flow in FLOWS:
        for level in (-2.0, 0.0, 2.0):
            later = flowed(flow.speed, np.array([level]), [0.0, 0.01])[0, -1]
            factor = gap_factor(flow.speed, level, later)
            phase = phase_at(flow.speed, level)
            if isinstance(factor, NoRatio) or abs(factor - 1) < 1e-5:
                # Slopes that vanish or a factor that no difference can show: nothing to compare.
                continue
            assert phase is (SpeedPhase.EXPANDING if factor > 1 else SpeedPhase.CONTRACTING), (flow.name, level)
    assert phase_at(lambda m: np.full_like(m, -1.0), 0.3) is SpeedPhase.FROZEN


def test_wga_turns_where_its_probability_is_beta_over_one_plus_beta() -> None:
    for beta in (0.5, 1.0, 3.0):
        turn = np.log(beta)  # p = β/(1+β)
        speed = weighted_ascent(beta=beta).speed
        assert phase_at(speed, turn + 0.1) is SpeedPhase.EXPANDING
        assert phase_at(speed, turn - 0.1) is SpeedPhase.CONTRACTING


def test_flow_that_stands_still_has_no_ratio() -> None:
    assert gap_factor(distillation().speed, 0.0, 0.0) is NoRatio.STANDS_STILL
