"""The gap of two histories of a classifier while both are unlearned: measured, predicted, and beside two controls.

Three pairs share one start a, the history that meets the forget stage last:

- *histories*: b meets the forget stage first;
- *seeds*: the same history with another sample order;
- *twin*: a + (b − a)/16, so near to a that the gap must follow the first variation along a's own path.

The gap of the histories is predicted twice from the first variation at their midpoint: with derivatives along the
midpoint's own path (`along`), and with derivatives held at its start (`linear`), which is the linear world with the
start's curvature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.classifier_unlearning import LogitMethod, first_variation, unlearn
from retrain_equivalence.theory.classifiers import Classifier, centred, probabilities
from retrain_equivalence.theory.digits import Labels

TWIN = 1 / 16
"""How far the twin lies from a towards b."""
PAIRS = ("histories", "seeds", "twin")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Inputs with labels."""

    inputs: Array
    """Shape [n, d]."""
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierGap:
    """Root mean squared gaps at every step, and what the two histories still know."""

    measured: Mapping[str, Mapping[str, Array]]
    """Space, then pair: gap at steps 0..T, shape [T + 1]. Spaces: `parameters`, `test logits`, `forget logits`
    (centred, root mean square over rows), `test √p` (root of the mean squared distance of √p: √2 × Hellinger), and for
    linear classifiers `on the span` and `off the span` of the forget inputs."""
    predicted: Mapping[str, Mapping[str, Array]]
    """Space, then `along`, `linear` (both for the histories) or `twin`: the first variation's gap, shape [T + 1]."""
    forget_accuracy: Array
    """Of a and b, shape [T + 1, 2]."""
    test_accuracy: Array
    """Of a and b, shape [T + 1, 2]."""


def classifier_gap(
    model: Classifier,
    method: LogitMethod,
    a: Array,
    b: Array,
    other_seed: Array,
    *,
    forget: Rows,
    test: Rows,
    learning_rate: float,
    n_steps: int,
) -> ClassifierGap:
    """Unlearn all of them with the same batches and measure.

    Args:
        model: the classifier.
        method: what is done to the forget rows.
        a: history with the forget stage last, shape [p].
        b: history with the forget stage first, shape [p].
        other_seed: history a under another sample order, shape [p].
        forget: X_U with labels.
        test: rows of all classes.
        learning_rate: η of unlearning.
        n_steps: T.

    Raises:
        InputError: E-DATA-102 for a bad step size, E-DATA-133 if anything overflows.
    """
    starts = np.stack([a, b, other_seed, a + TWIN * (b - a), (a + b) / 2])
    settings = {"learning_rate": learning_rate, "n_steps": n_steps}
    path = unlearn(model, method, starts, forget.inputs, forget.labels, **settings)  # type: ignore[arg-type]
    logits = {"test logits": model.logits(path, test.inputs), "forget logits": model.logits(path, forget.inputs)}
    others = dict(zip(PAIRS, (1, 2, 3), strict=True))
    measured = {"parameters": {pair: _length(path[:, i] - path[:, 0]) for pair, i in others.items()}}
    for space, z in logits.items():
        measured[space] = {pair: _root_mean(centred(z[:, i] - z[:, 0])) for pair, i in others.items()}
    roots = np.sqrt(probabilities(logits["test logits"]))
    measured["test √p"] = {pair: _root_mean(roots[:, i] - roots[:, 0]) for pair, i in others.items()}
    if model.is_linear:
        for pair, i in others.items():
            on, off = split_by_span(path[:, i] - path[:, 0], forget.inputs)
            measured.setdefault("on the span", {})[pair] = _length(on)
            measured.setdefault("off the span", {})[pair] = _length(off)
    return ClassifierGap(
        measured=measured,
        predicted=_predicted(model, method, path, b - a, forget, test, learning_rate),
        forget_accuracy=_accuracy(logits["forget logits"][:, :2], forget.labels),
        test_accuracy=_accuracy(logits["test logits"][:, :2], test.labels),
    )


def split_by_span(deltas: Array, inputs: Array) -> tuple[Array, Array]:
    """Split differences of a linear classifier's parameters on and off the span of the forget inputs.

    θ holds one weight vector per class (or one in all), each of which is split.

    Args:
        deltas: shape [..., c d].
        inputs: X_U, shape [k, d], of any rank.
    """
    _, singular, basis = np.linalg.svd(inputs, full_matrices=False)
    basis = basis[singular > 1e-10 * singular[0]]
    rows = deltas.reshape(*deltas.shape[:-1], -1, inputs.shape[1])
    on = ((rows @ basis.T) @ basis).reshape(deltas.shape)
    return on, deltas - on


def _predicted(
    model: Classifier, method: LogitMethod, path: Array, delta: Array, forget: Rows, test: Rows, learning_rate: float
) -> dict[str, dict[str, Array]]:
    both = np.stack([TWIN * delta, delta])
    ends = path[:, [0, 4]]
    found: dict[str, dict[str, Array]] = {}
    along = first_variation(
        model, method, ends, forget.inputs, forget.labels, both, learning_rate=learning_rate
    )  # fmt: skip
    linear = first_variation(
        model, method, ends[:, 1:], forget.inputs, forget.labels, both[1:], learning_rate=learning_rate, at_start=True
    )
    held = np.broadcast_to(ends[0, 1], linear[:, 0].shape)
    for name, deltas, states in (
        ("twin", along[:, 0], ends[:, 0]), ("along", along[:, 1], ends[:, 1]), ("linear", linear[:, 0], held)
    ):  # fmt: skip
        found.setdefault("parameters", {})[name] = _length(deltas)
        for space, rows in (("test logits", test), ("forget logits", forget)):
            changed = model.push(states, rows.inputs, deltas)
            found.setdefault(space, {})[name] = _root_mean(centred(changed))
    return found


def _length(deltas: Array) -> Array:
    found: Array = np.linalg.norm(deltas, axis=-1)
    return found


def _root_mean(differences: Array) -> Array:
    found: Array = np.sqrt((differences**2).sum(axis=-1).mean(axis=-1))
    return found


def _accuracy(logits: Array, labels: Labels) -> Array:
    found: Array = (logits.argmax(axis=-1) == labels).mean(axis=-1)
    return found
