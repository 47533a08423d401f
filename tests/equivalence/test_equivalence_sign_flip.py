from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from retrain_equivalence.equivalence.sign_flip import of_differences, of_inner_products, smallest_n


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
