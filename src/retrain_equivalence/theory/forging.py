"""Forging: other data, the same weights. Which batches without some rows reproduce every step of a log, and how well?

Forging is many-to-one: one run of weights has many training sets. The paper's divergence is one-to-many: one training
set has many weights, by its order. Both leave no single retrained model to measure a distance to.

Every forged step starts at the *logged* weight, as a verifier checks it, so errors do not add up along the log; what
they add up to without correction is `training_log.replay` of the forged batches. An error means something only beside
the reproduction error: that of an honest prover who repeats his own batches in another order of summation or in
another precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.training_log import Rows, TrainingLog

Nearness = Literal["input", "gradient"]
"""In what a substitute resembles the row that it replaces."""
Chooser: TypeAlias = Callable[[int, Rows, Array], Rows]
"""From a step, the rows it may use and the gradients of all rows there, to its forged batch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forgery:
    """A log's batches with those that held a denied row replaced."""

    steps: Rows
    """The steps that were forged, shape [F]."""
    batches: Rows
    """Of every step, forged or not, shape [T, b]."""
    errors: Array
    """‖w_{i+1} − forged step from w_i‖₂ at each forged step, shape [F]; 0 at the others."""
    lengths: Array
    """‖w_{i+1} − w_i‖₂ at the forged steps, shape [F]."""

    @property
    def largest_error(self) -> float:
        """The tolerance from which a verifier accepts the whole log."""
        return float(self.errors.max())


def forge_best_of(log: TrainingLog, removed: Sequence[int], *, n_candidates: int, seed: int) -> Forgery:
    """Forge by drawing: at each step that used a denied row, the best of M random batches without any.

    `argmin over M candidates c of ‖(η/b) Σ_c ∇ℓ(w_i) − (η/b) Σ_logged ∇ℓ(w_i)‖₂`, candidates drawn without replacement
    from the rows of the stage that the step trains, so that the order of the stages stays as claimed.

    Args:
        log: the logged run.
        removed: rows to be denied.
        n_candidates: M ≥ 1.
        seed: of the candidates; candidate 1 .. M of a seed are the first M of any larger M.

    Raises:
        InputError: E-DATA-135 if no step used the rows, or too few rows are left; E-DATA-102 for M < 1.

    Source: Thudi et al. (2022); algorithm as in public code (`ThudiForgingAttack`). Deviation: candidates keep the
    stage.

    >>> from retrain_equivalence.theory.training_log import train_logged
    >>> log = train_logged([[1.0], [1.0], [0.5]], [1.0, 1.0, 1.0], [0, 0, 0], [0],
    ...                    n_epochs=1, batch_size=1, learning_rate=0.1, seed=0)
    >>> forge_best_of(log, [0], n_candidates=20, seed=0).errors.tolist()  # row 1 is row 0's twin
    [0.0]
    """
    return _forged(log, removed, lambda step, pool, gradients: _best_of(log, step, pool, gradients, n_candidates, seed))


def best_of_errors(log: TrainingLog, removed: Sequence[int], *, n_candidates: int, seed: int) -> Array:
    """Return the error of `forge_best_of` for every number of candidates 1 .. M, shape [F, M]."""
    found = []
    for step in log.steps_with(removed):
        gradients = log.row_gradients(int(step))
        _, errors = _candidates(log, int(step), log.pool(int(step), removed), gradients, n_candidates, seed)
        found.append(np.minimum.accumulate(errors))
    return np.stack(found)


def forge_substitute(log: TrainingLog, removed: Sequence[int], *, nearest: Nearness) -> Forgery:
    """Forge by substitution: each denied row in a batch gives way to the row that is nearest to it.

    One substitution costs `(η/b) ‖∇ℓ(w_i; x*) − ∇ℓ(w_i; x')‖₂`. Nearest in `input`: least ‖x* − x'‖ among rows of the
    same label (for targets that are no classes: of the same sign). Nearest in `gradient`: that cost itself is least.
    Never a row that the batch holds already, and for several denied rows in one batch, one substitute each.

    Raises:
        InputError: E-DATA-135 if no step used the rows, or too few rows are left.

    Source: Zhang et al., as in public code (`ZhangForgingAttack`), for `input`; `gradient` derived.
    """
    return _forged(log, removed, lambda step, pool, gradients: _substituted(log, step, pool, gradients, nearest))


def reproduction_errors(
    log: TrainingLog, *, seed: int, steps: Rows | None = None, precision: type[np.floating] = np.float64
) -> Array:
    """Return ‖w_{i+1} − honest repetition of step i from w_i‖₂, shape [F].

    The repetition sums the batch's rows in another order, in `precision`; the log is in float64.

    Args:
        log: the logged run.
        seed: of the order of summation.
        steps: which ones; None for all.
        precision: float64 is the same machine, float32 a prover whose arithmetic is the usual one of training.
    """
    chosen = np.arange(len(log.batches)) if steps is None else steps
    rng = np.random.default_rng(seed)
    found = np.empty(len(chosen))
    for place, step in enumerate(chosen):
        batch = rng.permutation(log.batches[step])
        state = log.states[step].astype(precision)
        rows = log.inputs[batch].astype(precision)
        slopes = log.loss.slopes(rows @ state, log.targets[batch].astype(precision)).astype(precision)
        moved = state - precision(log.learning_rate) * (slopes[:, None] * rows).sum(axis=0) / precision(len(batch))
        found[place] = np.linalg.norm(log.states[step + 1] - moved.astype(np.float64))
    return found


def _forged(log: TrainingLog, removed: Sequence[int], choose: Chooser) -> Forgery:
    steps = log.steps_with(removed)
    batches = log.batches.copy()
    errors, lengths = np.empty(len(steps)), np.empty(len(steps))
    for place, step in enumerate(steps):
        gradients = log.row_gradients(int(step))
        batches[step] = choose(int(step), log.pool(int(step), removed), gradients)
        wrong = gradients[batches[step]].mean(axis=0) - gradients[log.batches[step]].mean(axis=0)
        errors[place] = log.learning_rate * np.linalg.norm(wrong)
        lengths[place] = np.linalg.norm(log.states[step + 1] - log.states[step])
    return Forgery(steps=steps, batches=batches, errors=errors, lengths=lengths)


def _candidates(
    log: TrainingLog, step: int, pool: Rows, gradients: Array, n_candidates: int, seed: int
) -> tuple[Rows, Array]:
    size = log.batches.shape[1]
    rng = np.random.default_rng([seed, step])
    # One row of random keys per candidate: its b smallest are a draw without replacement.
    keys = rng.random((int(positive(n_candidates, "n_candidates")), len(pool)))
    drawn = pool[np.argpartition(keys, size - 1, axis=1)[:, :size]]
    means = gradients[drawn].mean(axis=1)
    wrong = means - gradients[log.batches[step]].mean(axis=0)
    return drawn, log.learning_rate * np.linalg.norm(wrong, axis=1)


def _best_of(log: TrainingLog, step: int, pool: Rows, gradients: Array, n_candidates: int, seed: int) -> Rows:
    drawn, errors = _candidates(log, step, pool, gradients, n_candidates, seed)
    best: Rows = drawn[int(errors.argmin())]
    return best


def _substituted(log: TrainingLog, step: int, pool: Rows, gradients: Array, nearest: Nearness) -> Rows:
    batch: Rows = log.batches[step].copy()
    inside = np.isin(batch, pool)
    free = np.setdiff1d(pool, batch)
    for place in np.flatnonzero(~inside):
        row = batch[place]
        if nearest == "input":
            same = free[np.sign(log.targets[free]) == np.sign(log.targets[row])]
            # A batch may hold every other row of its class: then the nearest of any class is what is left.
            among = same if len(same) else free
            distances = np.linalg.norm(log.inputs[among] - log.inputs[row], axis=1)
        else:
            among = free
            distances = np.linalg.norm(gradients[among] - gradients[row], axis=1)
        batch[place] = among[int(distances.argmin())]
        free = np.setdiff1d(free, batch)
    return batch
