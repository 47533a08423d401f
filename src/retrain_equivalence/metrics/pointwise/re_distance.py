"""Retrain equivalence as the paper defines it: a distance for any predictor, and equivalence at a tolerance.

`squared_l2` is this with probabilities as predictions, `hellinger` with their square roots (and a factor ½).

Legend: X test points, D numbers in a prediction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array

CARD = Card(
    name="re_distance",
    level="pointwise",
    what="d = (1/m) Σ_i ‖Pred(θ_u, x_i) - Pred(θ_r, x_i)‖² over m test points, for any predictor; "
    "ε-retrain-equivalent if d <= ε.",
    unit="square of the predictions' unit",
    range="0 to ∞, or what the predictor bounds",
    direction="smaller: closer; 0 only for equal predictions on the test points",
    symmetric=True,
    hilbertian=True,
    lumping="neither bound",
    bias="Between two single runs it holds the seed noise of both: two retrained models have a distance above 0, so ε "
    "is stated beside that band.",
    sees="Every difference of the predictions on the test points.",
    blind="Inputs that are not test points, and what the predictor leaves out.",
    source="Yu et al. 2025, Definition 2.1; independent implementation: "
    "scipy.spatial.distance.cdist(..., 'sqeuclidean').",
)


def per_point(one_XD: ArrayLike, two_XD: ArrayLike) -> Array:
    """Return the squared norm of the difference of the predictions at every test point, [X].

    `‖Pred(θ_u, x) - Pred(θ_r, x)‖²`

    Args:
        one_XD: one model's predictions, shape [X, D], finite.
        two_XD: the other's, at the same test points.

    Returns:
        Squared norms, in the square of the predictions' unit.

    Raises:
        ValueError: if the shapes differ or are not [X, D].

    >>> per_point([[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]).tolist()
    [1.0, 4.0]
    """
    one, two = np.asarray(one_XD, dtype=np.float64), np.asarray(two_XD, dtype=np.float64)
    if one.ndim != 2 or one.shape != two.shape:
        raise ValueError(f"predictions are [points, numbers] of one shape, found {one.shape} and {two.shape}")
    return np.asarray(np.square(one - two).sum(axis=1))


def re_distance(one_XD: ArrayLike, two_XD: ArrayLike) -> float:
    """Return the RE distance, the mean over test points of `per_point`.

    Args:
        one_XD: predictions of the unlearned model, shape [X, D], X >= 1, finite.
        two_XD: predictions of the retrained model at the same test points.

    Returns:
        The distance, >= 0, in the square of the predictions' unit.

    Raises:
        ValueError: as `per_point`, for no test point, or predictions that are not finite.

    Source: Yu et al. (2025), Definition 2.1. No deviation: test points weigh equally here; the distances of a study
    average over positions within an item first.

    >>> re_distance([[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]])
    2.5
    """
    points_X = per_point(one_XD, two_XD)
    if points_X.size == 0 or not np.isfinite(points_X).all():
        raise ValueError("the distance needs at least one test point and finite predictions")
    return float(points_X.mean())


def is_retrain_equivalent(distance: float, epsilon: float) -> bool:
    """Return whether ε-retrain-equivalence holds, `d <= ε`.

    A statement about these two runs alone; what a study says about a method needs the distance between retrained
    models beside it, and an interval.

    Args:
        distance: an RE distance, >= 0.
        epsilon: the tolerance in the same unit, > 0.

    Returns:
        True at equality too.

    Raises:
        ValueError: for a distance that is negative or not finite, or a tolerance that is not above 0 and finite.

    Source: Yu et al. (2025), Definition 2.1. No deviation.

    >>> [is_retrain_equivalent(d, 0.1) for d in (0.05, 0.1, 0.2)]
    [True, True, False]
    """
    if not (math.isfinite(distance) and distance >= 0 and math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"a distance is at least 0 and a tolerance above 0, found {distance} and {epsilon}")
    return distance <= epsilon
