"""The answer of `theory matched`: what it says is what its worlds show."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.questions.matched import DECADES, answer


def test_numbers_at_the_defaults() -> None:
    found = answer()
    # The page of the theory states these.
    assert found.numbers["outcomes"]["collapses"] == 15
    assert found.numbers["outcomes"]["flips"] == 5
    growth = found.numbers["log_distance_at_steps"]
    assert (growth["100"]["median"] - growth["0"]["median"]) / np.log(10) == pytest.approx(10.9, abs=0.2)
    assert found.numbers["relative_gap_at_steps"]["100"]["median"] == pytest.approx(0.833, abs=0.002)
    assert found.numbers["matched_gap_at_decades"]["1"]["median"] == pytest.approx(0.348, abs=0.002)
    assert found.numbers["steps_waited"]["median"] == pytest.approx(15.9, abs=0.1)
    assert found.numbers["worlds_near_limit"] == 19
    assert found.numbers["log10_loss_from_which_near_limit"]["median"] == pytest.approx(23, abs=0.26)
    assert found.numbers["absolute_gap_exponent"]["median"] == pytest.approx(0.943, abs=0.001)
    wait = found.numbers["steps_waited"]
    assert (wait["mean"], wait["half_width_95"]) == pytest.approx((16.2, 0.9), abs=0.1)
    json.dumps([found.numbers, found.settings], allow_nan=False)
    assert found.question.endswith("?") and len(found.says) <= 8
    assert "15 and to 4 in 5 of 20 worlds" in found.says[1]


def test_every_world_goes_to_its_own_limit() -> None:
    found = answer(law="power-law").numbers
    for outcome, gaps in zip(found["outcome_of_each_world"], found["matched_gap_of_each_world"], strict=True):
        assert gaps[DECADES.index(128)] == pytest.approx({"collapses": 0.0, "flips": 4.0}[outcome], abs=0.01)
    assert found["worlds_near_limit"] == 20
    assert found["log10_loss_from_which_near_limit"]["median"] == pytest.approx(3.75, abs=0.26)
    assert found["absolute_gap_exponent"]["median"] == pytest.approx(0.557, abs=0.002)
    assert found["largest_relative_loss_difference_when_matched"] < 1e-11


@pytest.mark.parametrize(("law", "flips"), [("isotropic", 51), ("power-law", 78), ("half-shared", 47)])
def test_how_many_of_200_worlds_flip(law: str, flips: int) -> None:
    found = answer(law=law, seeds=200).numbers["outcomes"]
    assert found["flips"] == flips
    assert found["collapses"] == 200 - flips


def test_one_seed_one_forget_row_and_other_seeds() -> None:
    one = answer(seeds=1, forget_rows=1)
    assert one.numbers["absolute_gap_exponent"] == "undefined: one mode"
    json.dumps(one.numbers, allow_nan=False)
    both = answer(seeds=3, seed=5).numbers["matched_gap_of_each_world"]
    assert both[1] == answer(seeds=1, seed=6).numbers["matched_gap_of_each_world"][0]


def test_defaults_take_less_than_five_seconds() -> None:
    # Of this thread alone: idle BLAS threads spin, and a busy machine waits. Measured: 0.3 s.
    start = time.thread_time()
    answer()
    assert time.thread_time() - start < 5


def test_figure_is_drawn_from_the_same_worlds() -> None:
    (figure,) = answer(seeds=3).draw()
    assert figure.name == "theory-matched" and len(figure.panels) == 3
    assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)
    assert "3 worlds" in figure.caption


def test_bad_options() -> None:
    for options, code in (
        ({"seeds": 0}, "E-DATA-102"),
        ({"law": "cauchy"}, "E-DATA-103"),
        ({"forget_rows": 61}, "E-DATA-108"),
        ({"forget_rows": 0}, "E-DATA-106"),
        ({"dim": 10}, "E-DATA-107"),
        ({"learning_rate": -1.0}, "E-DATA-102"),
    ):
        with pytest.raises(InputError, match=code):
            answer(**options)
