from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from retrain_equivalence.equivalence.power import detectable_effect, equivalence_margin, power_of_t, power_of_tost

DETECTABLE = {3: 3.3, 4: 2.1, 5: 1.7, 6: 1.4, 8: 1.2, 10: 1.0, 12: 0.89, 16: 0.75, 20: 0.66}
MARGIN = {3: 2.7, 4: 1.9, 5: 1.6, 6: 1.4, 8: 1.15, 10: 1.0, 12: 0.90, 16: 0.77, 20: 0.68}


@pytest.mark.parametrize(("n", "value"), DETECTABLE.items())
def test_detectable_effect_is_the_published_table(n: int, value: float) -> None:
    assert detectable_effect(n) == pytest.approx(value, abs=0.05 if value >= 1 else 0.005)


@pytest.mark.parametrize(("n", "value"), MARGIN.items())
def test_equivalence_margin_is_the_published_table(n: int, value: float) -> None:
    assert equivalence_margin(n) == pytest.approx(value, abs=0.05 if value >= 1 else 0.006)


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_power_of_t_agrees_with_statsmodels(n: int) -> None:
    assert power_of_t(0.9, n) == pytest.approx(TTestPower().power(0.9, n, 0.05), abs=1e-7)


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
