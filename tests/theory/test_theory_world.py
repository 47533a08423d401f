"""Worlds: histories and oracles against solving every stage by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.inputs import LAWS
from retrain_equivalence.theory.stage import LinearStage, ProximalRidge
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world, stage_name

SMALL = WorldShape(dim=30, stage_rows=(8, 6, 7), forget=(0, 2, 3), test_rows=9)


def _ridge(theta: Any, x: Any, y: Any, mu: float) -> Any:
    return np.linalg.solve(x.T @ x + mu * np.eye(len(theta)), x.T @ y + mu * theta)


def test_histories_and_oracles_are_the_papers_equation_1() -> None:
    for seed in range(30):
        world = draw_world(replace(SMALL, law=LAWS[seed % 3], rule=ProximalRidge(penalty=0.2)), seed)
        for order in world.orders:
            theta, oracle = world.initial, world.initial
            for number in order:
                stage, gone = world.stages[number], world.forget_rows[number]
                kept = [i for i in range(len(stage.targets)) if i not in gone]
                theta = _ridge(theta, stage.inputs, stage.targets, 0.2)
                oracle = _ridge(oracle, stage.inputs[kept], stage.targets[kept], 0.2)
            np.testing.assert_allclose(world.trained(order), theta, atol=1e-10)
            np.testing.assert_allclose(world.own_oracle(order), oracle, atol=1e-10)
            np.testing.assert_array_equal(world.states(order)[-1], world.trained(order))
            np.testing.assert_array_equal(world.states(order)[0], world.initial)
        assert len(world.orders) == 6
        np.testing.assert_array_equal(world.common_oracle(), world.own_oracle((0, 1, 2)))


def test_own_oracles_differ_unless_a_whole_stage_moves_among_fixed_others() -> None:
    part = draw_world(SMALL, 0)
    assert not np.allclose(part.own_oracle((0, 1, 2)), part.own_oracle((2, 1, 0)))
    whole = draw_world(replace(SMALL, forget=(0, 6, 0)), 0)
    positions = whole.forget_at_each_position()
    assert positions == ((1, 0, 2), (0, 1, 2), (0, 2, 1))
    for order in positions[1:]:
        np.testing.assert_array_equal(whole.own_oracle(order), whole.own_oracle(positions[0]))
    with pytest.raises(InputError, match="E-DATA-109"):
        part.forget_at_each_position()


def test_forget_set_is_the_rows_named_in_the_order_of_stages() -> None:
    world = draw_world(SMALL, 1)
    a, b = world.stages[1], world.stages[2]
    np.testing.assert_array_equal(world.forget_inputs, np.concatenate([a.inputs[:2], b.inputs[:3]]))
    np.testing.assert_array_equal(world.forget_targets, np.concatenate([a.targets[:2], b.targets[:3]]))
    assert world.span().n_rows == 5


def test_one_seed_one_world() -> None:
    first, second, other = draw_world(SMALL, 5), draw_world(SMALL, 5), draw_world(SMALL, 6)
    np.testing.assert_array_equal(first.trained((2, 0, 1)), second.trained((2, 0, 1)))
    assert not np.allclose(first.trained((2, 0, 1)), other.trained((2, 0, 1)))


def test_agreement_is_the_correlation_of_teachers() -> None:
    # With square stages, no noise and no penalty each stage's least-squares solution is its teacher.
    for agreement in (0.0, 0.5, 1.0):
        shape = WorldShape(dim=400, stage_rows=(400, 400), forget=(0, 1), test_rows=1, noise=0.0, agreement=agreement)
        world = draw_world(shape, 3)
        teachers = [np.linalg.solve(stage.inputs, stage.targets) for stage in world.stages]
        # Standard error 1 / √400.
        assert np.corrcoef(teachers)[0, 1] == pytest.approx(agreement, abs=0.2)


def test_labels_have_unit_signal_and_the_stated_noise() -> None:
    quiet, loud = (
        draw_world(WorldShape(dim=50, stage_rows=(4000, 1), forget=(1, 0), noise=s), 2).stages[0] for s in (0.0, 0.5)
    )
    assert np.linalg.lstsq(quiet.inputs, quiet.targets, rcond=None)[1][0] < 1e-18
    left = float(np.linalg.lstsq(loud.inputs, loud.targets, rcond=None)[1][0]) / (4000 - 50)
    # Five standard errors of a variance of 0.25.
    assert left == pytest.approx(0.25, abs=5 * 0.25 * np.sqrt(2 / 3950))
    assert np.var(quiet.targets) == pytest.approx(1, abs=0.8)


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("E-DATA-108", {"forget": (0, 7, 0)}),
        ("E-DATA-108", {"forget": (0, -1, 0)}),
        ("E-DATA-108", {"forget": (0, 2)}),
        ("E-DATA-108", {"stage_rows": (5,), "forget": (1,)}),
        ("E-DATA-106", {"forget": (0, 0, 0)}),
    ],
)
def test_shapes_that_make_no_world(code: str, changed: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=code):
        draw_world(replace(SMALL, **changed), 0)


def test_worlds_that_disagree_with_themselves() -> None:
    world = draw_world(SMALL, 0)

    def changed(**fields: Any) -> LinearWorld:
        return replace(world, **fields)

    for fields in (
        {"initial": np.zeros(29)},
        {"test_inputs": np.zeros((3, 31))},
        {"forget_rows": ((), (6,), ())},
        {"forget_rows": ((), (1, 1), ())},
        {"forget_rows": ((), (1,))},
        {"stages": (*world.stages[:2], LinearStage("C", np.ones((2, 3)), np.ones(2)))},
    ):
        with pytest.raises(InputError, match="E-DATA-108"):
            changed(**fields)


@pytest.mark.parametrize("order", [(), (0, 0), (0, 3), (-1, 0)])
def test_orders_name_each_stage_at_most_once(order: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="E-DATA-109"):
        draw_world(SMALL, 0).trained(order)


def test_stages_have_the_papers_letters() -> None:
    assert [stage_name(i) for i in (0, 25, 26)] == ["A", "Z", "S27"]
