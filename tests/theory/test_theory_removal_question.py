"""`theory removal`: the answer's numbers, sentences and figures."""

from __future__ import annotations

import json

import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.questions.removal import answer


@pytest.fixture(scope="module")
def found() -> Answer:
    return answer(seeds=3, rows=400, removals=60)


def test_numbers_hold_what_is_claimed(found: Answer) -> None:
    numbers = found.numbers
    assert numbers["ridge"]["relative_error"]["max"] < 1e-10
    assert numbers["logistic"]["removals_under_bound"] == {"tight": 180, "data_dependent": 180, "worst_case": 180}
    ratios = numbers["logistic"]["bound_over_truth"]
    assert 1 < ratios["tight"]["min"] < ratios["data_dependent"]["min"] < ratios["worst_case"]["min"]
    staged = numbers["staged"]
    assert staged["largest_relative_error_of_propagated_removal"] < 1e-10
    assert staged["rewinding_equal_to_own_oracle"] == 12
    assert staged["rewinding_rows_share_of_retraining"] == pytest.approx([40 / 220, 100 / 220, 160 / 220, 1.0])
    assert staged["after_the_step_within_the_stage"][0]["max"] < 1e-20
    assert staged["after_the_step_within_the_stage"][1]["min"] > 1e-3


def test_tighter_books_last_longer(found: Answer) -> None:
    books = found.numbers["removals_before_retraining"]
    printed = books["printed: data dependent, γ = 1/4, classical δ"]["summary"]["median"]
    exact = books["data dependent, γ = 1/4, exact δ"]["summary"]["median"]
    tight = books["tight, γ = 1/4, exact δ"]["summary"]["median"]
    assert printed <= exact < tight


def test_answer_is_plain_data_and_says_it_in_words(found: Answer) -> None:
    assert json.loads(json.dumps(found.numbers, allow_nan=False)) == found.numbers
    assert "NaN" not in json.dumps(found.settings)
    assert len(found.says) <= 8
    assert all(line.endswith(".") for line in found.says)
    assert "180 lay under the data-dependent bound" in found.says[1]


def test_same_seed_same_answer(found: Answer) -> None:
    assert answer(seeds=3, rows=400, removals=60).numbers == found.numbers
    assert answer(seeds=3, rows=400, removals=60, seed=50).numbers != found.numbers


def test_figures_are_drawn(found: Answer) -> None:
    figures = found.draw()
    assert [figure.name for figure in figures] == ["theory-removal-budget", "theory-removal-staged"]
    assert [len(figure.panels) for figure in figures] == [1, 2]
    assert all(panel.startswith("<svg") and "NaN" not in panel for figure in figures for panel in figure.panels)


def test_bad_options() -> None:
    for options, code in (
        ({"removals": 1000}, "E-DATA-127"),
        ({"delta": 2.0}, "E-DATA-128"),
        ({"sigma": 0.0}, "E-DATA-102"),
        ({"seeds": 0}, "E-DATA-102"),
        ({"stages": 1}, "E-DATA-108"),
    ):
        with pytest.raises(InputError, match=code):
            answer(**options)
