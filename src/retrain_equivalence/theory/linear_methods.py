"""Every method of the closing table as explicit plain steps in a linear world: what the predictions are held against.

Nothing here uses a closed form. Parameters of several histories are rows of one array, [H, d]; loops are over steps.
"""

from __future__ import annotations

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.method_table import MethodSettings
from retrain_equivalence.theory.world import LinearWorld, Order


def stepped(thetas: Array, inputs: Array, targets: Array, *, learning_rate: float, n_steps: int, sign: int) -> Array:
    """Return θ after n steps θ + sign·η ∇(1/k)‖Xθ − y‖², shape [H, d].

    Args:
        thetas: shape [H, d].
        inputs: X, shape [k, d].
        targets: y, shape [k] for all histories or [H, k] for each its own.
        learning_rate: η.
        n_steps: how many.
        sign: +1 ascends, −1 descends.
    """
    moving = np.array(thetas, dtype=np.float64)
    for _ in range(n_steps):
        moving = moving + sign * learning_rate * 2 / len(inputs) * (moving @ inputs.T - targets) @ inputs
    return moving


def unlearned(
    method: str, world: LinearWorld, orders: tuple[Order, Order], *, learning_rate: float, retain_weight: float,
    settings: MethodSettings, seed: int,
) -> Array:  # fmt: skip
    """Return θ of two histories after a method, shape [2, d].

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
    rng = np.random.default_rng(seed)
    rate, steps = learning_rate, settings.n_steps

    def descended(targets: Array) -> Array:
        return stepped(starts, inputs, targets, learning_rate=rate, n_steps=steps, sign=-1)

    if method == "ga":
        return stepped(starts, inputs, labels, learning_rate=rate, n_steps=steps, sign=1)
    if method == "graddiff":
        return _graddiff(starts, world, learning_rate=rate, weight=retain_weight, n_steps=steps)
    if method in ("idk", "rmu"):
        return descended(rng.standard_normal(len(labels)))
    if method == "uniform":
        return descended(np.full(len(labels), float(labels.mean())))
    if method == "distillation, common teacher":
        return descended(inputs @ rng.standard_normal(inputs.shape[1]))
    if method in ("distillation, own teacher", "undial"):
        shift = 1.0 if method == "undial" else rng.standard_normal(len(labels))
        return descended(starts @ inputs.T - shift)
    if method in ("task vector", "relearn_first"):
        relearned = stepped(starts, inputs, labels, learning_rate=rate, n_steps=settings.relearn_steps, sign=-1)
        if method == "task vector":
            return starts - settings.strength * (relearned - starts)
        return stepped(relearned, inputs, labels, learning_rate=rate, n_steps=steps, sign=1)
    if method == "rewind":
        return np.stack([_rewound(world, order) for order in orders])
    raise InputError.of("E-DATA-124", "method", f"'{method}' has no linear form", "see `method_table.METHODS`")


def retain_rows(world: LinearWorld) -> tuple[Array, Array]:
    """Return inputs and targets of all rows that are not to be forgotten."""
    kept = [s.without(rows) for s, rows in zip(world.stages, world.forget_rows, strict=True)]
    left = [stage for stage in kept if stage is not None]
    return np.concatenate([s.inputs for s in left]), np.concatenate([s.targets for s in left])


def _graddiff(starts: Array, world: LinearWorld, *, learning_rate: float, weight: float, n_steps: int) -> Array:
    retained, kept = retain_rows(world)
    moving = starts
    for _ in range(n_steps):
        up = 2 / len(world.forget_inputs) * (moving @ world.forget_inputs.T - world.forget_targets)
        down = 2 / len(kept) * (moving @ retained.T - kept)
        moving = moving + learning_rate * (up @ world.forget_inputs - weight * down @ retained)
    return moving


def _rewound(world: LinearWorld, order: Order) -> Array:
    """Return the state before the first stage with forget rows, replayed from there without them."""
    first = next(i for i, stage in enumerate(order) if world.forget_rows[stage])
    moving: Array = world.states(order)[first]
    for number in order[first:]:
        stage = world.stages[number].without(world.forget_rows[number])
        moving = moving if stage is None else world.rule.train(moving, stage)
    return moving
