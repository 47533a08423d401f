"""Every method of the linear table run step by step on states and labels, to measure what the factors predict.

Nothing here uses the difference map: gradients are taken at the states, with the labels, one step after the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, vector
from retrain_equivalence.theory.difference_map import (
    CommonFeatureDescent,
    CommonTargetDescent,
    GradientAscent,
    LinearMethod,
    OwnTargetDescent,
)
from retrain_equivalence.theory.relearn_first import InterpolateThenAscend, RelearnThenAscend, RidgeThenAscend
from retrain_equivalence.theory.stage import Converged, LinearStage, ProximalRidge
from retrain_equivalence.theory.task_vector import CommonTaskVector, OwnTaskVector
from retrain_equivalence.theory.trajectory import iterate


def run(
    method: LinearMethod,
    inputs: Array,
    targets: Array,
    thetas: Array,
    *,
    n_steps: int,
    constant: npt.ArrayLike = 0.0,
) -> Array:
    """Return the states after what the method does once, and after each of its steps, shape [n_steps + 1, H, d].

    Args:
        method: a row of the table; not `RewindAndReplay`, which needs the stages and stands in `rewinding`.
        inputs: X_U, shape [k, d].
        targets: y of the forget rows, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        n_steps: t of the last state.
        constant: c, one value or shape [k]: a common target, and what an own target takes off the history's own
            outputs.

    Raises:
        InputError: E-DATA-122 for a method that is no sequence of steps on the forget rows, E-DATA-100 to -102 and -112
            for shapes, values, step sizes and steps.

    >>> run(GradientAscent(learning_rate=0.5), np.eye(1), np.zeros(1), np.ones((1, 1)), n_steps=2).ravel().tolist()
    [1.0, 2.0, 4.0]
    """
    wanted, moving = vector(targets, "targets", len(inputs)), matrix(thetas, "thetas")
    offset = np.full(len(inputs), constant) if np.ndim(constant) == 0 else vector(constant, "constant", len(inputs))
    match method:
        case GradientAscent():
            return iterate(inputs, wanted, moving, learning_rate=method.learning_rate, n_steps=n_steps)
        case CommonTargetDescent() | CommonFeatureDescent():
            return _descent(inputs, offset, moving, method.learning_rate, n_steps)
        case OwnTargetDescent():
            own = [(moving[i : i + 1], inputs @ moving[i] - offset) for i in range(len(moving))]
            return np.concatenate([_descent(inputs, y, one, method.learning_rate, n_steps) for one, y in own], axis=1)
        case RelearnThenAscend() | RidgeThenAscend() | InterpolateThenAscend():
            again = _relearned(method, inputs, wanted, moving)
            return iterate(inputs, wanted, again, learning_rate=method.learning_rate, n_steps=n_steps)
        case OwnTaskVector():
            again = _descent(inputs, wanted, moving, method.relearn_rate, method.relearn_steps)[-1]
            return _still(moving - method.strength * (again - moving), n_steps)
        case CommonTaskVector():
            base = np.zeros((1, moving.shape[1]))
            again = Converged().train(base, LinearStage("forget", inputs, wanted))
            return _still(moving - method.strength * (again - base), n_steps)
        case _:
            raise InputError.of(
                "E-DATA-122", "method", f"'{method.name}' is no sequence of steps on the forget rows",
                "run one of the local methods",
            )  # fmt: skip


def _relearned(
    method: RelearnThenAscend | RidgeThenAscend | InterpolateThenAscend, inputs: Array, targets: Array, thetas: Array
) -> Array:
    stage = LinearStage("forget", inputs, targets)
    match method:
        case RelearnThenAscend():
            end: Array = _descent(inputs, targets, thetas, method.relearn_rate, method.relearn_steps)[-1]
            return end
        case RidgeThenAscend():
            return ProximalRidge(penalty=method.penalty).train(thetas, stage)
        case InterpolateThenAscend():
            return Converged().train(thetas, stage)


def _descent(inputs: Array, targets: Array, thetas: Array, learning_rate: float, n_steps: int) -> Array:
    return iterate(inputs, targets, thetas, learning_rate=learning_rate, n_steps=n_steps, direction="descent")


def _still(thetas: Array, n_steps: int) -> Array:
    found: Array = np.repeat(thetas[None], n_steps + 1, axis=0)
    return found
