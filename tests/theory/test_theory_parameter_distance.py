"""Parameter distance against prediction distance: the range, its ends, and the floor that descent does attain."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.parameter_distance import parameter_floor, two_distances
from retrain_equivalence.theory.trajectory import states
from retrain_equivalence.theory.world import WorldShape, draw_world


def test_range_holds_and_both_ends_are_attained() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        m, d = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        rows, delta = rng.standard_normal((m, d)), rng.standard_normal(d)
        found = two_distances(delta, rows)
        assert found.least * (1 - 1e-9) <= found.prediction <= found.largest * (1 + 1e-9)
        _, _, right = np.linalg.svd(rows)
        for direction, end in ((right[0], "largest"), (right[-1], "least")):
            along = two_distances(3.0 * direction, rows)
            assert along.prediction == pytest.approx(getattr(along, end), abs=1e-12)


def test_fewer_test_rows_than_dimensions_hide_some_difference() -> None:
    rows = np.random.default_rng(1).standard_normal((4, 6))
    hidden = np.linalg.svd(rows)[2][-1]
    found = two_distances(100 * hidden, rows)
    assert found.parameter == pytest.approx(1e4)
    assert found.prediction < 1e-20
    assert found.least == 0.0


def test_descent_to_the_oracles_outputs_attains_the_parameter_floor() -> None:
    for seed in range(20):
        world = draw_world(WorldShape(dim=30, stage_rows=(10, 12), forget=(0, 5), test_rows=10), seed)
        span, theta, oracle = world.span(), world.trained((0, 1)), world.own_oracle((0, 1))
        lowest = parameter_floor(span, theta, oracle)
        targets = world.forget_inputs @ oracle
        rate = 1 / float(span.curvatures[0])
        distances = [
            float(np.square(states(span, targets, theta[None], learning_rate=rate, step=t, direction="descent")[0]
                            - oracle).sum())
            for t in (0, 1, 10, 100, 20_000)
        ]  # fmt: skip
        assert min(distances) >= lowest * (1 - 1e-12)
        assert distances[-1] == pytest.approx(lowest, rel=1e-9)
        assert distances[0] > lowest * 1.01


def test_bad_input_has_its_code() -> None:
    with pytest.raises(InputError, match="E-DATA-100"):
        two_distances(np.ones(3), np.eye(2))
