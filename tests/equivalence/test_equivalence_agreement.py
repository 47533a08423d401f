"""Every statistic that scipy or statsmodels has too: the same number to 1e-9."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from retrain_equivalence.equivalence import benjamini_hochberg, gehan, permutation, sign_flip, welch
from retrain_equivalence.equivalence.estimate import of_sample
from retrain_equivalence.equivalence.holm import holm
from retrain_equivalence.equivalence.power import power_of_sign_flip, power_of_t, power_of_tost
from retrain_equivalence.equivalence.tost import paired_t, tost

EXACTLY = 1e-9


@pytest.fixture(params=[3, 5, 8, 20])
def n(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def rng(n: int) -> np.random.Generator:
    return np.random.default_rng(n)


def test_paired_t(n: int, rng: np.random.Generator) -> None:
    one, two = rng.normal(size=(2, n))
    found = of_sample(one - two, unit="", method="", undefined="")
    assert found.value is not None and found.se is not None
    theirs = stats.ttest_rel(one, two)
    assert paired_t(found.value, found.se, n) == pytest.approx(theirs.pvalue, abs=EXACTLY)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)), abs=EXACTLY)


def test_paired_equivalence(n: int, rng: np.random.Generator) -> None:
    one, two = rng.normal(size=(2, n))
    found = of_sample(one - two, unit="", method="", undefined="")
    assert found.value is not None and found.se is not None
    assert tost(found.value, found.se, n, 0.7) == pytest.approx(ttost_paired(one, two, -0.7, 0.7)[0], abs=EXACTLY)


def test_welch(n: int, rng: np.random.Generator) -> None:
    one, two = rng.normal(0.3, 1, size=n), rng.normal(0, 2, size=n + 3)
    found, theirs = welch.difference(one, two), stats.ttest_ind(one, two, equal_var=False)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=EXACTLY)
    assert found.df == pytest.approx(theirs.df, abs=EXACTLY)
    assert found.bounds(0.9) == pytest.approx(tuple(theirs.confidence_interval(0.9)), abs=EXACTLY)
    assert found.p_equivalence(0.7) == pytest.approx(ttost_ind(one, two, -0.7, 0.7, usevar="unequal")[0], abs=EXACTLY)


def test_corrections_for_many_tests(n: int, rng: np.random.Generator) -> None:
    p_values = rng.uniform(0, 0.2, size=n)
    p_values[0] = p_values[-1]
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1], abs=EXACTLY)
    theirs = multipletests(p_values, method="fdr_bh")[1]
    assert benjamini_hochberg.adjusted(p_values.tolist()) == pytest.approx(theirs, abs=EXACTLY)


@pytest.mark.parametrize("n", [3, 6, 10])
def test_sign_flip(n: int) -> None:
    values = np.random.default_rng(n).normal(0.5, 1, size=n)
    theirs = stats.permutation_test(
        (values, np.zeros(n)), lambda one, two: abs(np.sum(one - two)), permutation_type="samples",
        n_resamples=10_000, alternative="greater", vectorized=False,
    )  # fmt: skip
    assert sign_flip.of_differences(values) == pytest.approx(theirs.pvalue, abs=EXACTLY)


@pytest.mark.parametrize("n", [4, 7])
def test_sign_flip_over_histories(n: int) -> None:
    values_HR = np.random.default_rng(n).normal(size=(3, n)) + np.array([[0.0], [0.5], [1.0]])
    Z_HR = values_HR - values_HR.mean(axis=0)
    every = np.array([np.sum((Z_HR @ np.array(signs)) ** 2) for signs in product((1, -1), repeat=n)])
    assert sign_flip.of_contrasts(values_HR) == pytest.approx(np.mean(every >= every[0] - 1e-12), abs=EXACTLY)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (5, 5)])
def test_two_sample_permutation(n: int, m: int) -> None:
    values = np.random.default_rng(n).normal(size=n + m) + 1.5 * (np.arange(n + m) < n)

    def energy(one: np.ndarray, two: np.ndarray) -> float:
        across = np.abs(one[:, None] - two).mean()
        return float(2 * across - sum(np.abs(a[:, None] - a).sum() / (len(a) * (len(a) - 1)) for a in (one, two)))

    theirs = stats.permutation_test(
        (values[:n], values[n:]), energy, n_resamples=10_000, alternative="greater", vectorized=False
    )
    found = permutation.two_sample(np.abs(values[:, None] - values), np.arange(n + m) < n)
    assert (found.statistic, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), abs=EXACTLY)


def test_gehan_signs_without_censoring_are_the_sign_test(n: int, rng: np.random.Generator) -> None:
    one, two = rng.uniform(1, 9, size=(2, n))
    theirs = stats.binomtest(int(np.sum(one > two)), n).pvalue
    assert gehan.paired(one, two, 10.0).p_value == pytest.approx(theirs, abs=EXACTLY)


@pytest.mark.parametrize("effect", [0.2, 0.9, 1.7])
def test_power_of_t(n: int, effect: float) -> None:
    df, shift = n - 1, effect * np.sqrt(n)
    critical = stats.t.ppf(0.975, df)
    theirs = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert power_of_t(effect, n) == pytest.approx(theirs, abs=EXACTLY)
    assert power_of_t(effect, n) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=EXACTLY)


@pytest.mark.parametrize(("margin", "n"), [(2.0, 5), (1.0, 10), (0.7, 20)])
def test_power_of_equivalence_by_integration_over_the_sample_sd(margin: float, n: int) -> None:
    # Owen's form, integrated over the chi-squared law by quantiles instead of a density.
    df, critical = n - 1, stats.t.ppf(0.95, n - 1)
    sd = np.sqrt(stats.chi2.ppf((np.arange(400_000) + 0.5) / 400_000, df) / df)
    inside = np.maximum(0.0, 2 * stats.norm.cdf(margin * np.sqrt(n) - critical * sd) - 1)
    assert power_of_tost(margin, n) == pytest.approx(float(inside.mean()), abs=2e-6)


@pytest.mark.parametrize(("effect", "n"), [(1.2, 8), (1.0, 10), (0.66, 20)])
def test_power_of_the_sign_flip_by_another_simulation(effect: float, n: int) -> None:
    draws = np.random.default_rng(17).normal(effect, 1, size=(1500, n))
    found = np.mean([sign_flip.of_differences(values) <= 0.05 for values in draws])
    # Monte-Carlo sd 1.2 points.
    assert power_of_sign_flip(effect, n) == pytest.approx(float(found), abs=0.035)
