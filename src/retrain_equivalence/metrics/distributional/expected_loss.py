"""Expected loss: the mean over items of the loss of the reference answer, and its difference between sets of runs.

Legend: P positions, R runs of the first kind, S of the second, I items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array
from retrain_equivalence.metrics.reduction import item_means

CARD = Card(
    name="expected_loss",
    level="distributional",
    row="expected_loss:<set>",
    what="Mean over runs and items of -log p(reference answer) per token, first set less second.",
    unit=Unit.NATS_PER_TOKEN.value,
    range="-∞ to ∞",
    direction="0: equal expected loss; above 0: the first set has the higher loss",
    symmetric=False,
    hilbertian=False,
    lumping="exact",
    bias="None: linear in runs and items, and the scored token has a cell of its own.",
    sees="A shift of the loss on a set of items: forgetting on the forget set, damage elsewhere.",
    blind="Differences that cancel over items or runs, and everything about tokens that are not scored: equal expected "
    "loss is far from equal predictions.",
    source="The usual test loss; independent implementation: torch.nn.functional.cross_entropy within an item.",
)


def of_items(label_logps_P: ArrayLike, item_index: Sequence[int] | NDArray[np.integer]) -> Array:
    """Return the loss of every item: `-(mean over its positions of log p(y))`.

    Args:
        label_logps_P: log-probability of the scored token, nats, shape [P]; nan or -inf make the item's loss so.
        item_index: the item of each position, shape [P].

    Returns:
        Losses [I], nats/token, in the order of the sorted item numbers.

    Raises:
        ValueError: if the shapes differ or there is no position.

    >>> of_items([-1.0, -3.0, -5.0], [0, 0, 1]).tolist()
    [2.0, 5.0]
    """
    return np.asarray(-item_means(label_logps_P, item_index))


def difference(one_RI: ArrayLike, two_SI: ArrayLike) -> float:
    """Return the expected loss of the first set of runs less that of the second.

    `(1/RI) Σ_ri l_ri - (1/SI) Σ_si l'_si`

    Args:
        one_RI: losses of R >= 1 runs on I items, nats/token, finite.
        two_SI: losses of S >= 1 other runs on the same items.

    Returns:
        The difference, nats/token, signed.

    Raises:
        ValueError: for other items, no run, no item, or a loss that is not finite.

    >>> difference([[2.0, 5.0]], [[1.0, 4.0], [2.0, 4.0]])
    0.75
    """
    one, two = np.asarray(one_RI, dtype=np.float64), np.asarray(two_SI, dtype=np.float64)
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or 0 in (one.size, two.size):
        raise ValueError(f"losses are [runs, items] on the same items, found {one.shape} and {two.shape}")
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("losses must be finite")
    return float(one.mean() - two.mean())
