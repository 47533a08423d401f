from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from retrain_equivalence.equivalence import spending

PUBLISHED = {
    0.025: (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
    0.05: (4.2292, 2.8881, 2.2981, 1.9618, 1.7397),
}
"""Bounds at five equally spaced looks, as tabled for the Lan-DeMets O'Brien-Fleming spending function."""


@pytest.mark.parametrize(("alpha", "bounds"), PUBLISHED.items())
def test_bounds_are_the_published_ones(alpha: float, bounds: tuple[float, ...]) -> None:
    found = [float(stats.norm.isf(level)) for level in spending.levels((1, 2, 3, 4), 5, alpha)]
    assert found == pytest.approx(bounds, abs=2e-4)


@pytest.mark.parametrize("counts", [(5, 20), (5, 10, 20), (5, 8, 10, 20)])
def test_crossing_probabilities_are_those_of_the_multivariate_normal_law(counts: tuple[int, ...]) -> None:
    bounds = stats.norm.isf(spending.levels(counts[:-1], counts[-1]))
    times = np.array(counts) / counts[-1]
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    for k in range(1, len(counts) + 1):
        stays = stats.multivariate_normal.cdf(
            bounds[:k], cov=correlation[:k, :k], abseps=1e-8, releps=1e-8, maxpts=2_000_000, rng=0
        )
        assert 1 - stays == pytest.approx(spending.spent(times[k - 1]), abs=2e-6)


def test_without_looks_it_is_the_nominal_level() -> None:
    assert spending.levels((), 12) == pytest.approx((0.05,), abs=1e-12)
    assert spending.spent(1.0, 0.01) == pytest.approx(0.01)


@settings(max_examples=30)
@given(st.sets(st.integers(1, 29), max_size=6), st.sampled_from([0.01, 0.05, 0.1]))
def test_a_level_lies_between_the_share_of_its_look_and_all_that_was_spent(looks: set[int], alpha: float) -> None:
    counts = [*sorted(looks), 30]
    used = [0.0, *(spending.spent(count / 30, alpha) for count in counts)]
    found = spending.levels(counts[:-1], 30, alpha)
    assert len(found) == len(counts)
    for level, before, after in zip(found, used, used[1:], strict=False):
        assert after - before <= level + 1e-12 and level <= after + 1e-12
    assert used[-1] == pytest.approx(alpha)


@pytest.mark.parametrize("looks", [(5, 5), (8, 5), (0, 5), (20,), (25,)])
def test_looks_must_ascend_before_the_end(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="looks"):
        spending.levels(looks, 20)


def test_spent_looks_hold_where_bare_ones_do_not() -> None:
    draws = np.random.default_rng(1).normal(size=(20_000, 20))
    counts = (5, 8, 10, 15, 20)

    def wrong(levels: tuple[float, ...]) -> float:
        crossed = np.zeros(len(draws), dtype=bool)
        for n, level in zip(counts, levels, strict=True):
            some = draws[:, :n]
            t = some.mean(axis=1) / (some.std(axis=1, ddof=1) / np.sqrt(n))
            crossed |= stats.t.sf(t, n - 1) <= level
        return float(crossed.mean())

    # Monte-Carlo sd .15 points; with the spread estimated from each look's own runs the levels stay near their sum.
    assert wrong(spending.levels(counts[:-1], 20)) == pytest.approx(0.05, abs=0.006)
    assert wrong((0.05,) * 5) > 0.10
