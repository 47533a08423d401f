"""Per-item laws of the label margin: n runs of one kind against m runs of another.

One unlearned model and one retrained model say little; the question is whether the *laws* over seeds agree, item by
item. Three distances between the two samples of an item's margins, each averaged over items:

    energy        unbiased energy distance, no bins, 0 in the mean for equal laws at any n
    gaussian_kl   divergence of the two fitted normal laws; its mean under equal laws is far from 0 at small n
    binned_kl     histogram divergence as published (KLoM), for comparison with published numbers only

The two divergences are biased upward at small n, so a number alone says nothing: hold it against the same number
between two independent sets of oracles of the same sizes. The sets must be independent runs (no equal seeds).

Legend: R runs of the first kind, S of the second, L = R + S, I items, B bins.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, rel_entr

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array

ENERGY = Card(
    name="margin_law_energy",
    level="distributional",
    what="Per item 2 E|X - Y| - E|X - X'| - E|Y - Y'| for the label margins X of one set of runs and Y of the other, "
    "from pairs of different runs; mean over items.",
    unit=Unit.NATS.value,
    range="0 to ∞ for the laws; the estimate may be below 0 and is not truncated",
    direction="smaller: the laws are closer; 0 only for equal laws",
    symmetric=True,
    hilbertian=True,
    lumping="exact",
    bias="None: for equal laws its mean is 0 with any numbers of runs.",
    sees="Every difference of the two laws of an item: level, spread, shape, collapsed runs.",
    blind="How items move together within a run, and what is said instead of the reference answer.",
    source="Székely and Rizzo 2013, U-form; independent implementation: the square of "
    "scipy.stats.energy_distance is its biased form.",
)

GAUSSIAN_KL = Card(
    name="margin_law_gaussian_kl",
    level="distributional",
    what="Per item KL(N(x̄, s²ₓ) ‖ N(ȳ, s²ᵧ)) with the means and unbiased variances of the label margins of both sets "
    "of runs; mean over items.",
    unit=Unit.NATS.value,
    range="0 to ∞",
    direction="smaller: the laws are closer, but only beside the number of two oracle sets of the same sizes",
    symmetric=False,
    hilbertian=False,
    lumping="exact",
    bias="Upward: for equal normal laws its mean is 0.90/0.27/0.11/0.02 nats at 5/10/20/100 runs a side, infinite with "
    "three runs or fewer in the second set.",
    sees="Level and spread of each item's margins, in units of the second set's spread.",
    blind="Shape beyond mean and variance: two clusters and one broad law may look alike.",
    source="Kullback 1959, normal laws; the mean under equal laws is exact, see `gaussian_kl_of_equal_laws`.",
)

BINNED_KL = Card(
    name="margin_law_binned_kl",
    level="distributional",
    what="KLoM as published: per item the KL of 20-bin histograms of the label margins over their joint range, clipped "
    "to ±100, empty cells of the second set floored at 1e-5; mean over items.",
    unit=Unit.NATS.value,
    range="0 to about 11.5 (= -log 1e-5)",
    direction="smaller: the laws are closer, but only beside the number of two oracle sets of the same sizes",
    symmetric=False,
    hilbertian=False,
    lumping="exact",
    bias="Upward and large: with n well below 20 runs a side most bins are empty in one set, and the floor decides the "
    "number. Not used in any verdict.",
    sees="Whether the samples fall into the same twentieths of their joint range.",
    blind="How far apart they are once no bin is shared; one outlying run widens every bin.",
    source="Georgiev et al. 2024, code RoyRin/data-unlearning-bench `compute_binned_KL_div`, which also drops the "
    "largest sample; independent implementation: scipy.stats.entropy on the counts.",
)

BINS, CLIP, FLOOR = 20, 100.0, 1e-5
"""Bins, limit of the margins in nats, and least mass of the second set, all as published."""


def energy_by_item(one_RI: ArrayLike, two_SI: ArrayLike) -> Array:
    """Return the unbiased energy distance of every item, [I].

    `2/(RS) Σ_rs |x_r - y_s| - 1/(R(R-1)) Σ_{r≠r'} |x_r - x_r'| - 1/(S(S-1)) Σ_{s≠s'} |y_s - y_s'|`

    The sums over pairs come from order statistics, `Σ_{k<l} |z_k - z_l| = Σ_k (2k - L + 1) z_(k)` with k from 0; what
    crosses the two sets is the pooled sum less the two inner ones. An item of equal values throughout gives 0.

    Args:
        one_RI: margins of R >= 2 runs on I items, nats, finite.
        two_SI: margins of S >= 2 other runs on the same items.

    Returns:
        One number per item, nats; may be negative.

    Raises:
        ValueError: for fewer than two runs a side, other items, no item, or a margin that is not finite.

    Source: Székely and Rizzo (2013). Deviation: U-statistics, without a run's distance 0 to itself, so that equal laws
    give 0 in the mean; their V-form is positive by construction.

    >>> energy_by_item([[0.0], [2.0]], [[1.0], [3.0]]).tolist()
    [-1.0]
    """
    one, two = _checked(one_RI, two_SI)
    n, m = len(one), len(two)
    # A shift changes no difference and keeps the cancellation of the three sums small.
    centre_I = np.concatenate([one, two]).mean(axis=0)
    one, two = one - centre_I, two - centre_I
    within_one, within_two = _pair_sums(one), _pair_sums(two)
    across = _pair_sums(np.concatenate([one, two])) - within_one - within_two
    return np.asarray(2 * across / (n * m) - 2 * within_one / (n * (n - 1)) - 2 * within_two / (m * (m - 1)))


def energy(one_RI: ArrayLike, two_SI: ArrayLike) -> float:
    """Return the mean over items of `energy_by_item`, nats. Raises `ValueError` as it does.

    >>> energy([[0.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [3.0, 0.0]])
    -0.5
    """
    return float(energy_by_item(one_RI, two_SI).mean())


def gaussian_kl_by_item(one_RI: ArrayLike, two_SI: ArrayLike) -> Array:
    """Return the divergence of the two fitted normal laws of every item, [I].

    `½ [ ln(s²_y / s²_x) + (s²_x + (x̄ - ȳ)²) / s²_y - 1 ]`, unbiased variances.

    Args:
        one_RI: margins of R >= 2 runs on I items, nats, finite.
        two_SI: margins of S >= 2 other runs on the same items.

    Returns:
        One number per item, nats, >= 0. Infinite where one set does not vary on an item and the other does, or both
        stand still at different places; 0 where both stand at the same place. The caller records infinity as unscored.

    Raises:
        ValueError: as in `energy_by_item`.

    Source: Kullback (1959). Not debiased: see `gaussian_kl_of_equal_laws`.

    >>> gaussian_kl_by_item([[0.0], [2.0]], [[1.0], [3.0]]).round(6).tolist()
    [0.25]
    """
    one, two = _checked(one_RI, two_SI)
    apart_I = np.square(one.mean(axis=0) - two.mean(axis=0))
    of_one_I, of_two_I = one.var(axis=0, ddof=1), two.var(axis=0, ddof=1)
    # Equal values have a variance of rounding size, not 0.
    of_one_I = np.where(np.ptp(one, axis=0) == 0, 0.0, of_one_I)
    of_two_I = np.where(np.ptp(two, axis=0) == 0, 0.0, of_two_I)
    varies_I = (of_one_I > 0) & (of_two_I > 0)
    same_I = (of_one_I == 0) & (of_two_I == 0) & (one[0] == two[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_I = of_one_I / of_two_I
        divergence_I = 0.5 * (ratio_I - 1 - np.log(ratio_I) + apart_I / of_two_I)
    return np.where(varies_I, divergence_I, np.where(same_I, 0.0, np.inf))


def gaussian_kl(one_RI: ArrayLike, two_SI: ArrayLike) -> float:
    """Return the mean over items of `gaussian_kl_by_item`, nats; infinite if one item is. Raises `ValueError` as it.

    >>> round(gaussian_kl([[0.0], [2.0]], [[1.0], [3.0]]), 6)
    0.25
    """
    return float(gaussian_kl_by_item(one_RI, two_SI).mean())


def gaussian_kl_of_equal_laws(n: int, m: int) -> float:
    """Return the exact mean of `gaussian_kl` over two independent samples of one normal law.

    `½ [ ψ((m-1)/2) - ψ((n-1)/2) + ln((n-1)/(m-1)) + (m-1)/(m-3) (1 + 1/n + 1/m) - 1 ]`: the mean of `ln s²` is
    `ln(2/(k)) + ψ(k/2)` for k degrees of freedom, that of `1/s²` is `k/(k-2)`, and means and variances are independent.
    At `n = m` it is `½ [(n-1)/(n-3) (1 + 2/n) - 1]`.

    Args:
        n: runs of the first kind, >= 2.
        m: runs of the second kind, >= 4; with fewer the mean is infinite.

    Returns:
        The mean, nats, > 0.

    Raises:
        ValueError: for smaller n or m.

    Source: derived from the chi-squared law, no approximation.

    >>> [round(gaussian_kl_of_equal_laws(n, n), 4) for n in (5, 10, 20, 100)]
    [0.9, 0.2714, 0.1147, 0.0205]
    """
    if n < 2 or m < 4:
        raise ValueError(f"the mean exists from 2 runs against 4, found {n} against {m}")
    logarithms = float(digamma((m - 1) / 2) - digamma((n - 1) / 2)) + math.log((n - 1) / (m - 1))
    return 0.5 * (logarithms + (m - 1) / (m - 3) * (1 + 1 / n + 1 / m) - 1)


def binned_kl_by_item(one_RI: ArrayLike, two_SI: ArrayLike) -> Array:
    """Return the published histogram divergence of every item, [I].

    `Σ_b p_b ln(p_b / max(q_b, 1e-5))` over the bins with `p_b > 0`; q is divided by its sum after flooring.

    Args:
        one_RI: margins of R >= 2 runs on I items, nats, finite; the unlearned ones in KLoM.
        two_SI: margins of S >= 2 other runs on the same items; the oracles in KLoM.

    Returns:
        One number per item, nats.

    Raises:
        ValueError: as in `energy_by_item`, and where one set stands at the joint maximum alone: the published bins are
            open on the right, so nothing of it is counted and its histogram is empty.

    Source: Georgiev et al. (2024), code RoyRin/data-unlearning-bench, `compute_binned_KL_div`. No deviation but for the
    empty histogram, which gives nan there.

    >>> binned_kl_by_item([[0.0], [1.0], [20.0]], [[0.0], [9.0], [20.0]]).round(4).tolist()
    [5.4099]
    """
    one, two = _checked(one_RI, two_SI)
    return np.asarray([_published(x, y, item) for item, (x, y) in enumerate(zip(one.T, two.T, strict=True))])


def binned_kl(one_RI: ArrayLike, two_SI: ArrayLike) -> float:
    """Return the mean over items of `binned_kl_by_item`, nats. Raises `ValueError` as it does.

    >>> round(binned_kl([[0.0], [1.0], [20.0]], [[0.0], [9.0], [20.0]]), 4)
    5.4099
    """
    return float(binned_kl_by_item(one_RI, two_SI).mean())


def _checked(one_RI: ArrayLike, two_SI: ArrayLike) -> tuple[Array, Array]:
    one, two = np.asarray(one_RI, dtype=np.float64), np.asarray(two_SI, dtype=np.float64)
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or one.shape[1] == 0:
        raise ValueError(f"margins are [runs, items] on the same items, found {one.shape} and {two.shape}")
    if min(len(one), len(two)) < 2:
        raise ValueError(f"a law needs at least two runs, found {len(one)} and {len(two)}")
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("margins must be finite: leave out items that a run has no margin for")
    return one, two


def _pair_sums(values_LI: Array) -> Array:
    """Return `Σ_{k<l} |z_k - z_l|` of every column."""
    n = len(values_LI)
    return np.asarray((2 * np.arange(n) - n + 1) @ np.sort(values_LI, axis=0))


def _published(x_R: Array, y_S: Array, item: int) -> float:
    x, y = np.clip(x_R, -CLIP, CLIP), np.clip(y_S, -CLIP, CLIP)
    first, last = min(x.min(), y.min()), max(x.max(), y.max())
    edges = np.linspace(first, last if last > first else first + 1, BINS + 1)
    p, q = (np.bincount(np.digitize(z, edges), minlength=BINS + 2)[1 : BINS + 1].astype(np.float64) for z in (x, y))
    if not (p.sum() and q.sum()):
        raise ValueError(f"item {item}: one set stands at the joint maximum, which the published bins leave out")
    p /= p.sum()
    q /= q.sum()
    floored = np.where(p > 0, np.maximum(q, FLOOR), q)
    return float(rel_entr(p, floored / floored.sum()).sum())
