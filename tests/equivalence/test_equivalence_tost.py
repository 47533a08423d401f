from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from retrain_equivalence.equivalence.estimate import of_sample
from retrain_equivalence.equivalence.tost import paired_t, tost
from retrain_equivalence.equivalence.verdict import Rule, judge


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_statsmodels_and_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=9), rng.normal(0.2, 1, size=9)
    estimate = of_sample(a - b, unit="", method="", undefined="")
    assert estimate.value is not None and estimate.se is not None
    assert tost(estimate.value, estimate.se, 9, 0.8) == pytest.approx(ttost_paired(a, b, -0.8, 0.8)[0], abs=1e-12)
    assert paired_t(estimate.value, estimate.se, 9) == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=1e-12)
    low, high = estimate.interval
    expected = stats.t.interval(0.95, 8, estimate.value, estimate.se)
    assert (low, high) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_p_below_5_percent_exactly_if_the_90_percent_interval_is_inside(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.1, 0.5, size=7)
    estimate = of_sample(values, unit="", method="", undefined="")
    assert estimate.value is not None and estimate.se is not None
    low, high = estimate.bounds(0.9)
    assert low is not None and high is not None
    p = tost(estimate.value, estimate.se, 7, 0.5)
    assert p is not None
    assert (p < 0.05) == (judge(low, high, 0.5, Rule.SIGNED) == "EQUIVALENT")


def test_nothing_to_test_without_spread() -> None:
    assert tost(0.0, 0.0, 5, 1.0) is None
    assert paired_t(0.0, 0.0, 5) is None
