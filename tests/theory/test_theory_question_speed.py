"""Answers of `speed`, `departures` and `methods`: numbers that documents quote, and figures that draw."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from retrain_equivalence.theory.questions import departures, methods, speed


@pytest.fixture(scope="module")
def speed_answer():
    return speed.answer(seeds=6)


@pytest.fixture(scope="module")
def departures_answer():
    return departures.answer(seeds=4)


@pytest.fixture(scope="module")
def methods_answer():
    return methods.answer(seeds=4)


def test_answers_are_json_and_repeat(speed_answer, departures_answer, methods_answer) -> None:
    for found in (speed_answer, departures_answer, methods_answer):
        json.dumps([dict(found.numbers), dict(found.settings)], allow_nan=False)
        assert found.question.endswith("?")
        assert len(found.says) <= 8
    assert speed.answer(seeds=2).says == speed.answer(seeds=2).says
    assert speed.answer(seeds=2).says != speed.answer(seeds=2, seed=2).says


def test_speed_law_holds_and_signs_are_as_predicted(speed_answer) -> None:
    flows = speed_answer.numbers["flows"]
    assert max(f["error"] for f in flows.values()) < 1e-6
    assert speed_answer.numbers["vector_error"] < 1e-6
    assert flows["ga"]["end"]["min"] > 1
    for name in ("simnpo", "wga"):
        assert flows[name]["peak"]["min"] > 1
        assert flows[name]["end"]["median"] < 0.5 * flows[name]["peak"]["median"]
    for name in ("idk", "uniform"):
        assert flows[name]["peak"]["max"] == pytest.approx(1, abs=1e-6)
        assert flows[name]["end"]["max"] < 0.1
    assert speed_answer.numbers["npo_own_reference_late"]["median"] == pytest.approx(1, abs=0.02)
    assert speed_answer.numbers["npo_common_reference_late"]["max"] < 0.02
    assert speed_answer.numbers["npo_common_slope"]["median"] == pytest.approx(-1, abs=0.02)
    assert speed_answer.numbers["extra_steps_over_closed_form"]["median"] == pytest.approx(1, abs=0.01)
    assert speed_answer.numbers["exponential_share"]["min"] > 0.9


def test_recency_is_worded_from_the_counts() -> None:
    found = speed.answer()
    assert found.numbers["worlds_with_more_steps_if_trained_last"] == 18
    assert found.numbers["worlds_with_the_sign_of_the_closed_form"] == 20
    assert "in most worlds, not in all" in found.says[5] and "18 of 20" in found.says[5]
    assert "uniform answer at below 1e-06" in found.says[3]
    assert "in every world" in speed.answer(seeds=1).says[5]
    other_way = speed.answer(seeds=1, seed=1)
    assert "at most half" in other_way.says[5] and "0 of 1 worlds" in other_way.says[5]


def test_worlds_that_count_no_steps_are_left_out() -> None:
    found = speed.answer(seeds=2, seed=1, train_steps=0)
    assert found.numbers["extra_steps_over_closed_form"] == "undefined in every world"
    long = speed.answer(seeds=3, train_steps=20_000, dim=50, conflict=0.1)
    assert "; 1 left out" in long.says[5]
    assert long.numbers["extra_steps"]["n"] == 2


def test_departures_freeze_or_move_as_predicted(departures_answer) -> None:
    rules = departures_answer.numbers["optimisers"]
    for name, rule in rules.items():
        assert (rule["largest_drift"] < 1e-12) is (rule["predicted_off_span"] == "frozen"), name
    assert rules["adam"]["off_span_growth"]["median"] > 2
    assert departures_answer.numbers["gap_over_linear_bound"]["adam"]["max"] < 1
    assert departures_answer.numbers["gap_over_linear_bound"]["clipped"]["max"] < 1
    assert departures_answer.numbers["lora_frozen_a_outside_span_xaa"] < 1e-10


def test_every_method_shows_its_predicted_sign(methods_answer) -> None:
    for name, row in methods_answer.numbers["methods"].items():
        assert row["worlds_that_agree"] == 4, name
        assert row["largest_error"] < (1e-10 if row["kind"] == "squared loss" else 1e-5), name
        if row["off_span"] == "frozen" and row["kind"] == "squared loss":
            assert row["off_span_drift"] < 1e-12, name


def test_signs_are_measured_not_assumed() -> None:
    # Beyond x_1 = 2 descent to a common target diverges: the table must say so.
    found = methods.answer(seeds=2, top_rate=2.5, flow_steps=50)
    assert found.numbers["methods"]["idk"]["worlds_that_agree"] == 0
    assert "idk (0 of 2)" in found.says[0]


def test_figures_draw(speed_answer, departures_answer, methods_answer) -> None:
    for found, name in ((speed_answer, "speed-law"), (departures_answer, "departures"), (methods_answer, "methods")):
        (figure,) = found.draw()
        assert figure.name == name
        assert figure.table.rows
        for panel in figure.panels:
            assert ET.fromstring(panel).get("role") == "img"
