from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retrain_equivalence.equivalence import permutation
from retrain_equivalence.metrics.distributional import energy_distance


def distances(points_LD: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(points_LD[:, None] - points_LD, axis=2))


def first_of(n: int, m: int) -> np.ndarray:
    return np.arange(n + m) < n


def test_agrees_with_a_plain_enumeration() -> None:
    found_LL = distances(np.random.default_rng(0).normal(size=(7, 3)))

    def energy(first: set[int]) -> float:
        second = set(range(7)) - first
        across = np.mean([found_LL[i, j] for i in first for j in second])
        within = [np.mean([found_LL[i, j] for i in group for j in group if i != j]) for group in (first, second)]
        return float(2 * across - sum(within))

    every = np.array([energy(set(chosen)) for chosen in combinations(range(7), 3)])
    result = permutation.two_sample(found_LL, first_of(3, 4))
    assert result.statistic == pytest.approx(energy({0, 1, 2}))
    assert result.p_value == pytest.approx(np.mean(every >= energy({0, 1, 2}) - 1e-12))
    assert (result.n_permutations, result.exact) == (35, True)
    assert result.null_mean == pytest.approx(every.mean())


def test_statistic_is_the_unbiased_energy_distance_of_the_metrics() -> None:
    found_LL = distances(np.random.default_rng(1).normal(size=(9, 2)))
    first = first_of(4, 5)
    assert permutation.two_sample(found_LL, first).statistic == pytest.approx(
        energy_distance.statistic(found_LL, first)
    )


@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 6), (5, 5)])
def test_agrees_with_scipy_on_numbers(n: int, m: int) -> None:
    values = np.random.default_rng(n + m).normal(size=n + m)
    values[:n] += 1.2

    def statistic(one: np.ndarray, two: np.ndarray) -> float:
        points = np.concatenate([one, two])[:, None]
        return energy_distance.statistic(distances(points), first_of(n, m))

    theirs = stats.permutation_test(
        (values[:n], values[n:]), statistic, n_resamples=10_000, alternative="greater", vectorized=False
    )
    ours = permutation.two_sample(distances(values[:, None]), first_of(n, m))
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-9)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 5))
def test_the_order_of_the_runs_and_the_unit_do_not_matter(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    found_LL, first = distances(rng.normal(size=(n + m, 2))), first_of(n, m)
    result, order = permutation.two_sample(found_LL, first), rng.permutation(n + m)
    moved = permutation.two_sample(7.0 * found_LL[np.ix_(order, order)], first[order])
    assert moved.p_value == pytest.approx(result.p_value)
    assert moved.statistic == pytest.approx(7.0 * result.statistic)
    assert permutation.two_sample(found_LL, ~first).p_value == pytest.approx(result.p_value)
    assert result.p_value >= result.smallest_p - 1e-12


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 3), (4, 4), (3, 5), (2, 7)])
def test_smallest_p_is_reached_by_sets_far_apart(n: int, m: int) -> None:
    points = np.random.default_rng(0).normal(size=(n + m, 1))
    points[:n] += 1e3
    result = permutation.two_sample(distances(points), first_of(n, m))
    assert result.p_value == pytest.approx(permutation.smallest_p(n, m))
    assert result.p_value == pytest.approx((2 if n == m else 1) / comb(n + m, n))


@pytest.mark.parametrize(
    ("n", "m", "alpha", "k"), [(3, 3, 0.05, 4), (2, 2, 0.01, 5), (2, 6, 0.05, 2), (1, 30, 0.05, 1)]
)
def test_the_runs_that_are_needed_do_and_one_less_does_not(n: int, m: int, alpha: float, k: int) -> None:
    assert permutation.needed(n, m, alpha) == k
    assert permutation.smallest_p(max(n, k), max(m, k)) <= alpha
    if k > min(n, m):
        assert permutation.smallest_p(max(n, k - 1), max(m, k - 1)) > alpha


def test_below_what_drawn_labellings_can_say_no_number_of_runs_does() -> None:
    assert permutation.needed(20, 20, 1e-6) is None


def test_equal_distances_are_ties_and_find_nothing() -> None:
    equal = np.full((8, 8), 0.1)
    assert permutation.two_sample(equal, first_of(4, 4)).p_value == 1.0


def test_the_diagonal_is_not_read() -> None:
    found_LL = distances(np.random.default_rng(4).normal(size=(8, 2)))
    expected = permutation.two_sample(found_LL, first_of(4, 4))
    np.fill_diagonal(found_LL, np.nan)
    assert permutation.two_sample(found_LL, first_of(4, 4)) == expected


def test_one_run_has_no_spread() -> None:
    with pytest.raises(ValueError, match="1 and 7 runs"):
        permutation.two_sample(np.ones((8, 8)), first_of(1, 7))


def test_many_runs_are_drawn_reproducibly_with_the_observed_labels_among_them() -> None:
    points = np.random.default_rng(0).normal(size=(24, 1))
    points[:12] += 50
    one, two = (permutation.two_sample(distances(points), first_of(12, 12), seed=3) for _ in range(2))
    assert one == two and not one.exact and one.n_permutations == permutation.DRAWS + 1
    assert one.p_value == permutation.smallest_p(12, 12) == 1 / (permutation.DRAWS + 1)


def test_size_is_the_attainable_one_in_twenty_dimensions() -> None:
    rng = np.random.default_rng(8)
    found = [
        permutation.two_sample(distances(rng.standard_t(5, size=(10, 20))), first_of(5, 5)).p_value <= 0.05
        for _ in range(2000)
    ]
    # 6 of the 126 distinct labellings may be as far: 4.76 %; Monte-Carlo sd .48 points.
    assert 6 / 126 - 3.3 * 0.0048 < np.mean(found) < 6 / 126 + 3.3 * 0.0048


def test_stated_power_is_that_of_an_independent_simulation() -> None:
    rng = np.random.default_rng(99)
    found = []
    for _ in range(1500):
        points = rng.normal(size=(10, 1))
        points[:5] += 2.0
        found.append(permutation.two_sample(distances(points), first_of(5, 5)).p_value <= 0.05)
    assert np.mean(found) == pytest.approx(permutation.power_at(5, 5, 2.0), abs=0.05)
    assert permutation.power_at(3, 3, 50.0) == 0.0


@pytest.mark.parametrize("line", ["| 4 | 13 | 47 | 22 | 90 |", "| 6 | 33 | 87 | 56 | 100 |"])
def test_the_printed_table_of_power_is_what_the_function_gives(line: str) -> None:
    assert permutation.power_at.__doc__ is not None and line in permutation.power_at.__doc__
    n, *stated = (int(cell) for cell in line.strip("| ").split(" | "))
    places = ((1.0, 1), (2.0, 1), (0.5, 20), (1.0, 20))
    assert stated == [round(100 * permutation.power_at(n, n, shift, rank=rank)) for shift, rank in places]
