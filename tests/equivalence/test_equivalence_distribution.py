"""Laws of unlearned runs against those of independent oracles: which runs, which numbers, what few cannot say."""

from __future__ import annotations

import math

import numpy as np
import planted
import pytest
from planted import PROBE, asks, distance_rows, frame, study, vectors

from retrain_equivalence.equivalence import distribution, permutation
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.metrics.distributional import margin_law
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

MARGIN = "label_margin:forget"


def asking(**given: int) -> Study:
    comparisons = asks("distribution"), asks("distribution", "label_margin")
    return study(*comparisons, unlearnings=[planted.unlearning(steps=(0, 2))], **given)


BOTH = asking(replicates=5, oracle_replicates=4)
HISTORY = BOTH.all_histories()[0].name


def table(given: Study, shift: float = 0.0, seed: int = 0) -> list[dict[str, object]]:
    states = vectors(given, planted.still(shift), seed=seed)
    rows = distance_rows(given, states)
    for state, vector in states.items():
        for item in range(3):
            rows.append(planted.row(state, MARGIN, f"i{item}", float(vector[item]), "nats"))
    return rows


def of_laws(given: Study, rows: list[dict[str, object]]) -> dict[tuple[str, str], object]:
    return {
        (f.quantity, f.probe): f
        for f in compare(frame(rows), given)
        if f.contrast == "distribution" and f.history == HISTORY
    }


def independent(given: Study, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of the two sets of a study with oracle-only replicates."""
    states = vectors(given, planted.still(shift), seed=seed)
    one = [states[StateName(history=HISTORY, replicate=r, unlearning="ga", step=2)] for r in range(5)]
    two = [states[StateName(history="instruct", replicate=r)] for r in range(5, 9)]
    return np.array(one), np.array(two)


def test_the_sets_have_no_replicate_in_common() -> None:
    for R in range(1, 12):
        for extra in range(4):
            found = distribution.sets(R, extra)
            assert not set(found.unlearned) & set(found.oracles)
            assert set(found.unlearned) <= set(range(R)) and set(found.oracles) <= set(range(R + extra))
            assert (found.independent == distribution.ORACLE_ONLY) == (extra >= 2)
    assert len(distribution.sets(7, 1).unlearned) == 4 and len(distribution.sets(7, 1).oracles) == 3


def test_the_energy_is_that_of_the_vectors() -> None:
    one, two = independent(BOTH, 0, 4.0)
    runs = np.vstack([one, two])
    distances = np.sqrt(np.square(runs[:, None] - runs).sum(axis=2))
    expected = permutation.two_sample(distances, np.arange(9) < 5)
    laws = distribution.of_predictions(Case(frame(table(BOTH, 4.0)), BOTH), PROBE, "forget", HISTORY, "ga", 2)
    assert laws.estimate.value == pytest.approx(expected.statistic)
    assert laws.smallest_p == pytest.approx(1 / math.comb(9, 5))
    assert laws.null_mean == pytest.approx(0.0, abs=0.1)
    test = laws.test(seed=0, alpha=0.05)
    assert test is not None and test.p_value == pytest.approx(expected.p_value)


def test_the_margins_are_those_of_the_items() -> None:
    one, two = independent(BOTH, 0, 4.0)
    energies, divergence = distribution.of_margins(Case(frame(table(BOTH, 4.0)), BOTH), MARGIN, HISTORY, "ga", 2)
    assert energies.estimate.value == pytest.approx(margin_law.energy(one[:, :3], two[:, :3]))
    assert divergence.estimate.value == pytest.approx(margin_law.gaussian_kl(one[:, :3], two[:, :3]))
    # What is permuted has the same statistic.
    assert energies.distances_LL is not None
    assert permutation.two_sample(energies.distances_LL, np.arange(9) < 5).statistic == pytest.approx(
        energies.estimate.value
    )
    assert divergence.test(seed=0, alpha=0.05) is None


def test_oracles_against_oracles_of_the_same_sizes_stand_beside() -> None:
    given = asking(replicates=12, oracle_replicates=8)
    found = [
        distribution.of_margins(Case(frame(table(given, seed=seed)), given), MARGIN, HISTORY, "ga", 2)
        for seed in range(30)
    ]
    null = np.array([divergence.null_mean for _, divergence in found], dtype=float)
    own = np.array([divergence.estimate.value for _, divergence in found], dtype=float)
    expected = margin_law.gaussian_kl_of_equal_laws(12, 8)
    assert null.mean() == pytest.approx(expected, rel=0.15)
    assert own.mean() == pytest.approx(expected, abs=3.3 * own.std() / math.sqrt(30))
    energies = np.array([energy.estimate.value for energy, _ in found], dtype=float)
    assert energies.mean() == pytest.approx(0.0, abs=3.3 * energies.std() / math.sqrt(30))


def test_equal_laws_are_rejected_as_often_as_the_level_allows_though_seeds_are_shared() -> None:
    given = asking(replicates=4, oracle_replicates=4)
    rejected = 0
    for seed in range(150):
        laws = distribution.of_predictions(
            Case(frame(table(given, seed=seed)), given), PROBE, "forget", HISTORY, "ga", 2
        )
        test = laws.test(seed=0, alpha=0.05)
        assert test is not None and test.p_value is not None
        rejected += test.p_value <= 0.05
    assert rejected / 150 <= 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / 150)


def test_a_study_has_p_values_where_they_were_asked_for() -> None:
    found = of_laws(BOTH, table(BOTH, 25.0))
    for probe in (PROBE, MARGIN):
        one = found["energy", probe]
        assert (one.p_value, one.p_method) == (pytest.approx(1 / 126), permutation.METHOD)  # type: ignore[attr-defined]
        assert (one.verdict, one.low, one.high, one.n, one.n_oracles) == (None, None, None, 5, 4)  # type: ignore[attr-defined]
    assert found["gaussian KL", MARGIN].p_value is None  # type: ignore[attr-defined]
    quiet = planted.with_(BOTH)
    assert all(f.p_value is None for f in of_laws(quiet, table(quiet, 25.0)).values())  # type: ignore[attr-defined]


def test_sets_that_cannot_reach_5_percent_have_no_p_value_and_say_how_many_would() -> None:
    given = asking(replicates=6)
    found = of_laws(given, table(given, 25.0))
    one = found["energy", PROBE]
    assert (one.n, one.n_oracles, one.p_value, one.n_needed) == (3, 3, None, 4)  # type: ignore[attr-defined]
    assert "3 against 3 runs cannot give p below 0.1; 4 a side could" in one.reason  # type: ignore[attr-defined]
    assert "split halves" in one.reason  # type: ignore[attr-defined]
    assert one.estimate is not None and one.estimate > 1  # type: ignore[attr-defined]


def test_one_run_a_side_has_no_law() -> None:
    given = asking(replicates=3)
    found = of_laws(given, table(given))
    assert all(f.estimate is None and "at least two runs" in f.reason for f in found.values())  # type: ignore[attr-defined]


def test_a_censored_run_leaves_number_and_test_undefined() -> None:
    rows = table(BOTH, 25.0)
    for row in rows:
        own = (row["history"], row["replicate"], row["step"]) == (HISTORY, 1, 2)
        if own or f"{HISTORY}#1@ga:2" == row["against"]:
            row.update(value=None, status="censored")
    found = of_laws(BOTH, rows)
    assert {(f.estimate, f.p_value, f.censored) for f in found.values()} == {(None, None, 1)}  # type: ignore[attr-defined]


def test_the_table_has_a_row_for_each_law_and_says_why_there_is_no_p() -> None:
    rows = [r for r in report_tables(frame(table(BOTH, 25.0)), BOTH)["distribution"] if r["history"] == HISTORY]
    assert [(r["probe"], r["test_set"], r["step"], r["independent"]) for r in rows] == [
        (PROBE, "forget", 2, "oracle-only replicates"), (MARGIN, "forget", 2, "oracle-only replicates")
    ]  # fmt: skip
    assert [r["gaussian_kl"] is None for r in rows] == [True, False]
    assert all(r["p_value"] == pytest.approx(1 / 126) and r["reason"] == "" for r in rows)
    quiet = planted.with_(BOTH)
    silent = report_tables(frame(table(quiet)), quiet)["distribution"]
    assert {(r["p_value"], r["reason"]) for r in silent} == {(None, "no comparison asks for a test")}
