"""The closing table: every linear row's factor against explicit steps."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.core.predictions import Prediction
from retrain_equivalence.theory.explicit_run import run
from retrain_equivalence.theory.linear_methods import retain_rows, unlearned
from retrain_equivalence.theory.method_table import (
    METHODS,
    Kind,
    MethodSettings,
    method_named,
    norm_factor,
)
from retrain_equivalence.theory.relearn_first import RelearnThenAscend
from retrain_equivalence.theory.world import WorldShape, draw_world

ORDERS = ((0, 1), (1, 0))
NAMED_BY_THE_FIELD = {
    "ga", "graddiff", "npo", "simnpo", "dpo", "idk", "uniform", "distillation, common teacher",
    "distillation, own teacher", "undial", "rmu", "wga", "task vector", "relearn_first", "rewind",
}  # fmt: skip


def test_every_method_has_one_row() -> None:
    assert {row.method for row in METHODS} == NAMED_BY_THE_FIELD
    assert len(METHODS) == len(NAMED_BY_THE_FIELD)
    for row in METHODS:
        assert row.conditions
        assert method_named(row.method) is row
    with pytest.raises(InputError, match="E-DATA-124"):
        method_named("magic")


@pytest.mark.parametrize(
    "row", [r for r in METHODS if r.linear is not None and r.method != "rewind"], ids=lambda r: r.method
)
def test_mode_factors_are_those_of_explicit_steps(row) -> None:
    settings = MethodSettings(n_steps=12, relearn_steps=5, strength=0.7)
    for seed in range(10):
        forget = ((0, 6), (3, 4), (6, 0))[seed % 3]
        world = draw_world(WorldShape(dim=30, stage_rows=(12, 12), forget=forget), seed)
        span = world.span()
        rate = 0.6 / span.curvatures[0]
        ends = unlearned(
            row.method, world, ORDERS, learning_rate=rate, retain_weight=1.0, settings=settings, seed=seed
        )[-1]  # fmt: skip
        start = world.trained(ORDERS[0]) - world.trained(ORDERS[1])
        after = ends[0] - ends[1]
        factors = row.factors(span, rate, settings)
        np.testing.assert_allclose(span.coordinates(after), factors * span.coordinates(start), rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(span.off_span(after), span.off_span(start), atol=1e-10)
        grown = norm_factor(factors, span.coordinates(start))
        assert {
            Prediction.EXPANDING: grown > 1, Prediction.CONTRACTING: grown < 1,
            Prediction.FROZEN: abs(grown - 1) < 1e-12, Prediction.ONE_EXPANSION: 1 < grown <= 1.7,
            Prediction.SHRINKS_THEN_EXPANDS: (
                np.abs(row.factors(span, rate, MethodSettings(n_steps=0, relearn_steps=5))) < 1).all(),
        }[row.on_span]  # fmt: skip


def test_graddiff_expands_for_every_weight_when_spans_do_not_nest() -> None:
    world = draw_world(WorldShape(dim=40, stage_rows=(12, 12), forget=(0, 6)), 0)
    rate = 0.2 / world.span().curvatures[0]
    for weight in (0.0, 1.0, 5.0):
        gaps = []
        for steps in (60, 90):
            ends = unlearned(
                "graddiff", world, ORDERS, learning_rate=rate, retain_weight=weight,
                settings=MethodSettings(n_steps=steps), seed=0,
            )[-1]  # fmt: skip
            gaps.append(np.linalg.norm(ends[0] - ends[1]))
        assert gaps[1] > 1.5 * gaps[0]


def test_rewinding_is_the_own_oracle_bit_for_bit() -> None:
    for seed in range(10):
        world = draw_world(WorldShape(dim=20, stage_rows=(8, 8), forget=((0, 8), (3, 2), (4, 0))[seed % 3]), seed)
        ends = unlearned(
            "rewind", world, ORDERS, learning_rate=1.0, retain_weight=1.0, settings=MethodSettings(), seed=0
        )[-1]
        for end, order in zip(ends, ORDERS, strict=True):
            assert np.array_equal(end, world.own_oracle(order))


def test_relearning_delays_as_much_as_the_residual_shrinks() -> None:
    world = draw_world(WorldShape(dim=30, stage_rows=(12, 12), forget=(0, 5)), 3)
    span = world.span()
    rate = 0.9 / span.curvatures[0]
    settings = MethodSettings(n_steps=8, relearn_steps=8)
    theta = world.trained((0, 1))
    inputs, targets = world.forget_inputs, world.forget_targets
    method = RelearnThenAscend(relearn_rate=rate, relearn_steps=8, learning_rate=rate)
    after = run(method, inputs, targets, theta[None], n_steps=8)[-1, 0]
    modes = span.left.T @ (inputs @ after - targets)
    factors = method_named("relearn_first").factors(span, rate, settings)
    np.testing.assert_allclose(modes, factors * (span.left.T @ (inputs @ theta - targets)), atol=1e-11)
    np.testing.assert_allclose(factors, (1 - span.rates(rate) ** 2) ** 8, rtol=1e-12)
    assert (factors < 1).all()


def test_retain_rows_are_all_others() -> None:
    world = draw_world(WorldShape(dim=10, stage_rows=(5, 4), forget=(2, 4)), 0)
    inputs, targets = retain_rows(world)
    np.testing.assert_array_equal(inputs, world.stages[0].inputs[2:])
    np.testing.assert_array_equal(targets, world.stages[0].targets[2:])


def test_logistic_rows_have_no_linear_form() -> None:
    world = draw_world(WorldShape(dim=10, stage_rows=(5, 4), forget=(2, 0)), 0)
    for row in METHODS:
        if row.kind is Kind.LOGISTIC:
            with pytest.raises(InputError, match="E-DATA-124"):
                unlearned(
                    row.method, world, ORDERS, learning_rate=0.1, retain_weight=1.0, settings=MethodSettings(), seed=0
                )
