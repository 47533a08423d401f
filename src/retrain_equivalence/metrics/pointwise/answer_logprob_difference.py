"""Signed difference of the log-probability of the reference answer: one state less another, on the same items.

Legend: P positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.reduction import mean_over_items

CARD = Card(
    name="answer_logprob_difference",
    level="pointwise",
    what="log p(y) - log q(y) of the reference answer per token, mean over positions of an item, then over items.",
    unit=Unit.NATS_PER_TOKEN.value,
    range="-∞ to ∞",
    direction="0: equally likely answers; below 0: the first state finds the answers less likely than the second",
    symmetric=False,
    hilbertian=False,
    lumping="exact",
    bias="None: linear, and the scored token has a cell of its own.",
    sees="Whether the reference answers are forgotten more or less than by the other state, with the sign.",
    blind="What is said instead, and differences that cancel over items: 0 is far from equal predictions.",
    source="The usual log-likelihood ratio of the answer; the same number as minus the difference of two mean losses.",
)


def difference(
    one_label_logps_P: ArrayLike, two_label_logps_P: ArrayLike, item_index: Sequence[int] | NDArray[np.integer]
) -> float:
    """Return the mean log-probability of the scored tokens under the first state less that under the second.

    `mean over items of mean over the item's positions of (log p(y) - log q(y))`

    Args:
        one_label_logps_P: log-probability of the scored token under the first state, nats, shape [P], finite.
        two_label_logps_P: the same under the second state.
        item_index: the item of each position, shape [P].

    Returns:
        The difference, nats/token, signed.

    Raises:
        ValueError: if the shapes differ, there is no position, or a log-probability is not finite.

    >>> difference([-1.0, -3.0, -5.0], [-2.0, -2.0, -1.0], [0, 0, 1])
    -2.0
    """
    one, two = (np.asarray(values, dtype=np.float64) for values in (one_label_logps_P, two_label_logps_P))
    if one.shape != two.shape:
        raise ValueError(f"both states have the same positions, found {one.shape} and {two.shape}")
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("log-probabilities must be finite")
    return mean_over_items(one - two, item_index)
