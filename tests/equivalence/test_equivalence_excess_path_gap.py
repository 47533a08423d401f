"""The path gap beyond that of the oracles: against the vectors, unbiased, undefined with one oracle."""

from __future__ import annotations

import math

import numpy as np
import planted
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from planted import PROBE, asks, distance_rows, frame, study, vectors

from retrain_equivalence.equivalence import excess_path_gap
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Verdict
from retrain_equivalence.equivalence.tables import report_tables

GIVEN = study(
    asks("excess_path_gap", value=0.4),
    stages=("a", "b"),
    histories=[["safety", "a", "b"], ["a", "b", "safety"], ["b", "a", "safety"]],
    replicates=7,
    unlearnings=[planted.unlearning(steps=(0, 2))],
)


def squared(points_KRD: np.ndarray) -> np.ndarray:
    return np.square(points_KRD[:, None, :, None] - points_KRD[None, :, None, :]).sum(axis=-1)


@drawn(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_it_is_the_cross_validated_norm_of_the_difference_of_differences(R: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(4, R, 3))
    delta = (points[0] - points[1]) - (points[2] - points[3])
    expected = (np.square(delta.sum(axis=0)).sum() - np.square(delta).sum()) / (R * (R - 1))
    found = excess_path_gap.of_distances(squared(points))
    assert found.gap.value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    apart = ~np.eye(R, dtype=bool)
    assert found.kernel_RR[apart] == pytest.approx((delta @ delta.T)[apart], abs=1e-9)
    seeds = sum(np.square(x[:, None] - x[None]).sum(axis=2)[apart].mean() for x in points) / 2
    assert found.seed.value == pytest.approx(seeds)


def test_distances_of_equal_replicates_are_not_read() -> None:
    distances = squared(np.random.default_rng(0).normal(size=(4, 5, 2)))
    spoilt = distances.copy()
    np.einsum("klrr->klr", spoilt)[:] = np.nan
    assert excess_path_gap.of_distances(spoilt).gap.value == excess_path_gap.of_distances(distances).gap.value


def test_oracles_that_part_as_much_leave_no_excess_though_distances_say_otherwise() -> None:
    """Unbiased with all four states coupled; the difference of the two debiased gaps is 0 in both worlds below."""
    rng = np.random.default_rng(1)
    for turned, truth in ((False, 0.0), (True, 2.0)):
        means = np.zeros((4, 1, 2))
        means[0, 0, 0], means[1, 0, 1 if turned else 0] = 1.0, 1.0
        values = []
        for _ in range(1500):
            common = rng.normal(size=(1, 4, 2))
            points = means + common + 0.5 * rng.normal(size=(4, 4, 2))
            values.append(excess_path_gap.of_distances(squared(points)).gap.value)
        sample = np.array(values)
        assert sample.mean() == pytest.approx(truth, abs=3.3 * sample.std() / math.sqrt(1500))
        assert truth or sample.min() < 0


def parting(own: float, after: float) -> planted.Mean:
    """`b>a` is `own` away from `a>b` with and without the forget stage; unlearning adds `after`, another way."""

    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(20)
        if history.startswith("b"):
            vector[0] = own
            vector[1] = after * (step > 0)
        return vector

    return mean


def test_a_study_takes_out_what_the_oracles_have() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, parting(3.0, 1.5), seed=0, seed_sd=0.3), across_orders=True)
    findings = compare(frame(rows), GIVEN)
    found = {(f.history, f.other): f for f in findings if f.contrast == "excess_path_gap" and f.alignment == "at_end"}
    assert len(found) == 3
    for pair, one in found.items():
        if all("a>b" in name.replace(">safety", "").replace("safety>", "") for name in pair):
            assert one.estimate is None and one.reason == excess_path_gap.ONE_ORACLE
            assert one.verdict is Verdict.INCONCLUSIVE
        else:
            assert one.estimate == pytest.approx(2.25, abs=0.8)
            assert (one.verdict, one.p_value) == (Verdict.DIFFERENT, 2**-6)
    raw = [f.estimate or 0.0 for f in findings if f.quantity == "G_ab" and f.alignment == "at_end"]
    assert max(raw) > 9
    trained = [f for f in findings if f.contrast == "excess_path_gap" and f.alignment == "trained"]
    assert len(trained) == 2 and all(abs(f.estimate or 0.0) < 0.5 for f in trained)
    table = report_tables(frame(rows), GIVEN)["excess"]
    assert {(r["history"], r["other"], r["mean"]) for r in table if r["last"]} == {
        (f.history, f.other, f.estimate) for f in found.values() if f.estimate is not None
    }
    gaps = report_tables(frame(rows), GIVEN)["path_gap"]
    assert set(table[0]) == set(gaps[0])


def test_without_distances_across_orders_it_is_undefined_where_declared_and_absent_elsewhere() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, parting(3.0, 1.5), seed=0))
    found = [f for f in compare(frame(rows), GIVEN) if f.contrast == "excess_path_gap"]
    assert {f.reason for f in found} == {excess_path_gap.NO_DISTANCES, excess_path_gap.ONE_ORACLE}
    assert {(f.estimate, f.alignment, f.verdict) for f in found} == {(None, "at_end", Verdict.INCONCLUSIVE)}
    assert report_tables(frame(rows), GIVEN)["excess"] == []


def test_a_study_with_one_oracle_says_once_that_nothing_can_be_taken_out() -> None:
    given = study(asks("excess_path_gap", value=0.4), replicates=4)
    found = [
        f
        for f in compare(frame(distance_rows(given, vectors(given, planted.still(), seed=0))), given)
        if f.contrast == "excess_path_gap"
    ]
    assert [(f.estimate, f.verdict, f.reason[:22]) for f in found] == [
        (None, Verdict.INCONCLUSIVE, "undefined: one oracle ")
    ]


def test_one_oracle_is_told_by_the_order_without_the_forget_stage() -> None:
    case = Case(frame([]), GIVEN)
    names = [history.name for history in case.unlearned]
    shared = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if excess_path_gap.one_oracle(case, a, b)]
    assert shared == [("safety>a>b", "a>b>safety")]


def test_a_censored_run_is_counted() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, parting(3.0, 1.5), seed=0, seed_sd=0.3), across_orders=True)
    for row in rows:
        if "b>a>safety#3@" in row["against"] or (row["history"], row["replicate"], row["step"]) == ("b>a>safety", 3, 2):
            row.update(value=None, status="censored")
    found = [
        f
        for f in compare(frame(rows), GIVEN)
        if f.contrast == "excess_path_gap" and f.alignment == "at_end" and f.estimate is not None
    ]
    assert {(f.probe, f.censored, f.n, f.verdict) for f in found} == {(PROBE, 1, 6, Verdict.INCONCLUSIVE)}
