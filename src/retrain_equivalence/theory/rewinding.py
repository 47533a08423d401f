"""Rewinding: go back to the state before the forget rows came in, and replay what followed without them.

With the stages' own seeds it *is* the own-order oracle, bit for bit, under every rule of training. It escapes the
triangle by giving up locality, and pays in stored states and replayed rows instead of in error.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.stage import GradientSteps, StageRule, StochasticSteps
from retrain_equivalence.theory.world import LinearWorld, Order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rewound:
    """The result, and what it cost beside retraining from the start."""

    theta: Array
    """Shape [d]."""
    stages_replayed: int
    """Stages trained again; a stage that loses all its rows is not."""
    stages_retrained: int
    """The same for retraining."""
    rows_replayed: int
    """Rows of the stages trained again."""
    rows_retrained: int
    """The same for retraining."""
    steps_replayed: int | None
    """Gradient steps; None for rules that solve a stage at once."""
    steps_retrained: int | None
    """The same for retraining."""

    @property
    def share(self) -> float:
        """Rows replayed over rows of retraining: 0 if the forget set is the whole last stage, 1 at the worst."""
        return self.rows_replayed / self.rows_retrained if self.rows_retrained else 0.0


def rewound(world: LinearWorld, order: Order) -> Rewound:
    """Return the history's own oracle, from the last state that no forget row has touched.

    Args:
        world: the stages and the rows to forget; the states after each stage are taken as stored.
        order: of the history.

    Raises:
        InputError: E-DATA-109 for an order that is none, or one without a forget row.
    """
    states = world.states(order)
    touched = [place for place, number in enumerate(order) if world.forget_rows[number]]
    if not touched:
        raise InputError.of(
            "E-DATA-109", "order", f"{order} holds no stage with forget rows", "name an order that holds one"
        )
    theta: Array = states[touched[0]]
    reduced = [world.stages[n].without(world.forget_rows[n]) for n in order]
    for stage in reduced[touched[0] :]:
        if stage is not None:
            theta = world.rule.train(theta, stage)
    everything = [len(stage.targets) for stage in reduced if stage is not None]
    replayed = [len(stage.targets) for stage in reduced[touched[0] :] if stage is not None]
    return Rewound(
        theta=theta,
        stages_replayed=len(replayed),
        stages_retrained=len(everything),
        rows_replayed=sum(replayed),
        rows_retrained=sum(everything),
        steps_replayed=_steps(world.rule, replayed),
        steps_retrained=_steps(world.rule, everything),
    )


def _steps(rule: StageRule, rows: list[int]) -> int | None:
    if isinstance(rule, GradientSteps):
        return rule.n_steps * len(rows)
    if isinstance(rule, StochasticSteps):
        return sum(rule.n_epochs * -(-n // rule.batch_size) for n in rows)
    return None
