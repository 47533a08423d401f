"""One world in both orders: what it collects equals what its parts say, and a plain computation."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.stage import LinearStage
from retrain_equivalence.theory.theorem import corollary_step
from retrain_equivalence.theory.two_orders import TwoOrders
from retrain_equivalence.theory.world import WorldShape, draw_world

SHAPE = WorldShape(dim=24, stage_rows=(9, 9), forget=(0, 4), test_rows=12)


def both(seed: int, shape: WorldShape = SHAPE, share: float = 0.05) -> TwoOrders:
    return TwoOrders(world=draw_world(shape, seed), learning_rate=1.0, tolerance_share=share)


def ridge(stage: LinearStage, theta: Array, rows: slice = slice(None)) -> Array:
    x, y = stage.inputs[rows], stage.targets[rows]
    found: Array = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y + 0.1 * theta)
    return found


def test_states_and_unit_equal_plain_ridge() -> None:
    for seed in range(10):
        found = both(seed)
        a, b = found.world.stages
        zero, kept = np.zeros(24), slice(4, None)
        ends = np.stack([ridge(b, ridge(a, zero)), ridge(a, ridge(b, zero))])
        oracles = np.stack([ridge(b, ridge(a, zero), kept), ridge(a, ridge(b, zero, kept))])
        assert found.thetas == pytest.approx(ends, abs=1e-9)
        assert found.oracles == pytest.approx(oracles, abs=1e-9)
        tests = found.world.test_inputs
        assert found.signal == pytest.approx(float(np.square(tests @ oracles.T).mean()), rel=1e-9)
        assert found.tolerance == pytest.approx(0.05 * found.signal, rel=1e-12)
        assert found.oracle_gap == pytest.approx(float(np.square(tests @ (oracles[0] - oracles[1])).mean()), rel=1e-8)
        assert np.exp(found.log_gaps(range(1))[0]) == pytest.approx(
            np.square(tests @ (ends[0] - ends[1])).mean(), rel=1e-8
        )


def test_a_whole_stage_has_one_oracle_and_common_and_own_agree() -> None:
    found = both(1, WorldShape(dim=24, stage_rows=(9, 9), forget=(0, 9), test_rows=12))
    assert found.oracle_gap == pytest.approx(0, abs=1e-20)
    assert found.first_common().step == found.first_own().step
    # Last trained, what to forget lies in the span of the forget inputs: the floor of A then B is 0.
    assert found.floors[0].value == 0


def test_own_oracles_never_part_before_a_common_one_is_excluded() -> None:
    for seed in range(20):
        found = both(seed)
        common, own = found.first_common().step, found.first_own().step
        assert common is not None and own is not None and found.corollary is not None
        # 2√ε + √d(r_a, r_b) is above 2√ε, and the theorem's t* is sufficient only.
        assert common <= own
        assert common <= found.corollary.step
        assert found.corollary == corollary_step(found.bound, found.tolerance)
        assert found.for_good is not None and found.for_good <= found.bound.start_tight


def test_steps_of_another_tolerance() -> None:
    found = both(2)
    wide = found.first_common(100 * found.signal).step
    assert wide is not None
    logs = found.log_gaps(range(wide + 1))
    assert logs[-1] > log(400 * found.signal) >= logs[:-1].max()


def test_no_bound_is_none() -> None:
    found = both(0, WorldShape(dim=24, stage_rows=(9, 9), forget=(0, 4), test_rows=3))
    assert (found.corollary, found.for_good) == (None, None)


def test_tolerance_is_above_zero() -> None:
    with pytest.raises(InputError, match="E-DATA-102"):
        _ = both(0, share=0.0).tolerance


def test_findings_count_what_does_not_exist() -> None:
    found = Finding.of("t", [1.0, None, 3.0, None])
    assert (found.values, found.n_without) == ((1.0, 3.0), 2)
    assert found.numbers()["n_without"] == 2 and found.numbers()["summary"]["median"] == 2
    nothing = Finding.of("t", [None])
    assert nothing.summary is None and nothing.text() == "in no world"
    assert nothing.numbers()["summary"] == "undefined in every world"
