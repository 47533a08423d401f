"""Forging: which batches reproduce a step without a row, against hand-worked and exhaustive answers."""

from __future__ import annotations

import json
import time
from itertools import combinations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.forging import (
    best_of_errors,
    forge_best_of,
    forge_substitute,
    reproduction_errors,
)
from retrain_equivalence.theory.questions.forging import answer
from retrain_equivalence.theory.row_loss import RowLoss
from retrain_equivalence.theory.training_log import TrainingLog, replay, train_logged


def small_log(seed: int, *, n: int = 12, d: int = 3, b: int = 3, loss: RowLoss = RowLoss.SQUARED) -> TrainingLog:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((2 * n, d))
    targets = rng.standard_normal(2 * n)
    if loss is RowLoss.LOGISTIC:
        targets = np.where(targets < 0, -1.0, 1.0)
    return train_logged(
        rows, targets, np.repeat([0, 1], n).tolist(), (0, 1), n_epochs=2, batch_size=b, learning_rate=0.05, seed=seed,
        loss=loss,
    )  # fmt: skip


def test_log_is_plain_descent_on_its_batches_and_every_row_is_used_once_an_epoch() -> None:
    log = small_log(0)
    state = np.zeros(3)
    for batch, after in zip(log.batches, log.states[1:], strict=True):
        state = state - 0.05 * 2 / 3 * sum((log.inputs[j] @ state - log.targets[j]) * log.inputs[j] for j in batch)
        np.testing.assert_allclose(after, state, rtol=1e-12)
    assert np.bincount(log.batches.ravel()).tolist() == [2] * 24
    np.testing.assert_array_equal(replay(log, log.batches), log.states)
    swapped = train_logged(
        log.inputs, log.targets, log.stage_of_row.tolist(), (1, 0), n_epochs=2, batch_size=3, learning_rate=0.05, seed=0
    )
    np.testing.assert_array_equal(swapped.batches, np.roll(log.batches, 8, axis=0))


def test_a_twin_of_the_denied_row_forges_exactly() -> None:
    rows, targets = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [1.0, 2.0, 1.0, -1.0]
    log = train_logged(rows, targets, [0] * 4, [0], n_epochs=3, batch_size=1, learning_rate=0.1, seed=0)
    for nearest in ("input", "gradient"):
        forged = forge_substitute(log, [0], nearest=nearest)
        assert forged.errors.tolist() == [0.0] * 3
        np.testing.assert_array_equal(replay(log, forged.batches), log.states)
        assert forged.batches[forged.steps, 0].tolist() == [2] * 3


def test_error_of_one_hand_worked_substitution() -> None:
    # From w = 0 the gradients are −2 y x: −2 for x* = 1, −2·0.9 for the other row; the step is η = 0.5 times them.
    log = train_logged([[1.0], [0.9]], [1.0, 1.0], [0, 0], [0], n_epochs=1, batch_size=1, learning_rate=0.5, seed=0)
    first = int(log.batches[0, 0])
    forged = forge_substitute(log, [first], nearest="input")
    assert forged.steps.tolist() == [0]
    assert forged.errors[0] == pytest.approx(0.1, rel=1e-12)
    assert forged.lengths[0] == pytest.approx(1.0 if first == 0 else 0.9, rel=1e-12)


@pytest.mark.parametrize("loss", list(RowLoss))
def test_enough_candidates_find_the_best_batch_of_all_and_none_beats_it(loss: RowLoss) -> None:
    for seed in range(8):
        log = small_log(seed, n=7, loss=loss)
        removed = [8]
        found = forge_best_of(log, removed, n_candidates=2000, seed=seed)
        for place, step in enumerate(found.steps):
            gradients, pool = log.row_gradients(int(step)), log.pool(int(step), removed)
            logged = gradients[log.batches[step]].mean(axis=0)
            least = min(
                0.05 * float(np.linalg.norm(gradients[list(c)].mean(axis=0) - logged)) for c in combinations(pool, 3)
            )
            assert found.errors[place] == pytest.approx(least, rel=1e-9)
            by_gradient = forge_substitute(log, removed, nearest="gradient").errors[place]
            assert by_gradient >= least - 1e-15
            assert by_gradient <= forge_substitute(log, removed, nearest="input").errors[place] + 1e-15


def test_forged_batches_hold_no_denied_row_keep_the_stage_and_leave_other_steps_alone() -> None:
    for seed in range(20):
        log, removed = small_log(seed), [13, 14, 20]
        forgeries = [
            forge_best_of(log, removed, n_candidates=5, seed=seed),
            forge_substitute(log, removed, nearest="input"),
            forge_substitute(log, removed, nearest="gradient"),
        ]
        for forged in forgeries:
            assert not np.isin(forged.batches, removed).any()
            assert all(len(set(batch)) == 3 for batch in forged.batches.tolist())
            np.testing.assert_array_equal(log.stage_of_row[forged.batches], log.stage_of_row[log.batches])
            untouched = np.setdiff1d(np.arange(len(log.batches)), forged.steps)
            np.testing.assert_array_equal(forged.batches[untouched], log.batches[untouched])
            assert np.isin(log.batches[forged.steps], removed).any(axis=1).all()
            # The verifier's own check: one step over the forged batch from the logged weight.
            for place, step in enumerate(forged.steps):
                batch = forged.batches[step]
                gradient = log.loss.mean_gradient(log.states[step], log.inputs[batch], log.targets[batch])
                wrong = np.linalg.norm(log.states[step + 1] - (log.states[step] - 0.05 * gradient))
                assert forged.errors[place] == pytest.approx(float(wrong), rel=1e-9)


def test_more_candidates_never_do_worse() -> None:
    log = small_log(3)
    errors = best_of_errors(log, [15], n_candidates=300, seed=1)
    assert (np.diff(errors, axis=1) <= 0).all()
    assert errors[:, -1].max() < errors[:, 0].max()
    for m in (1, 10, 300):
        forged = forge_best_of(log, [15], n_candidates=m, seed=1)
        np.testing.assert_allclose(forged.errors, errors[:, m - 1], rtol=1e-12)
        assert forged.largest_error == forged.errors.max()


def test_reproduction_error_is_of_the_size_of_rounding() -> None:
    log = small_log(4, n=30, b=10)
    double = reproduction_errors(log, seed=0)
    single = reproduction_errors(log, seed=0, precision=np.float32)
    assert 0 < double.max() < 20 * np.finfo(np.float64).eps * np.abs(log.states).max()
    assert 1e-10 < single.max() < 20 * np.finfo(np.float32).eps * np.abs(log.states).max()


def test_bad_input() -> None:
    log = small_log(0)
    with pytest.raises(InputError, match="E-DATA-135"):
        forge_best_of(log, list(range(12, 22)), n_candidates=3, seed=0)
    with pytest.raises(InputError, match="E-DATA-135"):
        forge_best_of(log, [99], n_candidates=3, seed=0)
    with pytest.raises(InputError, match="E-DATA-102"):
        forge_best_of(log, [13], n_candidates=0, seed=0)
    for size, rate, code in ((9, 0.1, "E-DATA-135"), (1, 1e9, "E-DATA-105"), (0, 0.1, "E-DATA-102")):
        with pytest.raises(InputError, match=code):
            train_logged([[1.0]] * 4, [1.0] * 4, [0] * 4, [0], n_epochs=50, batch_size=size, learning_rate=rate, seed=0)


def test_question_numbers_at_the_defaults() -> None:
    start = time.thread_time()
    found = answer()
    assert time.thread_time() - start < 15
    errors = found.numbers["largest_error"]
    assert errors["best of 1"]["median"] == pytest.approx(0.651, abs=0.001)
    assert errors["best of 1000"]["median"] == pytest.approx(0.321, abs=0.001)
    assert errors["nearest input"]["median"] == pytest.approx(0.0820, abs=0.0001)
    assert errors["nearest gradient"]["median"] == pytest.approx(0.0779, abs=0.0001)
    shares = found.numbers["error_as_share_of_step"]
    for name, share in (
        ("best of 1", 1.21),
        ("best of 1000", 0.663),
        ("nearest input", 0.187),
        ("nearest gradient", 0.11),
    ):
        assert shares[name]["median"] == pytest.approx(share, rel=0.005)
    assert 5e-8 < errors["repeated in float32"]["median"] < 1e-6
    assert errors["repeated in float64"]["max"] < 1e-14
    assert found.numbers["order_gap_before_ascent"]["median"] == pytest.approx(5.87, abs=0.01)
    assert found.numbers["drift_without_correction"]["nearest gradient"]["median"] == pytest.approx(0.00599, abs=1e-5)
    # No forgery of any world hides in float32 rounding, and every gap of two orders exceeds every drift.
    each = found.numbers["largest_error_of_each_world"]
    forged = [name for name in each if not name.startswith("repeated")]
    assert min(min(each[name]) for name in forged) > 1000 * max(each["repeated in float32"])
    assert found.numbers["order_gap_before_ascent"]["min"] > max(
        one["max"] for one in found.numbers["drift_without_correction"].values()
    )
    assert found.numbers["order_gap_after_ascent"]["median"] == pytest.approx(2.22e4, rel=0.01)
    json.dumps([found.numbers, found.settings], allow_nan=False)
    assert found.says[0].startswith("Nearly: nearest gradient") and len(found.says) <= 8


def test_question_with_other_options_and_its_figure() -> None:
    found = answer(seeds=2, seed=5, loss="logistic", forget_rows=3, candidates=20, learning_rate=4.0)
    (figure,) = found.draw()
    assert figure.name == "theory-forging" and len(figure.panels) == 2
    assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)
    assert found.numbers["candidates_shown"] == [1, 10, 20]
    single = answer(seeds=1, seed=6, loss="logistic", forget_rows=3, candidates=20, learning_rate=4.0).numbers
    for name, values in found.numbers["largest_error_of_each_world"].items():
        assert values[1] == single["largest_error_of_each_world"][name][0]
    for options, code in (
        ({"loss": "hinge"}, "E-DATA-134"),
        ({"forget_rows": 190}, "E-DATA-135"),
        ({"law": "cauchy"}, "E-DATA-103"),
        ({"seeds": 0}, "E-DATA-102"),
    ):
        with pytest.raises(InputError, match=code):
            answer(**options)
