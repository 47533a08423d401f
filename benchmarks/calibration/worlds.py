"""Null worlds with the dependence of real studies: prefix trees, seeds common to positions, items within clusters.

Legend: M studies, R replicates, H histories, D coordinates of a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np

from retrain_equivalence.equivalence.measurements import Floats

Order = tuple[str, ...]
POSITIONS: tuple[Order, ...] = (
    ("forget", "a", "b", "c"),
    ("a", "forget", "b", "c"),
    ("a", "b", "forget", "c"),
    ("a", "b", "c", "forget"),
)
"""The forget stage at each place of one order."""
ORACLE: Order = ("a", "b", "c")
"""The order without it: the one oracle of all four."""
ALL_ORDERS: tuple[Order, ...] = tuple(permutations(("forget", "a", "b", "c")))
CARRY = {"decaying": 0.6, "growing": 1.4}
"""What a stage does to the noise of the stages before it."""
UNEQUAL = (0.6, 1.0, 1.4, 2.0)
"""Standard deviations of histories, repeated as needed."""


def tree(
    rng: np.random.Generator,
    orders: Sequence[Order],
    studies: int,
    replicates: int,
    *,
    dims: int = 1,
    carry: float = 0.6,
    shared: float = 0.3,
) -> Floats:
    """Return unit-variance noise of the end models, [M, R, H, D].

    A model is `carry` times the model before its last stage plus the noise of that stage. Orders that begin alike share
    the models of their common beginning, and a part `shared` of a stage's noise is the same wherever the stage stands,
    since its batches come in the same order.
    """
    shape = (studies, replicates, dims)
    stages = sorted({stage for order in orders for stage in order})
    common = {stage: rng.standard_normal(shape) for stage in stages}
    states: dict[Order, Floats] = {(): rng.standard_normal(shape)}
    for order in orders:
        for depth, stage in enumerate(order, start=1):
            prefix = order[:depth]
            if prefix not in states:
                own = math.sqrt(1 - shared) * rng.standard_normal(shape)
                states[prefix] = carry * states[prefix[:-1]] + math.sqrt(shared) * common[stage] + own
    scaled = [states[order] / math.sqrt(sum(carry ** (2 * k) for k in range(len(order) + 1))) for order in orders]
    return np.stack(scaled, axis=2)


def with_items(rng: np.random.Generator, values: Floats, *, clusters: int = 6, per_cluster: int = 4) -> Floats:
    """Return the means over items of runs whose items lie in clusters: each run differs by cluster and by item."""
    by_cluster = 0.8 * rng.standard_normal((*values.shape, clusters))
    by_item = 0.8 * rng.standard_normal((*values.shape, clusters, per_cluster))
    found: Floats = values + (by_cluster[..., None] + by_item).mean(axis=(-1, -2))
    return found


def scalars(
    rng: np.random.Generator,
    orders: Sequence[Order],
    studies: int,
    replicates: int,
    *,
    carry: float = 0.6,
    unequal: bool = True,
) -> Floats:
    """Return one score per run with no effect of the order, [M, R, H]; its mean over items is what a run reports."""
    values = tree(rng, orders, studies, replicates, carry=carry)[..., 0]
    if unequal:
        values = values * np.resize(UNEQUAL, len(orders))
    return with_items(rng, values)


def half_squared(one: Floats, two: Floats) -> Floats:
    """Return `d = |x - y|^2 / 2` between all runs of two sets, [M, R, S], from [M, R, D] and [M, S, D]."""
    norms = 0.5 * (one**2).sum(axis=-1)[:, :, None] + 0.5 * (two**2).sum(axis=-1)[:, None, :]
    gaps: Floats = norms - one @ two.transpose(0, 2, 1)
    return gaps
