"""The floor: below every local trajectory, zero exactly where its conditions say, equal to independent solvers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.floor import FloorOutcome, floor, population_floor, reached
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.inputs import LAWS
from retrain_equivalence.theory.world import WorldShape, draw_world

SMALL = WorldShape(dim=30, stage_rows=(10, 12), forget=(0, 5), test_rows=15)


def distance(theta: Array, reference: Array, rows: Array) -> float:
    return float(np.square(rows @ (theta - reference)).sum()) / len(rows)


def test_floor_by_hand() -> None:
    # δ = (3, 2, 1), span = first axis. Rows (1,1,0) and (1,0,1): X off = (2, 1), X v = a(1, 1): least at a = -3/2.
    span = ForgetSpan.of([[2.0, 0.0, 0.0]])
    rows = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    found = floor(span, np.array([3.0, 2.0, 1.0]), np.zeros(3), rows)
    assert found.value == pytest.approx(0.25)
    assert found.at_oracle_targets == pytest.approx(2.5)
    assert found.at_start == pytest.approx((25 + 16) / 2)
    assert found.nearest == pytest.approx([-1.5, 2.0, 1.0])
    assert found.outcome is FloorOutcome.POSITIVE


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_floor_equals_a_general_minimiser_and_the_projector_formula(law: object) -> None:
    for seed in range(15):
        world = draw_world(WorldShape(**{**shape_of(SMALL), "law": law}), seed)
        theta, oracle, span = world.trained((0, 1)), world.own_oracle((0, 1)), world.span()
        found = floor(span, theta, oracle, world.test_inputs)
        # Independent: coefficients of the forget rows themselves, by a general least-squares solver.
        movable = world.test_inputs @ world.forget_inputs.T
        solved = optimize.lsq_linear(movable, -world.test_inputs @ (theta - oracle))
        assert found.value == pytest.approx(2 * solved.cost / len(world.test_inputs), rel=1e-9)
        rows = world.forget_inputs
        projector = rows.T @ np.linalg.inv(rows @ rows.T) @ rows
        seen = world.test_inputs @ projector
        image = seen @ np.linalg.pinv(seen, rcond=1e-10)
        left = (np.eye(len(seen)) - image) @ world.test_inputs @ (np.eye(world.initial.size) - projector)
        assert found.value == pytest.approx(np.square(left @ (theta - oracle)).mean(), rel=1e-8)


def test_nearest_attains_the_floor_inside_the_affine_span() -> None:
    for seed in range(30):
        world = draw_world(SMALL, seed)
        theta, oracle, span = world.trained((1, 0)), world.own_oracle((1, 0)), world.span()
        found = floor(span, theta, oracle, world.test_inputs)
        assert distance(found.nearest, oracle, world.test_inputs) == pytest.approx(found.value, rel=1e-9)
        assert np.abs(span.off_span(found.nearest - theta)).max() < 1e-12


def _random_local_steps(rng: np.random.Generator, rows: Array, targets: Array, theta: Array, kind: int) -> list[Array]:
    """Plain steps of many kinds, all on the forget rows: weights, signs, losses, minibatches, momentum, clipping."""
    velocity, states = np.zeros_like(theta), [theta]
    for _ in range(25):
        batch = rng.permutation(len(rows))[: rng.integers(1, len(rows) + 1)]
        residual = rows[batch] @ states[-1] - targets[batch]
        slopes = (residual, -residual, np.tanh(residual), rng.standard_normal(len(batch)), np.sign(residual))[kind]
        gradient = (rng.random(len(batch)) * slopes) @ rows[batch]
        gradient *= min(1.0, 1.0 / np.linalg.norm(gradient))
        velocity = 0.5 * velocity + gradient
        states.append(states[-1] + 0.3 * velocity)
    return states


def test_floor_is_below_every_iterate_of_local_steps_with_any_loss_weights_batches_momentum_and_clipping() -> None:
    closest = np.inf
    for seed in range(100):
        world, rng = draw_world(SMALL, seed), np.random.default_rng(seed)
        theta, oracle = world.trained((0, 1)), world.own_oracle((0, 1))
        found = floor(world.span(), theta, oracle, world.test_inputs)
        assert found.outcome is FloorOutcome.POSITIVE
        for state in _random_local_steps(rng, world.forget_inputs, world.forget_targets, theta, seed % 5):
            at = distance(state, oracle, world.test_inputs)
            assert at >= found.value * (1 - 1e-9)
            closest = min(closest, at / found.value)
    assert closest < 3, "the steps never come near: the test would not notice a floor that is far too low"


@pytest.mark.parametrize(
    "broken",
    [
        lambda world, theta: 0.98 * theta,
        lambda world, theta: theta + 0.05 * np.sign((theta @ world.forget_inputs.T) @ world.forget_inputs),
    ],
    ids=["weight decay", "sign of the gradient, as in the first step of Adam"],
)
def test_decay_and_preconditioners_leave_the_affine_span(broken: Callable[[object, Array], Array]) -> None:
    world = draw_world(SMALL, 0)
    theta = world.trained((0, 1))
    assert np.linalg.norm(world.span().off_span(broken(world, theta) - theta)) > 1e-2


def test_descent_to_the_oracles_outputs_reaches_its_value_but_not_the_floor() -> None:
    for seed in range(20):
        world = draw_world(SMALL, seed)
        theta, oracle, rows = world.trained((0, 1)), world.own_oracle((0, 1)), world.forget_inputs
        found = floor(world.span(), theta, oracle, world.test_inputs)
        rate = 1.0 / float(world.span().curvatures[0])
        for _ in range(4000):
            theta = theta - rate * 2 / len(rows) * ((theta - oracle) @ rows.T) @ rows
        assert distance(theta, oracle, world.test_inputs) == pytest.approx(found.at_oracle_targets, rel=1e-6)
        assert found.at_oracle_targets > found.value * (1 + 1e-3)


def test_named_outcomes_of_zero() -> None:
    world = draw_world(SMALL, 3)
    span, theta, oracle = world.span(), world.trained((0, 1)), world.own_oracle((0, 1))
    few = floor(span, theta, oracle, world.test_inputs[:5])
    assert (few.outcome, few.value) == (FloorOutcome.FEW_TEST_ROWS, 0.0)
    assert few.at_oracle_targets > 0
    assert distance(few.nearest, oracle, world.test_inputs[:5]) < 1e-20
    one_more = floor(span, theta, oracle, world.test_inputs[:6])
    assert one_more.outcome is FloorOutcome.POSITIVE
    inside = np.random.default_rng(0).standard_normal((9, 5)) @ world.forget_inputs
    assert floor(span, theta, oracle, inside).outcome is FloorOutcome.ON_FORGET_INPUTS
    whole = draw_world(WorldShape(dim=30, stage_rows=(10, 5), forget=(0, 5), test_rows=15), 3)
    last = floor(whole.span(), whole.trained((0, 1)), whole.own_oracle((0, 1)), whole.test_inputs)
    assert (last.outcome, last.value) == (FloorOutcome.DIFFERENCE_ON_SPAN, 0.0)
    first = floor(whole.span(), whole.trained((1, 0)), whole.own_oracle((1, 0)), whole.test_inputs)
    assert first.outcome is FloorOutcome.POSITIVE
    # Off the span, but only along an axis that no test row has.
    hidden = floor(
        ForgetSpan.of([[1.0, 0.0, 0.0]]), np.array([1.0, 0.0, 5.0]), np.zeros(3), np.array([[1.0, 2.0, 0.0]] * 3)
    )
    assert (hidden.outcome, hidden.value) == (FloorOutcome.INVISIBLE, 0.0)


def test_positive_with_few_test_rows_if_they_miss_the_span() -> None:
    span = ForgetSpan.of([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    found = floor(span, np.array([1.0, 1.0, 2.0]), np.zeros(3), np.array([[0.0, 0.0, 1.0]]))
    assert (found.outcome, found.value) == (FloorOutcome.POSITIVE, 4.0)


@pytest.mark.parametrize("law", LAWS[:2], ids=lambda law: law.name)
def test_expected_sample_floor_is_the_population_floor_times_one_minus_k_over_m(law: object) -> None:
    shape = WorldShape(**{**shape_of(SMALL), "law": law})
    world, rng = draw_world(shape, 1), np.random.default_rng(7)
    span, theta, oracle = world.span(), world.trained((0, 1)), world.own_oracle((0, 1))
    drawn = np.array(
        [floor(span, theta, oracle, shape.law.draw(rng, 15, 30)).value for _ in range(3000)]
    )  # fmt: skip
    expected = (1 - 5 / 15) * population_floor(span, theta, oracle, shape.law.variances(30))
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    assert abs(drawn.mean() - expected) < 4 * error
    assert error < 0.02 * expected


def test_population_floor_equals_the_sample_floor_of_the_covariance_square_root() -> None:
    rng = np.random.default_rng(5)
    for seed in range(20):
        world = draw_world(SMALL, seed)
        span, theta, oracle = world.span(), world.trained((0, 1)), world.own_oracle((0, 1))
        root = rng.standard_normal((30, 30))
        sample = floor(span, theta, oracle, root).value * len(root)
        assert population_floor(span, theta, oracle, root.T @ root) == pytest.approx(sample, rel=1e-8)
    diagonal = rng.random(30)
    as_matrix = population_floor(span, theta, oracle, np.diag(diagonal))
    assert population_floor(span, theta, oracle, diagonal) == pytest.approx(as_matrix, rel=1e-10)


def test_oracle_targets_attain_the_population_floor_under_an_isotropic_law() -> None:
    world = draw_world(SMALL, 2)
    span, away = world.span(), world.trained((0, 1)) - world.own_oracle((0, 1))
    isotropic = population_floor(span, away, np.zeros(30), np.ones(30))
    assert isotropic == pytest.approx(float(np.square(span.off_span(away)).sum()))


def test_reached_is_the_first_least() -> None:
    found = reached([0.0, -2.0, -2.0, 1.0], [0, 3, 5, 9])
    assert (found.value, found.step) == (pytest.approx(np.exp(-2)), 3)
    assert reached([0.0, -np.inf], [0, 1]).value == 0.0


def test_bad_input_has_its_code() -> None:
    span = ForgetSpan.of([[1.0, 0.0]])
    one, rows = np.ones(2), np.eye(2)
    for call, code in (
        (lambda: floor(span, np.ones(3), one, rows), "E-DATA-100"),
        (lambda: floor(span, one, one, np.eye(3)), "E-DATA-100"),
        (lambda: floor(span, one, np.array([1.0, np.nan]), rows), "E-DATA-101"),
        (lambda: population_floor(span, one, one, np.eye(3)), "E-DATA-100"),
        (lambda: reached([1.0], [0, 1]), "E-DATA-100"),
        (lambda: reached([], []), "E-DATA-100"),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert error.value.problems[0].code == code


def shape_of(shape: WorldShape) -> dict[str, object]:
    return {name: getattr(shape, name) for name in shape.__dataclass_fields__}
