"""The scale of debiased squared norms: by hand, in its limits, and against planted truth."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs, of_runs
from retrain_equivalence.equivalence.squared_norm import SHIFTS, noise_of_mean, of_squared_norm

SAID: dict[str, Any] = {"unit": "u", "method": "m", "undefined": "why"}


def of(differences_RD: np.ndarray) -> tuple[Jackknifed, float]:
    """The debiased squared norm of a mean vector and the noise of that mean."""
    n = len(differences_RD)
    noise = differences_RD.var(axis=0, ddof=1).sum() / n
    return among_runs(differences_RD @ differences_RD.T), float(noise)


def test_the_interval_is_that_of_the_shifted_logarithm_by_hand() -> None:
    number = of_runs(1.0, np.array([0.5, 1.0, 1.5]), np.ones(3, dtype=bool))
    found = of_squared_norm(number, 0.5, **SAID)
    logs = np.log(np.array([0.5, 1.0, 1.5]) + 1.0)
    half = stats.t.ppf(0.975, 2) * math.sqrt(2 / 3 * np.sum((logs - logs.mean()) ** 2))
    low, high = found.interval
    assert (low, high) == pytest.approx((2 * math.exp(-half) - 1, 2 * math.exp(half) - 1))
    assert found.estimate == pytest.approx(1.0)
    assert found.shown(found.scaled(0.01)) == pytest.approx(0.01)


def test_number_plus_noise_is_the_plain_squared_norm_so_the_scale_holds_every_estimate() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        differences = rng.normal(size=(rng.integers(3, 9), rng.integers(1, 4)))
        number, noise = of(differences)
        assert number.value + noise == pytest.approx(np.sum(differences.mean(axis=0) ** 2))
        assert of_squared_norm(number, noise, **SAID).se is not None


def test_far_from_0_the_scale_is_the_log_and_without_noise_the_plain_one() -> None:
    number, noise = of(np.random.default_rng(1).normal(size=(8, 3)) + 30.0)
    found, log = of_squared_norm(number, noise, **SAID), number.log()
    assert found.se == pytest.approx(log.standard_error(), rel=1e-3)
    assert of_squared_norm(number, 0.0, **SAID) == of_jackknife(number, **SAID)
    nothing = of_squared_norm(of_runs(float("nan"), np.full(3, np.nan), np.zeros(3, dtype=bool)), 0.1, **SAID)
    assert (nothing.estimate, nothing.undefined) == (None, "why")


def test_a_number_below_the_scale_is_read_on_its_own() -> None:
    number = of_runs(-1.0, np.array([-1.0, -1.1, -0.9]), np.ones(3, dtype=bool))
    assert of_squared_norm(number, 0.5 / SHIFTS, **SAID) == of_jackknife(number, **SAID)


def test_the_noise_is_what_least_squares_by_replicate_leaves() -> None:
    kernel = np.random.default_rng(3).normal(size=(6, 6))
    kernel = kernel + kernel.T
    pairs = list(combinations(range(6), 2))
    design = np.array([[1.0, *(float(r in pair) for r in range(6))] for pair in pairs])
    seen = np.array([kernel[pair] for pair in pairs])
    left = seen - design @ np.linalg.lstsq(design, seen, rcond=None)[0]
    assert noise_of_mean(kernel, 99.0) == pytest.approx(math.sqrt(left @ left / (15 - 6)) / 6)
    moved = kernel + 7.0 + np.arange(6)[:, None] + np.arange(6)[None, :]
    assert noise_of_mean(moved, 99.0) == pytest.approx(noise_of_mean(kernel, 99.0))
    assert noise_of_mean(kernel, 1e-6) == noise_of_mean(kernel[:3, :3], 1e-6) == 1e-6
    kernel[0, 1] = kernel[1, 0] = np.nan
    assert noise_of_mean(kernel, 5.0) == 5.0


@pytest.mark.parametrize("rank", [1, 20])
def test_the_noise_is_the_root_of_the_trace_of_the_squared_covariance(rank: int) -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(600):
        differences = rng.normal(size=(8, rank)) / math.sqrt(rank) + 3.0
        found.append(noise_of_mean(differences @ differences.T, 99.0) ** 2)
    assert np.mean(found) == pytest.approx(1 / rank / 64, rel=0.15)


@pytest.mark.parametrize(("rank", "n", "truth"), [(1, 5, 0.5), (1, 10, 2.0), (3, 10, 0.5), (3, 20, 0.5), (20, 5, 2.0)])
def test_each_bound_at_a_planted_norm_errs_as_rarely_as_it_says_and_the_plain_one_does_not(
    rank: int, n: int, truth: float
) -> None:
    studies, rng = 2_000, np.random.default_rng(100 * rank + n)
    errors, plain = np.zeros(2), 0
    for _ in range(studies):
        differences = rng.normal(size=(n, rank)) / math.sqrt(rank)
        differences[:, 0] += math.sqrt(truth)
        number, noise = of(differences)
        kernel = differences @ differences.T
        errors += wrong(of_squared_norm(number, noise_of_mean(kernel, noise), **SAID), truth)
        plain += wrong(of_jackknife(number, **SAID), truth)[0]
    assert (errors / studies <= 0.065 + 3 * math.sqrt(0.065 * 0.935 / studies)).all()
    if rank < 20:
        assert plain / studies > 0.065


def wrong(found: Estimate, truth: float) -> np.ndarray:
    """Whether the upper bound is below the truth, and whether the lower one is above it."""
    low, high = found.bounds(0.9)
    assert low is not None
    assert high is not None
    return np.array([high < truth, low > truth])
