"""The bias-corrected distance to the oracle as its own contrast, and the worst case at equal forgetting."""

from __future__ import annotations

import math

import numpy as np
import planted
import pytest
from planted import PROBE, asks, distance_rows, frame, still, study, vectors

from retrain_equivalence.equivalence import oracle_bias, oracle_distance, worst_case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.records.state_name import StateName

FIRST, LAST = "safety>instruct", "instruct>safety"


def of(findings: list[Finding], contrast: str, alignment: str = "at_end") -> list[Finding]:
    return [f for f in findings if f.contrast == contrast and f.alignment == alignment]


@pytest.mark.parametrize(
    ("bias", "margin", "verdict"),
    [(0.0, 1.0, Verdict.EQUIVALENT), (4.0, 0.8, Verdict.DIFFERENT), (0.8, 0.8, Verdict.INCONCLUSIVE)],
)
def test_the_three_verdicts_against_an_absolute_margin(bias: float, margin: float, verdict: Verdict) -> None:
    given = study(asks("oracle_bias", value=margin), oracle_replicates=8)
    found = of(compare(frame(distance_rows(given, vectors(given, still(bias), seed=2))), given), "oracle_bias")
    assert {(f.quantity, f.verdict, f.history) for f in found} == {("B_h", verdict, FIRST), ("B_h", verdict, LAST)}
    assert all(f.estimate == pytest.approx(bias, abs=1.0) for f in found)


def test_equal_laws_give_numbers_on_both_sides_of_0() -> None:
    given = study(replicates=5, unlearnings=[planted.unlearning(steps=(0, 2))])
    values = [
        f.estimate or 0.0
        for seed in range(30)
        for f in of(compare(frame(distance_rows(given, vectors(given, still(), seed=seed))), given), "oracle_bias")
    ]
    sample = np.array(values)
    assert sample.min() < 0 < sample.max()
    assert sample.mean() == pytest.approx(0.0, abs=3.3 * sample.std() / math.sqrt(30))


def test_the_number_is_that_of_the_distances_at_every_place() -> None:
    given = study(asks("oracle_bias", value=0.5, alignment="at_each_step"))
    findings = compare(frame(distance_rows(given, vectors(given, still(1.0), seed=0))), given)
    own = [f for f in findings if f.contrast == "oracle_bias"]
    assert {f.step for f in own if f.verdict is not None} == {1, 2, 4, 8}
    table = {
        (r["history"], r["step"]): r["bias"]
        for r in report_tables(frame(distance_rows(given, vectors(given, still(1.0), seed=0))), given)["distances"]
    }
    assert all(f.estimate == table[f.history, f.step] for f in own)


def test_a_multiple_of_the_band_and_a_distance_that_is_no_square_are_refused() -> None:
    variation = "prediction:safety/total_variation"
    given = study(asks("oracle_bias", times_band=1.5), asks("oracle_bias", variation, value=0.1))
    states = vectors(given, still(4.0), seed=0)
    rows = distance_rows(given, states) + distance_rows(given, states, probe=variation, unit="fraction")
    found = of(compare(frame(rows), given), "oracle_bias")
    assert {(f.probe, f.reason, f.verdict) for f in found} == {
        (PROBE, oracle_bias.NOT_BAND, Verdict.INCONCLUSIVE),
        (variation, oracle_distance.NOT_SQUARED, Verdict.INCONCLUSIVE),
    }


def with_losses(missing: int) -> list[dict[str, object]]:
    """Eight runs of each history that reach the level at step 4, but for some of the last position."""
    rows = distance_rows(AT_LEVEL, vectors(AT_LEVEL, still(0.3), seed=3, seed_sd=0.3), across_steps=True)
    for history in (FIRST, LAST):
        for r in range(8):
            for step in (0, 1, 2, 4, 8):
                state = StateName(history=history, replicate=r, unlearning="ga" if step else "", step=step)
                reached = step >= 4 and not (history == LAST and r < missing)
                rows += [
                    planted.row(state, "forget_loss", f"i{k}", 2.0 if reached else 1.0, "nats/token") for k in (0, 1)
                ]
    for r in range(8):
        oracle = StateName(history="instruct", replicate=r)
        rows += [planted.row(oracle, "forget_loss", f"i{k}", 1.9, "nats/token") for k in (0, 1)]
    return rows


AT_LEVEL = study(
    asks("oracle_distance", times_band=20.0, alignment="at_forget_level"),
    asks("oracle_bias", value=5.0, alignment="at_forget_level"),
)


def test_where_every_run_reached_the_level_verdicts_are_given() -> None:
    findings = compare(frame(with_losses(0)), AT_LEVEL)
    level = of(findings, "oracle_bias", "at_forget_level") + of(findings, "oracle_distance", "at_forget_level")
    assert {f.verdict for f in level if f.margin} == {Verdict.EQUIVALENT}
    assert not [f for f in level if "worst" in f.quantity]
    same = {f.history: f.estimate for f in findings if f.quantity == "B_h" and f.step == 4}
    assert {f.history: f.estimate for f in level if f.quantity == "B_h"} == pytest.approx(same)


def test_a_level_of_some_oracles_gives_no_verdict() -> None:
    rows = with_losses(0)
    for row in rows:
        if row["probe"] == "forget_loss" and (row["history"], row["replicate"]) == ("instruct", 5):
            row |= {"value": None, "status": "failed"}
    level = [f for f in compare(frame(rows), AT_LEVEL) if f.alignment == "at_forget_level" and f.margin]
    assert level
    assert {f.verdict for f in level} == {Verdict.INCONCLUSIVE}
    assert {f.reason for f in level} == {
        "1 oracles have no forget loss: the level of the others alone may be a selection"
    }


def test_where_some_did_not_the_verdict_is_withheld_and_the_worst_case_is_said() -> None:
    findings = compare(frame(with_losses(3)), AT_LEVEL)
    level = of(findings, "oracle_distance", "at_forget_level")
    judged = {f.history: f for f in level if f.margin}
    assert judged[FIRST].verdict is Verdict.EQUIVALENT
    assert (judged[LAST].verdict, judged[LAST].censored, judged[LAST].n) == (Verdict.INCONCLUSIVE, 3, 5)
    raw = next(f for f in level if (f.quantity, f.history) == ("D_ho", LAST))
    (worst,) = (f for f in level if f.quantity == "D_ho worst case")
    assert raw.estimate is not None
    assert (worst.history, worst.low, worst.high) == (
        LAST, pytest.approx(5 / 8 * raw.estimate), pytest.approx(5 / 8 * raw.estimate + 3 / 8)
    )  # fmt: skip
    assert worst.estimate is None and worst.reason.startswith("undefined: 3 of 8 runs")


def test_the_worst_case_holds_whatever_the_missing_runs_had_shown() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        values, gone = rng.random(8), rng.random(8) < 0.4
        if gone.all():
            continue
        low, high = worst_case.bounds(float(values[~gone].mean()), float(np.mean(~gone)), 1.0)
        assert low - 1e-12 <= values.mean() <= high + 1e-12


def test_improvements_are_tabled_with_their_verdicts() -> None:
    given = study(asks("improvement", value=0.5))

    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(20)
        if history != "instruct":
            vector[0] = 2.0 if step == 0 else 1.0
        return vector

    rows = frame(distance_rows(given, vectors(given, mean, seed=1, seed_sd=0.3)))
    table = report_tables(rows, given)["improvements"]
    found = {f.history: f for f in of(compare(rows, given), "improvement")}
    assert [(r["history"], r["position"], r["mean"], r["verdict"]) for r in table] == [
        (name, position, found[name].estimate, "DIFFERENT")
        for position, name in enumerate((FIRST, LAST), start=1)
    ]  # fmt: skip
    quiet = planted.with_(given)
    assert {r["verdict"] for r in report_tables(rows, quiet)["improvements"]} == {None}
