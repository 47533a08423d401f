"""Exact sign flips of whole replicates: valid for any dependence between histories, if differences are symmetric.

Attainable size: with n replicates there are `2^(n-1)` distinct outcomes, so the smallest p-value is `2^(1-n)`: below
n = 6 the test cannot reach 5 %, whatever the data.

Legend: H histories, R replicates.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from retrain_equivalence.equivalence.measurements import Floats

METHOD = "exact sign flip"
"""How findings name this test."""
LARGEST_EXACT = 14
"""Replicates up to which all flips are enumerated (8,192 of them)."""
DRAWS = 9_999
TIES = 1e-12
"""Relative size below which two statistics are one number: equal terms summed in another order differ by rounding."""


@lru_cache(maxsize=8)
def flips(n: int, seed: int) -> Floats:
    """Return the distinct sign vectors with the first sign fixed, [flips, n], the observed one first.

    All `2^(n-1)` up to n = 14; above, 9,999 drawn ones behind the observed one.
    """
    if n <= LARGEST_EXACT:
        codes = np.arange(2 ** (n - 1))
        bits = (codes[:, None] >> np.arange(n - 1)) & 1
        return np.hstack([np.ones((len(codes), 1)), 1.0 - 2.0 * bits])
    drawn = np.random.Generator(np.random.Philox(key=[seed, n])).integers(0, 2, size=(DRAWS, n))
    return np.vstack([np.ones((1, n)), 1.0 - 2.0 * drawn])


def _share(observed: float, flipped: Floats) -> float:
    slack = TIES * max(float(np.abs(flipped).max()), np.finfo(float).tiny)
    return float(np.mean(flipped >= observed - slack))


def of_differences(differences: Floats, *, seed: int = 0) -> float:
    """Return the two-sided p-value of one difference per replicate: the share of flips with |sum| at least as large.

    Args:
        differences: [n], finite.
        seed: of the random flips that are drawn (observed one included) above n = 14.

    >>> of_differences(np.array([1.0, 2.0, 3.0]))
    0.25
    """
    sums = np.abs(flips(len(differences), seed) @ differences)
    return _share(float(sums[0]), sums)


def of_inner_products(kernel: Floats, *, seed: int = 0) -> float:
    """Return the p-value that vectors delta_r are symmetric about 0, from `<delta_r, delta_s>`, r != s, alone.

    The statistic is `||sum_r g_r delta_r||^2 = const + sum over r != s of g_r g_s <delta_r, delta_s>`; large is far.

    Args:
        kernel: [n, n] inner products; the diagonal is not read (flips do not move it).
    """
    off = kernel.copy()
    np.fill_diagonal(off, 0.0)
    signs = flips(len(kernel), seed)
    sums = np.einsum("fr,fr->f", signs @ off, signs)
    return _share(float(sums[0]), sums)


def of_contrasts(values_HR: Floats, *, seed: int = 0) -> float:
    """Return the p-value that histories do not differ: `T = sum_h (sum_r g_r Z_hr)^2` over flips g of whole replicates.

    `Z_hr = y_hr - mean over h of y_hr`. Valid for any dependence between histories, if the vectors `(Z_hr)_h` are
    symmetric about 0 under the null: equal seeds and shared prefixes do no harm, where relabelling histories within
    replicates would reject 6-24 % of null studies.

    Args:
        values_HR: [H, R], one finite number per history and replicate; centred or not.
        seed: of the random flips above 14 replicates.

    Source: sign-flip (rotation) test of a multivariate mean; with two histories it is `of_differences` of these.

    >>> of_contrasts(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
    0.25
    """
    centred_HR = values_HR - values_HR.mean(axis=0)
    return of_inner_products(centred_HR.T @ centred_HR, seed=seed)


def attainable_size(n: int, alpha: float = 0.05) -> float:
    """Return the size of the two-sided test at level `alpha`: `floor(alpha F) / F` with F flips.

    Exact where the differences have no ties, whatever else their symmetric law is.

    >>> [round(100 * attainable_size(n), 2) for n in (5, 6, 7, 9, 10, 12)]
    [0.0, 3.12, 4.69, 4.69, 4.88, 4.98]
    """
    F = 2 ** (n - 1) if n <= LARGEST_EXACT else DRAWS + 1
    return math.floor(alpha * F + 1e-9) / F


def smallest_n(tests: int, alpha: float = 0.05) -> int:
    """Return the replicates from which the smallest p-value `2^(1-n)` can pass Holm over `tests` tests.

    >>> smallest_n(1), smallest_n(12), smallest_n(66)
    (6, 9, 12)
    """
    return 1 + math.ceil(math.log2(tests / alpha) - 1e-12)
