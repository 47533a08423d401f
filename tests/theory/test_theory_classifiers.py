"""Classifiers: every explicit derivative against finite differences, and scikit-learn's own logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from retrain_equivalence.theory.classifier_training import StageTraining, loss_gradient, one_hot, train_history
from retrain_equivalence.theory.classifiers import (
    BinaryLogistic,
    Classifier,
    SmallNetwork,
    SoftmaxRegression,
    log_probabilities,
    probabilities,
)
from retrain_equivalence.theory.digits import DigitStage

MODELS: list[Classifier] = [
    BinaryLogistic(n_inputs=5),
    SoftmaxRegression(n_inputs=5, n_classes=3),
    SmallNetwork(n_inputs=5, n_hidden=4, n_classes=3),
]


def drawn(model: Classifier, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(model.n_parameters)
    inputs = rng.standard_normal((6, 5))
    n_classes = model.logits(theta, inputs).shape[-1]
    return theta, inputs, rng.standard_normal((6, n_classes)), rng.standard_normal(model.n_parameters)


def loss(model: Classifier, theta: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_probabilities(model.logits(theta, inputs))[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_gradients_match_finite_differences(model: Classifier) -> None:
    for seed in range(20):
        theta, inputs, _, _ = drawn(model, seed)
        labels = np.random.default_rng(seed).integers(0, model.logits(theta, inputs).shape[-1], 6)
        found = loss_gradient(model, theta, inputs, labels)
        eye = 1e-6 * np.eye(len(theta))
        numeric = [
            (loss(model, theta + e, inputs, labels) - loss(model, theta - e, inputs, labels)) / 2e-6 for e in eye
        ]
        # Central differences at 1e-6 carry some 1e-10 of rounding.
        np.testing.assert_allclose(found, numeric, atol=2e-9)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_push_bend_and_pull_are_derivatives_and_adjoint(model: Classifier) -> None:
    for seed in range(20):
        theta, inputs, cotangent, delta = drawn(model, seed)
        step = 1e-6
        above, below = theta + step * delta, theta - step * delta
        pushed = (model.logits(above, inputs) - model.logits(below, inputs)) / (2 * step)
        np.testing.assert_allclose(model.push(theta, inputs, delta), pushed, atol=1e-8)
        bent = (model.pull(above, inputs, cotangent) - model.pull(below, inputs, cotangent)) / (2 * step)
        np.testing.assert_allclose(model.bend(theta, inputs, cotangent, delta), bent, atol=1e-7)
        left = (cotangent * model.push(theta, inputs, delta)).sum()
        assert left == pytest.approx(model.pull(theta, inputs, cotangent) @ delta, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_histories_are_computed_together_as_alone(model: Classifier) -> None:
    states = [drawn(model, seed)[0] for seed in range(3)]
    _, inputs, cotangent, delta = drawn(model, 9)
    together = np.stack(states)
    for i, theta in enumerate(states):
        for name in ("logits", "pull", "push"):
            rest = {"logits": (), "pull": (cotangent,), "push": (delta,)}[name]
            batched = getattr(model, name)(together, inputs, *(np.stack([r] * 3) for r in rest))
            np.testing.assert_allclose(batched[i], getattr(model, name)(theta, inputs, *rest), rtol=1e-12, atol=1e-12)


def test_binary_logistic_by_hand() -> None:
    model = BinaryLogistic(n_inputs=2)
    theta, inputs = np.array([1.0, -1.0]), np.array([[2.0, 1.0]])
    p = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(probabilities(model.logits(theta, inputs)), [[1 - p, p]])
    np.testing.assert_allclose(loss_gradient(model, theta, inputs, np.array([1])), (p - 1) * inputs[0])


def test_softmax_gradient_leads_where_scipy_leads() -> None:
    # Overlapping classes have a finite optimum; plain descent must reach the one that BFGS finds.
    rng = np.random.default_rng(3)
    inputs, labels = rng.standard_normal((60, 3)), rng.integers(0, 3, 60)
    model = SoftmaxRegression(n_inputs=3, n_classes=3)
    theta = np.zeros(9)
    for _ in range(3000):
        theta = theta - 0.5 * loss_gradient(model, theta, inputs, labels)
    best = minimize(lambda t: loss(model, t, inputs, labels), np.zeros(9), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(theta, best.x, atol=1e-4)


def test_probabilities_of_extreme_logits_stay_finite() -> None:
    logits = np.array([[1e4, 0.0, -1e4]])
    np.testing.assert_array_equal(probabilities(logits), [[1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(log_probabilities(logits), [[0.0, -1e4, -2e4]])


def test_a_stage_sees_the_same_batches_wherever_it_stands() -> None:
    # Two stages on separate coordinates do not interact in a linear model, so their order can only matter
    # through the sample order: equal ends show that there is none.
    rng = np.random.default_rng(0)
    parts = []
    for name, lo in (("A", 0), ("B", 2)):
        inputs = np.zeros((30, 4))
        inputs[:, lo : lo + 2] = rng.standard_normal((30, 2))
        parts.append(DigitStage(name=name, inputs=inputs, labels=rng.integers(0, 2, 30)))
    model, training = BinaryLogistic(n_inputs=4), StageTraining(batch_rows=7)
    ends = [
        train_history(model, parts, order, training, initial=np.zeros(4), seed=seed)
        for order, seed in (((0, 1), 5), ((1, 0), 5), ((0, 1), 6))
    ]
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)
    assert np.abs(ends[0] - ends[2]).max() > 1e-4


def test_one_hot_rows() -> None:
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
