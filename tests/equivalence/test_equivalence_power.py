from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retrain_equivalence.equivalence.power import (
    detectable_effect,
    equivalence_margin,
    n_for_power,
    power_of_sign_flip,
    power_of_t,
    power_of_tost,
)
from retrain_equivalence.equivalence.sign_flip import attainable_size

DETECTABLE = {3: 3.3, 4: 2.1, 5: 1.7, 6: 1.4, 8: 1.2, 10: 1.0, 12: 0.89, 16: 0.75, 20: 0.66}
MARGIN = {3: 2.7, 4: 1.9, 5: 1.6, 6: 1.4, 8: 1.15, 10: 1.0, 12: 0.90, 16: 0.77, 20: 0.68}


@pytest.mark.parametrize(("n", "value"), DETECTABLE.items())
def test_detectable_effect_is_the_published_table(n: int, value: float) -> None:
    assert detectable_effect(n) == pytest.approx(value, abs=0.05 if value >= 1 else 0.005)


@pytest.mark.parametrize(("n", "value"), MARGIN.items())
def test_equivalence_margin_is_the_published_table(n: int, value: float) -> None:
    assert equivalence_margin(n) == pytest.approx(value, abs=0.05 if value >= 1 else 0.006)


def test_two_replicates_are_computed_where_the_noncentral_t_is_not() -> None:
    assert power_of_t(detectable_effect(2), 2) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("margin", "n", "stated"), [(2.0, 5, 0.95), (1.0, 5, 0.30)])
def test_power_of_tost_is_the_published_one_and_simulates(margin: float, n: int, stated: float) -> None:
    assert power_of_tost(margin, n) == pytest.approx(stated, abs=0.01)
    draws = np.random.default_rng(0).normal(size=(40_000, n))
    half = stats.t.ppf(0.95, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
    assert power_of_tost(margin, n) == pytest.approx(np.mean(np.abs(draws.mean(axis=1)) + half < margin), abs=0.01)


def test_one_replicate_detects_nothing() -> None:
    with pytest.raises(ValueError, match="one replicate"):
        detectable_effect(1)
    with pytest.raises(ValueError, match="one replicate"):
        equivalence_margin(1)


@pytest.mark.parametrize("n", [6, 8, 10])
def test_power_of_the_sign_flip_at_no_effect_is_its_attainable_size(n: int) -> None:
    # Monte-Carlo sd .25 points at 8,000 studies.
    assert power_of_sign_flip(0.0, n) == pytest.approx(attainable_size(n), abs=0.008)


def test_power_of_the_sign_flip_is_none_below_six_and_grows_with_effect_and_replicates() -> None:
    assert power_of_sign_flip(50.0, 5) == 0.0
    assert power_of_sign_flip(50.0, 6) == 1.0
    grid = [[power_of_sign_flip(effect, n) for n in (6, 8, 12)] for effect in (0.5, 1.0, 1.5)]
    assert np.all(np.diff(grid, axis=0) > 0) and np.all(np.diff(grid, axis=1) > 0)


def test_power_of_the_sign_flip_is_close_to_that_of_t_where_it_has_its_size() -> None:
    assert power_of_sign_flip(1.0, 10) == pytest.approx(power_of_t(1.0, 10), abs=0.025)
    assert power_of_sign_flip(1.2, 6) < power_of_t(1.2, 6) - 0.1


@pytest.mark.parametrize(("effect", "n"), [(1.7, 5), (1.0, 10), (0.5, 34), (0.1, 787)])
def test_replicates_for_power(effect: float, n: int) -> None:
    assert n_for_power(effect) == n
    assert power_of_t(effect, n) >= 0.8 > power_of_t(effect, n - 1)


def test_replicates_for_power_of_the_other_tests_and_for_too_little() -> None:
    assert n_for_power(1.0, of=power_of_sign_flip) == 11
    n = n_for_power(1.0, of=power_of_tost)
    assert n is not None and power_of_tost(1.0, n) >= 0.8 > power_of_tost(1.0, n - 1)
    assert n_for_power(0.01) is None
    assert n_for_power(-1.0) == n_for_power(1.0)
