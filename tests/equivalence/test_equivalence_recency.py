from __future__ import annotations

import math
from typing import Any

import numpy as np
import planted
import pytest
from planted import asks, frame, study

from retrain_equivalence.equivalence import estimated_level, gehan, recency
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.estimated_level import Level
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.tables import tables_of
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


def crossing(times: list[float], values: list[float], level: float) -> float:
    found = recency.first_crossing(np.array(times), np.array([values]), np.array([[level]]))
    return float(found[0, 0])


def fixed(level: float, n: int = 1) -> Level:
    """A level that is known: the same whatever is removed."""
    return Level(at_L=np.full(1 + 3 * n, level), oracles_N=np.zeros(n, dtype=bool))


def test_first_crossing_interpolates_and_knows_its_limits() -> None:
    times = [0.0, 2.0, 3.0]
    assert crossing(times, [1.0, 2.0, 4.0], 1.5) == 1.0
    assert crossing(times, [1.0, 2.0, 4.0], 0.5) == 0.0
    assert crossing(times, [1.0, 2.0, 4.0], 9.0) == math.inf
    assert math.isnan(crossing(times, [1.0, np.nan, np.nan], 2.0))
    assert crossing(times, [1.0, 3.0, np.nan], 2.0) == 1.0
    assert crossing(times, [2.0, np.nan, np.nan], 2.0) == 0.0
    assert math.isnan(crossing(times, [1.0, 2.0, 4.0], math.nan))


def test_first_crossing_is_the_first_of_several() -> None:
    assert crossing([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 1.0, 3.0], 2.0) == 0.5


def walked(times: np.ndarray, losses: np.ndarray, level: float) -> float:
    """The same, step by step."""
    for k, value in enumerate(losses.tolist()):
        if math.isnan(value):
            return math.nan
        if value >= level:
            before = float(losses[k - 1]) if k else value
            return float(np.interp(level, [before, value], times[k - 1 : k + 1])) if k else 0.0
    return math.inf


@pytest.mark.parametrize("seed", range(20))
def test_first_crossing_of_many_is_that_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(0.5, 3, 9))])
    losses = np.cumsum(rng.normal(0.2, 0.6, (6, 10)), axis=1)
    for r in range(3):
        losses[r, rng.integers(0, 10) :] = np.nan
    levels = rng.normal(1.0, 1.0, (7, 6))
    found = recency.first_crossing(times, losses, levels)
    expected = [[walked(times, losses[r], float(levels[k, r])) for r in range(6)] for k in range(7)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def parts_by_hand(last: recency.Trajectory, earlier: recency.Trajectory, level: float) -> tuple[float, float, float]:
    """Total, head start and speed of the first replicate."""
    total, head_start, speed = recency.split(last, earlier, np.array([level]), np.array([level]))[:, 0, 0].tolist()
    return total, head_start, speed


@pytest.mark.parametrize("seed", range(30))
def test_the_split_is_an_identity_on_any_trajectories(seed: int) -> None:
    rng = np.random.default_rng(seed)
    last, earlier = (path(np.cumsum(rng.normal(0.2, 0.5, size=(5, 12)), axis=1).tolist()) for _ in range(2))
    levels = rng.normal(1.5, 1, 4)
    total, head_start, speed = recency.split(last, earlier, levels, levels)
    assert np.abs(total - (head_start + speed)).max() <= recency.IDENTITY_TOLERANCE
    tau = [
        [[min(walked(p.times_T, x, float(level)), 11.0) for x in p.losses_RT] for level in levels]
        for p in (last, earlier)
    ]
    assert total == pytest.approx(np.subtract(*tau))


def test_the_split_by_hand() -> None:
    # Last: 0, 1, 2, ... per step; earlier starts at 2 and gains 2 a step; level 6.
    last, earlier = path([[float(t) for t in range(8)]]), path([[2.0 + 2 * t for t in range(8)]])
    assert parts_by_hand(last, earlier, 6.0) == (4.0, 2.0, 2.0)


def test_a_clock_on_the_level_has_no_speed() -> None:
    last, earlier = path([[float(t) for t in range(10)]]), path([[3.0 + t for t in range(10)]])
    assert parts_by_hand(last, earlier, 7.0) == (3.0, 3.0, 0.0)


def test_a_last_stage_that_starts_higher_has_a_negative_head_start() -> None:
    last, earlier = path([[3.0 + t for t in range(10)]]), path([[float(t) for t in range(10)]])
    assert parts_by_hand(last, earlier, 7.0) == (-3.0, -3.0, 0.0)


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
    assert "level computed again" in total.method and total.n_oracles == 6
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
    path = recency.trajectory(case, NAMES[2], THREE.unlearnings[0])
    times = recency.steps_to(path, fixed(2.0, 6))
    assert (times.reached, times.at_start, times.not_reached, times.horizon) == (0, 0, 6, 8.0)
    assert times.estimate.value is None, "the horizon is not an answer"
    (whole, *_) = recency.parts(case, THREE.unlearnings[0], "oracle")
    assert whole.values_R == pytest.approx([8.0 - 2.0] * 6)


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
    assert {f.quantity for f in found} == {
        f"{part}(oracle)" for part in ("tau", "total", "head_start", "speed", "trend")
    }
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


def lines(starts: np.ndarray, speeds: np.ndarray, steps: int = 13) -> recency.Trajectory:
    """Losses that rise by `speeds` a step from `starts`, one run each."""
    times = np.arange(float(steps))
    return recency.Trajectory(times_T=times, losses_RT=starts[:, None] + speeds[:, None] * times, censored=set())


def two_positions(rng: np.random.Generator, n: int, n_oracles: int, *, level_sd: float) -> list[recency.Part]:
    """Runs that start at 1, the last position at 0.5, and all gain about 0.25 a step; oracles at 2.

    The last position gains more slowly, so that its time depends on the level.
    """
    shared = rng.normal(0, 0.03, n)
    last = lines(0.5 + shared + rng.normal(0, 0.03, n), np.full(n, 0.2))
    earlier = lines(1.0 + shared + rng.normal(0, 0.03, n), np.full(n, 0.4))
    oracles = 2.0 + rng.normal(0, level_sd, n_oracles)
    oracles[:n] += shared
    level = estimated_level.mean_of_oracles(oracles)
    assert level is not None
    return recency.parts_of({"e": earlier, "k": last}, dict.fromkeys("ek", level), {1: ["e"], 2: ["k"]})


def test_the_interval_is_the_jackknife_with_the_level_computed_again() -> None:
    rng = np.random.default_rng(4)
    n = 6
    starts = {"e": rng.normal(1, 0.1, n), "k": rng.normal(0.5, 0.1, n)}
    oracles = rng.normal(2, 0.2, n)
    level = estimated_level.mean_of_oracles(oracles)
    assert level is not None
    paths = {"e": lines(starts["e"], np.full(n, 0.4)), "k": lines(starts["k"], np.full(n, 0.2))}
    whole = recency.parts_of(paths, dict.fromkeys("ek", level), {1: ["e"], 2: ["k"]})[0]

    def theta(kept: list[int]) -> float:
        at = np.mean(oracles[kept])
        return float(np.mean((at - starts["k"][kept]) / 0.2 - (at - starts["e"][kept]) / 0.4))

    everyone = list(range(n))
    without = np.array([theta([r for r in everyone if r != i]) for i in everyone])
    assert whole.estimate.value == pytest.approx(theta(everyone))
    assert whole.estimate.se == pytest.approx(math.sqrt((n - 1) / n * np.square(without - without.mean()).sum()))
    assert (whole.estimate.n, whole.estimate.n_oracles) == (n, n)


def test_intervals_hold_the_noise_of_the_level_and_a_t_interval_at_a_given_level_does_not() -> None:
    """1,500 studies of n = 6 and n = 6 with 4 more oracles: 95 % hold the truth, where the plain t interval fails."""
    rng = np.random.default_rng(20)
    truth = (2 - 0.5) / 0.2 - (2 - 1.0) / 0.4
    for n_oracles in (6, 10):
        held, naive, n_studies = dict.fromkeys(recency.PARTS, 0), 0, 1500
        true = {"total": truth, "head_start": 0.5 / 0.2, "speed": truth - 0.5 / 0.2}
        for _ in range(n_studies):
            found = two_positions(rng, 6, n_oracles, level_sd=0.2)
            for part in found[:3]:
                low, high = part.estimate.interval
                assert low is not None and high is not None
                held[part.part] += low <= true[part.part] <= high
            total = found[0].values_R
            naive += abs(total.mean() - truth) <= 2.571 * total.std(ddof=1) / math.sqrt(6)
        for name, times in held.items():
            assert 0.93 <= times / n_studies <= 0.975, (name, n_oracles, times / n_studies)
        assert naive / n_studies < 0.8


def test_whole_run_sign_flips_where_all_times_are_known_and_gehan_where_some_are_not() -> None:
    rng = np.random.default_rng(2)
    found = two_positions(rng, 7, 7, level_sd=0.0)
    known = recency.sign_flips(found[0])
    assert known is not None and known.method == "exact sign flip" and known.p_value == 2**-6

    level = fixed(2.0, 8)
    last = lines(np.full(8, 0.5), np.array([0.2, 0.2, 0.2, 0.01, 0.01, 0.2, 0.2, 0.01]))
    earlier = lines(np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, -9.0]), np.full(8, 0.3))
    (whole, *_) = recency.parts_of({"e": earlier, "k": last}, dict.fromkeys("ek", level), {1: ["e"], 2: ["k"]})
    assert (whole.not_reached, whole.has_censored_times) == (4, True)
    # Six times the last took longer or never got there; once the earlier had the worse start, once neither got there.
    taus = [recency.first_crossing(p.times_T, p.losses_RT, np.full((1, 8), 2.0))[0] for p in (last, earlier)]
    paired = gehan.paired(taus[0], taus[1], 12.0)
    test = recency.sign_flips(whole)
    assert test is not None and test.method == gehan.METHOD
    assert paired.signs_R.tolist() == whole.signs_R.tolist() == [1, 1, 1, 1, 1, 1, 1, 0]
    assert test.p_value == pytest.approx(paired.p_value) and test.p_value == 2**-6
    assert test.smallest_n is None


def test_gehan_signs_that_nobody_can_tell_need_more_replicates() -> None:
    """Of eight replicates four are told: 2^(1-4) is the least p; 12 would have six of them."""
    slow = np.array([0.2] * 4 + [0.01] * 4)
    last, earlier = lines(np.full(8, 0.5), slow), lines(np.full(8, 1.0), slow)
    levels = dict.fromkeys("ek", fixed(2.0, 8))
    (whole, *_) = recency.parts_of({"e": earlier, "k": last}, levels, {1: ["e"], 2: ["k"]})
    test = recency.sign_flips(whole)
    assert test is not None and test.p_value == 2**-3 and test.smallest_n == 12


def test_gehan_decides_a_declared_contrast_with_censored_runs() -> None:
    given = planted.with_(THREE, asks("recency", "forget_loss", value=2.5))
    total = of(compare(frame(slow_last(2)), given), "total(oracle)", "mean of earlier")
    assert total.p_method == gehan.METHOD and total.p_value == 2**-5


@pytest.mark.parametrize("seed", range(5))
def test_the_trend_is_the_slope_over_positions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = {1: ["a"], 2: ["b", "c"], 4: ["d"]}
    paths = {name: lines(rng.normal(1, 0.1, 5), rng.uniform(0.05, 0.3, 5)) for name in "abcd"}
    level = estimated_level.mean_of_oracles(rng.normal(2, 0.1, 5))
    assert level is not None
    found = recency.trend_of(paths, dict.fromkeys("abcd", level), places)

    def slope(at: float, r: int) -> float:
        steps = {n: min(walked(p.times_T, p.losses_RT[r], at), 12.0) for n, p in paths.items()}
        return float(np.polyfit([1, 2, 4], [steps["a"], (steps["b"] + steps["c"]) / 2, steps["d"]], 1)[0])

    assert found.estimate.value == pytest.approx(np.mean([slope(level.value, r) for r in range(5)]))
    without = np.array([np.mean([slope(level.at_L[1 + i], r) for r in range(5) if r != i]) for i in range(5)])
    assert found.estimate.se == pytest.approx(math.sqrt(4 / 5 * np.square(without - without.mean()).sum()))
    assert (found.runs, found.n_positions, found.estimate.unit) == (20, 3, "steps/position")


def test_the_trend_is_described_with_three_positions_and_left_out_with_two() -> None:
    start = dict(zip(NAMES, (1.6, 1.4, 1.2), strict=True))
    case = Case(frame(losses(THREE, start, dict.fromkeys(NAMES, 0.2), noise=0.01)), THREE)
    (found,) = [f for f in recency.findings(case) if f.quantity == "trend(oracle)"]
    assert found.estimate == pytest.approx(1.0, abs=0.05) and found.verdict is None and found.p_value is None
    (row, _) = tables_of(case)["recency_trend"]
    assert (row["mean"], row["positions"], row["runs"]) == (found.estimate, 3, 18)
    two = study(replicates=4)
    rows = losses(two, {h.name: 1.0 for h in two.all_histories()}, {h.name: 0.3 for h in two.all_histories()})
    assert recency.trend(Case(frame(rows), two), two.unlearnings[0], "oracle") is None
