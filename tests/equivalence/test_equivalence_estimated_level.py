"""A level known from oracles: by hand, and the jackknife against one that recomputes everything."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.equivalence import estimated_level
from retrain_equivalence.equivalence.jackknife import of_runs

NAN = float("nan")


def test_means_without_each_oracle_by_hand() -> None:
    level = estimated_level.mean_of_oracles(np.array([1.0, NAN, 3.0, 8.0]))
    assert level is not None
    assert level.at_L[0] == level.value == 4.0
    assert level.at_L[1:5].tolist() == [5.5, 4.0, 4.5, 2.0]
    assert level.at_L[5:9].tolist() == [4.0] * 4, "the runs alone are no part of it"
    assert level.at_L[9:].tolist() == level.at_L[1:5].tolist()
    assert level.oracles_N.tolist() == [True, False, True, True]
    assert estimated_level.mean_of_oracles(np.array([NAN, NAN])) is None


def test_halfway_by_hand_and_where_it_is_nowhere() -> None:
    oracle = estimated_level.mean_of_oracles(np.array([4.0, 6.0, 5.0]))
    assert oracle is not None
    starts = np.array([[1.0, 3.0], [0.0, 1.0]])
    level = estimated_level.halfway(oracle, starts)
    assert level is not None and level.value == (2.0 + 5.0) / 2
    # Without replicate 0 the highest start is 3 and the oracles mean 5.5; the third replicate has no runs.
    assert level.at_L[1:4].tolist() == [(3 + 5.5) / 2, (1 + 4.5) / 2, (2 + 5.0) / 2]
    assert level.at_L[4:7].tolist() == [(3 + 5) / 2, (1 + 5) / 2, (2 + 5) / 2]
    assert level.at_L[7:].tolist() == [(2 + 5.5) / 2, (2 + 4.5) / 2, (2 + 5.0) / 2]
    assert estimated_level.halfway(oracle, starts + 9) is None
    assert estimated_level.halfway(oracle, np.full((1, 2), NAN)) is None


@pytest.mark.parametrize("n_oracles", [5, 9])
def test_what_does_not_depend_on_the_level_has_the_plain_standard_error(n_oracles: int) -> None:
    rng = np.random.default_rng(n_oracles)
    values = rng.normal(size=5)
    number = estimated_level.jackknifed(
        np.tile(values, (1 + 3 * n_oracles, 1)), np.ones(5, dtype=bool), np.ones(n_oracles, dtype=bool)
    )
    assert number.value == pytest.approx(values.mean())
    assert number.standard_error() == pytest.approx(values.std(ddof=1) / np.sqrt(5))


@pytest.mark.parametrize("n_oracles", [6, 11])
def test_what_is_the_level_itself_has_the_standard_error_of_the_mean_of_oracles(n_oracles: int) -> None:
    oracles = np.random.default_rng(n_oracles).normal(size=n_oracles)
    level = estimated_level.mean_of_oracles(oracles)
    assert level is not None
    shown = np.tile(level.at_L[:, None], (1, 6))
    number = estimated_level.jackknifed(shown, np.ones(6, dtype=bool), level.oracles_N)
    assert number.value == pytest.approx(oracles.mean()) and number.n_oracles == n_oracles
    if n_oracles == 6:
        assert number.standard_error() == pytest.approx(oracles.std(ddof=1) / np.sqrt(6))
    else:
        # Two sources of one mean: those that share seeds with runs, and the rest; exact in expectation.
        assert number.standard_error() == pytest.approx(oracles.std(ddof=1) / np.sqrt(11), rel=0.35)


def test_runs_that_do_not_count_enter_nothing() -> None:
    level = estimated_level.mean_of_oracles(np.array([1.0, 2.0, 3.0, 4.0]))
    assert level is not None
    values = np.tile(np.array([1.0, 2.0, 6.0, 100.0]), (13, 1))
    number = estimated_level.jackknifed(values, np.array([True, True, True, False]), level.oracles_N)
    assert number.value == 3.0 and number.n == 3
    assert number.joint_N.tolist() == [4.0, 3.5, 1.5, 3.0] and number.oracle_N.tolist() == [3.0] * 4
    assert number.own_N.tolist() == of_runs(3.0, np.array([4.0, 3.5, 1.5, 3.0]), level.oracles_N).own_N.tolist()
