"""The closed form against the explicit loop, by hand, at extreme t, and on bad input."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.inputs import LAWS
from retrain_equivalence.theory.stage import Converged, GradientSteps, ProximalRidge, StageRule, StochasticSteps
from retrain_equivalence.theory.trajectory import (
    Direction,
    iterate,
    log_forget_loss,
    log_path_distances,
    log_re_distances,
    states,
)
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world

RULES: tuple[StageRule, ...] = (
    ProximalRidge(penalty=0.1),
    GradientSteps(n_steps=30, learning_rate=0.4),
    Converged(),
    StochasticSteps(n_epochs=2, batch_size=4, learning_rate=0.3),
)


def _world(seed: int) -> tuple[LinearWorld, ForgetSpan, np.ndarray[Any, Any], float, int, Direction]:
    """One of many kinds of world: 2 to 4 stages, every law and rule, part of a stage or rows of several."""
    rng = np.random.default_rng(10_000 + seed)
    n_stages = int(rng.integers(2, 5))
    rows = tuple(int(n) for n in rng.integers(4, 12, size=n_stages))
    forget = [0] * n_stages
    forget[int(rng.integers(n_stages))] = int(rng.integers(1, 5))
    forget[int(rng.integers(n_stages))] = int(rng.integers(1, 5))
    shape = WorldShape(
        law=LAWS[seed % len(LAWS)], dim=int(rng.integers(20, 60)), stage_rows=rows, forget=tuple(forget),
        test_rows=int(rng.integers(3, 30)), rule=RULES[seed % len(RULES)],
    )  # fmt: skip
    world = draw_world(shape, seed)
    thetas = np.stack([world.trained(order) for order in world.orders[:6]])
    span = world.span()
    direction: Direction = "descent" if seed % 5 == 0 else "ascent"
    # Descent up to x_1 = 1.9 has negative factors; ascent grows by at most a factor of 3 a step.
    rate = float(rng.uniform(0.05, 1.9) / span.curvatures[0])
    last = int(rng.integers(1, 40))
    if isinstance(shape.rule, Converged):
        # A stage that ends interpolated leaves a residual of rounding alone; once ascent has raised it to the size of
        # the parameters, neither computation means anything.
        last = min(last, int(math.log(1e5) / math.log1p(rate * span.curvatures[0])))
    return world, span, thetas, rate, max(last, 1), direction


def test_closed_form_is_the_explicit_loop_in_200_worlds() -> None:
    worst = 0.0
    for seed in range(200):
        world, span, thetas, rate, last, direction = _world(seed)
        path = iterate(
            world.forget_inputs, world.forget_targets, thetas, learning_rate=rate, n_steps=last, direction=direction
        )
        largest = np.maximum.accumulate(np.linalg.norm(path, axis=2), axis=0)
        for t in sorted({0, 1, last // 2, last}):
            found = states(span, world.forget_targets, thetas, learning_rate=rate, step=t, direction=direction)
            worst = max(worst, float((np.linalg.norm(found - path[t], axis=1) / largest[t]).max()))
    # Measured: 1.5e-12.
    assert worst <= 1e-10


def test_log_distances_and_losses_are_those_of_the_explicit_iterates() -> None:
    for seed in range(200):
        world, span, thetas, rate, last, direction = _world(seed)
        path = iterate(
            world.forget_inputs, world.forget_targets, thetas, learning_rate=rate, n_steps=last, direction=direction
        )
        steps = list(range(last + 1))
        references = np.stack([world.own_oracle(order) for order in world.orders[:6]])
        how: dict[str, Any] = {"learning_rate": rate, "steps": steps, "direction": direction}
        tests = world.test_inputs
        deltas = thetas[1:] - thetas[:-1]
        # The loop's own rounding, relative to the largest parameter so far, seen through the test or forget inputs.
        largest = np.maximum.accumulate(np.linalg.norm(path, axis=2), axis=0).max(axis=1)
        slack = 1e-10 * largest * max(np.linalg.norm(tests, 2), np.linalg.norm(world.forget_inputs, 2))

        def agree(logs: Any, vectors: Any, slack: Any = slack) -> None:
            root = np.sqrt(np.square(vectors).mean(axis=2)).T
            assert (np.abs(np.exp(np.asarray(logs) / 2) - root) <= slack).all()

        agree(log_path_distances(span, deltas, tests, **how), (path[:, 1:] - path[:, :-1]) @ tests.T)
        agree(
            log_re_distances(span, world.forget_targets, thetas, references, tests, **how),
            (path - references) @ tests.T,
        )
        agree(
            log_forget_loss(span, world.forget_targets, thetas, **how),
            path @ world.forget_inputs.T - world.forget_targets,
        )


def test_by_hand_in_two_dimensions() -> None:
    # k = 1, s = 2, h = 2 · 4 = 8, η = 1/4: f = 3. The residual 2θ_1 − 4 = 2 triples; θ_2 stands still.
    span = ForgetSpan.of([[2.0, 0.0]])
    at = [states(span, [4.0], [[3.0, 7.0]], learning_rate=0.25, step=t)[0] for t in range(4)]
    np.testing.assert_allclose(at, [[3, 7], [5, 7], [11, 7], [29, 7]], rtol=1e-14)
    losses = np.exp(log_forget_loss(span, [4.0], [[3.0, 7.0]], learning_rate=0.25, steps=[0, 1, 2]))
    np.testing.assert_allclose(losses, [[4, 36, 324]], rtol=1e-14)
    # Descent with η = 3/16: x = 1.5, f = −1/2; the residual 2 goes to −1, then to 1/2.
    down = [states(span, [4.0], [[3.0, 7.0]], learning_rate=3 / 16, step=t, direction="descent")[0, 0] for t in (1, 2)]
    np.testing.assert_allclose(down, [1.5, 2.25], rtol=1e-14)
    # With x = 1 descent arrives at once and stays: f = 0.
    one = log_forget_loss(span, [4.0], [[3.0, 7.0]], learning_rate=1 / 8, steps=[0, 1, 2], direction="descent")
    assert one[0, 0] == pytest.approx(math.log(4)) and np.isneginf(one[0, 1:]).all()


def test_off_span_part_is_kept_exactly_where_the_loop_loses_it() -> None:
    span = ForgetSpan.of([[1.0, 0.0]])
    found = states(span, [0.0], [[1.0, 0.1]], learning_rate=0.5, step=900)
    assert found[0, 1] == 0.1
    assert found[0, 0] == pytest.approx(2.0**900, rel=1e-12)


def test_logs_at_a_million_steps_are_those_of_exact_fractions() -> None:
    # Curvatures in fractions: f_1 = 1 + 1/2, f_2 = 1 + 1/8 with orthogonal rows; d = f_1^{2t} a² + f_2^{2t} b² + c².
    span = ForgetSpan.of([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    tests = np.eye(3)
    for delta in ([1.0, 3.0, 2.0], [0.0, 3.0, 2.0], [0.0, 0.0, 2.0]):
        found = log_path_distances(span, [delta], tests, learning_rate=0.5, steps=[0, 10, 10**6])[0]
        exact = sum(
            Fraction(f) ** 20 * Fraction(a) ** 2
            for f, a in zip((Fraction(3, 2), Fraction(9, 8), Fraction(1)), delta, strict=True)
        )
        assert found[1] == pytest.approx(math.log(exact / 3), rel=1e-13)
        leading = next(i for i, a in enumerate(delta) if a)
        rate = (math.log1p(0.5), math.log1p(0.125), 0.0)[leading]
        assert found[2] == pytest.approx(2e6 * rate + math.log(delta[leading] ** 2 / 3), rel=1e-13)


def test_a_mode_that_tests_do_not_see_hides_nothing() -> None:
    span = ForgetSpan.of([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    found = log_path_distances(span, [[1.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]], learning_rate=0.5, steps=[10**6])
    assert found[0, 0] == pytest.approx(2e6 * math.log1p(0.125), rel=1e-13)
    nothing = log_path_distances(span, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], learning_rate=0.5, steps=[0, 10**6])
    assert np.isneginf(nothing).all()


def test_descent_decays_in_logs_long_after_float64_has_none_left() -> None:
    span = ForgetSpan.of([[1.0, 0.0], [0.0, 0.5]])
    how: dict[str, Any] = {"learning_rate": 0.5, "steps": [10**6], "direction": "descent"}
    # f = 1/2 and 7/8.
    assert log_path_distances(span, [[1.0, 0.0]], np.eye(2), **how)[0, 0] == pytest.approx(
        -2e6 * math.log(2) - math.log(2), rel=1e-12
    )
    loss = log_forget_loss(span, [0.0, 0.0], [[1.0, 0.0], [1.0, 1.0]], **how)
    slow = 2e6 * math.log(7 / 8) + math.log(0.25 / 2)
    np.testing.assert_allclose(loss[:, 0], [-2e6 * math.log(2) - math.log(2), slow], rtol=1e-12)


def test_histories_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(3)
    span, tests = ForgetSpan.of(np.diag([2.0, 1.5, 1.0, 0.5, 0.0])[:4]), rng.standard_normal((6, 5))
    # One history lacks the faster modes, exactly, and ends below 10⁻³⁰⁸ of the others.
    deltas = np.stack([rng.standard_normal(5), 1e-3 * np.eye(5)[3], np.zeros(5)])
    steps = [0, 7, 5000]
    rates: dict[str, Any] = {"learning_rate": 0.3, "steps": steps}
    together = log_path_distances(span, deltas, tests, **rates)
    for i in (0, 1):
        np.testing.assert_allclose(together[i], log_path_distances(span, deltas[i : i + 1], tests, **rates)[0])
    assert np.isneginf(together[2]).all()


def test_steps_in_any_order_and_in_chunks() -> None:
    rng = np.random.default_rng(4)
    span, tests = ForgetSpan.of(rng.standard_normal((40, 50))), rng.standard_normal((60, 50))
    deltas = rng.standard_normal((1, 50))
    many = log_path_distances(span, deltas, tests, learning_rate=0.01, steps=range(60_000))
    some = log_path_distances(span, deltas, tests, learning_rate=0.01, steps=[59_999, 3, 25_001])
    np.testing.assert_allclose(some[0], many[0][[59_999, 3, 25_001]], rtol=1e-13)


def test_overflow_is_an_error_of_states_and_not_of_logs() -> None:
    span = ForgetSpan.of([[1.0, 0.0]])
    with pytest.raises(InputError, match="E-DATA-110"):
        states(span, [0.0], [[1.0, 0.0]], learning_rate=0.5, step=10**6)
    assert np.isfinite(log_forget_loss(span, [0.0], [[1.0, 0.0]], learning_rate=0.5, steps=[10**6])).all()
    # Without residual nothing moves, however large the factor.
    assert states(span, [1.0], [[1.0, 4.0]], learning_rate=0.5, step=10**6).tolist() == [[1.0, 4.0]]


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("E-DATA-100", {"thetas": [[1.0, 2.0, 3.0]]}),
        ("E-DATA-100", {"targets": [1.0, 2.0]}),
        ("E-DATA-101", {"thetas": [[np.nan, 2.0]]}),
        ("E-DATA-102", {"learning_rate": 0.0}),
        ("E-DATA-102", {"learning_rate": float("inf")}),
        ("E-DATA-112", {"direction": "sideways"}),
        ("E-DATA-112", {"steps": []}),
        ("E-DATA-112", {"steps": [-1]}),
        ("E-DATA-112", {"steps": [0.5]}),
    ],
)
def test_bad_input_has_its_code(code: str, changed: dict[str, Any]) -> None:
    given: dict[str, Any] = {"targets": [1.0], "thetas": [[1.0, 2.0]], "learning_rate": 0.1, "steps": [0, 1]} | changed
    targets, thetas = given.pop("targets"), given.pop("thetas")
    with pytest.raises(InputError, match=code):
        log_forget_loss(ForgetSpan.of([[1.0, 0.0]]), targets, thetas, **given)


def test_references_and_test_inputs_must_fit() -> None:
    span = ForgetSpan.of([[1.0, 0.0]])
    how: dict[str, Any] = {"learning_rate": 0.1, "steps": [0]}
    with pytest.raises(InputError, match=r"E-DATA-100.*references"):
        log_re_distances(span, [1.0], [[1.0, 2.0]], [[0.0, 0.0], [1.0, 1.0]], [[1.0, 0.0]], **how)
    with pytest.raises(InputError, match="E-DATA-100"):
        log_path_distances(span, [[1.0, 2.0]], [[1.0, 0.0, 0.0]], **how)
    with pytest.raises(InputError, match="E-DATA-100"):
        iterate([[1.0, 0.0]], [0.0], [[1.0]], learning_rate=0.1, n_steps=1)
    with pytest.raises(InputError, match="E-DATA-112"):
        iterate([[1.0, 0.0]], [0.0], [[1.0, 2.0]], learning_rate=0.1, n_steps=-1)


def test_a_loop_that_leaves_float64_is_refused_without_a_warning() -> None:
    with pytest.raises(InputError, match=r"E-DATA-110.*step 2000"):
        iterate([[1.0, 0.0]], [0.0], [[1.0, 5.0]], learning_rate=0.5, n_steps=2000)
