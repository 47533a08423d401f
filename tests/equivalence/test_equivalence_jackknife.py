from __future__ import annotations

import math

import numpy as np
import pytest

from retrain_equivalence.equivalence.jackknife import among_oracles, among_runs, between, of_mean, over_whole_runs


def squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x[:, None] - y[None]) ** 2).sum(axis=-1)


def off_diagonal_mean(matrix: np.ndarray) -> float:
    return float(np.mean([matrix[r, s] for r in range(len(matrix)) for s in range(matrix.shape[1]) if r != s]))


def padded(matrix: np.ndarray, size: int) -> np.ndarray:
    whole = np.full((size, size), np.nan)
    whole[: matrix.shape[0], : matrix.shape[1]] = matrix
    return whole


def test_mean_over_different_replicates_by_hand() -> None:
    number = between(np.array([[99.0, 1.0, 2.0], [3.0, 99.0, 4.0], [5.0, 6.0, 99.0]]))
    assert number.value == pytest.approx(3.5)
    assert number.joint_N == pytest.approx([5.0, 3.5, 2.0])
    assert number.own_N == pytest.approx([4.5, 3.5, 2.5])
    assert number.oracle_N == pytest.approx([3.25, 3.5, 3.75])


@pytest.mark.parametrize("n", [3, 5, 8])
def test_log_ratio_equals_the_joint_jackknife_by_brute_force(n: int) -> None:
    rng = np.random.default_rng(n)
    runs, oracles = rng.normal(size=(n, 4)) + 1, rng.normal(size=(n, 4))

    def statistic(keep: list[int]) -> float:
        h, o = runs[keep], oracles[keep]
        return math.log(off_diagonal_mean(squared(h, o)) / off_diagonal_mean(squared(o, o)))

    left_out = np.array([statistic([j for j in range(n) if j != i]) for i in range(n)])
    expected = math.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    number = between(squared(runs, oracles)).log() - among_oracles(squared(oracles, oracles)).log()
    assert number.value == pytest.approx(statistic(list(range(n))))
    assert number.joint_N == pytest.approx(left_out)
    assert number.standard_error() == pytest.approx(expected, rel=1e-12)


def test_bias_corrected_equals_the_joint_jackknife_by_brute_force() -> None:
    n, rng = 6, np.random.default_rng(1)
    runs, oracles = rng.normal(size=(n, 4)) + 1, rng.normal(size=(n, 4))

    def statistic(keep: list[int]) -> float:
        h, o = runs[keep], oracles[keep]
        cross, within, band = (off_diagonal_mean(squared(x, y)) for x, y in ((h, o), (h, h), (o, o)))
        return cross - within / 2 - band / 2

    left_out = np.array([statistic([j for j in range(n) if j != i]) for i in range(n)])
    number = (
        between(squared(runs, oracles))
        - 0.5 * among_runs(squared(runs, runs))
        - 0.5 * among_oracles(squared(oracles, oracles))
    )
    assert number.standard_error() == pytest.approx(math.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


@pytest.mark.parametrize("extra", [0, 1, 4, 8])
def test_standard_error_is_exact_for_what_is_linear_in_two_samples_of_unequal_size(extra: int) -> None:
    # 'Distances' a_r + b_s make D_ho linear up to the terms r = s, so the error of mean(a) + mean(b) is known.
    n, rng = 40, np.random.default_rng(extra)
    total = n + extra * 10
    common = rng.normal(size=total)
    a, b = common[:n] + rng.normal(size=n), common + rng.normal(size=total)
    number = between(padded(a[:, None] + b[None, :], total))
    expected = math.sqrt(a.var(ddof=1) / n + b.var(ddof=1) / total + 2 * np.cov(a, b[:n])[0, 1] / total)
    assert number.value == pytest.approx(a.mean() + b.mean(), abs=0.02)
    assert number.standard_error() == pytest.approx(expected, rel=0.06)
    if not extra:
        assert number.standard_error() == pytest.approx(expected, rel=0.01)


def test_missing_replicates_do_not_count() -> None:
    matrix = squared(np.random.default_rng(0).normal(size=(5, 3)), np.zeros((5, 3)))
    gone = matrix.copy()
    gone[2, :] = np.nan
    gone[:, 2] = np.nan
    keep = [0, 1, 3, 4]
    whole, part = among_runs(gone), among_runs(matrix[np.ix_(keep, keep)])
    assert (whole.n, whole.value) == (4, pytest.approx(part.value))
    assert whole.standard_error() == pytest.approx(part.standard_error())


def test_one_replicate_has_no_spread() -> None:
    assert math.isnan(among_runs(np.full((1, 1), 0.0)).standard_error())
    assert math.isnan(between(padded(np.array([[0.0, 1.0, 2.0]]), 3)).standard_error())


def test_log_of_what_is_not_positive_is_undefined_not_zero() -> None:
    number = among_runs(np.full((3, 3), -1.0)).log()
    assert math.isnan(number.value)
    assert math.isnan(number.standard_error())


def test_a_ratio_is_taken_without_each_replicate_too() -> None:
    rng = np.random.default_rng(5)
    one, two = (among_runs(squared(x, x)) for x in rng.normal(size=(2, 5, 3)))
    found = one.over(two)
    assert found.value == pytest.approx(one.value / two.value)
    assert found.joint_N == pytest.approx(one.joint_N / two.joint_N)
    nothing = among_runs(np.zeros((5, 5)))
    assert np.isnan([one.over(nothing).value, *one.over(nothing).joint_N]).all()


def test_a_replicate_that_lacks_a_state_is_left_out_of_all_of_them() -> None:
    distances = np.ones((2, 2, 4, 4))
    distances[0, 1, 2], distances[1, 0, :, 2] = np.nan, np.nan
    found = np.isfinite(over_whole_runs(distances))
    wanted = ~np.eye(4, dtype=bool)
    wanted[2], wanted[:, 2] = False, False
    assert (found == wanted).all()


def test_a_mean_without_each_replicate_by_hand() -> None:
    found = of_mean(np.array([1.0, np.nan, 2.0, 6.0]))
    assert (found.value, found.joint_N.tolist(), found.n) == (3.0, [4.0, 3.0, 3.5, 1.5], 3)
    assert np.isnan(of_mean(np.array([np.nan, np.nan])).value)
