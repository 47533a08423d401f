"""Training a classifier through stages: plain minibatch descent on cross-entropy, batches fixed by identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.classifiers import Classifier, probabilities
from retrain_equivalence.theory.digits import DigitStage, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTraining:
    """How every stage is learned."""

    learning_rate: float = 0.2
    n_epochs: int = 3
    batch_rows: int = 20


def train_history(
    model: Classifier,
    stages: Sequence[DigitStage],
    order: Sequence[int],
    training: StageTraining,
    *,
    initial: Array,
    seed: int,
) -> Array:
    """Return θ after the stages in this order, shape [p].

    The sample order of a stage depends on `seed` and on which stage it is, never on where it stands: histories of one
    seed differ in the order of stages and in nothing else.

    Args:
        model: the classifier.
        stages: numbered by their place here.
        order: stage numbers as they are trained.
        training: step size, epochs, batch size.
        initial: θ before the first stage, shape [p].
        seed: of the sample order.
    """
    theta = initial
    for number in order:
        stage = stages[number]
        rng = np.random.default_rng([seed, number])
        for _ in range(training.n_epochs):
            shuffled = rng.permutation(len(stage.labels))
            for start in range(0, len(shuffled), training.batch_rows):
                batch = shuffled[start : start + training.batch_rows]
                inputs = stage.inputs[batch]
                theta = theta - training.learning_rate * loss_gradient(model, theta, inputs, stage.labels[batch])
    return theta


def loss_gradient(model: Classifier, theta: Array, inputs: Array, labels: Labels) -> Array:
    """Return ∇ (1/n) Σ −log p(label), shape [..., p]."""
    logits = model.logits(theta, inputs)
    cotangent = (probabilities(logits) - one_hot(labels, logits.shape[-1])) / len(labels)
    return model.pull(theta, inputs, cotangent)


def one_hot(labels: Labels, n_classes: int) -> Array:
    """Return unit rows.

    >>> one_hot(np.array([1]), 3).tolist()
    [[0.0, 1.0, 0.0]]
    """
    found: Array = np.eye(n_classes)[labels]
    return found
