"""Energy distance from a matrix: hand-worked, scipy on the line, many splits at once, and 0 under equal laws."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance as on_the_line

from retrain_equivalence.metrics.distributional import energy_distance, margin_law


def first_of(n: int, m: int) -> np.ndarray:
    return np.arange(n + m) < n


def test_by_hand() -> None:
    matrix = np.array([[0, 1, 5, 6, 4], [1, 0, 3, 2, 4], [5, 3, 0, 2, 8], [6, 2, 2, 0, 2], [4, 4, 8, 2, 0]], float)
    # Across: (5 + 6 + 4 + 3 + 2 + 4) / 6 = 4; within the first 1; within the second (2 + 8 + 2) / 3 = 4.
    assert energy_distance.statistic(matrix, first_of(2, 3)) == pytest.approx(2 * 4 - 1 - 4)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 999))
def test_on_the_line_it_is_that_of_the_margins(n: int, m: int, seed: int) -> None:
    x = np.random.Generator(np.random.Philox(seed)).normal(size=n + m)
    matrix = np.abs(np.subtract.outer(x, x))
    found = energy_distance.statistic(matrix, first_of(n, m))
    assert found == pytest.approx(margin_law.energy(x[:n, None], x[n:, None]), abs=1e-12)
    within = [np.abs(np.subtract.outer(z, z)).mean() for z in (x[:n], x[n:])]
    assert found + within[0] / (n - 1) + within[1] / (m - 1) == pytest.approx(on_the_line(x[:n], x[n:]) ** 2)


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 999))
def test_it_is_symmetric_and_names_do_not_matter(n: int, m: int, seed: int) -> None:
    draws = np.random.Generator(np.random.Philox(seed))
    points = draws.normal(size=(n + m, 3))
    matrix, first = cdist(points, points), first_of(n, m)
    matrix = (matrix + matrix.T) / 2
    found = energy_distance.statistic(matrix, first)
    assert energy_distance.statistic(matrix, ~first) == pytest.approx(found, abs=1e-12)
    turned = draws.permutation(n + m)
    assert energy_distance.statistic(matrix[np.ix_(turned, turned)], first[turned]) == pytest.approx(found, abs=1e-12)


def test_many_splits_at_once_are_the_loop_and_the_mean_over_all_splits_is_zero() -> None:
    """Over all relabellings every pair is across or within as often as chance has it: the U-form sums to 0 exactly."""
    points = np.random.Generator(np.random.Philox(4)).normal(size=(7, 2))
    matrix = cdist(points, points)
    matrix = (matrix + matrix.T) / 2
    splits = np.array([[i in chosen for i in range(7)] for chosen in itertools.combinations(range(7), 3)])
    together = energy_distance.of_splits(matrix, splits)
    assert together == pytest.approx([energy_distance.statistic(matrix, first) for first in splits], abs=1e-14)
    assert together.mean() == pytest.approx(0, abs=1e-12)


def test_equal_laws_give_zero_in_the_mean_and_a_shift_its_closed_form() -> None:
    """Points on a line, d = |x - y|, normal laws: 2 E|N(μ,2)| - 2 E|N(0,2)|."""
    draws = np.random.Generator(np.random.Philox(8))
    for shift in (0.0, 1.0):
        found = []
        for _ in range(3000):
            x = np.concatenate([shift + draws.normal(size=5), draws.normal(size=8)])
            found.append(energy_distance.statistic(np.abs(np.subtract.outer(x, x)), first_of(5, 8)))
        mean_apart = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
        truth = 2 * mean_apart - 4 / math.sqrt(math.pi)
        assert abs(np.mean(found) - truth) < 4 * np.std(found) / math.sqrt(len(found))


def test_the_diagonal_is_not_read() -> None:
    matrix = np.ones((4, 4))
    np.fill_diagonal(matrix, np.nan)
    assert energy_distance.statistic(matrix, first_of(2, 2)) == 0


@pytest.mark.parametrize(
    ("matrix", "first", "said"),
    [
        (np.zeros((3, 4)), first_of(2, 2), r"\[L, L\]"),
        (np.zeros((4, 4)), first_of(2, 3), r"\[L, L\]"),
        (np.arange(16.0).reshape(4, 4), first_of(2, 2), "symmetric"),
        (np.full((4, 4), np.nan), first_of(2, 2), "finite"),
        (np.zeros((4, 4)), first_of(1, 3), "two runs"),
        (np.zeros((4, 4)), first_of(3, 1), "two runs"),
    ],
)
def test_wrong_matrices_are_refused(matrix: np.ndarray, first: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        energy_distance.statistic(matrix, first)
