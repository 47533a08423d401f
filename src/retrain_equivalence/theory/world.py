"""Linear worlds: stages in any order, a forget set inside them, and every history and oracle in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TypeAlias

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, vector
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.inputs import ISOTROPIC, InputLaw
from retrain_equivalence.theory.stage import LinearStage, ProximalRidge, StageRule

Order: TypeAlias = tuple[int, ...]
"""Stage numbers in the order of training."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearWorld:
    """k ≥ 2 stages, the rows to forget, one rule of training, a test set."""

    stages: tuple[LinearStage, ...]
    forget_rows: tuple[tuple[int, ...], ...]
    """Per stage, the numbers of its rows that are to be forgotten: all of one stage, some, or some of several."""
    rule: StageRule
    """How every stage is trained."""
    initial: Array
    """θ before the first stage, shape [d]."""
    test_inputs: Array
    """X_test, shape [m, d]."""

    def __post_init__(self) -> None:
        if len(self.stages) < 2 or len(self.forget_rows) != len(self.stages):
            raise InputError.of(
                "E-DATA-108", "stages",
                f"expected at least two stages and one list of forget rows for each, found {len(self.stages)} "
                f"and {len(self.forget_rows)}", "name every stage and its forget rows",
            )  # fmt: skip
        dim = vector(self.initial, "initial").size
        for stage, rows in zip(self.stages, self.forget_rows, strict=True):
            outside = [row for row in rows if not 0 <= row < len(stage.targets)]
            if stage.inputs.shape[1] != dim or outside or len(set(rows)) != len(rows):
                raise InputError.of(
                    "E-DATA-108", stage.name,
                    f"{stage.inputs.shape[1]} dimensions (expected {dim}), forget rows out of range or repeated: "
                    f"{outside or len(set(rows)) != len(rows)}", "make dimensions agree and name each row once",
                )  # fmt: skip
        if matrix(self.test_inputs, "test inputs").shape[1] != dim:
            raise InputError.of(
                "E-DATA-108", "test inputs", f"{self.test_inputs.shape[1]} dimensions, expected {dim}",
                "draw the test rows in the dimension of the stages",
            )  # fmt: skip
        if not any(self.forget_rows):
            raise InputError.of("E-DATA-106", "forget set", "is empty", "name at least one row to forget")

    @property
    def forget_inputs(self) -> Array:
        """X_U, shape [k, d], in the order of stages and rows."""
        return np.concatenate([s.inputs[list(r)] for s, r in zip(self.stages, self.forget_rows, strict=True)])

    @property
    def forget_targets(self) -> Array:
        """y_U, shape [k]."""
        return np.concatenate([s.targets[list(r)] for s, r in zip(self.stages, self.forget_rows, strict=True)])

    def span(self) -> ForgetSpan:
        """Decompose the forget inputs."""
        return ForgetSpan.of(self.forget_inputs)

    @property
    def orders(self) -> tuple[Order, ...]:
        """Every order of the stages."""
        return tuple(permutations(range(len(self.stages))))

    def forget_at_each_position(self) -> tuple[Order, ...]:
        """Return the orders that move the one stage with forget rows from first to last and keep the others' order.

        Raises:
            InputError: E-DATA-109 if several stages hold forget rows.
        """
        holders = [i for i, rows in enumerate(self.forget_rows) if rows]
        if len(holders) > 1:
            raise InputError.of(
                "E-DATA-109", "forget set", f"lies in {len(holders)} stages", "use `orders` for such a world"
            )
        others = [i for i in range(len(self.stages)) if i != holders[0]]
        return tuple((*others[:p], holders[0], *others[p:]) for p in range(len(self.stages)))

    def trained(self, order: Order) -> Array:
        """Return θ at the end of a history, shape [d]."""
        end: Array = self._path(order, self.stages)[-1]
        return end

    def states(self, order: Order) -> Array:
        """Return θ before the first stage and after each, shape [len(order) + 1, d]."""
        return self._path(order, self.stages)

    def own_oracle(self, order: Order) -> Array:
        """Return the oracle of a history: the same order without the forget rows, shape [d].

        A stage that loses all its rows is left out; one that loses some keeps its rule (the same penalty, or the same
        number of steps: not the same number of epochs).
        """
        end: Array = self._path(order, self._reduced())[-1]
        return end

    def common_oracle(self) -> Array:
        """Return the one oracle that the paper compares all histories with: the order in which `stages` stand."""
        return self.own_oracle(tuple(range(len(self.stages))))

    def _reduced(self) -> tuple[LinearStage | None, ...]:
        return tuple(s.without(rows) for s, rows in zip(self.stages, self.forget_rows, strict=True))

    def _path(self, order: Order, stages: Sequence[LinearStage | None]) -> Array:
        if sorted(order) != sorted(set(order)) or not set(order) <= set(range(len(self.stages))) or not order:
            raise InputError.of(
                "E-DATA-109", "order", f"{order} is no order of {len(self.stages)} stages", "name each stage once"
            )
        states = [self.initial]
        for number in order:
            stage = stages[number]
            states.append(states[-1] if stage is None else self.rule.train(states[-1], stage))
        return np.stack(states)


PAPER_RULE = ProximalRidge(penalty=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldShape:
    """What kind of world to draw; the defaults are those of `retrain-equivalence theory`."""

    law: InputLaw = ISOTROPIC
    dim: int = 200
    """d."""
    stage_rows: tuple[int, ...] = (60, 60)
    """n of each stage."""
    forget: tuple[int, ...] = (0, 20)
    """How many of each stage's first rows are to be forgotten."""
    test_rows: int = 60
    """m."""
    rule: StageRule = PAPER_RULE
    noise: float = 0.1
    """Standard deviation of label noise; the signal of a row has variance near 1."""
    agreement: float = 0.0
    """Correlation of the stages' teachers, 0 to 1: how far they teach the same thing."""


def draw_world(shape: WorldShape, seed: int) -> LinearWorld:
    """Draw a world: stage s has y = Xw_s + noise, with w_s = √a w + √(1 − a) w'_s, all standard normal.

    Args:
        shape: sizes and laws.
        seed: one seed, one world, whatever else is drawn.

    Raises:
        InputError: E-DATA-106 or -108 for sizes that make no world.
    """
    if len(shape.forget) != len(shape.stage_rows) or any(
        not 0 <= f <= n for f, n in zip(shape.forget, shape.stage_rows, strict=False)
    ):
        raise InputError.of(
            "E-DATA-108", "forget", f"{shape.forget} rows of stages with {shape.stage_rows}",
            "give each stage a number of forget rows between 0 and its size",
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    n_stages = len(shape.stage_rows)
    common = rng.standard_normal(shape.dim)
    stages = []
    for number, n_rows in enumerate(shape.stage_rows):
        teacher = np.sqrt(shape.agreement) * common + np.sqrt(1 - shape.agreement) * rng.standard_normal(shape.dim)
        inputs = shape.law.draw(rng, n_rows, shape.dim, stage=number, n_stages=n_stages)
        targets = inputs @ teacher + shape.noise * rng.standard_normal(n_rows)
        stages.append(LinearStage(stage_name(number), inputs, targets))
    return LinearWorld(
        stages=tuple(stages),
        forget_rows=tuple(tuple(range(n)) for n in shape.forget),
        rule=shape.rule,
        initial=np.zeros(shape.dim),
        test_inputs=shape.law.draw(rng, shape.test_rows, shape.dim),
    )


def stage_name(number: int) -> str:
    """Return A, B, C, ... as in the paper.

    >>> stage_name(1)
    'B'
    """
    return chr(ord("A") + number) if number < 26 else f"S{number + 1}"
