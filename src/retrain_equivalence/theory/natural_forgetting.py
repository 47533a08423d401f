"""Natural forgetting: what forget rows still do to the parameters after the stages that came later, exactly.

Every rule of `stage` is affine in where it starts: train(θ) = A_s θ + b_s. Two histories that differ by δ before a
stage therefore differ by A_s δ after it, whatever its labels are. So the effect of the forget rows is born where they
are trained and is multiplied by one map per later stage; a history's states are all that is needed to subtract it.
"""

from __future__ import annotations

import numpy as np

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.stage import LinearStage, StageRule
from retrain_equivalence.theory.world import LinearWorld, Order


def stage_map(rule: StageRule, stage: LinearStage, vectors: Array) -> Array:
    """Return A_s·vector: what training on a stage does to a difference of two starts.

    For proximal ridge `A_s = μ (X_sᵀX_s + μI)⁻¹`, with eigenvalues μ / (s_j² + μ) on the rows' span and 1 off it, so
    ‖A_s‖ ≤ 1: a later stage can only shrink a given effect, and leaves what its inputs do not see.

    Args:
        rule: how the stage is trained; affine in θ, as all rules of `stage` are.
        stage: X_s; its labels play no part.
        vectors: shape [..., d].

    >>> from retrain_equivalence.theory.stage import ProximalRidge
    >>> seen = LinearStage("B", np.array([[1.0, 0.0]]), np.array([5.0]))
    >>> stage_map(ProximalRidge(penalty=1.0), seen, np.array([4.0, 4.0])).tolist()
    [2.0, 4.0]
    """
    return rule.train(vectors, LinearStage(stage.name, stage.inputs, np.zeros(len(stage.targets))))


def effects(world: LinearWorld, order: Order) -> Array:
    """Return what the forget rows do to θ after each stage of a history, shape [len(order) + 1, d]; the last is θ − r.

    `δ^s = A'_s δ^{s−1} + (train_s(θ^{s−1}) − train'_s(θ^{s−1}))`, δ^0 = 0, where the prime marks the stage without its
    forget rows (nothing at all if it loses all of them, so A' = I). With a whole stage U at place p of K this is
    `δ_p = A_K ⋯ A_{p+1} u_p`, and for proximal ridge `u_p = X_Uᵀ(X_U X_Uᵀ + μI)⁻¹(y_U − X_U θ_{p−1})`.

    It needs the states before each stage that holds forget rows and the inputs of the later ones: history, not only
    forget data. ‖A_s‖ ≤ 1 shrinks a *given* u_p; u_p itself depends on p, so distance need not fall with each place
    further back.

    Args:
        world: the stages, the rows to forget, the rule.
        order: of the history.

    Raises:
        InputError: E-DATA-109 for an order that is none.

    Source: derived; Yu et al. (2025) report recency on language models and give no statement of this kind.
    """
    states = world.states(order)
    found = [np.zeros_like(states[0])]
    for place, number in enumerate(order):
        rows, whole = world.forget_rows[number], world.stages[number]
        reduced = whole.without(rows) if rows else whole
        carried = found[-1] if reduced is None else stage_map(world.rule, reduced, found[-1])
        if rows:
            spared = states[place] if reduced is None else world.rule.train(states[place], reduced)
            carried = carried + states[place + 1] - spared
        found.append(carried)
    return np.stack(found)


def removed(world: LinearWorld, order: Order) -> Array:
    """Return θ minus the propagated effect of the forget rows, shape [d]: the history's own oracle, exactly.

    Not local and not path oblivious: it uses states and later inputs. That is what it pays for escaping the floor.

    Args:
        world: the stages, the rows to forget, the rule.
        order: of the history.

    Raises:
        InputError: E-DATA-109 for an order that is none.
    """
    found: Array = world.trained(order) - effects(world, order)[-1]
    return found
