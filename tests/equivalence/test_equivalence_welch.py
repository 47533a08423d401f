from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.equivalence import welch


def test_by_hand() -> None:
    found = welch.difference(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0]))
    # Variances 1 and 1/2: se^2 = 1/3 + 1/4; df = (7/12)^2 / ((1/3)^2/2 + (1/4)^2/1) = 2.8824.
    assert found.estimate == pytest.approx(1.5)
    assert found.se == pytest.approx((7 / 12) ** 0.5)
    assert found.df == pytest.approx(49 / 17)
    assert (found.n, found.m) == (3, 2)


@pytest.mark.parametrize(
    ("one", "two"), [([1.0], [2.0, 3.0]), ([1.0, 2.0], [3.0]), ([1.0, 1.0, 1.0], [2.0, 2.0])], ids=str
)
def test_what_has_no_spread_has_an_estimate_and_no_interval(one: list[float], two: list[float]) -> None:
    found = welch.difference(np.array(one), np.array(two))
    assert found.estimate == np.mean(one) - np.mean(two)
    assert (found.se, found.df, found.p_value, found.bounds(), found.p_equivalence(1.0)) == (
        None, None, None, (None, None), None,
    )  # fmt: skip


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="0 and 2 runs"):
        welch.difference(np.array([]), np.array([1.0, 2.0]))


def test_coverage_with_unequal_spreads_and_sizes() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(3000):
        low, high = welch.difference(rng.normal(1.0, 1.0, size=5), rng.normal(0.0, 3.0, size=12)).bounds()
        assert low is not None and high is not None
        covered += low < 1.0 < high
    # Monte-Carlo sd .4 points.
    assert covered / 3000 == pytest.approx(0.95, abs=0.013)


@pytest.mark.parametrize("seed", range(10))
def test_equivalence_below_5_percent_exactly_if_the_90_percent_interval_is_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = welch.difference(rng.normal(0.1, 0.5, size=6), rng.normal(0.0, 1.0, size=9))
    low, high = found.bounds(0.9)
    p_value = found.p_equivalence(0.8)
    assert low is not None and high is not None and p_value is not None
    assert (p_value < 0.05) == (low > -0.8 and high < 0.8)
