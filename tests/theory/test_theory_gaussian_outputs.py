"""Noisy outputs: exact formulas against integration and simulation; the common-law bound against a linear program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, optimize, sparse, stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.gaussian_outputs import (
    common_delta,
    composed_bound,
    hockey_stick,
    least_common_delta,
    midpoint_delta,
    mixture_delta,
    noise_needed,
    output_gap,
    summed_bound,
    total_variation,
)

CASES = [(0.3, 1.0, 0.2), (1.0, 1.0, 1.0), (2.0, 0.5, 0.7), (5.0, 2.0, 3.0), (0.01, 1.0, 0.001)]


@pytest.mark.parametrize(("gap", "noise", "epsilon"), CASES)
def test_total_variation_and_hockey_stick_equal_their_integrals(gap: float, noise: float, epsilon: float) -> None:
    def excess(x: float, order: float) -> float:
        first, second = stats.norm.pdf(x, 0, noise), stats.norm.pdf(x, gap, noise)
        return max(float(second - math.exp(order) * first), 0.0)

    for order, found in ((0.0, total_variation(gap, noise)), (epsilon, hockey_stick(gap, noise, epsilon))):
        kink = gap / 2 + order * noise**2 / gap
        whole, _ = integrate.quad(excess, kink, kink + 40 * noise, args=(order,), epsabs=1e-14, limit=200)
        assert found == pytest.approx(whole, rel=1e-6, abs=1e-12)


def test_total_variation_of_many_outputs_is_the_best_test_of_one_history_against_the_other() -> None:
    rng, n = np.random.default_rng(0), 200_000
    first, second, noise = rng.standard_normal(6), rng.standard_normal(6), 1.3
    gap = output_gap(float(np.square(first - second).mean()), 6)
    assert gap == pytest.approx(np.linalg.norm(first - second))
    likelier = [
        np.square(x - second).sum(axis=1) < np.square(x - first).sum(axis=1)
        for x in (mean + noise * rng.standard_normal((n, 6)) for mean in (first, second))
    ]
    found = likelier[1].mean() - likelier[0].mean()
    assert found == pytest.approx(total_variation(gap, noise), abs=4 * math.sqrt(0.5 / n))


def test_hockey_stick_falls_in_epsilon_rises_in_the_gap_and_stays_finite() -> None:
    gaps, orders = np.geomspace(1e-6, 1e6, 25), np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 25)])
    table = np.array([[hockey_stick(gap, 1.0, order) for order in orders] for gap in gaps])
    assert np.isfinite(table).all()
    assert (table >= 0).all() and (table <= 1).all()
    assert (np.diff(table, axis=0) >= -1e-12).all()
    assert (np.diff(table, axis=1) <= 1e-12).all()
    assert hockey_stick(0.0, 1.0, 0.5) == 0.0
    assert hockey_stick(1e6, 1.0, 1.0) == 1.0


def _common_law(gap: float, epsilon: float, cells: int = 240) -> float:
    """Return the least δ over all laws on a grid that are (ε, δ)-close to both, both ways, by linear programming."""
    edges = np.concatenate([[-np.inf], np.linspace(-6 - gap / 2, 6 + gap / 2, cells - 1), [np.inf]])
    laws = [np.diff(stats.norm.cdf(edges, centre)) for centre in (-gap / 2, gap / 2)]
    n, grow = len(laws[0]), math.exp(epsilon)
    # Variables: q, four blocks of positive parts, δ.
    eye, zero = sparse.identity(n), sparse.csr_matrix((n, n))
    column = sparse.csr_matrix((n, 1))
    rows, bounds = [], []
    for block in range(4):
        parts = [-eye if block == other else zero for other in range(4)]
        towards = block < 2
        law = laws[block % 2]
        rows.append(sparse.hstack([(-grow if towards else 1.0) * eye, *parts, column]))
        bounds.append(-law if towards else grow * law)
        sums = [np.ones((1, n)) if block == other else np.zeros((1, n)) for other in range(4)]
        rows.append(sparse.csr_matrix(np.hstack([np.zeros((1, n)), *sums, [[-1.0]]])))
        bounds.append(np.zeros(1))
    solved = optimize.linprog(
        np.eye(5 * n + 1)[-1], A_ub=sparse.vstack(rows), b_ub=np.concatenate(bounds),
        A_eq=np.hstack([np.ones((1, n)), np.zeros((1, 4 * n + 1))]), b_eq=[1.0],
    )  # fmt: skip
    assert solved.success
    return float(solved.fun)


POINTS = [(1.0, 0.1), (1.0, 1.0), (2.0, 0.5), (3.0, 1.0), (3.0, 3.0), (3.0, 0.1), (4.0, 1.0), (6.0, 1.0), (6.0, 3.0),
          (40.0, 1.0)]  # fmt: skip


@pytest.mark.parametrize(("gap", "epsilon"), POINTS)
def test_best_law_on_a_grid_comes_to_the_common_bound(gap: float, epsilon: float) -> None:
    best, bound = _common_law(gap, epsilon), least_common_delta(gap, 1.0, epsilon)
    # A grid merges cells, which can only make laws harder to tell apart.
    assert 0.998 * bound <= best <= bound * (1 + 1e-6)
    assert best <= common_delta(gap, 1.0, epsilon) * (1 + 1e-6)


def test_finer_grid_comes_closer_to_the_common_bound() -> None:
    coarse, fine = (_common_law(1.0, 1.0, cells) / least_common_delta(1.0, 1.0, 1.0) for cells in (240, 1000))
    assert coarse < fine
    assert fine == pytest.approx(1, abs=5e-4)


def _divergence(first: tuple[float, float], second: tuple[float, float], gap: float, epsilon: float) -> float:
    """Return the hockey stick of two mixtures of the two laws, by integration; pairs are weights."""

    def excess(x: float) -> float:
        pair = stats.norm.pdf(x, -gap / 2), stats.norm.pdf(x, gap / 2)
        one, other = (float(w[0] * pair[0] + w[1] * pair[1]) for w in (first, second))
        return max(one - math.exp(epsilon) * other, 0.0)

    ends = np.linspace(-gap / 2 - 12, gap / 2 + 12, 41)
    pieces = itertools.pairwise(ends.tolist())
    return float(sum(integrate.quad(excess, a, b, epsabs=1e-12, limit=200)[0] for a, b in pieces))


@pytest.mark.parametrize(("gap", "epsilon"), [*POINTS, (2.0, 0.0), (0.5, 0.01), (20.0, 0.69)])
def test_mixture_delta_is_the_larger_of_both_directions_by_integration(gap: float, epsilon: float) -> None:
    half, ends = (0.5, 0.5), ((1.0, 0.0), (0.0, 1.0))
    found = [_divergence(half, end, gap, epsilon) for end in ends]
    found += [_divergence(end, half, gap, epsilon) for end in ends]
    assert mixture_delta(gap, 1.0, epsilon) == pytest.approx(max(found), rel=1e-6, abs=1e-9)


def test_midway_is_better_at_moderate_gaps_and_the_mixture_at_large_ones() -> None:
    for point, midway, mixture in [
        ((3.0, 0.1), 0.524, 0.427),
        ((4.0, 1.0), 0.510, 0.454),
        ((6.0, 3.0), 0.567, 0.493),
        ((40.0, 1.0), 1.0, 0.5),
    ]:
        gap, epsilon = point
        assert midpoint_delta(gap, 1.0, epsilon) == pytest.approx(midway, abs=5e-4)
        assert mixture_delta(gap, 1.0, epsilon) == pytest.approx(mixture, abs=5e-4)
    for epsilon, bounds_meet, laws_meet in [(0.1, 0.633, 1.24), (1.0, 2.09, 3.51), (3.0, 3.97, 5.55)]:
        for gap in np.linspace(0.4, 12, 59):
            if abs(gap - bounds_meet) > 0.02:
                larger = summed_bound(gap, 1.0, epsilon) > composed_bound(gap, 1.0, epsilon)
                assert larger == (gap > bounds_meet)
            if abs(gap - laws_meet) > 0.02:
                smaller = mixture_delta(gap, 1.0, epsilon) < midpoint_delta(gap, 1.0, epsilon)
                assert smaller == (gap > laws_meet)


def test_common_bound_and_the_better_law_meet_at_large_gaps_and_are_apart_between() -> None:
    points = [(1.0, 0.1), (1.0, 1.0), (3.0, 1.0), (3.0, 3.0), (4.0, 1.0), (6.0, 3.0), (40.0, 1.0)]
    ratios = [common_delta(g, 1.0, e) / least_common_delta(g, 1.0, e) for g, e in points]
    assert ratios == pytest.approx([1.002, 1.214, 1.006, 4.498, 1.037, 1.042, 1.0], abs=1e-3)
    # Composing alone: at most 1/(1 + e^ε).
    assert composed_bound(40.0, 1.0, 1.0) == pytest.approx(1 / (1 + math.e))


def test_common_bounds_lie_under_the_common_laws_everywhere() -> None:
    for gap in np.geomspace(1e-3, 1e3, 30):
        for epsilon in (0.0, 0.01, 0.3, 2.0, 10.0, 1000.0):
            upper = common_delta(gap, 1.0, epsilon)
            assert upper <= 0.5
            assert 0 <= least_common_delta(gap, 1.0, epsilon) <= upper * (1 + 1e-9)
            told = total_variation(gap, 1.0)
            if epsilon < 700:
                summed = (1 - math.exp(epsilon) * (1 - told)) / 2
                assert summed_bound(gap, 1.0, epsilon) == pytest.approx(max(summed, 0.0), abs=1e-11)


def test_noise_needed_solves_the_equation_and_is_linear_in_the_gap() -> None:
    for gap, epsilon, delta in [
        (1.0, 1.0, 1e-5),
        (3.0, 0.1, 1e-3),
        (1e-4, 4.0, 1e-8),
        (1e6, 0.0, 0.5),
        (2.0, 1.0, 0.9),
    ]:
        noise = noise_needed(gap, epsilon, delta)
        assert hockey_stick(gap, noise, epsilon) == pytest.approx(delta, rel=1e-6)
        assert noise_needed(7 * gap, epsilon, delta) == pytest.approx(7 * noise, rel=1e-9)
    assert noise_needed(0.0, 1.0, 0.1) == 0.0


def test_bad_input_has_its_code() -> None:
    cases: list[tuple[Callable[[], float], str]] = [
        (lambda: total_variation(-1.0, 1.0), "E-DATA-117"),
        (lambda: total_variation(1.0, 0.0), "E-DATA-102"),
        (lambda: hockey_stick(1.0, 1.0, -0.1), "E-DATA-117"),
        (lambda: hockey_stick(math.inf, 1.0, 0.1), "E-DATA-117"),
        (lambda: noise_needed(1.0, 1.0, 0.0), "E-DATA-117"),
        (lambda: summed_bound(-1.0, 1.0, 1.0), "E-DATA-117"),
        (lambda: summed_bound(1.0, 1.0, -1.0), "E-DATA-117"),
        (lambda: mixture_delta(1.0, 1.0, -1.0), "E-DATA-117"),
        (lambda: mixture_delta(1.0, 0.0, 1.0), "E-DATA-102"),
        (lambda: common_delta(math.nan, 1.0, 1.0), "E-DATA-117"),
    ]
    for call, code in cases:
        with pytest.raises(InputError) as error:
            call()
        assert error.value.problems[0].code == code
