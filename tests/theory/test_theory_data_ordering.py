"""Data ordering: policies by hand, training against an explicit loop, steps to a level against a loop and the flow."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.data_ordering import (
    ATTACKS,
    Attack,
    OrderingPolicy,
    ascent_steps_to_loss,
    train_attacked,
)
from retrain_equivalence.theory.label_world import draw_labels
from retrain_equivalence.theory.logistic_ascent import steps_to
from retrain_equivalence.theory.questions.ordering import answer
from retrain_equivalence.theory.row_loss import RowLoss


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (OrderingPolicy.RANDOM, [0, 1, 2, 3, 4]),
        (OrderingPolicy.LOW_HIGH, [3, 1, 4, 0, 2]),
        (OrderingPolicy.HIGH_LOW, [2, 0, 4, 1, 3]),
        (OrderingPolicy.OSCILLATE_IN, [3, 2, 1, 0, 4]),
        (OrderingPolicy.OSCILLATE_OUT, [4, 0, 1, 2, 3]),
    ],
)
def test_policies_by_hand(policy: OrderingPolicy, expected: list[int]) -> None:
    assert policy.arranged(np.array([4.0, 2.0, 5.0, 1.0, 3.0])).tolist() == expected


@pytest.mark.parametrize("policy", list(OrderingPolicy))
def test_every_policy_serves_each_item_once(policy: OrderingPolicy) -> None:
    rng = np.random.default_rng(0)
    for n in range(1, 30):
        assert sorted(policy.arranged(rng.standard_normal(n)).tolist()) == list(range(n))


@pytest.mark.parametrize("black_box", [False, True])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.label)
def test_training_is_an_explicit_loop(attack: Attack, black_box: bool) -> None:
    world = draw_labels(3, dim=4, stage_rows=(22,))
    rows, y = world.inputs[0], world.labels[0]
    surrogate = np.arange(4.0) if black_box else None
    found = train_attacked(
        rows, y, attack, n_epochs=3, batch_size=5, learning_rate=0.7, seed=9, surrogate_start=surrogate
    )
    rng = np.random.default_rng(9)
    theta, ranker = np.zeros(4), np.arange(4.0)
    for _ in range(3):
        order = rng.permutation(22).tolist()
        by = ranker if black_box else theta
        losses = np.log1p(np.exp(-y * (rows @ by)))
        if attack.by_row:
            order = [order[i] for i in attack.policy.arranged(np.array([losses[j] for j in order]))]
        else:
            batches = [order[i : i + 5] for i in range(0, 22, 5)]
            means = np.array([np.mean([losses[j] for j in batch]) for batch in batches])
            order = [j for i in attack.policy.arranged(means) for j in batches[i]]
        for i in range(0, 22, 5):
            batch = order[i : i + 5]
            moves = [sum(y[j] * rows[j] / (1 + np.exp(y[j] * rows[j] @ w)) for j in batch) for w in (theta, ranker)]
            theta, ranker = theta + 0.7 * moves[0] / len(batch), ranker + 0.7 * moves[1] / len(batch)
    np.testing.assert_allclose(found.theta, theta, rtol=1e-11, atol=1e-13)
    assert found.last_order.tolist() == order


def test_full_batch_training_is_blind_to_any_order_of_rows() -> None:
    world = draw_labels(1, dim=5, stage_rows=(30,))
    ends = [
        train_attacked(
            world.inputs[0], world.labels[0], attack, n_epochs=20, batch_size=30, learning_rate=2.0, seed=4
        ).theta
        for attack in ATTACKS
    ]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-11)


def test_the_effect_of_order_vanishes_with_the_step_at_equal_learning_time() -> None:
    gaps = []
    for share in (1.0, 0.25, 0.0625):
        apart = []
        for seed in range(5):
            world = draw_labels(seed, dim=10, stage_rows=(100,))
            low, random = (
                train_attacked(
                    world.inputs[0], world.labels[0], attack, n_epochs=round(5 / share), batch_size=10,
                    learning_rate=8.0 * share, seed=seed,
                ).theta
                for attack in (Attack(policy=OrderingPolicy.LOW_HIGH, by_row=True), ATTACKS[0])
            )  # fmt: skip
            apart.append(float(np.linalg.norm(low - random)))
        gaps.append(np.median(apart))
    assert gaps[1] < gaps[0] / 2 and gaps[2] < gaps[1] / 2


@pytest.mark.parametrize("loss", list(RowLoss))
def test_steps_to_a_level_are_those_of_a_loop(loss: RowLoss) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        rows, y = rng.standard_normal((3, 4)), np.where(rng.random(3) < 0.5, -1.0, 1.0)
        thetas, level = 0.3 * rng.standard_normal((4, 4)), 1.5
        steps, ends = ascent_steps_to_loss(thetas, rows, y, level, learning_rate=0.1, most=1000, loss=loss)
        for found, end, theta in zip(steps, ends, thetas, strict=True):
            losses = [float(loss.mean_loss(theta, rows, y))]
            while losses[-1] < level:
                theta = theta + 0.1 * loss.mean_gradient(theta, rows, y)
                losses.append(float(loss.mean_loss(theta, rows, y)))
            last = len(losses) - 1
            expected = last - 1 + (level - losses[-2]) / (losses[-1] - losses[-2]) if last else 0.0
            assert found == pytest.approx(expected, rel=1e-9)
            np.testing.assert_allclose(end, theta, rtol=1e-10)


def test_steps_to_a_level_approach_the_flow_of_one_row_and_give_up() -> None:
    row, margin = np.array([[0.6, 0.8]]), 3.0
    theta = margin * row
    level = float(np.log1p(np.exp(1.0)))
    (found,), _ = ascent_steps_to_loss(theta, row, np.ones(1), level, learning_rate=0.01, most=10_000)
    assert found == pytest.approx(steps_to(margin, -1.0, learning_rate=0.01), rel=0.01)
    (never,), _ = ascent_steps_to_loss(theta, row, np.ones(1), level, learning_rate=0.01, most=10)
    assert never == np.inf


def test_labels_follow_their_teacher_and_agreement_is_the_correlation_of_teachers() -> None:
    one = draw_labels(0, dim=8, stage_rows=(4000, 4000), agreement=1.0, sharpness=50.0)
    fitted = [np.linalg.lstsq(x, y, rcond=None)[0] for x, y in zip(one.inputs, one.labels, strict=True)]
    assert np.corrcoef(*fitted)[0, 1] > 0.99
    apart = [
        np.corrcoef(*(np.linalg.lstsq(x, y, rcond=None)[0] for x, y in zip(w.inputs, w.labels, strict=True)))[0, 1]
        for w in (draw_labels(s, dim=30, stage_rows=(2000, 2000), agreement=0.0, sharpness=50.0) for s in range(10))
    ]
    assert abs(np.mean(apart)) < 0.25
    with pytest.raises(InputError, match="E-DATA-102"):
        draw_labels(0, dim=3, stage_rows=(5,), agreement=1.5)
    with pytest.raises(InputError, match="E-DATA-102"):
        draw_labels(0, dim=3, stage_rows=(0,))


def test_question_numbers_at_the_defaults() -> None:
    start = time.thread_time()
    found = answer()
    assert time.thread_time() - start < 25
    attacks = found.numbers["attacks"]
    worst = attacks["low to high, rows"]
    change = worst["accuracy_change_points"]["summary"]
    assert (change["mean"], change["half_width_95"]) == pytest.approx((-1.97, 0.92), abs=0.01)
    assert min(a["accuracy_change_points"]["summary"]["mean"] for a in attacks.values()) == change["mean"]
    ratio = worst["steps_over_random_order"]["summary"]
    assert (ratio["mean"], ratio["half_width_95"]) == pytest.approx((0.663, 0.196), abs=0.001)
    assert worst["gap_over_chance_before"]["summary"]["median"] == pytest.approx(3.76, abs=0.01)
    assert worst["gap_over_chance_at_equal_forgetting"]["summary"]["median"] == pytest.approx(2.65, abs=0.01)
    assert worst["accuracy_change_points_small_step"]["mean"] == pytest.approx(-0.17, abs=0.005)
    starts = {name: one["forget_loss_before"]["summary"]["mean"] for name, one in attacks.items()}
    assert starts["low to high, rows"] == max(starts.values()) == pytest.approx(0.480, abs=0.001)
    assert starts["random order"] == pytest.approx(0.405, abs=0.001)
    # Ranking whole batches is weaker than ranking rows: no batch attack's interval leaves zero.
    for name, one in attacks.items():
        summary = one["accuracy_change_points"]["summary"]
        if name.endswith("batches"):
            assert abs(summary["mean"]) < summary["half_width_95"]
    assert attacks["random order"]["accuracy"]["summary"]["mean"] == pytest.approx(0.816, abs=0.001)
    json.dumps([found.numbers, found.settings], allow_nan=False)
    assert found.says[0].startswith("'low to high, rows' changes test accuracy most") and len(found.says) <= 8


def test_question_with_other_options_and_its_figure() -> None:
    found = answer(seeds=2, seed=3, rows=60, forget_rows=5, epochs=2, black_box=True, ascent_steps=200)
    (figure,) = found.draw()
    assert figure.name == "theory-ordering" and len(figure.panels) == 2
    assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)
    assert "a surrogate that trains along" in found.says[-1]
    assert all("NaN" not in p and "Infinity" not in p for p in answer(seeds=1, rows=60, epochs=1).draw()[0].panels)
    never = answer(seeds=1, rows=60, forget_rows=5, epochs=2, ascent_steps=1, ascent_rate=1e-6)
    json.dumps(never.numbers, allow_nan=False)
    assert never.numbers["attacks"]["random order"]["steps_to_common_level"]["n_without"] == 1
    for options, code in (
        ({"forget_rows": 400}, "E-DATA-136"),
        ({"small_share": 0.0}, "E-DATA-102"),
        ({"law": "cauchy"}, "E-DATA-103"),
    ):
        with pytest.raises(InputError, match=code):
            answer(**options)
