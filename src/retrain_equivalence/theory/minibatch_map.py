"""Minibatches: the same batches in the same order keep the difference map, different batches break it.

With steps θ ← θ ± η_τ ∇_B(θ), ∇_B(θ) = (2/|B|) X_Bᵀ(X_Bθ − y_B) and H_B = (2/|B|) X_Bᵀ X_B,

    same batches:       Δ_{t+1} = (I ± η_t H_B) Δ_t,
    different batches:  Δ_{t+1} = (I ± η_t H_B) Δ_t ± η_t [∇_B(θ'_t) − ∇_{B'}(θ'_t)],

B the batch of the first history, B' that of the second, θ' the second's state. The forcing term depends on labels and
states, so the difference is then no function of Δ_0. Off the span of all forget inputs both stay frozen.

Source: derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector
from retrain_equivalence.theory.trajectory import Direction

Batches: TypeAlias = Sequence[Sequence[int]]
"""Row numbers of each step's batch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchSteps:
    """A sequence of minibatch steps on the forget rows."""

    inputs: Array
    """X_U, shape [k, d]."""
    batches: Batches
    """B_1 .. B_T."""
    learning_rates: Sequence[float]
    """η_1 .. η_T."""
    direction: Direction = "ascent"

    def __post_init__(self) -> None:
        rows = matrix(self.inputs, "forget inputs")
        for rate in self.learning_rates:
            positive(rate, "learning_rate")
        if len(self.batches) != len(self.learning_rates) or not len(self.batches):
            raise InputError.of(
                "E-DATA-120", "batches", f"{len(self.batches)} batches and {len(self.learning_rates)} step sizes",
                "give one step size for each of at least one batch",
            )  # fmt: skip
        for number, batch in enumerate(self.batches):
            if not len(batch) or not all(0 <= row < len(rows) for row in batch):
                raise InputError.of(
                    "E-DATA-120", f"batch {number}", f"is empty or names rows beyond {len(rows) - 1}: {list(batch)}",
                    "name at least one forget row for each step",
                )  # fmt: skip

    @property
    def _sign(self) -> float:
        return 1.0 if self.direction == "ascent" else -1.0

    def iterate(self, targets: npt.ArrayLike, thetas: npt.ArrayLike) -> Array:
        """Return θ_0 .. θ_T of each history by the explicit loop, shape [T + 1, H, d].

        Args:
            targets: y, shape [k].
            thetas: θ_0 of each history, shape [H, d].

        >>> steps = BatchSteps(inputs=np.eye(2), batches=[[0], [1]], learning_rates=[0.5, 0.5])
        >>> steps.iterate([0.0, 0.0], [[1.0, 1.0]])[:, 0].tolist()
        [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]]
        """
        wanted = vector(targets, "targets", len(self.inputs))
        path = [matrix(thetas, "thetas")]
        for batch, rate in zip(self.batches, self.learning_rates, strict=True):
            path.append(path[-1] + self._sign * rate * gradient(self.inputs, wanted, path[-1], batch))
        return np.stack(path)

    def mapped(self, deltas: npt.ArrayLike) -> Array:
        """Return Δ_0 .. Δ_T = Π_τ (I ± η_τ H_{B_τ}) Δ_0, shape [T + 1, P, d]: no labels, no states.

        Args:
            deltas: Δ_0 of each pair, shape [P, d].
        """
        return self.iterate(np.zeros(len(self.inputs)), deltas)

    @property
    def largest_rate(self) -> float:
        """max_τ η_τ λ_max(H_{B_τ}): descent cannot expand any difference iff this is at most 2."""
        return max(
            2 * rate / len(batch) * float(np.linalg.norm(self.inputs[list(batch)], 2)) ** 2
            for batch, rate in zip(self.batches, self.learning_rates, strict=True)
        )


def gradient(inputs: Array, targets: Array, thetas: Array, batch: Sequence[int]) -> Array:
    """Return ∇_B(θ) = (2/|B|) X_Bᵀ(X_Bθ − y_B), shape [H, d]."""
    rows = inputs[list(batch)]
    found: Array = 2 / len(batch) * (thetas @ rows.T - targets[list(batch)]) @ rows
    return found


def forcing(first: BatchSteps, second: BatchSteps, targets: npt.ArrayLike, second_path: npt.ArrayLike) -> Array:
    """Return what different batches add to the map at each step: ±η_t [∇_B(θ'_t) − ∇_{B'}(θ'_t)], shape [T, d].

    Args:
        first: steps of the first history.
        second: steps of the second; inputs, step sizes and direction as the first's.
        targets: y, shape [k].
        second_path: θ'_0 .. θ'_T, shape [T + 1, d].

    Raises:
        InputError: E-DATA-120 if the two differ in more than their batches.

    >>> a, b = (BatchSteps(inputs=np.eye(2), batches=[[i]], learning_rates=[0.5]) for i in (0, 1))
    >>> forcing(a, b, [0.0, 0.0], [[1.0, 1.0], [1.0, 2.0]]).tolist()
    [[1.0, -1.0]]
    """
    is_alike = np.array_equal(first.inputs, second.inputs) and first.direction == second.direction
    if not is_alike or list(first.learning_rates) != list(second.learning_rates):
        raise InputError.of(
            "E-DATA-120", "batches", "the two histories differ in inputs, step sizes or direction",
            "let them differ in their batches alone",
        )  # fmt: skip
    wanted = vector(targets, "targets", len(first.inputs))
    path = matrix(second_path, "second path")
    found = np.empty((len(first.batches), path.shape[1]))
    for t, (one, other, rate) in enumerate(zip(first.batches, second.batches, first.learning_rates, strict=True)):
        state = path[t][None]
        apart = gradient(first.inputs, wanted, state, one) - gradient(first.inputs, wanted, state, other)
        found[t] = first._sign * rate * apart[0]
    return found
