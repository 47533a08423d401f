"""The Lie bracket: exact for squared loss, third order otherwise, and what its signs predict."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.lie_bracket import RowSet, lie_bracket, loss_score, speed_score
from retrain_equivalence.theory.questions.bracket import ELSEWHERE, WITHIN, answer
from retrain_equivalence.theory.row_loss import RowLoss


def sets(seed: int, loss: RowLoss, n: int = 3) -> tuple[np.ndarray, list[RowSet]]:
    rng = np.random.default_rng(seed)
    found = [
        RowSet(inputs=rng.standard_normal((6, 4)), targets=np.where(rng.random(6) < 0.5, -1.0, 1.0), loss=loss)
        for _ in range(n)
    ]
    return rng.standard_normal(4), found


def orders(theta: np.ndarray, a: RowSet, b: RowSet, rate: float, n: int = 1) -> tuple[np.ndarray, np.ndarray]:
    ab = b.trained(a.trained(theta, learning_rate=rate, n_steps=n), learning_rate=rate, n_steps=n)
    ba = a.trained(b.trained(theta, learning_rate=rate, n_steps=n), learning_rate=rate, n_steps=n)
    return ab, ba


@pytest.mark.parametrize("loss", list(RowLoss))
def test_hessian_product_is_a_finite_difference_of_gradients(loss: RowLoss) -> None:
    for seed in range(10):
        theta, (a, _, _) = sets(seed, loss)
        v = np.random.default_rng(seed + 100).standard_normal(4)
        expected = (a.gradient(theta + 1e-5 * v) - a.gradient(theta - 1e-5 * v)) / 2e-5
        np.testing.assert_allclose(a.hessian_times(theta, v), expected, atol=1e-7)


def test_one_step_of_squared_loss_is_the_bracket_exactly() -> None:
    for seed in range(50):
        theta, (a, b, _) = sets(seed, RowLoss.SQUARED)
        ab, ba = orders(theta, a, b, 0.1)
        np.testing.assert_allclose(ab - ba, 0.01 * lie_bracket(theta, a, b), rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(lie_bracket(theta, b, a), -lie_bracket(theta, a, b), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("loss", "steps"), [(RowLoss.LOGISTIC, 1), (RowLoss.LOGISTIC, 4), (RowLoss.SQUARED, 4)])
def test_remainder_is_of_third_order_in_the_step(loss: RowLoss, steps: int) -> None:
    slopes = []
    for seed in range(20):
        theta, (a, b, _) = sets(seed, loss)
        errors = []
        for rate in (2e-3, 1e-3):
            ab, ba = orders(theta, a, b, rate, steps)
            errors.append(np.linalg.norm(ab - ba - (rate * steps) ** 2 * lie_bracket(theta, a, b)))
        slopes.append(np.log2(errors[0] / errors[1]))
    assert np.median(slopes) == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("loss", list(RowLoss))
def test_scores_are_differences_of_loss_and_speed_up_to_third_order(loss: RowLoss) -> None:
    slopes = []
    for seed in range(20):
        theta, (a, b, forget) = sets(seed, loss)
        errors = []
        for rate in (2e-3, 1e-3):
            ab, ba = orders(theta, a, b, rate)
            errors.append(
                (
                    abs(float(forget.value(ab) - forget.value(ba)) - rate**2 * loss_score(theta, a, b, forget)),
                    abs(float(forget.speed(ab) - forget.speed(ba)) - rate**2 * speed_score(theta, a, b, forget)),
                )
            )
        slopes.append(np.log2(np.array(errors[0]) / errors[1]))
    np.testing.assert_allclose(np.median(slopes, axis=0), 3.0, atol=0.1)


def test_stages_on_orthogonal_inputs_commute() -> None:
    a = RowSet(inputs=np.array([[1.0, 2.0, 0.0, 0.0]]), targets=np.ones(1))
    b = RowSet(inputs=np.array([[0.0, 0.0, 1.0, -1.0]]), targets=np.ones(1))
    theta = np.arange(4.0)
    assert lie_bracket(theta, a, b).tolist() == [0.0] * 4
    ab, ba = orders(theta, a, b, 0.5, 10)
    np.testing.assert_allclose(ab, ba, rtol=1e-14)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="E-DATA-100"):
        RowSet(inputs=np.eye(2), targets=np.ones(3))
    with pytest.raises(InputError, match="E-DATA-102"):
        sets(0, RowLoss.SQUARED)[1][0].trained(np.zeros(4), learning_rate=0.1, n_steps=0)


def test_question_numbers_at_the_defaults() -> None:
    start = time.thread_time()
    found = answer()
    assert time.thread_time() - start < 25

    def mean(where: str, n: int, name: str) -> float:
        return float(found.numbers[where][str(n)][name]["summary"]["mean"])

    name = "faster_order_by_speed_right"
    assert [mean(ELSEWHERE, n, name) for n in (1, 5, 20, 100, 500)] == pytest.approx(
        [0.89, 0.915, 0.92, 0.805, 0.70], abs=0.011
    )
    assert [mean(WITHIN, n, name) for n in (1, 20, 500)] == pytest.approx([0.93, 0.915, 0.805], abs=0.011)
    name = "faster_order_by_loss_right"
    for where in (WITHIN, ELSEWHERE):
        assert all(mean(where, n, name) >= mean(where, n, "faster_order_by_speed_right") for n in (1, 5, 20, 100, 500))
    assert [mean(WITHIN, n, name) for n in (1, 20, 500)] == pytest.approx([0.995, 0.96, 0.86], abs=0.011)
    assert [mean(ELSEWHERE, n, name) for n in (1, 20, 500)] == pytest.approx([0.995, 0.945, 0.735], abs=0.011)
    name = "faster_order_by_recency_right"
    assert [mean(WITHIN, n, name) for n in (1, 20, 500)] == pytest.approx([0.85, 0.875, 0.975], abs=0.011)
    assert 0.4 < mean(ELSEWHERE, 1, name) < 0.55
    # Short stages: the score beats recency. Long ones: recency beats the score.
    assert mean(WITHIN, 1, "faster_order_by_loss_right") > mean(WITHIN, 1, name)
    assert mean(WITHIN, 500, "faster_order_by_loss_right") < mean(WITHIN, 500, name)
    error = [mean(WITHIN, n, "relative_error_of_difference") for n in (1, 5, 20, 100, 500)]
    assert error == pytest.approx([0.000145, 0.0862, 0.469, 3.32, 30.1], rel=0.01)
    assert found.says[0].startswith("Yes") and len(found.says) <= 8
    json.dumps([found.numbers, found.settings], allow_nan=False)


def test_question_with_other_options_and_its_figure() -> None:
    found = answer(seeds=2, seed=4, loss="squared", learning_rate=0.1, stages=3, stage_rows=20, forget_rows=4)
    (figure,) = found.draw()
    assert figure.name == "theory-bracket" and len(figure.panels) == 2
    assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)
    for options, code in (
        ({"forget_rows": 61}, "E-DATA-136"),
        ({"stages": 2}, "E-DATA-136"),
        ({"loss": "hinge"}, "E-DATA-134"),
        ({"learning_rate": 0.0}, "E-DATA-102"),
    ):
        with pytest.raises(InputError, match=code):
            answer(**options)
