"""Rewinding is the own oracle, bit for bit, and costs what is replayed."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.rewinding import rewound
from retrain_equivalence.theory.stage import Converged, GradientSteps, ProximalRidge, StageRule, StochasticSteps
from retrain_equivalence.theory.world import WorldShape, draw_world

RULES: tuple[StageRule, ...] = (
    ProximalRidge(penalty=0.1),
    GradientSteps(n_steps=7, learning_rate=0.4),
    Converged(),
    StochasticSteps(n_epochs=2, batch_size=3, learning_rate=0.2, seed=5),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("forget", [(0, 0, 5), (0, 4, 0), (3, 0, 7), (2, 6, 1)], ids=str)
def test_rewinding_is_the_own_oracle_bit_for_bit(rule: StageRule, forget: tuple[int, ...]) -> None:
    for seed in range(5):
        world = draw_world(WorldShape(dim=25, stage_rows=(8, 9, 7), forget=forget, test_rows=5, rule=rule), seed)
        for order in world.orders:
            found = rewound(world, order)
            assert np.array_equal(found.theta, world.own_oracle(order))
            assert not np.array_equal(found.theta, world.trained(order))


def test_cost_by_position() -> None:
    # Stages of 8, 9 and 7 rows; the whole of the third is forgotten.
    shape = WorldShape(
        dim=25, stage_rows=(8, 9, 7), forget=(0, 0, 7), test_rows=5, rule=GradientSteps(n_steps=7, learning_rate=0.1)
    )
    world = draw_world(shape, 0)
    last, middle, first = (rewound(world, order) for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1)))
    assert [f.stages_replayed for f in (last, middle, first)] == [0, 1, 2]
    assert [f.rows_replayed for f in (last, middle, first)] == [0, 9, 17]
    assert [f.steps_replayed for f in (last, middle, first)] == [0, 7, 14]
    assert {(f.stages_retrained, f.rows_retrained, f.steps_retrained) for f in (last, middle, first)} == {(2, 17, 14)}
    assert (last.share, middle.share, first.share) == (0, 9 / 17, 1)
    # With the forget stage last nothing is replayed: the state before it is the answer.
    assert np.array_equal(last.theta, world.states((0, 1, 2))[2])


def test_cost_of_minibatches_and_of_part_of_a_stage() -> None:
    rule = StochasticSteps(n_epochs=2, batch_size=3, learning_rate=0.2)
    world = draw_world(WorldShape(dim=25, stage_rows=(8, 9, 7), forget=(0, 4, 0), test_rows=5, rule=rule), 0)
    found = rewound(world, (0, 1, 2))
    # 5 rows of B and 7 of C: ⌈5/3⌉ and ⌈7/3⌉ batches, twice; A has ⌈8/3⌉.
    assert (found.steps_replayed, found.steps_retrained) == (2 * (2 + 3), 2 * (3 + 2 + 3))
    assert (found.rows_replayed, found.rows_retrained) == (12, 20)


def test_rules_without_steps_have_none() -> None:
    world = draw_world(WorldShape(dim=25, stage_rows=(8, 9), forget=(0, 4), test_rows=5), 0)
    assert rewound(world, (0, 1)).steps_replayed is None


def test_bad_input() -> None:
    world = draw_world(WorldShape(dim=25, stage_rows=(8, 9), forget=(0, 4), test_rows=5), 0)
    with pytest.raises(InputError, match="E-DATA-109"):
        rewound(world, (0, 0))
    with pytest.raises(InputError, match="E-DATA-109"):
        rewound(world, (0,))
