"""The answers on the floor, on natural forgetting and on distributions: their numbers, conditions and figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.floor import FloorOutcome
from retrain_equivalence.theory.questions import distributions, floor, forgetting

QUESTIONS: tuple[Callable[..., Answer], ...] = (floor.answer, forgetting.answer, distributions.answer)


@pytest.fixture(scope="module")
def floors() -> Answer:
    return floor.answer()


@pytest.fixture(scope="module")
def laws() -> Answer:
    return distributions.answer()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__module__.rsplit(".", 1)[-1])
def test_answers_are_json_pure_and_quick_and_draw_their_figures(question: Callable[..., Answer]) -> None:
    started = time.process_time()
    first = question(seeds=4, seed=3)
    assert time.process_time() - started < 5
    second = question(seeds=4, seed=3)
    assert first.says == second.says
    assert json.dumps(dict(first.numbers), allow_nan=False) == json.dumps(dict(second.numbers), allow_nan=False)
    assert question(seeds=4, seed=4).says != first.says
    assert json.loads(json.dumps(dict(first.settings)))["seeds"] == 4
    for figure in first.draw():
        assert figure.name.startswith("theory-")
        assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)
        assert figure.table.rows


def test_three_numbers_stand_in_their_order_in_every_summary(floors: Answer) -> None:
    for order in ("AB", "BA"):
        found = floors.numbers["own_oracle"][order]
        lowest = found["floor_share"]
        assert found["outcomes"] == {str(FloorOutcome.POSITIVE): 20}
        for end in ("min", "median", "max"):
            assert 0 < lowest[end] < found["oracle_targets_share"][end] < 1
            for method in ("ascent", "common", "oracle"):
                assert lowest[end] < found["best_share"][method][end] <= 1 + 1e-12
        assert found["best_share"]["oracle"]["median"] < found["best_share"]["ascent"]["median"]


def test_floor_defaults_are_the_printed_ones(floors: Answer) -> None:
    found = {order: floors.numbers["own_oracle"][order] for order in ("AB", "BA")}
    assert [found[o]["floor_share"]["median"] for o in found] == pytest.approx([0.119, 0.231], abs=5e-4)
    assert [found[o]["oracle_targets_share"]["median"] for o in found] == pytest.approx([0.158, 0.332], abs=5e-4)
    assert [found[o]["best_share"]["ascent"]["median"] for o in found] == pytest.approx([0.263, 0.872], abs=5e-4)
    assert [found[o]["best_step"]["ascent"]["median"] for o in found] == [21, 3]
    assert [found[o]["parameter_floor_share"]["median"] for o in found] == pytest.approx([0.147, 0.345], abs=5e-4)


def test_sample_floor_lies_under_the_population_floor_in_the_mean(floors: Answer) -> None:
    for order in ("AB", "BA"):
        found = floors.numbers["own_oracle"][order]
        ratio = found["floor_share"]["mean"] / found["population_floor_share"]["mean"]
        # 1 - k/m = 2/3, with the sampling error of 20 worlds.
        assert 0.5 < ratio < 0.85


def test_one_step_figure_numbers(floors: Answer) -> None:
    last, one, two = floors.numbers["one_step_after_over_before_by_later_stages"]
    assert last["max"] < 1e-24
    assert one["min"] > 10
    assert two["min"] > 10


def test_floor_names_its_zeros() -> None:
    few = floor.answer(seeds=3, test_rows=10, max_steps=30)
    assert few.numbers["own_oracle"]["AB"]["outcomes"] == {str(FloorOutcome.FEW_TEST_ROWS): 3}
    assert str(FloorOutcome.FEW_TEST_ROWS) in few.says[1]
    whole = floor.answer(seeds=3, stage_rows=20, max_steps=30)
    assert whole.numbers["own_oracle"]["AB"]["outcomes"] == {str(FloorOutcome.DIFFERENCE_ON_SPAN): 3}
    assert whole.numbers["own_oracle"]["BA"]["outcomes"] == {str(FloorOutcome.POSITIVE): 3}
    assert whole.numbers["own_oracle"]["AB"]["floor_share"]["max"] == 0.0
    assert few.draw()


def test_zeros_are_printed_by_their_outcome_and_not_by_their_rounding() -> None:
    zero = floor.answer(seeds=3, dim=20)
    for order in ("AB", "BA"):
        found = zero.numbers["own_oracle"][order]
        for name in ("floor_share", "population_floor_share", "oracle_targets_share", "parameter_floor_share"):
            assert found[name]["max"] == 0.0, name
    assert zero.says[0].startswith("The floor is 0 in every history")
    assert not any("e-3" in s or "e-4" in s for s in zero.says[:-1])
    assert "within 400 steps of η = 1" in zero.says[3]
    assert "a check of the arithmetic" in zero.says[-1]
    mixed = floor.answer(seeds=3, stage_rows=20)
    assert "For AB it is 0 in every world" in mixed.says[0]
    assert "comes within 1e-12 of it" in mixed.says[3]


def test_forgetting_removal_is_exact_and_effects_shrink() -> None:
    found = forgetting.answer()
    assert "in 0 of 300 histories" in found.says[0]
    for law in ("isotropic", "power law", "half shared"):
        numbers = found.numbers[law]
        assert numbers["largest_removal_error_relative"] < 1e-12
        kept = [p["median"] for p in numbers["kept_by_later_stages"]]
        assert kept[0] == 1.0
        assert (np.diff(kept) < 0).all()
        distances = [p["median"] for p in numbers["re_distance_by_later_stages"]]
        assert (np.diff(distances) < 0).all()
        assert 0 < numbers["worlds_with_distance_falling_at_every_place"] < 20
    ends = [found.numbers[law]["kept_by_later_stages"][-1]["median"] for law in found.numbers]
    assert ends == pytest.approx([0.639, 0.531, 0.592], abs=5e-4)
    falling = [found.numbers[law]["worlds_with_distance_falling_at_every_place"] for law in found.numbers]
    assert falling == [14, 19, 15]


def test_information_is_constant_while_the_gap_grows_a_thousandfold(laws: Answer) -> None:
    up, down = laws.numbers["ascent"], laws.numbers["descent to a common target"]
    for way in (up, down):
        assert way["largest_relative_change_of_kl"] < 1e-9
        assert way["largest_relative_change_of_standardised_effect"] < 1e-7
        for midpoint, common in zip(way["midpoint_delta"], way["least_common_delta"], strict=True):
            assert midpoint["min"] >= common["min"]
    assert up["re_distance"][-1]["min"] > 100 * up["re_distance"][0]["max"]
    assert down["re_distance"][-1]["median"] < down["re_distance"][0]["median"]
    assert up["output_total_variation"][-1]["min"] > 0.99
    assert down["output_total_variation"][-1]["median"] < down["output_total_variation"][0]["median"]
    assert laws.numbers["largest_rate"]["max"] < 1
    assert laws.numbers["mirror_pair"]["expected_loss_gap_relative_largest"] < 1e-12
    assert up["kl_nats"][0]["median"] == pytest.approx(7.56, abs=5e-3)
    assert up["output_total_variation"][0]["median"] == pytest.approx(0.300, abs=5e-4)
    assert down["output_total_variation"][-1]["median"] == pytest.approx(0.258, abs=5e-4)
    assert "by 1.28e+03 (308 to 3.85e+04)" in laws.says[0]
    assert "a check of the arithmetic" in laws.says[0]


def test_least_common_delta_is_enclosed_before_and_after_ascent(laws: Answer) -> None:
    up = laws.numbers["ascent"]
    for lower, upper in zip(up["least_common_delta"], up["common_delta"], strict=True):
        assert all(lower[end] <= upper[end] * (1 + 1e-12) for end in ("min", "median", "max"))
    assert up["least_common_delta"][0]["median"] == pytest.approx(7.90e-4, rel=1e-3)
    assert up["common_delta"][0]["median"] == pytest.approx(9.34e-4, rel=1e-3)
    assert up["least_common_delta"][-1]["median"] == pytest.approx(0.5, abs=1e-3)
    assert up["common_delta"][-1]["median"] == pytest.approx(0.5, abs=1e-3)
    assert up["midpoint_delta"][-1]["min"] > 0.99
    assert up["common_delta_gap"][-1]["max"] < 1e-8
    for key in ("worlds_where_summing_is_the_better_bound", "worlds_where_the_mixture_is_the_better_law"):
        assert (up[key][0], up[key][-1]) == (0, 20)


def test_saturated_outputs_are_said_to_be_saturated_and_counted() -> None:
    free, some, full = (distributions.answer(output_noise=noise).says[3] for noise in (1.0, 0.15, 0.05))
    assert "saturated" not in free
    assert "follows the metric gap" in free
    assert "In 1 of 20 it is within 0.0005 of 1 at t = 0 already" in some
    assert "is saturated: within 0.0005 of 1 in all 20 worlds before the first step" in full
    assert "from 1" not in full


def test_descent_is_injective_above_a_rate_of_1_and_refused_only_at_1() -> None:
    found = distributions.answer(seeds=3, learning_rate=4.0)
    assert found.numbers["largest_rate"]["min"] > 1
    assert found.numbers["nearest_rate_to_1"]["min"] > 0
    assert found.numbers["descent to a common target"]["largest_relative_change_of_kl"] < 1e-9
    assert "so descent is injective" in found.says[1]
    one = 1 / distributions.answer(seeds=1).numbers["largest_rate"]["median"]
    with pytest.raises(InputError, match="not injective") as error:
        distributions.answer(seeds=1, learning_rate=one)
    assert error.value.problems[0].code == "E-DATA-118"


@pytest.mark.parametrize("law", ["power-law", "half-shared"])
def test_other_laws_and_long_steps_answer_without_overflow(law: str) -> None:
    for found in (
        floor.answer(seeds=2, law=law, learning_rate=100.0),
        forgetting.answer(seeds=1, law=law, stages=2),
        distributions.answer(seeds=2, law=law, learning_rate=3.0),
    ):
        json.dumps(dict(found.numbers), allow_nan=False)
        assert found.draw()
    # Modes that descent contracts to 1e-15 keep their digits.
    contracted = distributions.answer(law=law).numbers["descent to a common target"]
    assert contracted["largest_relative_change_of_kl"] < 1e-9
    assert contracted["largest_relative_change_of_standardised_effect"] < 1e-9


def test_bad_options_have_their_codes() -> None:
    cases: list[tuple[Callable[[], Answer], str]] = [
        (lambda: floor.answer(law="cauchy"), "E-DATA-103"),
        (lambda: floor.answer(forget_rows=70), "E-DATA-108"),
        (lambda: floor.answer(seeds=1, penalty=-1.0), "E-DATA-102"),
        (lambda: floor.answer(seeds=1, learning_rate=0.0), "E-DATA-102"),
        (lambda: forgetting.answer(law="cauchy"), "E-DATA-103"),
        (lambda: distributions.answer(seeds=1, output_noise=0.0), "E-DATA-102"),
        (lambda: distributions.answer(seeds=1, epsilon=-1.0), "E-DATA-117"),
        (lambda: floor.answer(seeds=0), "E-DATA-102"),
        (lambda: forgetting.answer(seeds=0), "E-DATA-102"),
        (lambda: distributions.answer(seeds=0), "E-DATA-102"),
        (lambda: distributions.answer(seeds=1, learning_rate=-1.0), "E-DATA-102"),
        (lambda: forgetting.answer(seeds=1, stages=1), "E-DATA-108"),
    ]
    for call, code in cases:
        with pytest.raises(InputError) as error:
            call()
        assert error.value.problems[0].code == code
