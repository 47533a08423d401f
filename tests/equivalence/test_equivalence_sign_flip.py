from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from retrain_equivalence.equivalence.sign_flip import (
    attainable_size,
    of_contrasts,
    of_differences,
    of_inner_products,
    smallest_n,
)


def test_differences_by_exact_enumeration() -> None:
    values = np.array([0.3, -1.2, 2.0, 0.7, 1.1, -0.2])
    sums = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=6)]
    assert of_differences(values) == pytest.approx(np.mean(np.array(sums) >= abs(values.sum()) - 1e-12))


def test_inner_products_equal_flipping_the_vectors() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 4)) + 0.4
    kernel = vectors @ vectors.T
    observed = np.linalg.norm(vectors.sum(axis=0))
    flipped = [np.linalg.norm(np.array(signs) @ vectors) for signs in product((1, -1), repeat=6)]
    np.fill_diagonal(kernel, np.nan)
    assert of_inner_products(kernel) == pytest.approx(np.mean(np.array(flipped) >= observed - 1e-12))


@pytest.mark.parametrize(("tests", "n"), [(1, 6), (12, 9), (66, 12), (276, 14)])
def test_smallest_n_is_the_published_one(tests: int, n: int) -> None:
    assert smallest_n(tests) == n


@pytest.mark.parametrize("n", [3, 6, 10])
def test_smallest_p_value(n: int) -> None:
    assert of_differences(np.ones(n)) == 2.0 ** (1 - n)


def test_ties_count_against_the_observed_one() -> None:
    assert of_differences(np.zeros(6)) == 1.0


def test_size_is_the_attainable_one() -> None:
    rng = np.random.default_rng(5)
    rejected = np.mean([of_differences(rng.normal(size=6)) <= 0.05 for _ in range(4000)])
    # Attainable 3.125 %; its Monte-Carlo sd over 4,000 is .28 points.
    assert 0.031250 - 0.009 < rejected < 0.03125 + 0.009


def test_many_replicates_are_drawn_reproducibly_and_never_give_zero() -> None:
    assert of_differences(np.ones(20), seed=3) == of_differences(np.ones(20), seed=3) > 0


ATTAINABLE = {5: 0.0, 6: 3.12, 7: 4.69, 8: 4.69, 9: 4.69, 10: 4.88, 12: 4.98}


@pytest.mark.parametrize(("n", "percent"), ATTAINABLE.items())
def test_attainable_size_is_the_published_one(n: int, percent: float) -> None:
    assert 100 * attainable_size(n) == pytest.approx(percent, abs=0.006)


@pytest.mark.parametrize(("n", "alpha"), [(4, 0.05), (6, 0.05), (7, 0.01), (9, 0.1)])
def test_attainable_size_is_the_largest_p_value_at_or_below_alpha(n: int, alpha: float) -> None:
    # Powers of two have no two equal partial sums, so that each flip gives its own p-value.
    values = 2.0 ** np.arange(n)
    p_values = {of_differences(np.array(signs) * values) for signs in product((1, -1), repeat=n)}
    assert attainable_size(n, alpha) == max((p for p in p_values if p <= alpha), default=0.0)


def test_two_histories_are_the_sign_flip_of_their_differences() -> None:
    values_HR = np.random.default_rng(4).normal(size=(2, 8))
    assert of_contrasts(values_HR) == pytest.approx(of_differences(values_HR[0] - values_HR[1]))


def test_what_a_replicate_shares_moves_no_contrast() -> None:
    rng = np.random.default_rng(4)
    values_HR, shared_R = rng.normal(size=(5, 7)), 100 * rng.normal(size=7)
    assert of_contrasts(values_HR + shared_R) == pytest.approx(of_contrasts(values_HR))
    assert of_contrasts(np.tile(shared_R, (4, 1))) == 1.0


@pytest.mark.parametrize("n", [6, 10])
def test_size_over_24_dependent_histories_is_the_attainable_one(n: int) -> None:
    rng = np.random.default_rng(n)
    # Noise that grows along the orders and is shared by neighbours, as by runs with common prefixes.
    noise_SHR = np.cumsum(rng.normal(size=(2000, 24, n)) * np.linspace(0.5, 2, 24)[:, None], axis=1)
    rejected = np.mean([of_contrasts(values_HR) <= 0.05 for values_HR in noise_SHR])
    assert attainable_size(n) - 0.016 < rejected < attainable_size(n) + 0.016


def test_a_history_that_differs_is_found() -> None:
    values_HR = np.random.default_rng(0).normal(size=(6, 8))
    values_HR[2] += 3.0
    assert of_contrasts(values_HR) <= 0.05
