"""Removal from staged histories against retraining along the same order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.natural_forgetting import effects
from retrain_equivalence.theory.stage import Converged, ProximalRidge
from retrain_equivalence.theory.staged_removal import StageRecord, records_of, staged_removal
from retrain_equivalence.theory.world import LinearWorld, Order, WorldShape, draw_world


def relative(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def retrained(world: LinearWorld, order: Order, penalty: float) -> Array:
    """The own oracle by stacking √μ I under each stage and least squares: no code of the package."""
    theta = world.initial
    d = len(theta)
    for number in order:
        kept = np.delete(np.arange(len(world.stages[number].targets)), world.forget_rows[number])
        inputs, targets = world.stages[number].inputs[kept], world.stages[number].targets[kept]
        stacked = np.vstack([inputs, np.sqrt(penalty) * np.eye(d)])
        theta = np.linalg.lstsq(stacked, np.concatenate([targets, np.sqrt(penalty) * theta]), rcond=None)[0]
    return theta


@pytest.mark.parametrize("forget", [(0, 0, 5), (0, 3, 0), (2, 0, 5), (1, 4, 2)], ids=str)
def test_removal_is_retraining_by_least_squares(forget: tuple[int, ...]) -> None:
    for seed in range(12):
        penalty = float(10 ** np.random.default_rng(seed).uniform(-2, 1))
        shape = WorldShape(
            dim=18, stage_rows=(7, 20, 5), forget=forget, test_rows=4, rule=ProximalRidge(penalty=penalty)
        )
        world = draw_world(shape, seed)
        for order in world.orders:
            found = staged_removal(world.trained(order), records_of(world, order), penalty=penalty)
            assert relative(found, retrained(world, order, penalty)) < 1e-10, (seed, order)


def test_effect_is_the_one_of_natural_forgetting() -> None:
    world = draw_world(WorldShape(dim=30, stage_rows=(8, 9, 10), forget=(0, 4, 0), test_rows=4), 1)
    for order in world.orders:
        theta = world.trained(order)
        found = theta - staged_removal(theta, records_of(world, order), penalty=0.1)
        assert relative(found, effects(world, order)[-1]) < 1e-10


def test_it_needs_no_label_that_is_kept_and_no_state_elsewhere() -> None:
    world = draw_world(WorldShape(dim=30, stage_rows=(8, 9, 10), forget=(0, 4, 0), test_rows=4), 1)
    records = records_of(world, (0, 1, 2))
    assert [record.state is None for record in records] == [True, False, True]
    assert [len(record.forgotten_targets) for record in records] == [0, 4, 0]


def test_the_step_within_the_stage_alone_can_do_harm() -> None:
    worse = 0
    for seed in range(20):
        shape = WorldShape(dim=200, stage_rows=(60, 60, 60, 60), forget=(20, 0, 0, 0))
        world = draw_world(shape, seed)
        order = (0, 1, 2, 3)
        theta, oracle = world.trained(order), world.own_oracle(order)
        alone = staged_removal(world.states(order)[1], records_of(world, order)[:1], penalty=0.1)
        left_as_it_is = theta - (world.states(order)[1] - alone)
        nothing = np.square(world.test_inputs @ (theta - oracle)).mean()
        worse += bool(np.square(world.test_inputs @ (left_as_it_is - oracle)).mean() > nothing)
    assert worse >= 15


def test_bad_input() -> None:
    world = draw_world(WorldShape(dim=10, stage_rows=(4, 4), forget=(0, 2), test_rows=4), 0)
    theta, records = world.trained((0, 1)), records_of(world, (0, 1))
    with pytest.raises(InputError, match="E-DATA-106"):
        staged_removal(theta, records[:1], penalty=0.1)
    with pytest.raises(InputError, match="E-DATA-109"):
        staged_removal(theta, [records[0], replace(records[1], state=None)], penalty=0.1)
    with pytest.raises(InputError, match="E-DATA-102"):
        staged_removal(theta, records, penalty=0)
    with pytest.raises(InputError, match="E-DATA-104"):
        records_of(replace(world, rule=Converged()), (0, 1))
    with pytest.raises(InputError, match="E-DATA-109"):
        records_of(world, (0, 5))


def test_whole_stage_by_hand() -> None:
    # x = 1, y = 3, μ = 1 from 0: θ = 1.5. Then x = 1, y = 0: θ = .75. Without the first stage: 0.
    empty = np.zeros((0, 1))
    forget = StageRecord(
        retained_inputs=empty, forgotten_inputs=np.ones((1, 1)), forgotten_targets=np.array([3.0]),
        state=np.array([1.5]),
    )  # fmt: skip
    later = StageRecord(
        retained_inputs=np.ones((1, 1)), forgotten_inputs=empty, forgotten_targets=np.zeros(0), state=None
    )
    assert staged_removal(np.array([0.75]), [forget, later], penalty=1.0) == pytest.approx(np.zeros(1), abs=1e-15)
