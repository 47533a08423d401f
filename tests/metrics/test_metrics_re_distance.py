"""Retrain equivalence for any predictor, and the signed difference of answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from retrain_equivalence.metrics.distributional import expected_loss
from retrain_equivalence.metrics.pointwise import answer_logprob_difference, hellinger, re_distance, squared_l2

numbers = st.floats(-50, 50)
predictions = arrays(np.float64, (4, 3), elements=numbers)


def test_hand_worked_distance() -> None:
    one, two = [[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 4.0]]
    assert re_distance.per_point(one, two).tolist() == [5.0, 25.0]
    assert re_distance.re_distance(one, two) == 15.0


@given(predictions, predictions)
def test_it_is_scipys_squared_distance(one: np.ndarray, two: np.ndarray) -> None:
    assert re_distance.per_point(one, two) == pytest.approx(np.diag(cdist(one, two, "sqeuclidean")), abs=1e-9)


@given(predictions, predictions, predictions)
def test_its_root_over_all_points_is_a_metric(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    def root(x: np.ndarray, y: np.ndarray) -> float:
        return math.sqrt(re_distance.re_distance(x, y))

    assert root(a, a) == 0
    assert root(a, b) == root(b, a)
    assert root(a, c) <= root(a, b) + root(b, c) + 1e-9


def test_the_distances_of_probabilities_are_it() -> None:
    p, q = np.random.Generator(np.random.Philox(0)).dirichlet(np.ones(5), size=(2, 7))
    assert squared_l2.per_position(p, q).mean() == pytest.approx(re_distance.re_distance(p, q), abs=1e-15)
    assert hellinger.per_position(p, q).mean() == pytest.approx(
        re_distance.re_distance(np.sqrt(p / 2), np.sqrt(q / 2)), abs=1e-15
    )


def test_equivalence_holds_at_the_tolerance_and_not_above() -> None:
    assert re_distance.is_retrain_equivalent(0.0, 1e-9)
    assert re_distance.is_retrain_equivalent(0.25, 0.25)
    assert not re_distance.is_retrain_equivalent(math.nextafter(0.25, 1), 0.25)


@pytest.mark.parametrize(("distance", "epsilon"), [(-1.0, 1.0), (math.nan, 1.0), (1.0, 0.0), (1.0, math.inf)])
def test_tolerances_that_mean_nothing_are_refused(distance: float, epsilon: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        re_distance.is_retrain_equivalent(distance, epsilon)


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ([[1.0]], [[1.0, 2.0]], "one shape"),
        ([1.0], [1.0], "one shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "at least one"),
        ([[math.nan]], [[0.0]], "finite"),
    ],
)
def test_wrong_predictions_are_refused(one: object, two: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        re_distance.re_distance(np.asarray(one), np.asarray(two))


ITEMS = [0, 0, 0, 1, 2, 2]
logps = arrays(np.float64, 6, elements=st.floats(-30, 0))


@given(logps, logps)
def test_the_answer_difference_is_signed_and_minus_the_loss_difference(one: np.ndarray, two: np.ndarray) -> None:
    found = answer_logprob_difference.difference(one, two, ITEMS)
    assert answer_logprob_difference.difference(two, one, ITEMS) == pytest.approx(-found, abs=1e-12)
    losses = [expected_loss.of_items(side, ITEMS)[None, :] for side in (one, two)]
    assert expected_loss.difference(*losses) == pytest.approx(-found, abs=1e-12)


def test_long_answers_count_no_more_than_short_ones() -> None:
    assert answer_logprob_difference.difference([-1, -1, -1, -4, 0, 0], [0] * 6, ITEMS) == pytest.approx(-5 / 3)


def test_wrong_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="same positions"):
        answer_logprob_difference.difference([-1.0], [-1.0, -2.0], [0])
    with pytest.raises(ValueError, match="finite"):
        answer_logprob_difference.difference([-math.inf], [-1.0], [0])
