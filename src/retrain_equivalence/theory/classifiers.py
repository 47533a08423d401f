"""Three classifiers with explicit derivatives: linear in the parameters (two of them), and a small network.

Each maps parameters θ, shape [..., p], and inputs X, shape [n, d], to logits z, shape [..., n, c]; leading axes are
histories that are computed together. Losses are functions of z, so their gradients are Jᵀq with J = ∂z/∂θ and q what
the loss says about the logits. Biases are weights of a constant input (`digits` has one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrain_equivalence.theory.arrays import Array


class Classifier(Protocol):
    """What unlearning and its first variation need of a model."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def is_linear(self) -> bool:
        """Whether z is linear in θ: then every loss that is convex in z is convex in θ."""

    @property
    def n_parameters(self) -> int:
        """p."""

    def initial(self, rng: np.random.Generator) -> Array:
        """Return θ before any training, shape [p]."""

    def logits(self, theta: Array, inputs: Array) -> Array:
        """Return z, shape [..., n, c]."""

    def pull(self, theta: Array, inputs: Array, cotangent: Array) -> Array:
        """Return J(θ)ᵀ q for q of shape [..., n, c], shape [..., p]."""

    def push(self, theta: Array, inputs: Array, delta: Array) -> Array:
        """Return J(θ) δ for δ of shape [..., p], shape [..., n, c]."""

    def bend(self, theta: Array, inputs: Array, cotangent: Array, delta: Array) -> Array:
        """Return d/dε J(θ + εδ)ᵀ q at ε = 0, shape [..., p]: zero for a linear model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxRegression:
    """z = W x, θ = W row by row, starting at 0."""

    n_inputs: int
    n_classes: int = 10

    @property
    def name(self) -> str:
        """In tables."""
        return "softmax regression"

    @property
    def is_linear(self) -> bool:
        """Yes."""
        return True

    @property
    def n_parameters(self) -> int:
        """d c."""
        return self.n_inputs * self.n_classes

    def initial(self, rng: np.random.Generator) -> Array:
        """Return 0; nothing is drawn."""
        return np.zeros(self.n_parameters)

    def logits(self, theta: Array, inputs: Array) -> Array:
        """Return X Wᵀ.

        >>> SoftmaxRegression(n_inputs=2, n_classes=2).logits(np.array([1.0, 0, 0, 2]), np.array([[3.0, 4]])).tolist()
        [[3.0, 8.0]]
        """
        found: Array = inputs @ np.swapaxes(theta.reshape(*theta.shape[:-1], self.n_classes, self.n_inputs), -1, -2)
        return found

    def pull(self, theta: Array, inputs: Array, cotangent: Array) -> Array:
        """Return Qᵀ X."""
        found: Array = np.swapaxes(cotangent, -1, -2) @ inputs
        return found.reshape(*found.shape[:-2], -1)

    def push(self, theta: Array, inputs: Array, delta: Array) -> Array:
        """Return the logits of δ: the map is linear."""
        return self.logits(delta, inputs)

    def bend(self, theta: Array, inputs: Array, cotangent: Array, delta: Array) -> Array:
        """Return 0."""
        return np.zeros_like(delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryLogistic:
    """z = (0, xᵀθ), so that P(class 1) = σ(xᵀθ), starting at 0."""

    n_inputs: int

    @property
    def name(self) -> str:
        """In tables."""
        return "binary logistic"

    @property
    def is_linear(self) -> bool:
        """Yes."""
        return True

    @property
    def n_parameters(self) -> int:
        """d."""
        return self.n_inputs

    def initial(self, rng: np.random.Generator) -> Array:
        """Return 0; nothing is drawn."""
        return np.zeros(self.n_inputs)

    def logits(self, theta: Array, inputs: Array) -> Array:
        """Return (0, Xθ)."""
        margins: Array = theta @ inputs.T
        return np.stack([np.zeros_like(margins), margins], axis=-1)

    def pull(self, theta: Array, inputs: Array, cotangent: Array) -> Array:
        """Return Xᵀ q₁."""
        found: Array = cotangent[..., 1] @ inputs
        return found

    def push(self, theta: Array, inputs: Array, delta: Array) -> Array:
        """Return the logits of δ: the map is linear."""
        return self.logits(delta, inputs)

    def bend(self, theta: Array, inputs: Array, cotangent: Array, delta: Array) -> Array:
        """Return 0."""
        return np.zeros_like(delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallNetwork:
    """z = V (tanh(W x), 1): one hidden layer; θ = W then V, row by row."""

    n_inputs: int
    n_hidden: int = 32
    n_classes: int = 10

    @property
    def name(self) -> str:
        """In tables."""
        return "small network"

    @property
    def is_linear(self) -> bool:
        """No."""
        return False

    @property
    def n_parameters(self) -> int:
        """h d + c (h + 1)."""
        return self.n_hidden * self.n_inputs + self.n_classes * (self.n_hidden + 1)

    def initial(self, rng: np.random.Generator) -> Array:
        """Draw normal weights with variance 1 / fan-in; the output's biases are 0."""
        inner = rng.standard_normal((self.n_hidden, self.n_inputs)) / np.sqrt(self.n_inputs)
        outer = rng.standard_normal((self.n_classes, self.n_hidden + 1)) / np.sqrt(self.n_hidden)
        outer[:, -1] = 0
        return np.concatenate([inner.ravel(), outer.ravel()])

    def logits(self, theta: Array, inputs: Array) -> Array:
        """Return the logits."""
        inner, outer = self._layers(theta)
        found: Array = np.tanh(inputs @ _turned(inner)) @ _turned(outer[..., :-1]) + outer[..., None, :, -1]
        return found

    def pull(self, theta: Array, inputs: Array, cotangent: Array) -> Array:
        """Return the back-propagated q."""
        inner, outer = self._layers(theta)
        hidden = np.tanh(inputs @ _turned(inner))
        at_hidden = (cotangent @ outer[..., :-1]) * (1 - hidden**2)
        return _joined(_turned(at_hidden) @ inputs, _turned(cotangent) @ hidden, cotangent.sum(axis=-2))

    def push(self, theta: Array, inputs: Array, delta: Array) -> Array:
        """Return the forward derivative along δ."""
        inner, outer = self._layers(theta)
        d_inner, d_outer = self._layers(delta)
        hidden = np.tanh(inputs @ _turned(inner))
        d_hidden = (1 - hidden**2) * (inputs @ _turned(d_inner))
        found: Array = (
            d_hidden @ _turned(outer[..., :-1]) + hidden @ _turned(d_outer[..., :-1]) + d_outer[..., None, :, -1]
        )
        return found

    def bend(self, theta: Array, inputs: Array, cotangent: Array, delta: Array) -> Array:
        """Return the derivative of the back-propagation of a fixed q along δ."""
        inner, outer = self._layers(theta)
        d_inner, d_outer = self._layers(delta)
        hidden = np.tanh(inputs @ _turned(inner))
        d_hidden = (1 - hidden**2) * (inputs @ _turned(d_inner))
        back, d_back = cotangent @ outer[..., :-1], cotangent @ d_outer[..., :-1]
        d_at_hidden = d_back * (1 - hidden**2) - 2 * back * hidden * d_hidden
        inner_part, outer_part = _turned(d_at_hidden) @ inputs, _turned(cotangent) @ d_hidden
        return _joined(inner_part, outer_part, np.zeros(outer_part.shape[:-1]))

    def _layers(self, theta: Array) -> tuple[Array, Array]:
        cut = self.n_hidden * self.n_inputs
        lead = theta.shape[:-1]
        return (
            theta[..., :cut].reshape(*lead, self.n_hidden, self.n_inputs),
            theta[..., cut:].reshape(*lead, self.n_classes, self.n_hidden + 1),
        )


def centred(logits: Array) -> Array:
    """Return logits less their mean over the last axis: adding a constant to a row's logits changes no prediction.

    >>> centred(np.array([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """
    found: Array = logits - logits.mean(axis=-1, keepdims=True)
    return found


def probabilities(logits: Array) -> Array:
    """Return softmax over the last axis.

    >>> probabilities(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Array = raised / raised.sum(axis=-1, keepdims=True)
    return found


def log_probabilities(logits: Array) -> Array:
    """Return log softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def _turned(matrix: Array) -> Array:
    found: Array = np.swapaxes(matrix, -1, -2)
    return found


def _joined(inner: Array, outer: Array, bias: Array) -> Array:
    lead = inner.shape[:-2]
    whole = np.concatenate([outer, bias[..., None]], axis=-1)
    return np.concatenate([inner.reshape(*lead, -1), whole.reshape(*lead, -1)], axis=-1)
