"""Losses of one row's prediction z = ⟨x, θ⟩: value, slope and curvature in z. Gradients are slopes times rows."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from scipy import special

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array


class RowLoss(StrEnum):
    """ℓ(z, y)."""

    SQUARED = "squared"
    """(z − y)², y any number: the paper's linear world."""
    LOGISTIC = "logistic"
    """log(1 + exp(−yz)), y = ±1."""

    def values(self, predictions: Array, targets: Array) -> Array:
        """Return ℓ, of the shape that `predictions` and `targets` have together.

        >>> RowLoss.SQUARED.values(np.array([3.0]), np.array([1.0])).tolist()
        [4.0]
        """
        found: Array
        if self is RowLoss.SQUARED:
            found = (predictions - targets) ** 2
        else:
            found = np.logaddexp(0.0, -targets * predictions)
        return found

    def slopes(self, predictions: Array, targets: Array) -> Array:
        """Return ∂ℓ/∂z.

        >>> RowLoss.LOGISTIC.slopes(np.array([0.0]), np.array([1.0])).tolist()
        [-0.5]
        """
        found: Array
        if self is RowLoss.SQUARED:
            found = 2 * (predictions - targets)
        else:
            found = -targets * special.expit(-targets * predictions)
        return found

    def curvatures(self, predictions: Array, targets: Array) -> Array:
        """Return ∂²ℓ/∂z².

        >>> RowLoss.LOGISTIC.curvatures(np.array([0.0]), np.array([1.0])).tolist()
        [0.25]
        """
        found: Array
        if self is RowLoss.SQUARED:
            found = np.full(np.broadcast_shapes(predictions.shape, targets.shape), 2.0)
        else:
            found = special.expit(predictions) * special.expit(-predictions) * targets**2
        return found

    def mean_gradient(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Return the gradient of the mean loss of some rows.

        Args:
            theta: θ of one or more models, shape [..., d].
            inputs: X, shape [n, d].
            targets: y, shape [n].

        Returns:
            Shape [..., d].
        """
        found: Array = self.slopes(theta @ inputs.T, targets) @ inputs / len(targets)
        return found

    def mean_loss(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Return the mean loss of some rows at one or more models, shape [...]."""
        found: Array = self.values(theta @ inputs.T, targets).mean(axis=-1)
        return found


def loss_named(name: str) -> RowLoss:
    """Return the loss of this name.

    Raises:
        InputError: E-DATA-134 for a name that is none.
    """
    for loss in RowLoss:
        if loss.value == name:
            return loss
    known = ", ".join(loss.value for loss in RowLoss)
    raise InputError.of("E-DATA-134", "loss", f"'{name}' is no loss of a row", f"use one of {known}")
