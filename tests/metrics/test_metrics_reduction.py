"""Reductions over positions and items, and when a set is unscored."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.metrics.reduction import item_weights, mean_over_items, unscored


def test_items_count_equally_however_many_positions_they_have() -> None:
    assert mean_over_items([0.0, 0.0, 0.0, 8.0], [7, 7, 7, 2]) == 4.0


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-10, 10)), min_size=1, max_size=20))
def test_mean_over_items_is_the_mean_of_item_means(rows: list[tuple[int, float]]) -> None:
    index, values = zip(*rows, strict=True)
    means = [np.mean([v for i, v in rows if i == item]) for item in set(index)]
    assert mean_over_items(values, index) == pytest.approx(float(np.mean(means)), abs=1e-12)
    assert item_weights(index).sum() == pytest.approx(1.0)


def test_nan_is_never_left_out() -> None:
    assert math.isnan(mean_over_items([1.0, math.nan, 3.0], [0, 1, 2]))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        item_weights([])
    with pytest.raises(ValueError, match="positions"):
        mean_over_items([1.0, 2.0], [0])


def test_rest_mass_is_reduced_as_the_distance_is() -> None:
    weights = item_weights([0, 0, 1])
    # Item means .3 and .1: .2, at the limit and so scored. Plain mean over positions would be .233.
    assert not unscored([[0.3, 0.3, 0.1]], weights, 0.2).any()
    assert unscored([[0.3, 0.3, 0.101]], weights, 0.2).all()


def test_one_state_is_enough_to_unscore_a_pair() -> None:
    pairs = unscored([[0.0], [0.0], [0.9]], [1.0], 0.2)
    assert pairs.tolist() == [[False, False, True], [False, False, True], [True, True, True]]


def test_a_state_without_numbers_is_unscored() -> None:
    assert unscored([[math.nan], [0.0]], [1.0], 0.2).tolist() == [[True, True], [True, False]]
