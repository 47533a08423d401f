"""A logged run of minibatch descent over stages: every batch and every weight, as a proof of learning keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.row_loss import RowLoss

Rows = npt.NDArray[np.int64]
"""Row numbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingLog:
    """w_{i+1} = w_i − (η/b) Σ_{j in batch i} ∇ℓ(w_i; x_j)."""

    inputs: Array
    """All rows of all stages, shape [n, d]."""
    targets: Array
    """Shape [n]."""
    stage_of_row: Rows
    """Shape [n]."""
    batches: Rows
    """Row numbers of each step, shape [T, b]."""
    states: Array
    """w_0 .. w_T, shape [T + 1, d]."""
    learning_rate: float
    loss: RowLoss

    def row_gradients(self, step: int) -> Array:
        """Return ∇ℓ(w_step; x_j) of every row, shape [n, d]."""
        slopes = self.loss.slopes(self.inputs @ self.states[step], self.targets)
        found: Array = slopes[:, None] * self.inputs
        return found

    def pool(self, step: int, removed: Sequence[int]) -> Rows:
        """Return the rows of the stage that a step trains, without those that are denied.

        Raises:
            InputError: E-DATA-135 if fewer than a batch are left.
        """
        inside = np.flatnonzero(self.stage_of_row == self.stage_of_row[self.batches[step, 0]])
        found = np.setdiff1d(inside, np.asarray(removed, dtype=np.int64))
        if len(found) < self.batches.shape[1]:
            raise InputError.of(
                "E-DATA-135", "removed rows", f"{len(found)} rows are left for batches of {self.batches.shape[1]}",
                "deny fewer rows, or train with smaller batches",
            )  # fmt: skip
        return found

    def steps_with(self, removed: Sequence[int]) -> Rows:
        """Return the steps whose batch holds any of some rows.

        Raises:
            InputError: E-DATA-135 if no step does: there is nothing to forge.
        """
        found = np.flatnonzero(np.isin(self.batches, np.asarray(removed, dtype=np.int64)).any(axis=1))
        if not len(found):
            raise InputError.of(
                "E-DATA-135", "removed rows", "no logged step used any of them", "name rows that were trained on"
            )
        return found


def train_logged(
    inputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    stage_of_row: Sequence[int],
    order: Sequence[int],
    *,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    loss: RowLoss = RowLoss.SQUARED,
) -> TrainingLog:
    """Train stages one after the other from zero and keep the log; rows left over from whole batches wait an epoch.

    Args:
        inputs: shape [n, d].
        targets: shape [n].
        stage_of_row: the stage of every row, shape [n].
        order: stage numbers in the order of training.
        n_epochs: of every stage.
        batch_size: b, at most the rows of the smallest stage.
        learning_rate: η > 0.
        seed: of the batches. A stage's batches are keyed by seed and stage number: the same in every order.
        loss: of a row.

    Raises:
        InputError: E-DATA-100 to -102 for bad arrays or sizes, E-DATA-105 if descent diverges, E-DATA-135 for a batch
            size above a stage's rows.
    """
    rows = matrix(inputs, "inputs")
    y = vector(targets, "targets", len(rows))
    of_row = np.asarray(stage_of_row, dtype=np.int64)
    size = int(positive(batch_size, "batch_size"))
    rate = positive(learning_rate, "learning_rate")
    positive(n_epochs, "n_epochs")
    batches: list[Rows] = []
    for stage in order:
        members = np.flatnonzero(of_row == stage)
        if len(members) < size:
            raise InputError.of(
                "E-DATA-135", f"stage {stage}", f"{len(members)} rows for batches of {size}", "lower the batch size"
            )
        rng = np.random.default_rng([seed, stage])
        for _ in range(n_epochs):
            shuffled = rng.permutation(members)
            batches += [shuffled[i * size : (i + 1) * size] for i in range(len(shuffled) // size)]
    states = np.zeros((len(batches) + 1, rows.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        for step, batch in enumerate(batches):
            states[step + 1] = states[step] - rate * loss.mean_gradient(states[step], rows[batch], y[batch])
    if not np.isfinite(states).all():
        raise InputError.of("E-DATA-105", "logged training", "descent diverges", "lower its learning rate")
    return TrainingLog(
        inputs=rows, targets=y, stage_of_row=of_row, batches=np.stack(batches), states=states,
        learning_rate=rate, loss=loss,
    )  # fmt: skip


def replay(log: TrainingLog, batches: Rows) -> Array:
    """Return the states of a run over some batches from the log's first weight, never corrected, shape [T + 1, d]."""
    states = np.empty_like(log.states)
    states[0] = log.states[0]
    for step, batch in enumerate(batches):
        gradient = log.loss.mean_gradient(states[step], log.inputs[batch], log.targets[batch])
        states[step + 1] = states[step] - log.learning_rate * gradient
    return states
