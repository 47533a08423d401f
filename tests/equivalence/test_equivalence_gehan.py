from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retrain_equivalence.equivalence import gehan, sign_flip

INF, NAN = np.inf, np.nan


def test_by_hand() -> None:
    one = np.array([5.0, INF, 0.0, -1.0, 9.0, INF, NAN, 10.0, -2.0])
    two = np.array([7.0, 3.0, 0.0, 4.0, INF, 12.0, 1.0, INF, -4.0])
    found = gehan.paired(one, two, horizon=10.0)
    # 12 lies behind the horizon, so nobody knows it; 10 is the horizon itself and was seen.
    assert found.signs_R.tolist() == [-1, 1, 0, -1, -1, 0, -1, 0]
    assert (found.n, found.told) == (8, 5)
    assert found.estimate == pytest.approx(-3 / 8)
    assert found.p_value == pytest.approx(2 * (1 + 5) / 2**5)


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=12))
def test_p_value_is_the_sign_flip_of_the_signs_and_the_binomial_one(signs: list[int]) -> None:
    one, two = np.array(signs, dtype=float) + 5, np.full(len(signs), 5.0)
    found = gehan.paired(one, two, horizon=10.0)
    assert found.signs_R.tolist() == signs
    assert found.p_value == pytest.approx(sign_flip.of_differences(np.array(signs, dtype=float)))
    if found.told:
        assert found.p_value == pytest.approx(stats.binomtest(signs.count(1), found.told).pvalue)


@given(st.integers(0, 10_000))
def test_exchanging_the_runs_turns_the_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.exponential(8.0, size=(2, 9))
    found, turned = gehan.paired(one, two, 10.0), gehan.paired(two, one, 10.0)
    assert np.array_equal(found.signs_R, -turned.signs_R)
    assert found.p_value == turned.p_value


def test_many_replicates_stay_exact() -> None:
    found = gehan.paired(np.full(30, 2.0), np.full(30, 1.0), 10.0)
    assert found.p_value == pytest.approx(2.0**-29)


def test_nobody_can_tell() -> None:
    found = gehan.paired(np.full(8, INF), np.full(8, INF), 10.0)
    assert (found.p_value, found.told, found.estimate) == (1.0, 0, 0.0)


def test_without_replicates_it_is_undefined() -> None:
    found = gehan.paired(np.array([NAN]), np.array([1.0]), 10.0)
    assert (found.p_value, found.estimate, found.n) == (None, None, 0)


def test_size_under_censoring_holds_and_an_effect_is_found() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(3000, 10))
    noise = rng.normal(size=(2, 3000, 10))
    times = 8 * np.exp(0.3 * shared + 0.3 * noise) - 4

    def rejected(one: np.ndarray, two: np.ndarray) -> float:
        p_values = [gehan.paired(a, b, 9.0).p_value for a, b in zip(one, two, strict=True)]
        return float(np.mean([p is not None and p <= 0.05 for p in p_values]))

    assert np.mean(times[0] > 9.0) > 0.05
    assert 0.005 < rejected(*times) < 0.05 + 3.3 * 0.004
    assert rejected(times[0] + 4, times[1]) > 0.5
