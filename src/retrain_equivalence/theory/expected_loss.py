"""Expected loss does not inherit the bound: models can have equal loss and be far apart.

With squared loss and a linear teacher w, E(xᵀθ − y)² = noise + (θ − w)ᵀΣ(θ − w). The excess e = ‖θ − w‖²_Σ is a
distance to *one* point; two models on the same sphere around w have the same loss. If w fits the forget rows, ascent
from 2w − θ_0 stays the mirror image 2w − θ_t of ascent from θ_0: this pair has equal expected loss at every t, while
its RE distance is 4e_t and grows as in Theorem 3.1. So closeness in expected loss can hold where RE fails at any rate.
"""

from __future__ import annotations

import math

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array


def excess_loss(theta: Array, teacher: Array, covariance: Array) -> float:
    """Return (θ − w)ᵀΣ(θ − w): expected squared loss above the noise.

    Args:
        theta: shape [d].
        teacher: w, shape [d].
        covariance: Σ, shape [d, d], or its diagonal, shape [d].

    >>> import numpy as np
    >>> excess_loss(np.array([3.0, 1.0]), np.array([1.0, 1.0]), np.array([0.5, 0.5]))
    2.0
    """
    away = theta - teacher
    return float(away @ (covariance * away if covariance.ndim == 1 else covariance @ away))


def antipode(theta: Array, teacher: Array) -> Array:
    """Return 2w − θ: the model with the same expected loss that is farthest from θ in RE distance, 4 times the excess.

    >>> import numpy as np
    >>> antipode(np.array([3.0]), np.array([1.0])).tolist()
    [-1.0]
    """
    found: Array = 2 * teacher - theta
    return found


def re_distance_range(first_excess: float, second_excess: float) -> tuple[float, float]:
    """Return all that two expected losses say of the RE distance: `(√e₁ − √e₂)² ≤ d ≤ (√e₁ + √e₂)²`, both attained.

    d is the RE distance over the law of the inputs, ‖θ₁ − θ₂‖²_Σ; this is the triangle inequality through w, and both
    ends are attained on the line through w. With equal losses e the range is 0 to 4e.

    Args:
        first_excess: e₁ ≥ 0.
        second_excess: e₂ ≥ 0.

    Raises:
        InputError: E-DATA-117 if one is negative or not finite.

    Source: derived; the range 0 to 4 is that of matched forgetting.

    >>> re_distance_range(1.0, 1.0), re_distance_range(4.0, 1.0)
    ((0.0, 4.0), (1.0, 9.0))
    """
    for excess in (first_excess, second_excess):
        if not (math.isfinite(excess) and excess >= 0):
            raise InputError.of(
                "E-DATA-117", "excess loss", f"expected a finite number of at least 0, found {excess}",
                "give the expected loss minus that of the teacher",
            )  # fmt: skip
    low, high = math.sqrt(first_excess) - math.sqrt(second_excess), math.sqrt(first_excess) + math.sqrt(second_excess)
    return low**2, high**2
