"""Equal expected loss says nothing of RE distance: the range of d it allows, and a mirror pair under ascent."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.expected_loss import antipode, excess_loss, re_distance_range
from retrain_equivalence.theory.trajectory import iterate
from retrain_equivalence.theory.world import WorldShape, draw_world


def test_excess_is_the_expected_loss_above_the_noise() -> None:
    rng = np.random.default_rng(0)
    theta, teacher, root = rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal((4, 4))
    rows = rng.standard_normal((200_000, 4)) @ root.T
    losses = np.square(rows @ theta - rows @ teacher - 0.5 * rng.standard_normal(200_000))
    wanted = 0.25 + excess_loss(theta, teacher, root @ root.T)
    assert losses.mean() == pytest.approx(wanted, abs=4 * losses.std() / np.sqrt(200_000))


def test_range_holds_for_every_pair_and_both_ends_are_attained() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        a, b, w = rng.standard_normal((3, 3))
        spread = rng.random(3)
        ea, eb = excess_loss(a, w, spread), excess_loss(b, w, spread)
        low, high = re_distance_range(ea, eb)
        assert low * (1 - 1e-12) <= excess_loss(a, b, spread) <= high * (1 + 1e-12)
        scale = np.sqrt(eb / ea)
        assert excess_loss(a, w + scale * (a - w), spread) == pytest.approx(low, abs=1e-12)
        assert excess_loss(a, w - scale * (a - w), spread) == pytest.approx(high)


def test_mirror_pair_keeps_equal_expected_loss_under_ascent_while_its_distance_grows() -> None:
    for seed in range(20):
        world = draw_world(WorldShape(dim=30, stage_rows=(10, 12), forget=(0, 5), test_rows=10), seed)
        rows, variances = world.forget_inputs, np.linspace(0.1, 1, 30)
        teacher = world.own_oracle((0, 1))
        teacher = teacher + np.linalg.pinv(rows) @ (world.forget_targets - rows @ teacher)
        start = world.trained((0, 1))
        pair = np.stack([start, antipode(start, teacher)])
        path = iterate(rows, world.forget_targets, pair, learning_rate=1.0, n_steps=25)
        excess = np.array([[excess_loss(theta, teacher, variances) for theta in states] for states in path])
        gaps = np.array([excess_loss(states[0], states[1], variances) for states in path])
        assert excess[:, 1] == pytest.approx(excess[:, 0], rel=1e-9)
        assert gaps == pytest.approx(4 * excess[:, 0], rel=1e-9)
        assert gaps[-1] > 30 * gaps[0]


def test_bad_input_has_its_code() -> None:
    with pytest.raises(InputError, match="E-DATA-117"):
        re_distance_range(-1.0, 1.0)
