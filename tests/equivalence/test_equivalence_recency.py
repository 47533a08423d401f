from __future__ import annotations

import math
from typing import Any

import numpy as np
import planted
import pytest
from planted import asks, frame, study

from retrain_equivalence.equivalence import recency
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

THREE = study(asks("recency", "forget_loss", value=50.0), stages=("a", "b"), replicates=6)
NAMES = [history.name for history in THREE.all_histories()]
"""Positions 1, 2, 3."""


def losses(
    given: Study, start: dict[str, float], speed: dict[str, float], *, noise: float = 0.0, oracle: float = 2.0
) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    horizon = max(given.unlearnings[0].steps)
    for history in given.all_histories():
        for r in range(given.replicates):
            offset = noise * rng.normal()
            for step in range(horizon + 1):
                state = StateName(history=history.name, replicate=r, unlearning="ga" if step else "", step=step)
                value = start[history.name] + offset + speed[history.name] * step
                rows += [planted.row(state, "forget_loss", f"i{k}", value, "nats/token") for k in range(2)]
    for history in given.oracles():
        for r in range(given.replicates):
            rows += [
                planted.row(StateName(history=history.name, replicate=r), "forget_loss", f"i{k}", oracle, "nats/token")
                for k in range(2)
            ]
    return rows


def path(values: list[list[float]], times: list[float] | None = None) -> recency.Trajectory:
    array = np.array(values)
    return recency.Trajectory(
        times_T=np.array(times or range(array.shape[1]), dtype=float), losses_RT=array, censored=set()
    )


def test_first_crossing_interpolates_and_knows_its_limits() -> None:
    times = np.array([0.0, 2.0, 3.0])
    assert recency.first_crossing(times, np.array([1.0, 2.0, 4.0]), 1.5) == 1.0
    assert recency.first_crossing(times, np.array([1.0, 2.0, 4.0]), 0.5) == 0.0
    assert recency.first_crossing(times, np.array([1.0, 2.0, 4.0]), 9.0) == math.inf
    assert math.isnan(recency.first_crossing(times, np.array([1.0, np.nan, np.nan]), 2.0))
    assert recency.first_crossing(times, np.array([1.0, 3.0, np.nan]), 2.0) == 1.0


def test_first_crossing_is_the_first_of_several() -> None:
    assert recency.first_crossing(np.arange(4.0), np.array([1.0, 3.0, 1.0, 3.0]), 2.0) == 0.5


@pytest.mark.parametrize("seed", range(30))
def test_the_split_is_an_identity_on_any_trajectories(seed: int) -> None:
    rng = np.random.default_rng(seed)
    last, earlier = (path(np.cumsum(rng.normal(0.2, 0.5, size=(5, 12)), axis=1).tolist()) for _ in range(2))
    level = float(rng.normal(1.5, 1))
    total, head_start, speed = recency.split(last, earlier, level, level)
    assert np.abs(total - (head_start + speed)).max() <= recency.IDENTITY_TOLERANCE
    tau = [[min(recency.first_crossing(p.times_T, x, level), 11.0) for x in p.losses_RT] for p in (last, earlier)]
    assert total == pytest.approx(np.subtract(*tau))


def test_the_split_by_hand() -> None:
    # Last: 0, 1, 2, ... per step; earlier starts at 2 and gains 2 a step; level 6.
    last, earlier = path([[float(t) for t in range(8)]]), path([[2.0 + 2 * t for t in range(8)]])
    total, head_start, speed = recency.split(last, earlier, 6.0, 6.0)
    assert (total[0], head_start[0], speed[0]) == (4.0, 2.0, 2.0)


def test_a_clock_on_the_level_has_no_speed() -> None:
    last, earlier = path([[float(t) for t in range(10)]]), path([[3.0 + t for t in range(10)]])
    total, head_start, speed = recency.split(last, earlier, 7.0, 7.0)
    assert (total[0], head_start[0], speed[0]) == (3.0, 3.0, 0.0)


def test_a_last_stage_that_starts_higher_has_a_negative_head_start() -> None:
    last, earlier = path([[3.0 + t for t in range(10)]]), path([[float(t) for t in range(10)]])
    total, head_start, speed = recency.split(last, earlier, 7.0, 7.0)
    assert (total[0], head_start[0], speed[0]) == (-3.0, -3.0, 0.0)


def of(findings: list[Finding], quantity: str, other: str) -> Finding:
    return next(f for f in findings if f.quantity == quantity and f.other == other)


def test_planted_head_start_and_speed_are_found() -> None:
    start = dict(zip(NAMES, (1.5, 1.5, 1.0), strict=True))
    speed = dict(zip(NAMES, (0.25, 0.25, 0.2), strict=True))
    rows = losses(THREE, start, speed, noise=0.05)
    findings = compare(frame(rows), THREE)
    # Last: (2-1)/.2 = 5 steps; earlier: (2-1.5)/.25 = 2 steps; head start (1.5-1)/.2 = 2.5 steps.
    total = of(findings, "total(oracle)", "mean of earlier")
    assert total.estimate == pytest.approx(3.0, abs=0.4)
    assert of(findings, "head_start(oracle)", "position 1").estimate == pytest.approx(2.5, abs=0.4)
    assert of(findings, "speed(oracle)", "position 2").estimate == pytest.approx(0.5, abs=0.4)
    assert total.p_method == "exact sign flip"
    assert total.p_value == 2**-5
    assert total.verdict == "EQUIVALENT"
    assert total.p_equivalence is not None and total.p_equivalence < 0.05
    for level in recency.LEVELS:
        for other in ("mean of earlier", "position 1", "position 2"):
            parts = [of(findings, f"{part}({level})", other).estimate for part in ("total", "head_start", "speed")]
            assert parts[0] == pytest.approx(parts[1] + parts[2], abs=1e-9)


def test_runs_that_do_not_get_there_count_with_the_horizon() -> None:
    start = dict.fromkeys(NAMES, 1.0)
    speed = dict(zip(NAMES, (0.5, 0.5, 0.01), strict=True))
    case = Case(frame(losses(THREE, start, speed)), THREE)
    times = recency.steps_to(recency.trajectory(case, NAMES[2], THREE.unlearnings[0]), 2.0)
    assert (times.reached, times.at_start, times.not_reached) == (0, 0, 6)
    assert times.steps_R.tolist() == [8.0] * 6


def slow_last(n_slow: int, given: Study = THREE) -> list[dict[str, Any]]:
    """The last position starts lower; its first `n_slow` replicates never get to the oracle's level."""
    rows = losses(given, dict(zip(NAMES, (1.5, 1.5, 1.0), strict=True)), dict.fromkeys(NAMES, 0.25), noise=0.05)
    for row in rows:
        if row["history"] == NAMES[2] and row["replicate"] < n_slow:
            row["value"] = min(row["value"], 1.7)
    return rows


def test_the_split_is_over_replicates_in_which_every_run_reached_the_level() -> None:
    given = planted.with_(THREE, asks("recency", "forget_loss", value=2.5))
    findings = compare(frame(slow_last(2)), given)
    total = of(findings, "total(oracle)", "mean of earlier")
    # Four replicates need 4 - 2 = 2 steps more; the two that never get there count with the horizon: 8 - 2.
    assert (total.n, total.censored) == (6, 0)
    assert total.estimate == pytest.approx((4 * 2 + 2 * 6) / 6, abs=0.3)
    head_start, speed = (of(findings, f"{part}(oracle)", "mean of earlier") for part in ("head_start", "speed"))
    assert (head_start.n, speed.n, head_start.censored, speed.censored) == (4, 4, 2, 2)
    assert head_start.estimate == pytest.approx(2.0, abs=0.3)
    assert speed.estimate == pytest.approx(0.0, abs=0.3)
    assert "over the 4 of 6 replicates in which every run reached the level" in speed.reason
    assert total.verdict == "INCONCLUSIVE" and "do not clear the margin" in total.reason


def test_runs_that_never_get_there_forbid_equivalent() -> None:
    for n_slow, verdict in ((0, "EQUIVALENT"), (2, "INCONCLUSIVE")):
        total = of(compare(frame(slow_last(n_slow)), THREE), "total(oracle)", "mean of earlier")
        assert total.verdict == verdict
    assert "2 of 18 runs did not reach the level by step 8" in total.reason


def test_a_level_that_no_run_reaches_leaves_everything_undefined() -> None:
    rows = losses(THREE, dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 0.01), noise=0.05)
    found = [f for f in compare(frame(rows), THREE) if f.contrast == "recency" and "oracle" in f.quantity]
    assert {f.quantity for f in found} == {"tau(oracle)", "total(oracle)", "head_start(oracle)", "speed(oracle)"}
    for finding in found:
        assert (finding.estimate, finding.low, finding.high) == (None, None, None)
        assert finding.reason == "undefined: no run reached the level by step 8"
        assert finding.verdict in (None, "INCONCLUSIVE")


def test_a_run_past_the_level_at_the_start_has_reached_it_with_no_step() -> None:
    start = dict(zip(NAMES, (2.5, 1.5, 1.0), strict=True))
    findings = compare(frame(losses(THREE, start, dict.fromkeys(NAMES, 0.25))), THREE)
    tau = next(f for f in findings if f.quantity == "tau(oracle)" and f.history == NAMES[0])
    assert tau.estimate == 0.0 and "6 began past it" in tau.reason
    total, head_start, speed = (of(findings, f"{p}(oracle)", "position 1") for p in ("total", "head_start", "speed"))
    assert (total.estimate, head_start.estimate, speed.estimate) == (4.0, 4.0, 0.0)
    assert "6 of 12 runs began past it" in total.reason and "6 of 12 runs began past it" in speed.reason


def test_a_control_of_sample_order_is_not_one_more_last_position() -> None:
    given = study(stages=("a", "b"), histories=("forget_at_each_position", "shuffle_only"), replicates=4)
    names = [history.name for history in given.all_histories()]
    assert names[-1].endswith("~1")
    rows = losses(given, dict(zip(names, (1.5, 1.5, 1.0, 1.9), strict=True)), dict.fromkeys(names, 0.25))
    case = Case(frame(rows), given)
    assert recency.positions(case)[3] == [names[2]]
    assert recency.parts(case, given.unlearnings[0], "oracle")[0].estimate.value == pytest.approx(2.0)


def test_a_run_that_stops_being_finite_before_the_level_is_censored() -> None:
    rows = losses(THREE, dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 0.25))
    for row in rows:
        if row["history"] == NAMES[2] and row["replicate"] == 1 and row["step"] >= 2:
            row.update(value=None, status="censored")
    findings = compare(frame(rows), THREE)
    total = of(findings, "total(oracle)", "mean of earlier")
    assert (total.n, total.censored, total.verdict) == (5, 1, "INCONCLUSIVE")


def test_all_orders_average_the_histories_of_a_position() -> None:
    given = study(stages=("a", "b"), histories="all_orders", replicates=4)
    start = {h.name: 1.0 + 0.1 * (h.position() or 0) for h in given.all_histories()}
    case = Case(frame(losses(given, start, dict.fromkeys(start, 0.5))), given)
    assert {position: len(names) for position, names in recency.positions(case).items()} == {1: 2, 2: 2, 3: 2}
    whole = [p for p in recency.parts(case, given.unlearnings[0], "oracle") if p.earlier is None]
    assert [p.estimate.value for p in whole] == pytest.approx([-0.3, -0.3, 0.0])


def test_phase_portrait_is_speed_against_level() -> None:
    case = Case(frame(losses(THREE, dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 0.25))), THREE)
    rows = recency.phase(case, THREE.unlearnings[0], NAMES[0])
    assert rows[0] == (0.5, pytest.approx(1.125), pytest.approx(0.25), 6)
    assert len(rows) == 8
