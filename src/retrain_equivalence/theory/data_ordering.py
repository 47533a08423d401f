"""Data-ordering attacks: training on the same rows in an order that the model's own losses choose.

Every epoch the rows are ranked by their loss under a surrogate that trains on the same batches, and served from low to
high, from high to low, or from both extremes. *Reordering* cuts the rows into batches at random and ranks the batches;
*reshuffling* ranks the rows and cuts then, so that each batch holds rows of like loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.row_loss import RowLoss
from retrain_equivalence.theory.training_log import Rows


class OrderingPolicy(StrEnum):
    """How ranked items are served."""

    RANDOM = "random"
    """As drawn: no attack."""
    LOW_HIGH = "low to high"
    HIGH_LOW = "high to low"
    OSCILLATE_IN = "oscillating in"
    """Lowest, highest, second lowest, second highest, ... to the middle."""
    OSCILLATE_OUT = "oscillating out"
    """The same from the middle outwards: backwards."""

    def arranged(self, losses: Array) -> Rows:
        """Return positions of items in the order of serving.

        Args:
            losses: of each item, shape [n]; equal losses keep their order.

        Source: Shumailov et al. (2021), the four policies.

        >>> OrderingPolicy.OSCILLATE_IN.arranged(np.array([0.1, 0.4, 0.2, 0.3])).tolist()
        [0, 1, 2, 3]
        >>> OrderingPolicy.HIGH_LOW.arranged(np.array([0.1, 0.4, 0.2, 0.3])).tolist()
        [1, 3, 2, 0]
        """
        n = len(losses)
        ranked: Rows = np.argsort(losses, kind="stable")
        if self is OrderingPolicy.RANDOM:
            return np.arange(n)
        if self is OrderingPolicy.LOW_HIGH:
            return ranked
        if self is OrderingPolicy.HIGH_LOW:
            return ranked[::-1]
        inwards = np.empty_like(ranked)
        inwards[0::2] = ranked[: (n + 1) // 2]
        inwards[1::2] = ranked[::-1][: n // 2]
        return inwards if self is OrderingPolicy.OSCILLATE_IN else inwards[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A policy and what it ranks."""

    policy: OrderingPolicy
    by_row: bool = False
    """Whether rows are ranked (reshuffling) or batches (reordering)."""

    @property
    def label(self) -> str:
        """As a table calls it."""
        if self.policy is OrderingPolicy.RANDOM:
            return "random order"
        return f"{self.policy.value}, {'rows' if self.by_row else 'batches'}"


ATTACKS: tuple[Attack, ...] = (
    Attack(policy=OrderingPolicy.RANDOM),
    *(Attack(policy=p, by_row=by_row) for by_row in (False, True) for p in list(OrderingPolicy)[1:]),
)
"""No attack, then the four policies on batches and on rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackedRun:
    """The end of a run, and the last epoch's order."""

    theta: Array
    """Shape [d]."""
    last_order: Rows
    """Row numbers in the order in which the last epoch served them, shape [n]."""


def train_attacked(
    inputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    attack: Attack,
    *,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    loss: RowLoss = RowLoss.LOGISTIC,
    surrogate_start: npt.ArrayLike | None = None,
) -> AttackedRun:
    """Train from zero in an attacked order; every epoch serves every row once.

    Args:
        inputs: shape [n, d].
        targets: shape [n].
        attack: which order.
        n_epochs: how many; the attack acts from the first.
        batch_size: b; the last batch of an epoch may be smaller.
        learning_rate: η, of model and surrogate.
        seed: of the random order that is ranked.
        loss: of a row.
        surrogate_start: the surrogate's first weights, shape [d]: it trains on the same batches (the black-box attack).
            None lets the model be its own surrogate (white box).

    Raises:
        InputError: E-DATA-100 to -102 for bad arrays or sizes, E-DATA-105 if descent diverges.

    Source: Shumailov et al. (2021). Deviation: linear model; the first epoch is attacked too.
    """
    rows = matrix(inputs, "inputs")
    y = vector(targets, "targets", len(rows))
    size = int(positive(batch_size, "batch_size"))
    rate = positive(learning_rate, "learning_rate")
    positive(n_epochs, "n_epochs")
    rng = np.random.default_rng(seed)
    models = np.zeros((1, rows.shape[1]))
    if surrogate_start is not None:
        models = np.stack([models[0], vector(surrogate_start, "surrogate_start", rows.shape[1])])
    order = np.arange(len(rows))
    for _ in range(n_epochs):
        order = rng.permutation(len(rows))
        losses = loss.values(rows @ models[-1], y)
        if attack.by_row:
            order = order[attack.policy.arranged(losses[order])]
        else:
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            served = attack.policy.arranged(np.array([losses[batch].mean() for batch in batches]))
            order = np.concatenate([batches[i] for i in served])
        # A short batch, if there is one, comes last, whatever was ranked: every epoch has the same batch sizes.
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            models = models - rate * loss.mean_gradient(models, rows[batch], y[batch])
    if not np.isfinite(models).all():
        raise InputError.of("E-DATA-105", "attacked training", "descent diverges", "lower its learning rate")
    return AttackedRun(theta=models[0], last_order=order)


def accuracy(theta: Array, inputs: Array, labels: Array) -> float:
    """Return the share of rows whose prediction has the sign of its label ±1; a prediction of 0 is wrong.

    >>> accuracy(np.array([1.0]), np.array([[2.0], [-1.0], [0.0]]), np.array([1.0, 1.0, 1.0])).__round__(3)
    0.333
    """
    return float((labels * (inputs @ theta) > 0).mean())


def ascent_steps_to_loss(
    thetas: Array,
    inputs: Array,
    targets: Array,
    level: float,
    *,
    learning_rate: float,
    most: int,
    loss: RowLoss = RowLoss.LOGISTIC,
) -> tuple[Array, Array]:
    """Return how many ascent steps bring the mean loss of the forget rows to a level, and the models there.

    Steps are whole, found by iteration; between the last step below and the first at the level, losses are interpolated
    linearly to a fraction of a step. A model that is there already needs 0; one that is not after `most` has infinity.

    Args:
        thetas: models, shape [H, d].
        inputs: the forget rows, shape [k, d].
        targets: shape [k].
        level: of the mean loss.
        learning_rate: η > 0 of the ascent.
        most: at which number of steps to give up.
        loss: of a row.

    Returns:
        Steps [H], and the models at the first whole step at or past the level (the last one reached if none), [H, d].

    Raises:
        InputError: E-DATA-100 to -102 for bad arrays or sizes.
    """
    rows = matrix(inputs, "forget inputs")
    y = vector(targets, "forget targets", len(rows))
    states = matrix(thetas, "thetas").copy()
    rate = positive(learning_rate, "learning_rate")
    reached = np.full(len(states), np.inf)
    before = loss.mean_loss(states, rows, y)
    reached[before >= level] = 0.0
    for t in range(1, int(positive(most, "most")) + 1):
        moving = ~np.isfinite(reached)
        if not moving.any():
            break
        states[moving] += rate * loss.mean_gradient(states[moving], rows, y)
        now = loss.mean_loss(states, rows, y)
        arrived = moving & (now >= level)
        reached[arrived] = t - 1 + (level - before[arrived]) / (now[arrived] - before[arrived])
        before = now
    return reached, states
