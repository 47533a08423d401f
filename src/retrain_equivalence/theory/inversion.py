"""Inversion: one ascent step undoes a proximal stage exactly, if nothing was trained after it.

A proximal stage ends where ∇L(θ) + μ'(θ − θ_prev) = 0. Read backwards: θ_prev = θ + ∇L(θ)/μ', one gradient *ascent*
step of size 1/μ'. Nothing is assumed of L but that θ is a stationary point of the stage's objective.
"""

from __future__ import annotations

from collections.abc import Callable

from retrain_equivalence.theory.arrays import Array, positive


def before_stage(theta: Array, gradient: Callable[[Array], Array], proximity: float) -> Array:
    """Return θ_prev from the end of its stage: `θ_prev = θ + ∇L(θ)/μ'`.

    Condition: θ is a stationary point of `L(θ) + ½ μ'‖θ − θ_prev‖²`, for any L differentiable there, convex or not; an
    optimiser that stops with residual g leaves the error g/μ'.

    Args:
        theta: the end of the stage, shape [d].
        gradient: ∇L.
        proximity: μ' > 0.

    Raises:
        InputError: E-DATA-102 if μ' is not positive.

    Source: derived.

    L(θ) = (θ − 3)², μ' = 2, θ_prev = 1: the stage ends at 2.

    >>> import numpy as np
    >>> before_stage(np.array([2.0]), lambda x: 2 * (x - 3), 2.0).tolist()
    [1.0]
    """
    found: Array = theta + gradient(theta) / positive(proximity, "proximity")
    return found


def inverting_learning_rate(n_rows: int, penalty: float) -> float:
    """Return η = k/(2μ): the step of ascent on (1/k)‖Xθ − y‖² that undoes `argmin ‖Xθ − y‖² + μ‖θ − θ_prev‖²`.

    There L is the *sum* and μ' = 2μ, so a step of 1/(2μ) on the sum is one of k/(2μ) on the mean. With step η the
    effect of a whole last stage is multiplied by 1 − 2μη/k: a smaller step removes a part of it, one beyond twice this
    value enlarges it. At an earlier position the step is never exact; it does harm where μ is small against the squared
    singular values of X, so that the step is long, and may even help where μ is large.

    Args:
        n_rows: k.
        penalty: μ > 0.

    Raises:
        InputError: E-DATA-102 if μ is not positive.

    >>> inverting_learning_rate(20, 0.1)
    100.0
    """
    return n_rows / (2 * positive(penalty, "penalty"))


def ascended(theta: Array, inputs: Array, targets: Array, learning_rate: float) -> Array:
    """Return θ after one ascent step on (1/k)‖Xθ − y‖²: `θ + (2η/k) Xᵀ(Xθ − y)`, shape [..., d].

    Args:
        theta: shape [..., d].
        inputs: X, shape [k, d].
        targets: y, shape [k].
        learning_rate: η > 0.

    Raises:
        InputError: E-DATA-102 if η is not positive.
    """
    step = 2 * positive(learning_rate, "learning_rate") / len(inputs)
    found: Array = theta + step * (theta @ inputs.T - targets) @ inputs
    return found
