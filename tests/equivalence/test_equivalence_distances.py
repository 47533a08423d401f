"""Band, oracle distance, improvement and path gap on planted vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import planted
import pytest
from planted import PROBE, asks, distance_rows, frame, study, vectors

from retrain_equivalence.equivalence import band, improvement, oracle_distance, path_gap
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

FIRST, LAST, ORACLE = "safety>instruct", "instruct>safety", "instruct"


def drifting(path: float = 0.0, bias: float = 0.0, rate: float = 0.0) -> planted.Mean:
    """Both histories at squared distance `bias` from the oracle; `path` apart, growing like exp(rate t)."""

    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(20)
        if history != ORACLE:
            vector[0] = math.sqrt(bias)
            side = 0.5 if history == FIRST else -0.5
            vector[1] = side * math.sqrt(path * math.exp(rate * step))
        return vector

    return mean


def case_of(given: Study, mean: planted.Mean, seed: int, **how: float) -> Case:
    return Case(frame(distance_rows(given, vectors(given, mean, seed=seed, **how))), given)  # type: ignore[arg-type]


def averaged(
    given: Study, mean: planted.Mean, number: Callable[[Case], float | None], studies: int = 200
) -> tuple[float, float]:
    values = [number(case_of(given, mean, seed)) for seed in range(studies)]
    assert all(value is not None for value in values)
    sample = np.array(values, dtype=float)
    return float(sample.mean()), float(sample.std(ddof=1) / math.sqrt(studies))


SMALL = study(replicates=4, oracle_replicates=2, unlearnings=[planted.unlearning(steps=(0, 2))])


def test_band_is_unbiased_for_twice_the_seed_variance() -> None:
    mean, se = averaged(SMALL, drifting(), lambda case: band.band(case, PROBE, "forget", ORACLE)[0].value)
    assert mean == pytest.approx(2.0, abs=3.3 * se)


def test_bias_is_unbiased_whatever_history_and_oracle_share() -> None:
    def number(case: Case) -> float | None:
        return oracle_distance.at_step(case, PROBE, "forget", LAST, "ga", 2).bias.estimate

    mean, se = averaged(SMALL, drifting(bias=0.7), number)
    assert mean == pytest.approx(0.7, abs=3.3 * se)


def test_path_gap_is_unbiased_and_may_be_negative() -> None:
    def number(case: Case) -> float | None:
        return path_gap.at_step(case, PROBE, "forget", FIRST, LAST, "ga", 2).gap.estimate

    mean, se = averaged(SMALL, drifting(path=0.5), number)
    assert mean == pytest.approx(0.5, abs=3.3 * se)
    null = [number(case_of(SMALL, drifting(), seed)) or 0.0 for seed in range(40)]
    assert min(null) < 0 < max(null)


def test_path_gap_equals_the_cross_validated_form() -> None:
    states = vectors(SMALL, drifting(path=0.5), seed=1)
    case = Case(frame(distance_rows(SMALL, states)), SMALL)
    delta = np.array(
        [
            states[StateName(history=FIRST, replicate=r, unlearning="ga", step=2)]
            - states[StateName(history=LAST, replicate=r, unlearning="ga", step=2)]
            for r in range(4)
        ]
    )
    expected = ((delta.sum(axis=0) ** 2).sum() - (delta**2).sum()) / (4 * 3)
    found = path_gap.at_step(case, PROBE, "forget", FIRST, LAST, "ga", 2)
    assert found.gap.estimate == pytest.approx(expected)
    apart = ~np.eye(4, dtype=bool)
    assert found.kernel_RR[apart] == pytest.approx((delta @ delta.T)[apart])


def test_oracle_distance_by_hand() -> None:
    given = study(replicates=2, unlearnings=[planted.unlearning(steps=(0, 2))])
    rows = []
    for r, s, value in ((0, 0, 100.0), (0, 1, 3.0), (1, 0, 5.0), (1, 1, 100.0)):
        rows.append(
            planted.row(StateName(history=LAST, replicate=r), PROBE, "forget", value, "u", against=f"{ORACLE}#{s}")
        )
    rows.append(planted.row(StateName(history=ORACLE, replicate=0), PROBE, "forget", 2.0, "u", against=f"{ORACLE}#1"))
    rows.append(planted.row(StateName(history=LAST, replicate=0), PROBE, "forget", 1.0, "u", against=f"{LAST}#1"))
    found = oracle_distance.at_step(Case(frame(rows), given), PROBE, "forget", LAST, "", 0)
    assert found.raw.estimate == pytest.approx(4.0)
    assert found.ratio.estimate == pytest.approx(2.0)
    assert found.bias.estimate == pytest.approx(4.0 - 0.5 - 1.0)
    assert found.spread.estimate == pytest.approx(0.5)


def everything(given: Study) -> list[planted.Comparison]:
    return [
        asks("oracle_distance", times_band=1.5),
        asks("oracle_bias", value=0.4),
        asks("improvement", value=0.2),
        asks("path_gap", value=0.3, alignment="at_each_step"),
        asks("path_spread", value=0.3),
        asks("stopping_price"),
        asks("distribution"),
        asks("growth", value=0.1),
    ]


def test_equal_seed_pairs_move_nothing() -> None:
    given = replace(SMALL, comparisons=tuple(everything(SMALL)))
    rows = distance_rows(given, vectors(given, drifting(path=0.5, bias=0.3), seed=5))
    coupled = [
        row | {"value": 1e6} if StateName.parse(row["against"]).replicate == row["replicate"] else row for row in rows
    ]
    assert coupled != rows
    assert compare(frame(coupled), given) == compare(frame(rows), given)


@pytest.mark.parametrize(
    ("bias", "margin", "verdict"),
    [(0.0, 2.5, Verdict.EQUIVALENT), (10.0, 1.5, Verdict.DIFFERENT), (0.7, 1.35, Verdict.INCONCLUSIVE)],
)
def test_the_three_verdicts_against_the_band(bias: float, margin: float, verdict: Verdict) -> None:
    given = study(asks("oracle_distance", times_band=margin), oracle_replicates=8)
    found = judged(compare(frame(distance_rows(given, vectors(given, drifting(bias=bias), seed=2))), given))
    assert {finding.quantity for finding in found} == {"D_ho/D_oo"}
    assert [finding.step for finding in found] == [8, 8]
    assert {finding.verdict for finding in found} == {verdict}


def judged(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is not None]


def test_an_absolute_margin_on_a_raw_distance_is_refused() -> None:
    given = study(asks("oracle_distance", value=0.8), oracle_replicates=8)
    found = judged(compare(frame(distance_rows(given, vectors(given, drifting(bias=4.0), seed=2))), given))
    assert {(f.quantity, f.verdict, f.reason) for f in found} == {
        ("D_ho", Verdict.INCONCLUSIVE, oracle_distance.NOT_RAW)
    }


def test_scatter_over_the_band_stands_beside_the_ratio() -> None:
    given = study(oracle_replicates=2)
    found = compare(frame(distance_rows(given, vectors(given, drifting(), seed=2))), given)
    scatter = [f for f in found if f.quantity == "D_hh/D_oo"]
    assert [(f.history, f.step) for f in scatter] == [(LAST, 8), (FIRST, 8)]
    assert all(f.low is not None and f.high is not None and f.low < 1 < f.high for f in scatter)


def test_three_replicates_describe_and_do_not_decide() -> None:
    given = study(asks("oracle_distance", times_band=1.5), replicates=3, oracle_replicates=3)
    found = judged(compare(frame(distance_rows(given, vectors(given, drifting(bias=50.0), seed=2))), given))
    assert {finding.verdict for finding in found} == {Verdict.INCONCLUSIVE}
    assert {finding.n_needed for finding in found} == {5}
    assert all(finding.low is not None for finding in found)


def test_one_oracle_order_makes_the_band_across_orders_undefined() -> None:
    found = [
        f
        for f in compare(frame(distance_rows(SMALL, vectors(SMALL, drifting(), seed=1))), SMALL)
        if f.contrast == "band"
    ]
    across = [f for f in found if f.quantity == "D_oo across orders"]
    assert [(f.estimate, f.low, f.n) for f in across] == [(None, None, 0)]
    assert across[0].reason.startswith("undefined: one oracle")


def test_several_oracle_orders_have_a_band_across_orders() -> None:
    given = study(
        stages=("a", "b"), histories="all_orders", replicates=3, unlearnings=[planted.unlearning(steps=(0, 2))]
    )

    def mean(history: str, method: str, step: int) -> np.ndarray:
        return np.full(4, 3.0 if history == "b>a" else 0.0)

    case = Case(frame(distance_rows(given, vectors(given, mean, seed=1, d=4))), given)
    within = band.band(case, PROBE, "forget", "a>b")[0]
    across = band.band(case, PROBE, "forget", "a>b", "b>a")[0]
    assert within.n == across.n == 3
    assert across.value is not None and within.value is not None
    assert across.value - within.value > 20
    assert {f.other for f in compare(frame([]), given) if f.contrast == "band"} == set()


def test_improvement_is_paired_and_finds_what_was_planted() -> None:
    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(20)
        if history != ORACLE:
            vector[0] = 2.0 if step == 0 else 1.0
        return vector

    given = study(asks("improvement", value=0.5))
    values = []
    for seed in range(60):
        estimate, counts = improvement.improvement(case_of(given, mean, seed), PROBE, "forget", LAST, "ga", 8)
        assert counts.incomplete() == ""
        values.append(estimate.value)
    sample = np.array(values, dtype=float)
    assert sample.mean() == pytest.approx(-3.0, abs=3.3 * sample.std(ddof=1) / math.sqrt(60))
    found = judged(compare(frame(distance_rows(given, vectors(given, mean, seed=1))), given))
    assert {finding.verdict for finding in found} == {Verdict.DIFFERENT}


def test_path_gap_sign_flip_and_holm_within_the_declared_family() -> None:
    given = study(asks("path_gap", value=0.3, alignment="at_each_step"))
    found = compare(frame(distance_rows(given, vectors(given, drifting(path=30.0), seed=0))), given)
    tested = [f for f in found if f.p_value is not None]
    assert [f.step for f in tested] == [8, 1, 2, 4]
    assert all(f.p_value == 2**-7 and f.p_adjusted == 4 * 2**-7 for f in tested)
    assert all(f.p_value is None for f in found if not f.family)


def test_a_path_gap_on_a_distance_that_is_no_squared_norm_is_undefined() -> None:
    given = study(asks("path_gap", probe="prediction:safety/total_variation", value=0.1))
    rows = distance_rows(
        given, vectors(given, drifting(), seed=0), probe="prediction:safety/total_variation", unit="fraction"
    )
    found = [f for f in compare(frame(rows), given) if f.contrast == "path_gap"]
    assert [f.estimate for f in found] == [None]
    assert "no squared norm" in found[0].reason


def test_a_multiple_of_the_band_is_refused_for_a_debiased_gap() -> None:
    given = study(asks("path_gap", times_band=2.0))
    found = judged(compare(frame(distance_rows(given, vectors(given, drifting(path=30.0), seed=0))), given))
    assert {(f.verdict, f.reason) for f in found} == {(Verdict.INCONCLUSIVE, path_gap.NOT_BAND)}


def test_a_censored_run_withholds_the_verdict_and_is_counted() -> None:
    given = study(asks("oracle_distance", times_band=1.5), asks("path_gap", value=0.1))
    rows = distance_rows(given, vectors(given, drifting(bias=50.0, path=50.0), seed=0))
    for row in rows:
        if row["history"] == LAST and row["replicate"] == 2 and row["step"] == 8:
            row.update(value=None, status="censored")
    found = judged(compare(frame(rows), given))
    by_place = {(f.contrast, f.history): f for f in found}
    assert by_place["oracle_distance", LAST].verdict is Verdict.INCONCLUSIVE
    assert by_place["oracle_distance", LAST].censored == 1
    assert by_place["oracle_distance", LAST].n == 7
    assert "1 of 8 runs" in by_place["oracle_distance", LAST].reason
    assert by_place["oracle_distance", FIRST].verdict is Verdict.DIFFERENT
    assert by_place["path_gap", FIRST].censored == 1


def test_an_unfinished_study_is_interim() -> None:
    given = study(asks("oracle_distance", times_band=1.5))
    rows = [
        r
        for r in distance_rows(given, vectors(given, drifting(bias=50.0), seed=0))
        if r["step"] < 8 or r["replicate"] < 5
    ]
    found = judged(compare(frame(rows), given))
    assert {f.verdict for f in found} == {Verdict.INCONCLUSIVE}
    assert all(f.reason.startswith("interim") and f.missing == 3 for f in found)


def test_short_probe_names_mean_the_primary_distance_only() -> None:
    given = study(asks("oracle_distance", times_band=1.5))
    states = vectors(given, drifting(), seed=0)
    rows = distance_rows(given, states) + distance_rows(given, states, probe="prediction:safety/squared_l2", unit="u")
    assert {f.probe for f in judged(compare(frame(rows), given))} == {PROBE}


def test_equal_forgetting_takes_each_run_at_its_own_step() -> None:
    given = study(
        asks("path_gap", value=0.3, alignment="at_forget_level"),
        asks("oracle_bias", value=0.3, alignment="at_forget_level"),
        asks("oracle_distance", times_band=1.5, alignment="at_forget_level"),
    )
    rows = distance_rows(given, vectors(given, drifting(path=2.0, rate=0.3), seed=3), across_steps=True)
    steps = {FIRST: 2, LAST: 4}
    for history, stop in steps.items():
        for r in range(8):
            for step in (0, *range(1, 9)):
                state = StateName(history=history, replicate=r, unlearning="ga" if step else "", step=step)
                # The judging half (odd ids) overshoots by .25.
                loss = 1.0 if step < stop else 2.0
                rows += [
                    planted.row(state, "forget_loss", f"i{k}", loss + 0.25 * (k % 2) + 0.01 * r, "nats/token")
                    for k in range(4)
                ]
    for r in range(8):
        rows += [
            planted.row(StateName(history=ORACLE, replicate=r), "forget_loss", f"i{k}", 1.9, "nats/token")
            for k in range(4)
        ]
    case = Case(frame(rows), given)
    found = path_gap.at_forget_level(case, PROBE, "forget", FIRST, LAST, given.unlearnings[0])
    assert found is not None
    truth = (0.5 * math.sqrt(2 * math.exp(0.6)) + 0.5 * math.sqrt(2 * math.exp(1.2))) ** 2
    assert found.gap.estimate == pytest.approx(truth, abs=1.5)
    one = path_gap.at_step(case, PROBE, "forget", FIRST, LAST, "ga", 2).seed.value
    assert found.seed.value == pytest.approx(one, rel=1e-9)
    findings = compare(frame(rows), given)
    matched = {
        (f.contrast, f.quantity, f.history): f.verdict
        for f in findings
        if f.alignment == "at_forget_level" and f.margin
    }
    # Every run reached the level, so that verdicts are read there as elsewhere.
    assert matched.pop(("path_gap", "G_ab", FIRST)) is Verdict.DIFFERENT
    assert set(matched) == {
        (contrast, quantity, history)
        for contrast, quantity in (("oracle_bias", "B_h"), ("oracle_distance", "D_ho/D_oo"))
        for history in (FIRST, LAST)
    }
    assert not any("worst case" in f.quantity for f in findings)
    overshoot = [f.estimate for f in findings if f.quantity == "overshoot"]
    assert overshoot == pytest.approx([2.25 + 0.035 - 1.9] * 2)


def test_runs_that_never_reach_the_level_are_counted_not_imputed() -> None:
    given = study(asks("path_gap", value=0.3, alignment="at_forget_level"))
    rows = distance_rows(given, vectors(given, drifting(path=2.0), seed=3), across_steps=True)
    for history in (FIRST, LAST):
        for r in range(8):
            for step in (0, *range(1, 9)):
                state = StateName(history=history, replicate=r, unlearning="ga" if step else "", step=step)
                loss = 2.0 if step >= 4 and not (history == LAST and r < 3) else 1.0
                rows += [planted.row(state, "forget_loss", f"i{k}", loss, "nats/token") for k in range(2)]
    rows += [
        planted.row(StateName(history=ORACLE, replicate=0), "forget_loss", f"i{k}", 1.9, "nats/token") for k in range(2)
    ]
    findings = compare(frame(rows), given)
    found = [f for f in judged(findings) if f.contrast == "path_gap"]
    assert [(f.n, f.censored, f.verdict) for f in found] == [(5, 3, Verdict.INCONCLUSIVE)]
    (worst,) = (f for f in findings if f.quantity == "G_ab worst case")
    known, lost = 5 * 4 / (8 * 7), 1 - 5 * 4 / (8 * 7)
    assert found[0].estimate is not None
    assert worst.low == pytest.approx(known * found[0].estimate - lost)
    assert worst.high == pytest.approx(known * found[0].estimate + lost)
    assert worst.estimate is None and worst.verdict is None and "3 of 8 runs did not reach" in worst.reason


def test_one_diverged_run_censors_no_other_history() -> None:
    given = study(asks("oracle_distance", times_band=1.5), asks("path_gap", value=0.1))
    rows = distance_rows(given, vectors(given, drifting(bias=50.0, path=50.0), seed=0))
    for row in rows:
        mine = row["history"] == LAST and row["replicate"] == 2 and row["step"] == 8
        theirs = f"{LAST}#2@" in row["against"] and row["against"].endswith(":8")
        if mine or theirs:
            row.update(value=None, status="censored")
    found = {(f.contrast, f.history): f for f in judged(compare(frame(rows), given))}
    assert found["oracle_distance", FIRST].censored == 0
    assert found["oracle_distance", FIRST].verdict is Verdict.DIFFERENT
    assert found["oracle_distance", LAST].censored == 1
