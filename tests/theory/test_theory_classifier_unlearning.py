"""Unlearning classifiers: fields, exact first variation, and what convexity and linearity prove."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.classifier_gap import Rows, classifier_gap, split_by_span
from retrain_equivalence.theory.classifier_unlearning import (
    METHODS,
    Ascent,
    DescentToOwn,
    DescentToUniform,
    LogitMethod,
    NpoLike,
    RegressionToOwn,
    first_variation,
    stable_learning_rate,
    unlearn,
)
from retrain_equivalence.theory.classifiers import (
    BinaryLogistic,
    Classifier,
    SmallNetwork,
    SoftmaxRegression,
    log_probabilities,
    probabilities,
)

BINARY, SOFTMAX = BinaryLogistic(n_inputs=9), SoftmaxRegression(n_inputs=9, n_classes=3)
NETWORK = SmallNetwork(n_inputs=9, n_hidden=5, n_classes=3)
LINEAR: list[Classifier] = [BINARY, SOFTMAX]
ALL: list[Classifier] = [*LINEAR, NETWORK]


def drawn(model: Classifier, seed: int, n_histories: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    thetas = 0.7 * rng.standard_normal((n_histories, model.n_parameters))
    inputs = rng.standard_normal((4, 9))
    return thetas, inputs, rng.integers(0, model.logits(thetas, inputs).shape[-1], 4)


def gaps(path: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(path[:, 1] - path[:, 0], axis=-1))


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_fields_are_gradients_of_their_objectives(method: LogitMethod) -> None:
    def rises(z: np.ndarray, start: np.ndarray, y: int) -> float:
        """The objective whose ascent is the field, for one row."""
        logs, own = log_probabilities(z), log_probabilities(start)
        if isinstance(method, Ascent):
            return float(-logs[y])
        if isinstance(method, NpoLike):
            return float(-2 / method.beta * np.log1p(np.exp(method.beta * (logs[y] - own[y]))))
        if isinstance(method, DescentToUniform):
            return float(logs.mean())
        target = start.copy()
        target[y] -= method.lowered  # type: ignore[attr-defined]
        if isinstance(method, DescentToOwn):
            return float(probabilities(target) @ logs)
        apart = z - target
        return float(-0.5 * ((apart - apart.mean()) ** 2).sum())

    for seed in range(30):
        rng = np.random.default_rng(seed)
        z, start, y = rng.standard_normal(4), rng.standard_normal(4), int(rng.integers(4))
        found = method.pulls(z[None], start[None], np.array([y]))[0]
        numeric = [(rises(z + e, start, y) - rises(z - e, start, y)) / 2e-6 for e in 1e-6 * np.eye(4)]
        np.testing.assert_allclose(found, numeric, atol=1e-8)


@pytest.mark.parametrize("model", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_first_variation_is_the_derivative_of_the_whole_path(model: Classifier, method: LogitMethod) -> None:
    for seed in range(4):
        thetas, inputs, labels = drawn(model, seed, 1)
        delta = np.random.default_rng(seed + 99).standard_normal((1, model.n_parameters))
        step, eta, n_steps = 1e-5, 0.1, 25
        path = unlearn(model, method, thetas, inputs, labels, learning_rate=eta, n_steps=n_steps)
        ends = [
            unlearn(model, method, thetas + s * step * delta, inputs, labels, learning_rate=eta, n_steps=n_steps)
            for s in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / (2 * step)
        found = first_variation(model, method, path, inputs, labels, delta, learning_rate=eta)
        assert np.abs(found - numeric).max() < 1e-6 * np.abs(numeric).max()


@pytest.mark.parametrize("model", LINEAR, ids=lambda m: m.name)
def test_ascent_never_shrinks_and_a_common_target_never_expands_a_linear_classifiers_gap(model: Classifier) -> None:
    smallest, largest = np.inf, 0.0
    for seed in range(150):
        thetas, inputs, labels = drawn(model, seed)
        up = gaps(unlearn(model, Ascent(), thetas, inputs, labels, learning_rate=0.5, n_steps=20))
        smallest = min(smallest, (up[1:] / up[:-1]).min())
        stable = stable_learning_rate(model, inputs)
        down = gaps(unlearn(model, DescentToUniform(), thetas, inputs, labels, learning_rate=stable, n_steps=20))
        largest = max(largest, (down[1:] / down[:-1]).max())
    assert smallest >= 1 - 1e-12
    assert largest <= 1 + 1e-12


def test_beyond_the_stable_step_a_common_target_can_expand() -> None:
    # Both histories near the target, where softmax over two classes has its largest curvature, 1/4 in the margin.
    inputs = np.eye(9)[:1]
    thetas = np.zeros((2, 9))
    thetas[1, 0] = 1e-3
    for share, expands in ((1.1, True), (0.9, False)):
        eta = share * stable_learning_rate(BINARY, inputs)
        gap = gaps(unlearn(BINARY, DescentToUniform(), thetas, inputs, np.array([1]), learning_rate=eta, n_steps=5))
        assert bool(gap[-1] > gap[0]) is expands


@pytest.mark.parametrize("model", LINEAR, ids=lambda m: m.name)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_off_the_span_every_method_leaves_the_gap(model: Classifier, method: LogitMethod) -> None:
    for seed in range(20):
        thetas, inputs, labels = drawn(model, seed)
        path = unlearn(model, method, thetas, inputs, labels, learning_rate=0.2, n_steps=30)
        on, off = split_by_span(path[:, 1] - path[:, 0], inputs)
        largest = np.linalg.norm(path, axis=-1).max()
        assert np.abs(off - off[0]).max() < 1e-12 * largest
        np.testing.assert_allclose((on * off).sum(axis=-1), 0, atol=1e-9 * largest**2)
    if not isinstance(method, RegressionToOwn):
        assert np.abs(on - on[0]).max() > 1e-3


@pytest.mark.parametrize("model", ALL, ids=lambda m: m.name)
def test_own_logits_freeze_a_linear_classifier_and_not_a_network(model: Classifier) -> None:
    moved = []
    for seed in range(20):
        thetas, inputs, labels = drawn(model, seed)
        path = unlearn(model, RegressionToOwn(), thetas, inputs, labels, learning_rate=0.1, n_steps=40)
        delta = path[:, 1] - path[:, 0]
        moved.append(np.abs(delta - delta[0]).max() / np.linalg.norm(path, axis=-1).max())
    assert max(moved) < 1e-12 if model.is_linear else min(moved) > 1e-3


def test_own_outputs_under_cross_entropy_move_the_gap_and_bring_it_back() -> None:
    # One row, two classes: both margins end κ below their start, so the gap returns; on the way it does not stay.
    inputs, labels = np.eye(9)[:1], np.array([1])
    thetas = np.zeros((2, 9))
    thetas[:, 0] = 1.0, 2.0
    path = unlearn(BINARY, DescentToOwn(lowered=2.0), thetas, inputs, labels, learning_rate=1.0, n_steps=2000)
    gap = gaps(path)
    assert np.abs(gap - 1).max() > 0.1
    assert gap[-1] == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(path[-1, :, 0], [-1.0, 0.0], atol=1e-9)


def test_ascent_of_one_binary_row_saturates_at_the_closed_form() -> None:
    # dm/ds = −σ(−m): m₁ − m₂ tends to (m₁ − m₂) + (e^{m₁} − e^{m₂}); small steps approach the flow.
    inputs, labels = np.eye(9)[:1], np.array([1])
    thetas = np.zeros((2, 9))
    thetas[:, 0] = 0.5, 1.5
    gap = gaps(unlearn(BINARY, Ascent(), thetas, inputs, labels, learning_rate=0.005, n_steps=8000))
    assert gap[-1] == pytest.approx(1 + np.exp(1.5) - np.exp(0.5), rel=0.01)
    assert gap[-1] / gap[-2000] - 1 < 1e-3


def test_first_step_of_ascent_by_hand() -> None:
    thetas = np.zeros((1, 9))
    path = unlearn(BINARY, Ascent(), thetas, np.eye(9)[:1], np.array([1]), learning_rate=1.0, n_steps=1)
    np.testing.assert_allclose(path[1, 0], [-0.5, *[0] * 8])


@pytest.mark.parametrize("method", [Ascent(), DescentToUniform()], ids=lambda m: m.name)
def test_curvature_held_at_the_start_is_a_power_of_a_matrix(method: LogitMethod) -> None:
    # H by finite differences of the field, then (I + ηF)^t δ by numpy: an independent route to the same map.
    thetas, inputs, labels = drawn(SOFTMAX, 5, 1)
    eta, n_steps, p = 0.3, 7, SOFTMAX.n_parameters

    def field(theta: np.ndarray) -> np.ndarray:
        z = SOFTMAX.logits(theta, inputs)
        return SOFTMAX.pull(theta, inputs, method.pulls(z, z, labels)) / len(labels)

    slope = np.stack([(field(thetas[0] + e) - field(thetas[0] - e)) / 2e-5 for e in 1e-5 * np.eye(p)], axis=1)
    delta = np.random.default_rng(1).standard_normal(p)
    path = np.broadcast_to(thetas, (n_steps + 1, 1, p))
    found = first_variation(
        SOFTMAX, method, path, inputs, labels, delta[None], learning_rate=eta, at_start=True
    )  # fmt: skip
    expected = np.linalg.matrix_power(np.eye(p) + eta * slope, n_steps) @ delta
    np.testing.assert_allclose(found[-1, 0], expected, rtol=1e-7, atol=1e-7)


def test_stable_step_bounds_the_curvature() -> None:
    for model in LINEAR:
        for seed in range(50):
            thetas, inputs, labels = drawn(model, seed, 1)
            delta = np.random.default_rng(seed).standard_normal((1, model.n_parameters))
            path = np.broadcast_to(thetas, (2, *thetas.shape))
            moved = first_variation(model, Ascent(), path, inputs, labels, delta, learning_rate=1.0)[1] - delta
            curvature = (moved * delta).sum() / (delta**2).sum()
            assert 0 <= curvature <= 2 / stable_learning_rate(model, inputs)
    with pytest.raises(ValueError, match="not convex"):
        stable_learning_rate(NETWORK, np.eye(9)[:2])


def test_gap_measures_by_hand() -> None:
    # One step of ascent from 0 and from 1 on the first coordinate of one row.
    a, b, other = np.zeros(9), np.eye(9)[0], np.eye(9)[1]
    rows = Rows(inputs=np.eye(9)[:1], labels=np.array([1]))
    test = Rows(inputs=np.eye(9)[:2], labels=np.array([1, 0]))
    found = classifier_gap(BINARY, Ascent(), a, b, other, forget=rows, test=test, learning_rate=1.0, n_steps=1)
    sigma = 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(found.measured["parameters"]["histories"], [1, 1 - sigma + 0.5])
    np.testing.assert_allclose(found.measured["on the span"]["histories"], [1, 1 - sigma + 0.5])
    np.testing.assert_allclose(found.measured["off the span"]["seeds"], [1, 1])
    # Centred logits of a margin m are ±m/2, of norm m/√2; the second test row has none.
    np.testing.assert_allclose(found.measured["test logits"]["histories"][0], np.sqrt(0.5 / 2))
    np.testing.assert_allclose(found.measured["forget logits"]["histories"][0], np.sqrt(0.5))
    p = 1 / (1 + np.exp(-1.0))
    roots = (np.sqrt(p) - np.sqrt(0.5)) ** 2 + (np.sqrt(1 - p) - np.sqrt(0.5)) ** 2
    np.testing.assert_allclose(found.measured["test √p"]["histories"][0], np.sqrt(roots / 2))
    np.testing.assert_allclose(found.measured["parameters"]["twin"][0], 1 / 16)
    np.testing.assert_array_equal(found.forget_accuracy[0], [0, 1])
    # At margin 1/2, the midpoint, the curvature is σ(½)σ(−½).
    bend = np.exp(0.5) / (1 + np.exp(0.5)) ** 2
    np.testing.assert_allclose(found.predicted["parameters"]["linear"], [1, 1 + bend])
    np.testing.assert_allclose(found.predicted["parameters"]["twin"], [1 / 16, 1.25 / 16])


def test_bad_settings_are_refused() -> None:
    thetas, inputs, labels = drawn(SOFTMAX, 0)
    for eta in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="E-DATA-102"):
            unlearn(SOFTMAX, Ascent(), thetas, inputs, labels, learning_rate=eta, n_steps=2)
    with np.errstate(all="ignore"), pytest.raises(InputError, match="E-DATA-133"):
        unlearn(SOFTMAX, RegressionToOwn(), thetas, inputs, labels, learning_rate=1e3, n_steps=400)
