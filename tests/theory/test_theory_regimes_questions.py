"""The answers of `theory regimes` and `theory retain`: what the page states, and what else they can be asked."""

from __future__ import annotations

import json
import time

import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.questions import regimes, retain


def test_regimes_at_the_defaults() -> None:
    found = regimes.answer()
    methods = found.numbers["methods"]
    assert found.numbers["worlds"] == 100
    assert len(methods) == 7
    for name, numbers in methods.items():
        assert numbers["runs_in_predicted_regime"] == numbers["runs_measured"] == numbers["runs_bracketed"] == 100, name
        assert numbers["largest_off_span_change"] < 1e-12, name
        assert numbers["largest_size_error"] < 1e-12, name
        assert numbers["largest_slope_error"] < 1e-4, name
    assert methods["descent to an own target"]["largest_on_span_change"] < 1e-12
    assert found.numbers["left_on_span_after_interpolation"] < 1e-13
    assert found.numbers["batch_deviation_common"]["max"] < 1e-12
    assert found.numbers["batch_deviation_different"]["min"] > 0.1
    shares = found.numbers["oracle_target_share"]
    assert [shares[order]["median"] for order in ("AB", "BA")] == pytest.approx([0.150, 0.325], abs=1e-3)
    assert methods["ga"]["best_share"]["AB"]["median"] == pytest.approx(0.269, abs=1e-3)
    assert methods["descent to a common target"]["best_share"]["BA"]["median"] == pytest.approx(0.670, abs=1e-3)
    ends = {name: numbers["predicted_log_gap_at_end"]["summary"] for name, numbers in methods.items()}
    # The page of the theory states these.
    assert ends["ga"]["median"] == pytest.approx(4.83, abs=0.01)
    assert ends["descent to a common target"]["median"] == pytest.approx(-3.16, abs=0.01)
    assert ends["task vector from the history itself"]["max"] < 0.6931
    assert found.numbers["ridge_break_even_steps"]["median"] == pytest.approx(36.7, abs=0.1)
    assert methods["ga"]["first_slope"]["summary"]["median"] == pytest.approx(0.0973, abs=1e-4)
    assert methods["ga"]["last_slope"]["summary"]["median"] == pytest.approx(0.138, abs=1e-3)
    assert found.question.endswith("?") and len(found.says) <= 8
    assert "700 of 700 runs" in found.says[1]
    json.dumps([found.numbers, found.settings], allow_nan=False)


def test_nothing_local_goes_below_the_floor() -> None:
    found = regimes.answer(seeds=20).numbers
    for order in ("AB", "BA"):
        least = found["floor_share"][order]
        for name, numbers in found["methods"].items():
            for statistic in ("min", "median", "max"):
                assert numbers["best_share"][order][statistic] >= least[statistic], name
        assert found["oracle_target_share"][order]["median"] > least["median"]


@pytest.mark.parametrize("law", ["power-law", "half-shared"])
def test_regimes_of_other_laws(law: str) -> None:
    methods = regimes.answer(seeds=5, law=law).numbers["methods"]
    assert all(m["runs_in_predicted_regime"] == 5 and m["largest_off_span_change"] < 1e-12 for m in methods.values())


def test_unstable_descent_expands_as_predicted() -> None:
    methods = regimes.answer(seeds=3, learning_rate=14.0, steps=20).numbers["methods"]
    descent = methods["descent to a common target"]
    assert descent["predicted_regimes"] == ["expanding"] and descent["runs_in_predicted_regime"] == 3


def test_a_difference_below_rounding_is_counted_and_not_measured() -> None:
    found = regimes.answer(seeds=2, relearn_steps=800)
    relearned = found.numbers["methods"]["relearn by steps, then ascend"]
    assert relearned["runs_measured"] == 0 and relearned["largest_slope_error"] == "not measured"
    assert "2 more runs have a difference below rounding" in found.says[1]


def test_retain_at_the_defaults() -> None:
    found = retain.answer()
    generic, nested = found.numbers["generic"], found.numbers["nested"]
    assert generic["worlds_nested"] == 0 and nested["worlds_nested"] == 20
    assert generic["worlds_above_their_limit_at_every_weight"] == 20
    assert generic["windows"] == {"open": 0, "empty": 0, "none": 20}
    assert nested["windows"] == {"open": 11, "empty": 9, "none": 0}
    assert generic["threshold"]["summary"] == "undefined in every world"
    # The page of the theory states these.
    assert generic["limit_eigenvalue"]["summary"]["median"] == pytest.approx(0.0955, abs=1e-4)
    assert nested["threshold"]["summary"]["median"] == pytest.approx(17.4, abs=0.1)
    assert nested["lower_edge"]["summary"]["median"] == pytest.approx(18.6, abs=0.1)
    assert nested["largest_learning_rate"]["summary"]["median"] == pytest.approx(1.03, abs=0.01)
    assert max(generic["largest_slope_error"], nested["largest_slope_error"]) < 1e-3
    assert found.question.endswith("?") and len(found.says) <= 8
    json.dumps([found.numbers, found.settings], allow_nan=False)


def test_smaller_steps_open_every_window() -> None:
    assert retain.answer(learning_rate=0.5).numbers["nested"]["windows"] == {"open": 20, "empty": 0, "none": 0}


def test_only_if_needs_worlds_of_both_kinds() -> None:
    swapped = retain.answer(seeds=3, dim=60, nested_dim=150)
    assert swapped.says[0].startswith("Only if")
    assert "3 of 3 for d = 60, 0 of 3 for d = 150" in swapped.says[0]
    assert any(s.startswith("Without a threshold") for s in swapped.says)
    assert any(s.startswith("Where the spans nest") for s in swapped.says)
    nested = retain.answer(seeds=3, dim=10, nested_dim=10)
    assert "in all 3" in nested.says[0] and not any("Only if" in s or "Without" in s for s in nested.says)
    apart = retain.answer(seeds=3, dim=120, nested_dim=150)
    assert "in none of 6" in apart.says[0] and not any("Only if" in s or "spans nest" in s for s in apart.says)


def test_the_step_size_is_said_to_open_only_empty_windows() -> None:
    opens = "A smaller step opens it"
    assert any(opens in s for s in retain.answer(seeds=3, learning_rate=5.0).says)
    open_already = retain.answer(seeds=3, learning_rate=0.3)
    assert not any(opens in s for s in open_already.says)
    assert any("every window is open" in s for s in open_already.says)


def test_worlds_do_not_depend_on_how_many_are_drawn() -> None:
    both = retain.answer(seeds=2, seed=4).numbers["nested"]["threshold"]["values"]
    assert both[1:] == retain.answer(seeds=1, seed=5).numbers["nested"]["threshold"]["values"]


def test_defaults_take_less_than_five_seconds() -> None:
    # Measured: 1.1 s and 0.6 s of processor time.
    for question in (regimes, retain):
        start = time.process_time()
        question.answer()
        assert time.process_time() - start < 5


def test_figures_are_drawn() -> None:
    figures = [*regimes.answer(seeds=2).draw(), *retain.answer(seeds=2).draw()]
    assert [(f.name, len(f.panels)) for f in figures] == [
        ("theory-regimes", 1), ("theory-slopes", 3), ("theory-retain", 2)
    ]  # fmt: skip
    for figure in figures:
        assert "2 worlds" in figure.caption
        assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)


def test_bad_options() -> None:
    for code, call in (
        ("E-DATA-102", lambda: regimes.answer(seeds=0)),
        ("E-DATA-102", lambda: regimes.answer(steps=1)),
        ("E-DATA-102", lambda: regimes.answer(seeds=1, learning_rate=0.0)),
        ("E-DATA-103", lambda: regimes.answer(law="cubic")),
        ("E-DATA-110", lambda: regimes.answer(seeds=1, steps=5_000)),
        ("E-DATA-112", lambda: regimes.answer(seeds=1, relearn_steps=-1)),
        ("E-DATA-102", lambda: retain.answer(seeds=0)),
        ("E-DATA-102", lambda: retain.answer(learning_rate=-1.0)),
        ("E-DATA-103", lambda: retain.answer(law="cubic")),
        ("E-DATA-106", lambda: retain.answer(seeds=1, forget_rows=0)),
        ("E-DATA-108", lambda: retain.answer(seeds=1, forget_rows=61)),
    ):
        with pytest.raises(InputError, match=code):
            call()
