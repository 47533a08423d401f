"""Median, range and interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.summary import Summary, band_points, half_width


def test_by_hand() -> None:
    found = Summary.of([1.0, 2.0, 6.0])
    assert (found.n, found.median, found.low, found.high, found.mean) == (3, 2.0, 1.0, 6.0, 3.0)
    # s = √7, t_{0.975, 2} = 4.302653.
    assert found.half_width == pytest.approx(4.302653 * np.sqrt(7 / 3), rel=1e-6)
    assert found.interval() == "3 [-3.57, 9.57]"


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=17)
    low, high = stats.t.interval(0.95, 16, loc=values.mean(), scale=stats.sem(values))
    found = Summary.of(values)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high), rel=1e-12)


def test_interval_covers_the_mean_at_its_level() -> None:
    rng = np.random.default_rng(1)
    hits = sum(abs(s.mean) <= s.half_width for s in (Summary.of(rng.standard_normal(5)) for _ in range(2000)))
    # 95 % of 2,000, three standard errors.
    assert abs(hits / 2000 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_one_seed_has_no_interval_and_says_so() -> None:
    found = Summary.of([3.0])
    assert found.half_width == float("inf")
    assert found.numbers()["half_width_95"] == "undefined: one seed"
    assert found.text() == "3 (3 to 3)"


def test_undefined_values_are_refused() -> None:
    for values in ([], [1.0, float("nan")], [float("inf")]):
        with pytest.raises(InputError, match="E-DATA-101"):
            Summary.of(values)


def test_the_interval_of_one_seed_is_a_word() -> None:
    assert Summary.of([2.5]).interval() == "2.5 [undefined: one seed]"


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_half_width_is_scipys_t_interval_in_every_column(level: float) -> None:
    values = np.random.default_rng(1).normal(size=(7, 3)) * [1, 10, 100]
    low, high = stats.t.interval(level, 6, loc=values.mean(axis=0), scale=stats.sem(values, axis=0))
    np.testing.assert_allclose(half_width(values, level), (high - low) / 2, rtol=1e-12)
    assert np.isinf(half_width(values[:1])).all()


def test_points_of_a_line_are_those_of_each_columns_summary() -> None:
    values = np.random.default_rng(2).normal(size=(9, 4))
    points = band_points("a", range(4), values)
    assert points == [{"series": "a", "x": x, **Summary.of(values[:, x]).band()} for x in range(4)]
    with pytest.raises(ValueError, match="zip"):
        band_points("a", range(3), values)
