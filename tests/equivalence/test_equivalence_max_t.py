from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.equivalence import max_t, sign_flip
from retrain_equivalence.equivalence.holm import holm


def by_enumeration(differences_RK: np.ndarray) -> np.ndarray:
    """Every one of the 2^R flips, and t as it is written in a textbook."""
    R = len(differences_RK)

    def t_K(values_RK: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(values_RK.mean(axis=0)) / (values_RK.std(axis=0, ddof=1) / np.sqrt(R)))

    observed_K = t_K(differences_RK)
    largest_F = np.array([t_K(np.array(signs)[:, None] * differences_RK).max() for signs in product((1, -1), repeat=R)])
    return np.mean(largest_F[:, None] >= observed_K * (1 - 1e-9), axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_enumeration_of_the_largest_t(seed: int) -> None:
    values_RK = np.random.default_rng(seed).normal(0.5, [1.0, 3.0, 0.2], size=(7, 3))
    assert max_t.adjusted(values_RK) == pytest.approx(by_enumeration(values_RK), abs=1e-12)


def test_by_hand() -> None:
    # u = |sum| / sqrt(3 * sum of squares). Flips +++, ++-, +-+, +--: (1, 2, 3) gives 6, 0, 2, 4 over sqrt(42), that is
    # .926, 0, .309, .617; (1, -1, 1) gives 1, 1, 3, 1 thirds. The largest are .926, .333, 1, .617.
    assert max_t.adjusted(np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 1.0]])).tolist() == [0.5, 1.0]


def test_one_contrast_is_the_sign_flip() -> None:
    values_R = np.random.default_rng(3).normal(0.7, 1, size=9)
    assert max_t.adjusted(values_R[:, None]) == pytest.approx([sign_flip.of_differences(values_R)])


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 6))
def test_is_never_below_the_contrast_alone_and_keeps_their_order(seed: int, R: int, K: int) -> None:
    values_RK = np.random.default_rng(seed).normal(0.4, 1, size=(R, K))
    found_K = max_t.adjusted(values_RK)
    alone_K = np.array([sign_flip.of_differences(values_R) for values_R in values_RK.T])
    u_K = np.abs(values_RK.sum(axis=0)) / np.sqrt(np.sum(values_RK**2, axis=0))
    assert np.all(found_K >= alone_K - 1e-12) and np.all(found_K <= 1)
    assert np.all(np.diff(found_K[np.argsort(u_K)]) <= 1e-12)
    assert max_t.adjusted(values_RK * np.geomspace(0.01, 100, K)) == pytest.approx(found_K)


def test_copies_of_one_contrast_cost_nothing_where_holm_charges_for_each() -> None:
    values_R = np.random.default_rng(0).normal(1.5, 1, size=8)
    p_value = sign_flip.of_differences(values_R)
    assert max_t.adjusted(np.repeat(values_R[:, None], 30, axis=1)) == pytest.approx(np.full(30, p_value))
    assert holm([p_value] * 30)[0] == pytest.approx(30 * p_value)


def test_a_contrast_that_is_zero_everywhere_is_never_found() -> None:
    assert max_t.adjusted(np.array([[1.0, 0.0]] * 6)).tolist() == [2**-5, 1.0]


def test_six_replicates_do_for_any_number_of_contrasts() -> None:
    assert max_t.smallest_n() == 6
    many_RK = np.ones((6, 500))
    assert max_t.adjusted(many_RK).max() == 2**-5 and max_t.adjusted(many_RK[:5]).max() == 2**-4


def test_family_wise_error_on_dependent_contrasts_of_one_null() -> None:
    rng = np.random.default_rng(11)
    # 24 orders: what a replicate shares grows along the orders, so that contrasts against the last are dependent.
    noise_SRH = np.cumsum(rng.normal(size=(1500, 8, 24)) * np.linspace(1, 3, 24), axis=2)
    found = [max_t.adjusted(noise_RH[:, 1:] - noise_RH[:, :1]).min() <= 0.05 for noise_RH in noise_SRH]
    # Attainable 4.69 % at 8 replicates; Monte-Carlo sd .55 points.
    assert 0.0469 - 3.3 * 0.0055 < np.mean(found) < 0.0469 + 3.3 * 0.0055


def test_drawn_flips_are_reproducible_and_near_the_exact_ones() -> None:
    values_RK = np.random.default_rng(2).normal(0.45, 1, size=(15, 2))
    drawn = max_t.adjusted(values_RK, seed=1)
    assert np.array_equal(drawn, max_t.adjusted(values_RK, seed=1))
    assert max_t.adjusted(values_RK, seed=2) == pytest.approx(drawn, abs=0.02)
    assert drawn == pytest.approx(by_enumeration(values_RK), abs=0.02) and drawn.min() > 0
