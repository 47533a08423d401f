"""Signed differences, scalar path gaps and natural forgetting."""

from __future__ import annotations

from typing import Any

import numpy as np
import planted
import pytest
from planted import asks, frame, study

from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

PROBE = "answer_logprob:instruct"
FIRST, LAST, ORACLE = "safety>instruct", "instruct>safety", "instruct"


def scalars(
    given: Study, shift: dict[str, float], *, seed: int = 0, sd: float = 0.1, common: float = 3.0
) -> list[dict[str, Any]]:
    """Every run = common noise of its replicate (large) + own noise (sd) + shift."""
    rng = np.random.default_rng(seed)
    shared = common * rng.normal(size=given.replicates)
    rows = []

    def add(state: StateName, level: float) -> None:
        rows.extend(planted.row(state, PROBE, f"i{k}", level + 0.5 * (k - 1), "nats/token") for k in range(3))

    for r in range(given.replicates):
        add(StateName(history=ORACLE, replicate=r), shared[r] + sd * rng.normal())
        for history in (FIRST, LAST):
            for step in given.unlearnings[0].steps:
                state = StateName(history=history, replicate=r, unlearning="ga" if step else "", step=step)
                add(state, shared[r] + shift[history] + sd * rng.normal())
    return rows


def at(findings: list[Finding], contrast: str, history: str) -> Finding:
    return next(f for f in findings if f.contrast == contrast and f.history == history and f.alignment == "at_end")


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.0, Verdict.EQUIVALENT), (2.0, Verdict.DIFFERENT), (-2.0, Verdict.DIFFERENT), (0.5, Verdict.INCONCLUSIVE)],
)
def test_three_verdicts_of_a_paired_difference(shift: float, verdict: Verdict) -> None:
    given = study(asks("difference", "answer_logprob", value=0.5))
    finding = at(compare(frame(scalars(given, {FIRST: shift, LAST: shift})), given), "difference", LAST)
    assert finding.verdict is verdict
    assert finding.p_equivalence is not None
    assert (finding.p_equivalence < 0.05) == (verdict is Verdict.EQUIVALENT)
    # Pairing takes the replicate's own level (sd 3) out; what is left is .1 sqrt 2.
    assert finding.high is not None and finding.low is not None
    assert finding.high - finding.low < 0.5


def test_the_difference_is_history_minus_oracle() -> None:
    given = study(asks("difference", "answer_logprob"))
    finding = at(compare(frame(scalars(given, {FIRST: 1.0, LAST: -2.0}, sd=0.0)), given), "difference", LAST)
    assert finding.estimate == pytest.approx(-2.0)
    assert finding.verdict is None


def test_scalar_path_gaps_are_signed_and_paired() -> None:
    given = study(asks("path_gap", "answer_logprob", value=0.5))
    finding = at(compare(frame(scalars(given, {FIRST: 1.0, LAST: -2.0})), given), "path_gap", FIRST)
    assert finding.other == LAST
    assert finding.estimate == pytest.approx(3.0, abs=0.2)
    assert finding.verdict is Verdict.DIFFERENT
    assert finding.p_method == "paired t"


def test_each_step_only_where_it_was_declared() -> None:
    rows = frame(scalars(study(), {FIRST: 0.0, LAST: 0.0}))
    for comparison, steps in (
        (asks("difference", PROBE, alignment="at_each_step"), {0, 1, 2, 4, 8}),
        (asks("difference", PROBE), {0, 8}),
    ):
        found = [f for f in compare(rows, study(comparison)) if f.contrast == "difference"]
        assert {f.step for f in found} == steps
        assert all(not f.family for f in found if f.alignment == "trained")


@pytest.mark.parametrize("contrast", ["difference", "path_gap"])
def test_a_declared_end_that_the_table_lacks_gets_its_reason(contrast: str) -> None:
    given = study(asks(contrast, PROBE, value=0.5))
    rows = [row for row in scalars(given, {FIRST: 0.0, LAST: 0.0}) if row["step"] < 8]
    finding = at(compare(frame(rows), given), contrast, FIRST)
    assert (finding.estimate, finding.n, finding.missing, finding.verdict) == (None, 0, 8, Verdict.INCONCLUSIVE)
    assert "8 of 8 registered runs are not in the table" in finding.reason


def test_a_multiple_of_the_band_is_refused() -> None:
    given = study(asks("difference", PROBE, times_band=2.0))
    finding = at(compare(frame(scalars(given, {FIRST: 0.0, LAST: 0.0})), given), "difference", LAST)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "not a multiple of the band" in finding.reason


def test_unlearning_that_moved_nothing_is_not_equivalent_by_having_no_spread() -> None:
    given = study(asks("difference", PROBE, value=0.5))
    finding = at(compare(frame(scalars(given, {FIRST: 0.0, LAST: 0.0}, sd=0.0)), given), "difference", LAST)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "do not vary" in finding.reason


def test_failed_runs_are_counted_and_withhold_the_verdict() -> None:
    given = study(asks("difference", PROBE, value=0.5))
    rows = scalars(given, {FIRST: 0.0, LAST: 0.0})
    for row in rows:
        if row["history"] == LAST and row["replicate"] == 0 and row["step"] == 8:
            row.update(value=None, status="failed")
    finding = at(compare(frame(rows), given), "difference", LAST)
    assert (finding.n, finding.failed, finding.verdict) == (7, 1, Verdict.INCONCLUSIVE)


def test_natural_forgetting_reads_each_stage_at_four_moments() -> None:
    given = study(replicates=3)
    rows = []
    level = {"(base)": 5.0, "safety": 1.0, "safety>instruct": 2.0, "instruct": 4.0, "instruct>safety": 1.5}
    for node, value in level.items():
        for r in range(1 if node == "(base)" else 3):
            rows.append(
                planted.row(
                    StateName(history=node, replicate=r),
                    "stage_loss:safety",
                    "i",
                    value + 0.1 * r * (node != "(base)"),
                    "nats/token",
                )
            )
    found = {(f.history, f.quantity): f for f in compare(frame(rows), given) if f.contrast == "natural_forgetting"}
    assert [found[FIRST, when].estimate for when in ("before", "after", "end", "oracle")] == pytest.approx(
        [5.0, 1.1, 2.1, 4.1]
    )
    assert [found[LAST, when].estimate for when in ("before", "after", "end", "oracle")] == pytest.approx(
        [4.1, 1.6, 1.6, 4.1]
    )
    # One base for all replicates has no spread over them.
    assert (found[FIRST, "before"].n, found[FIRST, "before"].low) == (1, None)
