"""Laws of margins: hand-worked values, scipy, the exact mean under equal laws, and what bins do at small n."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import energy_distance, entropy, norm

from retrain_equivalence.metrics.distributional import margin_law

values = st.floats(-40, 40)


@st.composite
def samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n, m, items = draw(st.integers(2, 6)), draw(st.integers(2, 6)), draw(st.integers(1, 3))
    one, two = (draw(arrays(np.float64, (runs, items), elements=values)) for runs in (n, m))
    return one, two


def draws(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


# --- energy -------------------------------------------------------------------------------------------------------


def test_energy_by_hand() -> None:
    # Across: |0-1|, |0-4|, |3-1|, |3-4| have mean 2; within: 3 and 3.
    assert margin_law.energy_by_item([[0.0], [3.0]], [[1.0], [4.0]]).tolist() == [2 * 2 - 3 - 3]
    assert margin_law.energy_by_item([[0.0], [0.0]], [[5.0], [5.0], [5.0]]).tolist() == [10.0]


@given(samples())
def test_energy_is_the_mean_over_all_pairs(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = pair
    for item, found in enumerate(margin_law.energy_by_item(one, two)):
        x, y = one[:, item], two[:, item]
        across = np.mean([abs(a - b) for a in x for b in y])
        within = [np.mean([abs(a - b) for a, b in itertools.combinations(z, 2)]) for z in (x, y)]
        assert found == pytest.approx(2 * across - sum(within), abs=1e-9)


@given(samples())
def test_energy_is_scipys_with_the_zero_pairs_taken_out(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = pair
    n, m = len(one), len(two)
    for item, found in enumerate(margin_law.energy_by_item(one, two)):
        x, y = one[:, item], two[:, item]
        within = [np.abs(np.subtract.outer(z, z)).mean() for z in (x, y)]
        biased = found + within[0] / (n - 1) + within[1] / (m - 1)
        assert biased == pytest.approx(energy_distance(x, y) ** 2, abs=1e-9)


@given(samples(), st.floats(-1e4, 1e4))
def test_energy_is_symmetric_and_a_shift_of_both_changes_nothing(
    pair: tuple[np.ndarray, np.ndarray], shift: float
) -> None:
    one, two = pair
    found = margin_law.energy(one, two)
    assert margin_law.energy(two, one) == pytest.approx(found, abs=1e-10)
    assert margin_law.energy(one + shift, two + shift) == pytest.approx(found, abs=1e-8)
    assert margin_law.energy(one[::-1], two[::-1]) == pytest.approx(found, abs=1e-10)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_energy_of_equal_laws_is_zero_in_the_mean_and_negative_half_of_the_time(n: int) -> None:
    # Skewed and heavy: nothing about the law is assumed. 20,000 items stand for 20,000 studies.
    one, two = draws(n).lognormal(0, 1, size=(2, n, 20_000))
    found = margin_law.energy_by_item(one, two)
    assert abs(found.mean()) < 4 * found.std() / math.sqrt(len(found))
    assert (found < 0).mean() > 0.3


def test_energy_of_shifted_normal_laws_is_the_closed_form() -> None:
    """E|N(μ, 2)| = 2/√π exp(-μ²/4) + μ (2Φ(μ/√2) - 1)."""
    shift = 1.5
    one, two = draws(3).normal(size=(2, 8, 20_000))
    found = margin_law.energy_by_item(one + shift, two)
    across = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * (2 * norm.cdf(shift / math.sqrt(2)) - 1)
    truth = 2 * across - 2 * (2 / math.sqrt(math.pi))
    assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(len(found))


# --- two normal laws ----------------------------------------------------------------------------------------------


def test_gaussian_kl_by_hand() -> None:
    # Means 1 and 4, variances 2 and 8: ½ [ln 4 + (2 + 9)/8 - 1].
    found = margin_law.gaussian_kl([[0.0], [2.0]], [[2.0], [6.0]])
    assert found == pytest.approx(0.5 * (math.log(4) + 11 / 8 - 1))


def test_gaussian_kl_is_the_integral() -> None:
    one, two = draws(5).normal(size=(6, 1)), 0.4 + 1.7 * draws(6).normal(size=(9, 1))
    p, q = norm(one.mean(), one.std(ddof=1)), norm(two.mean(), two.std(ddof=1))
    integral, _ = quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -15, 15)
    assert margin_law.gaussian_kl(one, two) == pytest.approx(integral, abs=1e-7)


@given(samples(), st.floats(0.1, 10), st.floats(-100, 100))
def test_gaussian_kl_is_not_negative_and_knows_no_unit(
    pair: tuple[np.ndarray, np.ndarray], scale: float, shift: float
) -> None:
    one, two = (np.round(side, 2) for side in pair)
    found = margin_law.gaussian_kl_by_item(one, two)
    assert (found >= -1e-12).all()
    scaled = margin_law.gaussian_kl_by_item(scale * one + shift, scale * two + shift)
    finite = np.isfinite(found)
    assert scaled[finite] == pytest.approx(found[finite], rel=1e-5, abs=1e-7)


def test_gaussian_kl_of_sets_that_stand_still() -> None:
    still, moving = np.full((3, 1), 0.1), np.array([[0.0], [0.1], [0.3]])
    assert margin_law.gaussian_kl(still, still) == 0
    assert margin_law.gaussian_kl(still, still + 1) == math.inf
    assert margin_law.gaussian_kl(still, moving) == math.inf
    assert margin_law.gaussian_kl(moving, still) == math.inf


def test_the_mean_under_equal_laws_is_as_the_table_says() -> None:
    found = [margin_law.gaussian_kl_of_equal_laws(n, n) for n in (5, 10, 20, 100)]
    assert found == pytest.approx([0.9, 0.2714, 0.1147, 0.0205], abs=5e-5)
    assert margin_law.gaussian_kl_of_equal_laws(10_000, 10_000) == pytest.approx(2 / 10_000, rel=1e-3)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (10, 10), (20, 20), (100, 100), (5, 12), (30, 9)])
def test_the_mean_under_equal_laws_is_what_a_simulation_finds(n: int, m: int) -> None:
    one, two = 3 + 2 * draws(n).normal(size=(n, 20_000)), 3 + 2 * draws(100 + m).normal(size=(m, 20_000))
    found = margin_law.gaussian_kl_by_item(one, two)
    # Heavy-tailed at small m, hence the standard error and no fixed tolerance.
    error = found.std() / math.sqrt(len(found))
    assert error < 0.02
    assert abs(found.mean() - margin_law.gaussian_kl_of_equal_laws(n, m)) < 4 * error


def test_the_mean_under_equal_laws_exists_from_four_runs() -> None:
    assert margin_law.gaussian_kl_of_equal_laws(2, 4) > 1
    for n, m in ((1, 9), (9, 3)):
        with pytest.raises(ValueError, match="2 runs against 4"):
            margin_law.gaussian_kl_of_equal_laws(n, m)


# --- bins, as published -------------------------------------------------------------------------------------------


def published(p_runs: np.ndarray, q_runs: np.ndarray) -> float:
    """The same numbers another way: `numpy.histogram` of what lies below the joint maximum, and scipy's entropy."""
    p_runs, q_runs = np.clip(p_runs, -100, 100), np.clip(q_runs, -100, 100)
    both = np.concatenate([p_runs, q_runs])
    low, high = both.min(), both.max()
    if low == high:
        high = low + 1
    p, q = (np.histogram(z[z < high], bins=np.linspace(low, high, 21))[0] for z in (p_runs, q_runs))
    p, q = p / p.sum(), q / q.sum()
    return float(entropy(p, np.where(p > 0, np.maximum(q, 1e-5), q)))


@pytest.mark.parametrize("seed", range(20))
def test_binned_kl_is_the_published_number(seed: int) -> None:
    one, two = draws(seed).normal(size=(30, 1)), draws(1000 + seed).normal(0.5, 1.5, size=(25, 1))
    two[0] = 250.0 if seed % 2 else two[0]
    assert margin_law.binned_kl(one, two) == pytest.approx(published(one[:, 0], two[:, 0]), abs=1e-12)


def test_binned_kl_of_equal_values_is_zero() -> None:
    assert margin_law.binned_kl(np.full((3, 2), 7.0), np.full((4, 2), 7.0)) == 0


def test_binned_kl_has_no_number_where_the_published_bins_are_empty() -> None:
    with pytest.raises(ValueError, match="item 1"):
        margin_law.binned_kl([[0.0, 9.0], [1.0, 9.0]], [[0.0, 1.0], [1.0, 2.0]])


def test_bins_mistake_equal_laws_for_far_ones_and_energy_does_not() -> None:
    """Two sets of five oracles: the histograms say several nats, and the energy distance says nothing."""
    one, two = draws(9).normal(size=(2, 5, 4000))
    assert margin_law.binned_kl(one[:, :500], two[:, :500]) > 3
    assert abs(margin_law.energy(one, two)) < 0.03


# --- all ----------------------------------------------------------------------------------------------------------

EACH = [margin_law.energy, margin_law.gaussian_kl, margin_law.binned_kl]


@pytest.mark.parametrize("distance", EACH)
@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), "same items"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "same items"),
        (np.zeros(2), np.zeros(2), "same items"),
        (np.zeros((1, 3)), np.zeros((2, 3)), "two runs"),
        (np.full((2, 3), math.inf), np.zeros((2, 3)), "finite"),
        (np.zeros((2, 3)), np.full((2, 3), math.nan), "finite"),
    ],
)
def test_wrong_margins_are_refused(
    distance: Callable[[np.ndarray, np.ndarray], float], one: np.ndarray, two: np.ndarray, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        distance(one, two)


@pytest.mark.parametrize("distance", EACH)
def test_a_difference_of_laws_is_seen(distance: Callable[[np.ndarray, np.ndarray], float]) -> None:
    one, two, three = draws(2).normal(size=(3, 12, 400))
    assert distance(one + 2, two) > distance(three, two) + 0.5
