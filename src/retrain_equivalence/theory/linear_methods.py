"""Every linear row of the closing table run step by step on two histories: what the predictions are held against.

Nothing here uses a closed form. What each step does stands in `explicit_run`, `retain_run` and `rewinding`; here stand
the rows' targets, and which of the three runs a row.
"""

from __future__ import annotations

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.difference_map import RewindAndReplay
from retrain_equivalence.theory.explicit_run import run
from retrain_equivalence.theory.method_table import MethodSettings, method_named
from retrain_equivalence.theory.retain_run import retain_run
from retrain_equivalence.theory.retain_term import RetainTerm
from retrain_equivalence.theory.rewinding import rewound
from retrain_equivalence.theory.world import LinearWorld, Order


def unlearned(
    method: str, world: LinearWorld, orders: tuple[Order, Order], *, learning_rate: float, retain_weight: float,
    settings: MethodSettings, seed: int,
) -> Array:  # fmt: skip
    """Return the states of two histories after what a method does once and after each step, shape [n_steps + 1, 2, d].

    Args:
        method: a name of the linear kind in `method_table.METHODS`.
        world: its forget rows are unlearned; all its other rows are retain data.
        orders: of the two histories.
        learning_rate: η of unlearning and of relearning.
        retain_weight: λ of graddiff.
        settings: steps and strength.
        seed: of common targets, the control vector and the common teacher.

    Raises:
        InputError: E-DATA-124 for a method without linear form.
    """
    inputs, labels = world.forget_inputs, world.forget_targets
    starts = np.stack([world.trained(order) for order in orders])
    steps, linear = settings.n_steps, method_named(method).linear
    if method == "graddiff":
        retained, kept = retain_rows(world)
        term = RetainTerm(forget_inputs=inputs, retain_inputs=retained, learning_rate=learning_rate)
        return retain_run(term, retain_weight, labels, kept, starts, n_steps=steps)
    if linear is None:
        raise InputError.of("E-DATA-124", "method", f"'{method}' has no linear form", "see `method_table.METHODS`")
    does = linear(learning_rate, settings)
    if isinstance(does, RewindAndReplay):
        ends = np.stack([rewound(world, order).theta for order in orders])
        return np.repeat(ends[None], steps + 1, axis=0)
    constant = _constant(method, inputs, labels, np.random.default_rng(seed))
    return run(does, inputs, labels, starts, n_steps=steps, constant=constant)


def retain_rows(world: LinearWorld) -> tuple[Array, Array]:
    """Return inputs and targets of all rows that are not to be forgotten."""
    kept = [s.without(rows) for s, rows in zip(world.stages, world.forget_rows, strict=True)]
    left = [stage for stage in kept if stage is not None]
    return np.concatenate([s.inputs for s in left]), np.concatenate([s.targets for s in left])


def _constant(method: str, inputs: Array, labels: Array, rng: np.random.Generator) -> Array | float:
    """Return the common target of a method, or what its own target takes off the history's outputs; 0 if it has none.

    Any value would do: it cancels in the difference of two histories.
    """
    match method:
        case "idk" | "rmu" | "distillation, own teacher":
            return rng.standard_normal(len(labels))
        case "uniform":
            return float(labels.mean())
        case "distillation, common teacher":
            teacher: Array = inputs @ rng.standard_normal(inputs.shape[1])
            return teacher
        case "undial":
            return 1.0
        case _:
            return 0.0
