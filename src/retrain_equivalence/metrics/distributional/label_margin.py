"""Label margin: how much likelier the scored token is than everything else together, in log odds.

Legend: P positions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.probabilities import Array

CARD = Card(
    name="label_margin",
    level="distributional",
    row="label_margin:<set>",
    what="Log odds of the scored token, log p(y) - log(1 - p(y)), mean over positions of an item; one set of runs is "
    "held against another by the law of this number, see `margin_law_energy`.",
    unit=Unit.NATS.value,
    range="-∞ to ∞; 0 where p(y) = 1/2",
    direction="larger: the model is surer of the reference answer",
    symmetric=False,
    hilbertian=False,
    lumping="exact",
    bias="None: the scored token has a cell of its own. Half-precision storage moves it by about 2^-11 of the "
    "log-probabilities that it is made of; p(y) = 1 exactly gives an infinite margin, which is unscored.",
    sees="Confidence in the reference answer on an unbounded scale, near p(y) = 1 too, where log p(y) is flat.",
    blind="Which other token is likely instead.",
    source="Georgiev et al. 2024 (KLoM), margin z_y - logsumexp of the other logits; independent implementation: "
    "scipy.special.logit of p(y).",
)


def of_logps(label_logps_P: ArrayLike) -> Array:
    """Return the label margin at every position.

    `log p - log(1 - p)` from `log p` alone; `1 - p` is `-expm1(log p)` above `p = 1/2` and `log1p(-p)` is taken below,
    so neither end loses digits.

    Args:
        label_logps_P: log-probability of the scored token, nats, any shape, <= 0.

    Returns:
        Margins of the same shape, nats; -inf for `p = 0` and inf for `p = 1`, which the caller records as unscored.

    Raises:
        ValueError: for a log-probability above 0, or nan.

    Source: the margin of KLoM (Georgiev et al. 2024). Equal to their `z_y - logsumexp_{v != y} z_v`, since both terms
    are relative to the same normaliser. No deviation; the two-branch form is Mächler (2012), `log1mexp`.

    >>> of_logps([math.log(0.5), math.log(0.9), math.log(0.1)]).round(4).tolist()
    [0.0, 2.1972, -2.1972]
    """
    logps = np.asarray(label_logps_P, dtype=np.float64)
    if not (logps <= 0).all():
        raise ValueError("log-probabilities must be numbers of at most 0")
    with np.errstate(divide="ignore"):
        rest = np.where(logps > -math.log(2), np.log(-np.expm1(logps)), np.log1p(-np.exp(logps)))
    return np.asarray(logps - rest)
