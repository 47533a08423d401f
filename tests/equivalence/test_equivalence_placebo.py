"""Placebo histories are trained and never unlearned: a yardstick, not one more unlearned history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import planted
import pytest
from planted import asks, distance_rows, frame, study, vectors

from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.recipes.dataset import GeneratedDataset
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

ASKED = (
    asks("oracle_distance", times_band=1.5),
    asks("improvement", value=0.3),
    asks("path_gap", value=0.3),
    asks("path_gap", "forget_loss", value=0.3, family="loss"),
    asks("growth"),
    asks("recency", "forget_loss", value=2.0),
    asks("difference", "forget_loss", value=0.3),
)
WITHOUT = study(*ASKED, stages=("a", "b"), replicates=4)
WITH = replace(
    WITHOUT, histories=("forget_at_each_position", "placebo"), placebo=GeneratedDataset(generated="arithmetic", rows=8)
)
PLACEBOS = [history.name for history in WITH.all_histories() if history.position() is None]


def table(given: Study) -> pd.DataFrame:
    """The rows that a run of the study makes: placebos at step 0 only."""
    states = vectors(given, lambda history, method, step: np.full(20, 0.1 * ("placebo" in history)), seed=3)
    known = {name: x for name, x in states.items() if "placebo" not in name.history or not name.step}
    rows = distance_rows(given, known)
    rng = np.random.default_rng(0)
    for state in [name for name in known if name.step in (0, *planted.STEPS)]:
        start = 2.5 if "placebo" in state.history else 1.0 if "safety" in state.history else 2.0
        for k in range(2):
            value = start + 0.2 * state.step + 0.05 * rng.normal()
            rows.append(planted.row(state, "forget_loss", f"i{k}", value, "nats/token"))
    return frame(rows)


def about_placebos(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if {f.history, f.other} & set(PLACEBOS)]


def test_placebos_are_described_as_trained_and_nowhere_else() -> None:
    findings = compare(table(WITH), WITH)
    own = about_placebos(findings)
    assert {(f.alignment, f.step, f.unlearning, f.verdict) for f in own} == {("trained", 0, "", None)}
    assert {f.contrast for f in own} == {"oracle_distance", "oracle_bias", "path_gap", "difference"}
    assert not [f for f in own if f.missing or f.estimate is None]
    distances = {f.history: f for f in own if f.quantity == "D_ho/D_oo"}
    assert set(distances) == set(PLACEBOS) and all(f.n == 4 for f in distances.values())


def test_placebos_change_no_count_and_no_verdict() -> None:
    without = compare(table(WITH), WITHOUT)
    with_them = [f for f in compare(table(WITH), WITH) if f not in about_placebos([f])]
    assert with_them == without
    assert sum(f.missing for f in with_them) == 0
    assert {f.reason for f in with_them if f.estimate is None} == {f.reason for f in without if f.estimate is None}


def test_the_halfway_level_is_that_of_the_unlearned_histories() -> None:
    # A placebo starts above the oracle: it never learned the items.
    halfway = [f for f in compare(table(WITH), WITH) if f.quantity == "tau(halfway)"]
    assert len(halfway) == 3 and all("steps to 1.5" in f.reason for f in halfway)


def test_the_tables_hold_a_placebo_once_as_trained() -> None:
    tables = report_tables(table(WITH), WITH)
    rows = {name: [r for r in found if r.get("history") in PLACEBOS or r.get("other") in PLACEBOS]
            for name, found in tables.items()}  # fmt: skip
    assert {name for name, found in rows.items() if found} == {"distances", "runs"}
    assert {(r["unlearning"], r["step"], r["last"], r["n"]) for r in rows["distances"]} == {("", 0, False, 4)}
    assert all(r["ratio"] is not None for r in rows["distances"]) and len(rows["distances"]) == len(PLACEBOS)
    assert {(r["unlearning"], r["registered"], r["ok"], r["missing"]) for r in rows["runs"]} == {("", 4, 4, 0)}


def test_a_control_of_sample_order_is_judged_by_the_oracle_in_the_study_s_own_order() -> None:
    given = study(*ASKED, stages=("a", "b"), histories="shuffle_only", replicates=6)
    plain, shuffled = given.all_histories()
    states = vectors(given, planted.still(0.0), seed=1)
    findings = compare(frame(distance_rows(given, states)), given)
    judged = [f for f in findings if f.quantity == "D_ho/D_oo" and f.verdict is not None]
    assert [(f.history, f.other, f.n, f.missing) for f in judged] == [
        (plain.name, "a>b", 6, 0), (shuffled.name, "a>b", 6, 0)
    ]  # fmt: skip
    assert all(f.estimate == pytest.approx(1.0, abs=0.5) for f in judged)
    assert not [name for name in states if name.history == "a>b~1"]


def test_stored_turned_round_or_not_the_gap_is_one_number() -> None:
    given = study(asks("path_gap"), replicates=5)
    rows = distance_rows(given, vectors(given, planted.still(1.0), seed=2))
    turned = []
    for row in rows:
        one = StateName(history=row["history"], replicate=row["replicate"], unlearning=row["unlearning"],
                        step=row["step"])  # fmt: skip
        two = StateName.parse(row["against"])
        turned.append(
            row | {"history": two.history, "replicate": two.replicate, "unlearning": two.unlearning, "step": two.step,
                   "against": str(one)}
        )  # fmt: skip
    gaps = [
        [(f.estimate, f.low, f.high) for f in compare(frame(r), given) if f.quantity == "G_ab"] for r in (rows, turned)
    ]
    assert gaps[0]
    for ahead, back in zip(*gaps, strict=True):
        assert ahead == pytest.approx(back)
