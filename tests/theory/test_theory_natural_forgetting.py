"""What later stages leave of forget rows: the product of maps, its exact subtraction, and what is not implied."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.theory.natural_forgetting import effects, removed, stage_map
from retrain_equivalence.theory.stage import (
    Converged,
    GradientSteps,
    LinearStage,
    ProximalRidge,
    StageRule,
    StochasticSteps,
)
from retrain_equivalence.theory.world import WorldShape, draw_world

RULES: tuple[StageRule, ...] = (
    ProximalRidge(penalty=0.1),
    GradientSteps(n_steps=7, learning_rate=0.4),
    Converged(),
    StochasticSteps(n_epochs=2, batch_size=3, learning_rate=0.2),
)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_effects_by_hand() -> None:
    # U: x = (1, 0), y = 2, mu = 1: u = (1, 0). Then a stage with x = (1, 0): A halves it.
    forget = LinearStage("U", np.array([[1.0, 0.0]]), np.array([2.0]))
    later = LinearStage("B", np.array([[1.0, 0.0]]), np.array([7.0]))
    drawn = draw_world(
        WorldShape(dim=2, stage_rows=(1, 1), forget=(1, 0), test_rows=2, rule=ProximalRidge(penalty=1.0)), 0
    )
    world = type(drawn)(
        stages=(forget, later), forget_rows=((0,), ()), rule=ProximalRidge(penalty=1.0), initial=np.zeros(2),
        test_inputs=np.eye(2),
    )  # fmt: skip
    assert effects(world, (0, 1)) == pytest.approx(np.array([[0, 0], [1, 0], [0.5, 0]]))
    # Trained last it starts from (3.5, 0) and adds u = (2 - 3.5)/2.
    assert effects(world, (1, 0)) == pytest.approx(np.array([[0, 0], [0, 0], [-0.75, 0]]))


def test_proximal_effect_is_the_product_of_the_printed_matrices() -> None:
    for seed in range(20):
        shape = WorldShape(dim=25, stage_rows=(8, 9, 7, 4), forget=(0, 0, 0, 4), test_rows=5)
        world = draw_world(shape, seed)
        oracle, eye = world.common_oracle(), np.eye(25)
        for order in world.forget_at_each_position():
            place = order.index(3)
            states, rows, mu = world.states(order), world.forget_inputs, 0.1
            effect = rows.T @ np.linalg.solve(
                rows @ rows.T + mu * np.eye(4), world.forget_targets - rows @ states[place]
            )
            for number in order[place + 1 :]:
                later = world.stages[number].inputs
                effect = mu * np.linalg.solve(later.T @ later + mu * eye, effect)
            assert relative(effects(world, order)[-1], effect) < 1e-10
            assert relative(world.trained(order) - oracle, effect) < 1e-10


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("forget", [(0, 0, 5), (0, 4, 0), (3, 0, 5), (2, 6, 1)], ids=str)
def test_subtracting_the_effect_returns_the_own_oracle(rule: StageRule, forget: tuple[int, ...]) -> None:
    for seed in range(6):
        world = draw_world(WorldShape(dim=25, stage_rows=(8, 9, 7), forget=forget, test_rows=5, rule=rule), seed)
        for order in world.orders:
            oracle = world.own_oracle(order)
            scale = np.linalg.norm(world.trained(order)) + np.linalg.norm(oracle)
            assert np.linalg.norm(removed(world, order) - oracle) < 1e-12 * scale


def test_later_proximal_stages_never_enlarge_an_effect() -> None:
    rng = np.random.default_rng(0)
    for seed in range(200):
        rows = rng.standard_normal((int(rng.integers(1, 12)), 10))
        stage = LinearStage("s", rows, rng.standard_normal(len(rows)))
        mapped = stage_map(ProximalRidge(penalty=float(10 ** rng.uniform(-2, 2))), stage, np.eye(10))
        values = np.linalg.eigvalsh(mapped)
        assert values[0] > -1e-12, seed
        assert values[-1] <= 1 + 1e-12, seed


def test_labels_and_start_play_no_part_in_the_map() -> None:
    world = draw_world(WorldShape(dim=12, stage_rows=(5, 6), forget=(0, 2), test_rows=3), 4)
    rng = np.random.default_rng(1)
    start, moved = rng.standard_normal(12), rng.standard_normal(12)
    stage = world.stages[0]
    difference = world.rule.train(start + moved, stage) - world.rule.train(start, stage)
    assert relative(stage_map(world.rule, stage, moved), difference) < 1e-12


def test_distance_need_not_fall_with_each_place_further_back() -> None:
    shape = WorldShape(dim=25, stage_rows=(8, 8, 4), forget=(0, 0, 4), test_rows=10)
    falls = []
    for seed in range(40):
        world = draw_world(shape, seed)
        oracle = world.common_oracle()
        distances = [np.linalg.norm(world.trained(order) - oracle) for order in world.forget_at_each_position()]
        falls.append(bool((np.diff(distances) > 0).all()))
    assert 0 < sum(falls) < 40


def test_all_positions_of_a_whole_stage_share_one_oracle() -> None:
    world = draw_world(WorldShape(dim=25, stage_rows=(8, 8, 4), forget=(0, 0, 4), test_rows=10), 2)
    oracles = np.stack([world.own_oracle(order) for order in world.forget_at_each_position()])
    assert np.ptp(oracles, axis=0).max() == 0.0
