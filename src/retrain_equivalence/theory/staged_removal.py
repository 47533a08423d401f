"""Exact removal from a staged history: the ridge step within each stage, carried through the later ones.

Ridge removal alone answers for the stage that held the rows, not for the stages trained after it. In a history of
proximal stages the forget rows' effect is born where they were trained and mapped by every later stage, so it can be
computed from what was recorded and subtracted. What must be recorded: the state at the end of each stage that holds
forget rows, and the retained inputs of that stage and of all later ones. No retained label and no retraining.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.certified_ridge import proximal_effect
from retrain_equivalence.theory.natural_forgetting import stage_map
from retrain_equivalence.theory.stage import LinearStage, ProximalRidge
from retrain_equivalence.theory.world import LinearWorld, Order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageRecord:
    """What removal needs of one stage, in the order of training."""

    retained_inputs: Array
    """X_r, shape [n − k, d]; [0, d] if the whole stage is forgotten."""
    forgotten_inputs: Array
    """X_f, shape [k, d]; [0, d] if the stage holds none."""
    forgotten_targets: Array
    """y_f, shape [k]."""
    state: Array | None
    """θ at the end of the stage, shape [d]; needed only if it holds forget rows."""


def records_of(world: LinearWorld, order: Order) -> tuple[StageRecord, ...]:
    """Record a history as it is trained; states are kept only where they are needed.

    Args:
        world: the stages and the rows to forget.
        order: of the history.

    Raises:
        InputError: E-DATA-104 if the world is not trained by proximal ridge, E-DATA-109 for an order that is none.
    """
    penalty_of(world)
    states, found = world.states(order), []
    for place, number in enumerate(order):
        stage, gone = world.stages[number], list(world.forget_rows[number])
        kept = np.setdiff1d(np.arange(len(stage.targets)), np.asarray(gone, dtype=np.int64))
        found.append(
            StageRecord(
                retained_inputs=stage.inputs[kept],
                forgotten_inputs=stage.inputs[gone],
                forgotten_targets=stage.targets[gone],
                state=states[place + 1] if gone else None,
            )
        )
    return tuple(found)


def penalty_of(world: LinearWorld) -> float:
    """Return μ of a world of proximal stages.

    Raises:
        InputError: E-DATA-104 if its stages are trained otherwise, or without a penalty.
    """
    if not isinstance(world.rule, ProximalRidge) or world.rule.penalty == 0:
        raise InputError.of(
            "E-DATA-104", "rule", "the step within a stage needs a proximal penalty above 0",
            "train by proximal ridge, or subtract natural_forgetting.effects, which takes any rule",
        )  # fmt: skip
    return world.rule.penalty


def staged_removal(theta: Array, records: Sequence[StageRecord], *, penalty: float) -> Array:
    """Return the end of the history without the forget rows, shape [d]: its own oracle, exactly.

    `δ ← μ(X_rᵀX_r + μI)⁻¹ δ + (X_rᵀX_r + μI)⁻¹ X_fᵀ(y_f − X_fθ^s)` over the stages s in order, from δ = 0; the result
    is θ − δ. With forget rows in one stage p only: `θ − A_K ⋯ A_{p+1} u_p`.

    Args:
        theta: the end of the history, shape [d].
        records: of its stages in order.
        penalty: μ > 0.

    Raises:
        InputError: E-DATA-102 for a bad penalty, E-DATA-106 if no stage holds forget rows, E-DATA-109 if one that does
            has no state recorded.

    Source: derived. Guo et al. (2020) treat one joint training only.

    One stage, x = 1 twice, y = (1, 5), μ = 1, from 0: θ = 2, and ½ without the second row.

    >>> row = np.ones((1, 1))
    >>> one = StageRecord(
    ...     retained_inputs=row, forgotten_inputs=row, forgotten_targets=np.array([5.0]), state=np.array([2.0])
    ... )
    >>> staged_removal(np.array([2.0]), [one], penalty=1.0).tolist()
    [0.5]
    """
    mu = positive(penalty, "penalty")
    if not any(len(record.forgotten_targets) for record in records):
        raise InputError.of("E-DATA-106", "forget set", "is empty", "name at least one row to forget")
    effect = np.zeros_like(theta)
    for place, record in enumerate(records):
        effect = _carried(effect, record.retained_inputs, mu)
        if not len(record.forgotten_targets):
            continue
        if record.state is None:
            raise InputError.of(
                "E-DATA-109", f"stage {place + 1}", "holds forget rows, but its end was not recorded",
                "keep the state at the end of every stage that may be forgotten from",
            )  # fmt: skip
        effect = effect + proximal_effect(
            record.retained_inputs, record.forgotten_inputs, record.forgotten_targets, record.state, penalty=mu
        )
    found: Array = theta - effect
    return found


def _carried(effect: Array, inputs: Array, penalty: float) -> Array:
    if not len(inputs) or not effect.any():
        return effect
    return stage_map(ProximalRidge(penalty=penalty), LinearStage("later", inputs, np.zeros(len(inputs))), effect)
