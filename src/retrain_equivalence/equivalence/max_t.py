"""Single-step maxT: one family-wise error rate over all contrasts of the same replicates, by sign flips of these.

Legend: R replicates, K contrasts (pairs, positions, steps), F sign flips.

Flipping a whole replicate keeps whatever dependence the contrasts have, so nothing has to be assumed of it. One flip
group serves all contrasts: unlike under Holm, the replicates that are needed do not grow with K.
"""

from __future__ import annotations

import numpy as np

from retrain_equivalence.equivalence import sign_flip
from retrain_equivalence.equivalence.measurements import Floats

_BLOCK = 4_000_000
"""Most numbers of a block of flips times contrasts: 32 MB."""


def smallest_n(alpha: float = 0.05) -> int:
    """Return the replicates from which an adjusted p-value can reach `alpha`, whatever the number of contrasts.

    >>> smallest_n(), smallest_n(0.01)
    (6, 8)
    """
    return sign_flip.smallest_n(1, alpha)


def adjusted(differences_RK: Floats, *, seed: int = 0) -> Floats:
    """Return the adjusted two-sided p-value of each contrast: `p_k = share of flips g with max_j |t_j(g)| >= |t_k|`.

    Strong control of the family-wise error under any dependence between contrasts, if the replicates' vectors of
    differences are symmetric about their means. Smallest p-value `2^(1-R)`.

    Computed on `u_k = |sum_r d_rk| / sqrt(R sum_r d_rk^2)` in [0, 1], of which |t| is the increasing function
    `sqrt((R-1) u^2 / (1-u^2))`: flips do not move the denominator, and |t| would be infinite where all d are equal.

    Args:
        differences_RK: one difference per replicate and contrast, finite, R >= 1, K >= 1; a contrast that is 0 in
            every replicate gets 1.
        seed: of the random flips that are drawn (observed one included) above 14 replicates.

    Returns:
        [K], each at least the p-value of the sign flip of its contrast alone.

    Source: Westfall and Young 1993, single-step maxT; sign flips of the whole replicate for exchangeability.

    >>> adjusted(np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 1.0]])).tolist()
    [0.5, 1.0]
    """
    R, K = differences_RK.shape
    scale_K = np.sqrt(R * np.sum(differences_RK**2, axis=0))
    u_RK = differences_RK / np.where(scale_K > 0, scale_K, 1.0)
    observed_K = np.abs(u_RK.sum(axis=0))
    signs_FR = sign_flip.flips(R, seed)
    step = max(1, _BLOCK // K)
    blocks = [np.abs(signs_FR[at : at + step] @ u_RK).max(axis=1) for at in range(0, len(signs_FR), step)]
    sorted_F = np.sort(np.concatenate(blocks))
    below_K = np.searchsorted(sorted_F, observed_K - sign_flip.TIES, side="left")
    return np.asarray((len(sorted_F) - below_K) / len(sorted_F), dtype=np.float64)
