"""Recency: is the stage that was learned last forgotten first? Steps to a level, split into head start and speed.

Per replicate, with `tau_h(c)` the step at which the whole-response loss first reaches the level c (linear interpolation
between recorded steps), for an earlier position q and the last K:

    tau_K(c) - tau_q(c)  =  head start: tau_K(l_q(0))  +  speed: [tau_K(c) - tau_K(l_q(0))] - tau_q(c)

exactly. If unlearning is a clock on the level, speed is 0 and all positions lie on one curve of d loss/dt against loss.

Censoring. In the *total* a run that has not reached the level by the horizon T counts with T (restricted mean), one
that starts past it with 0. *Head start* and *speed* exist only in replicates where every run of the contrast reached
the level (at the start counts): they are means over these alone, and the finding says how many there are. A number for
which no run reached the level is undefined. Runs that have not got there forbid EQUIVALENT: that they stand together at
the horizon says nothing of how many steps they need.

The level is a mean over oracles, so it is estimated too: each number is computed again without each replicate at the
level that the other oracles give, and its interval is a t interval on that jackknife (`estimated_level`). Which runs
count is told once, at the level of all.

Test of the declared contrast: exact sign flips of the totals; where a run of the contrast has not reached the level, or
began past it, its time is censored and the signs of paired Gehan comparisons are flipped instead, averaged over the
pairs of a last and an earlier history.

Deviation from the source, which assumes `l_q(0) > l_K(0)`: where the last position starts *higher*, the head start is
`-tau_q(l_K(0))`, so that it keeps its sign and the identity stays exact. Where several histories share a position (all
orders), parts are averaged over all pairs of a last and an earlier history before replicates are compared.

Legend: R replicates, N oracle replicates, T recorded steps, L levels (see `estimated_level`), P positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import estimated_level, forget_level, gehan, sign_flip
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import asked
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.estimated_level import Level
from retrain_equivalence.equivalence.finding import ALPHA, Finding, Verdict
from retrain_equivalence.equivalence.gap_series import slope_weights
from retrain_equivalence.equivalence.measurements import (
    CENSORED,
    FORGET_LOSS,
    MISSING,
    OK,
    Flags,
    Floats,
    StateClass,
    state_class,
)
from retrain_equivalence.equivalence.runs import RunCounts, count, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

UNIT, TREND_UNIT = "steps", "steps/position"
LEVELS = ("oracle", "halfway")
"""The own-order oracle's mean loss; and half the way to it from the highest mean start among the histories."""
JACKKNIFE = "leave-one-replicate-out jackknife with the level computed again, t"
TAU_METHOD = f"restricted mean min(tau, T), linear interpolation between steps; {JACKKNIFE}"
TOTAL_METHOD = f"restricted mean steps, last minus earlier, paired by replicate; {JACKKNIFE}"
SPLIT_METHOD = f"paired by replicate, over replicates in which every run reached the level; {JACKKNIFE}"
TREND_METHOD = f"slope of restricted mean steps over position, per replicate; {JACKKNIFE}"
NOT_BAND = "steps to a level need a margin in steps, not a multiple of the band"
IDENTITY_TOLERANCE = 1e-9
"""Steps; the identity is a sum of three numbers below 1e5, whose rounding is below 1e-10."""
PARTS = ("total", "head_start", "speed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The whole-response loss of one history under one unlearning."""

    times_T: Floats
    """Steps at which it was recorded, 0 first."""
    losses_RT: Floats
    """nats/token; nan from where a run stopped being finite."""
    censored: set[int]
    """Replicates that stopped being finite."""

    @property
    def horizon(self) -> float:
        """The last recorded step."""
        return float(self.times_T[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Restricted steps to a level of each run."""

    taus_R: Floats
    """tau; inf where a run did not get there by the horizon, nan where it stopped being finite before, or is absent."""
    estimate: Estimate
    """Restricted mean `min(tau, T)`; undefined where no run got there: the horizon is not an answer."""
    level: float
    """nats/token."""
    horizon: float
    codes: list[int]

    @property
    def there_R(self) -> Flags:
        """Whether a run got to the level by the horizon, at the start or later."""
        return np.isfinite(self.taus_R)

    @property
    def reached(self) -> int:
        """Runs that got there after step 0."""
        return int((self.there_R & (self.taus_R > 0)).sum())

    @property
    def at_start(self) -> int:
        """Runs that were there at step 0."""
        return int((self.taus_R == 0).sum())

    @property
    def not_reached(self) -> int:
        """Finite runs that did not get there by the horizon."""
        return int(np.isposinf(self.taus_R).sum())

    @property
    def stopped(self) -> int:
        """Runs that stopped being finite before the level."""
        return self.codes.count(CENSORED)


def trajectory(case: Case, history: str, unlearning: Unlearning) -> Trajectory:
    """Return the recorded losses over all forget items of the registered replicates."""
    steps = [0, *case.table.saved_steps(FORGET_LOSS, None, unlearning.name, [history])]
    losses = [
        forget_level.loss(case, state_class(history, unlearning.name, step), "all")[: case.table.R] for step in steps
    ]
    return Trajectory(
        times_T=np.array(steps, dtype=np.float64),
        losses_RT=np.array(losses).T,
        censored=case.table.censored_by(history, unlearning.name, None),
    )


def first_crossing(times_T: Floats, losses_RT: Floats, levels_LR: Floats) -> Floats:
    """Return the times at which each run first reaches each level, linearly interpolated, [L, R].

    `t_(k-1) + (c - l_(k-1)) / (l_k - l_(k-1)) (t_k - t_(k-1))` at the first recorded k with `l_k >= c`; 0 if k = 0.

    Args:
        times_T: recorded steps, ascending, 0 first.
        losses_RT: nats/token; nan from where a run stopped being finite.
        levels_LR: nats/token; nan is a level that is not known.

    Returns:
        inf where a run never reaches the level, nan where it stopped before, or the level is not known.

    >>> first_crossing(np.array([0.0, 1.0, 3.0]), np.array([[1.0, 2.0, 4.0]]), np.array([[3.0], [1.0], [9.0]])).tolist()
    [[2.0], [0.0], [inf]]
    """
    end = len(times_T)
    reaches_LRT = losses_RT[None] >= levels_LR[:, :, None]
    first_LR = np.where(reaches_LRT.any(axis=2), reaches_LRT.argmax(axis=2), end)
    lost_RT = np.isnan(losses_RT)
    lost_R = np.where(lost_RT.any(axis=1), lost_RT.argmax(axis=1), end)
    after_LR = np.minimum(first_LR, end - 1)
    before_LR = np.maximum(after_LR - 1, 0)
    runs_R = np.arange(len(losses_RT))
    low_LR, high_LR = losses_RT[runs_R, before_LR], losses_RT[runs_R, after_LR]
    rise_LR = np.where(high_LR > low_LR, high_LR - low_LR, 1.0)
    share_LR = np.where(first_LR > 0, (levels_LR - low_LR) / rise_LR, 0.0)
    found_LR = times_T[before_LR] + share_LR * (times_T[after_LR] - times_T[before_LR])
    found_LR = np.where(first_LR == 0, 0.0, np.where(first_LR == end, np.inf, found_LR))
    return np.where((lost_R < first_LR) | np.isnan(levels_LR), np.nan, found_LR)


def _restricted(path: Trajectory, levels_LR: Floats) -> Floats:
    """`min(tau, T)` of each run at each level, [L, R]; nan where a run stopped before it."""
    return np.minimum(first_crossing(path.times_T, path.losses_RT, levels_LR), path.horizon)


def _levels(path: Trajectory, level: Level) -> Floats:
    return np.broadcast_to(level.at_L[:, None], (len(level.at_L), len(path.losses_RT)))


def steps_to(path: Trajectory, level: Level) -> Times:
    """Return the steps to one level with the counts that must be read beside them."""
    taus_R = first_crossing(path.times_T, path.losses_RT, _levels(path, level))[0]
    codes = [
        OK if not unknown else CENSORED if r in path.censored else MISSING
        for r, unknown in enumerate(np.isnan(taus_R).tolist())
    ]
    nobody = not np.isfinite(taus_R).any() and bool(np.isposinf(taus_R).any())
    kept_R = ~np.isnan(taus_R) & (not nobody)
    number = estimated_level.jackknifed(_restricted(path, _levels(path, level)), kept_R, level.oracles_N)
    undefined = (
        f"undefined: no run reached the level by step {path.horizon:g}" if nobody else "undefined: no finite run"
    )
    return Times(
        taus_R=taus_R,
        estimate=of_jackknife(number, unit=UNIT, method=TAU_METHOD, undefined=undefined),
        level=level.value,
        horizon=path.horizon,
        codes=codes,
    )


def split(last: Trajectory, earlier: Trajectory, level_last: Floats, level_earlier: Floats) -> Floats:
    """Return total, head start and speed of each replicate at each level, [3, L, R] steps; total = head start + speed.

    Args:
        last: losses of a history whose forget stage is last.
        earlier: those of one whose forget stage is earlier, in the same replicates.
        level_last: where the last one is to get, [L] nats/token.
        level_earlier: where the earlier one is to get, [L].
    """
    shape = (len(level_last), len(last.losses_RT))
    to_last = np.broadcast_to(level_last[:, None], shape)
    to_earlier = np.broadcast_to(level_earlier[:, None], shape)
    start_last, start_earlier = last.losses_RT[:, 0], earlier.losses_RT[:, 0]
    ahead = _restricted(last, np.minimum(start_earlier, to_last))
    behind = _restricted(earlier, np.minimum(start_last, to_earlier))
    head_start = np.where(start_earlier >= start_last, ahead, -behind)
    total = _restricted(last, to_last) - _restricted(earlier, to_earlier)
    return np.array([total, head_start, total - head_start])


def level_of(case: Case, history: str, unlearning: Unlearning, level_name: str) -> Level | None:
    """Return the level of one name for one history, nats/token; null if the table cannot say."""
    oracle = estimated_level.mean_of_oracles(forget_level.loss(case, StateClass(case.oracle_of[history], "", 0), "all"))
    if oracle is None or level_name == "oracle":
        return oracle
    starts = [
        forget_level.loss(case, state_class(h.name, unlearning.name, 0), "all")[: case.table.R] for h in case.unlearned
    ]
    return estimated_level.halfway(oracle, np.array(starts))


def positions(case: Case) -> dict[int, list[str]]:
    """Return the histories by position of their forget stage, ascending.

    Placebo histories have none, and a control under another sample order is not one more order.
    """
    found: dict[int, list[str]] = {}
    for history in case.unlearned:
        position = history.position()
        if position is not None and not history.shuffle:
            found.setdefault(position, []).append(history.name)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the last-against-earlier contrast."""

    part: str
    """`total`, `head_start` or `speed`."""
    last: int
    """Position of the last stage."""
    earlier: int | None
    """The earlier position; null is the mean of all earlier ones, the declared contrast."""
    estimate: Estimate
    values_R: Floats
    """The number of each replicate at the level of all; nan where it does not count."""
    signs_R: Floats
    """Mean paired Gehan sign over the pairs of a last and an earlier history, above 0 if the last takes longer."""
    counts: RunCounts
    reached: int
    """Replicates in which every run of the contrast reached the level: those behind head start and speed."""
    at_start: int
    """Runs of the contrast that were past the level before unlearning: against them all is head start."""
    not_reached: int
    """Finite runs of the contrast that did not get there by the horizon."""
    runs: int
    """Runs of the contrast: histories times replicates."""
    horizon: float
    """Steps after which nothing was recorded."""

    @property
    def has_censored_times(self) -> bool:
        """Whether the time of any run is known to be beyond an end of what was recorded only."""
        return bool(self.not_reached or self.at_start)

    @property
    def says(self) -> str:
        """What the number is, and how many runs are behind it."""
        what = {
            "total": "last minus earlier: above 0, what was learned last takes more steps to unlearn",
            "head_start": "steps the last position needs to where the earlier one starts",
            "speed": "steps beyond the head start; 0 if unlearning is a clock on the level",
        }[self.part]
        n = self.counts.registered
        if self.part == "total":
            what += (
                f"; {self.not_reached} of {self.runs} runs did not reach the level by step {self.horizon:g} and count "
                "with that"
            )
        else:
            what += f"; over the {self.reached} of {n} replicates in which every run reached the level"
        return f"{what}; {self.at_start} of {self.runs} runs began past it"


def parts(case: Case, unlearning: Unlearning, level_name: str) -> list[Part]:
    """Return total, head start and speed, against each earlier position and against the mean of all."""
    found = _paths_and_levels(case, unlearning, level_name)
    return parts_of(*found, positions(case)) if found else []


def _paths_and_levels(
    case: Case, unlearning: Unlearning, level_name: str
) -> tuple[dict[str, Trajectory], dict[str, Level]] | None:
    """What the contrasts between positions are computed from; null where there are no two positions, or no level."""
    by_position = positions(case)
    if len(by_position) < 2 or not case.table.forget_item_names:
        return None
    names = [name for some in by_position.values() for name in some]
    levels = {name: level_of(case, name, unlearning, level_name) for name in names}
    known = {name: level for name, level in levels.items() if level is not None}
    if len(known) < len(names):
        return None
    return {name: trajectory(case, name, unlearning) for name in names}, known


def parts_of(
    paths: Mapping[str, Trajectory], levels: Mapping[str, Level], by_position: Mapping[int, Sequence[str]]
) -> list[Part]:
    """Return the parts of the contrasts between the last position and the earlier ones.

    Args:
        paths: the losses of each history, all over the same replicates.
        levels: where each history is to get.
        by_position: histories by position of their forget stage, two positions at least.
    """
    times = {name: steps_to(path, levels[name]) for name, path in paths.items()}
    K = max(by_position)
    earlier = sorted(position for position in by_position if position != K)
    split_by: dict[int, Floats] = {}
    signs_by: dict[int, Floats] = {}
    for q in earlier:
        pairs = list(product(by_position[K], by_position[q]))
        split_by[q] = np.mean([split(paths[k], paths[e], levels[k].at_L, levels[e].at_L) for k, e in pairs], axis=0)
        signs_by[q] = np.mean([_signs(times[k], times[e]) for k, e in pairs], axis=0)
    oracles_N = np.logical_or.reduce([level.oracles_N for level in levels.values()])
    lost = max(level.lost for level in levels.values())
    found: list[Part] = []
    for against, others in ((None, earlier), *((q, [q]) for q in earlier)):
        names = [*by_position[K], *(name for q in others for name in by_position[q])]
        found += _parts_of(
            np.mean([split_by[q] for q in others], axis=0),
            np.mean([signs_by[q] for q in others], axis=0),
            [times[name] for name in names],
            oracles_N,
            lost=lost,
            last=K,
            earlier=against,
        )
    return found


def _signs(last: Times, earlier: Times) -> Floats:
    """Paired Gehan signs, [R]; nan where either run is not there."""
    horizon = max(last.horizon, earlier.horizon)
    signs_R = np.full(len(last.taus_R), np.nan)
    signs_R[~(np.isnan(last.taus_R) | np.isnan(earlier.taus_R))] = gehan.paired(
        last.taus_R, earlier.taus_R, horizon
    ).signs_R
    return signs_R


def _parts_of(
    values_3LR: Floats,
    signs_R: Floats,
    times: list[Times],
    oracles_N: Flags,
    *,
    lost: int,
    last: int,
    earlier: int | None,
) -> Iterator[Part]:
    """The three parts of one contrast, with what may be said of them given which runs reached the level."""
    horizon = max(item.horizon for item in times)
    whole = reduce(worse, [item.codes for item in times])
    together = np.logical_and.reduce([item.there_R for item in times])
    not_all = [CENSORED if code == OK and not there else code for code, there in zip(whole, together, strict=True)]
    n_there = sum(item.reached + item.at_start for item in times)
    for name, values_LR in zip(PARTS, values_3LR, strict=True):
        is_total = name == "total"
        kept_R = np.isfinite(values_LR[0]) & (n_there > 0) & (together | is_total)
        if not any(code == OK for code in whole):
            undefined = "undefined: no replicate has both positions"
        elif not n_there:
            undefined = f"undefined: no run reached the level by step {horizon:g}"
        else:
            undefined = f"undefined: in no replicate did every run reach the level by step {horizon:g}"
        values_R = np.where(kept_R, values_LR[0], np.nan)
        estimate = of_jackknife(
            estimated_level.jackknifed(values_LR, kept_R, oracles_N),
            unit=UNIT,
            method=TOTAL_METHOD if is_total else SPLIT_METHOD,
            undefined=undefined,
        )
        yield Part(
            part=name,
            last=last,
            earlier=earlier,
            values_R=values_R,
            signs_R=np.where(kept_R, signs_R, np.nan),
            counts=replace(count(whole if is_total else not_all), lost_oracles=lost),
            estimate=replace(estimate, sample_R=tuple(values_R.tolist())),
            reached=int(together.sum()),
            at_start=sum(item.at_start for item in times),
            not_reached=sum(item.not_reached for item in times),
            runs=sum(len(item.taus_R) for item in times),
            horizon=horizon,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How the restricted steps to a level change with the position of the forget stage."""

    estimate: Estimate
    """Steps per position; above 0, later stages take more steps to unlearn."""
    counts: RunCounts
    n_positions: int
    not_reached: int
    at_start: int
    runs: int
    horizon: float

    @property
    def says(self) -> str:
        """What the number is, and how many runs are behind it."""
        return (
            f"slope over {self.n_positions} positions, above 0: later stages take more steps to unlearn; "
            f"{self.not_reached} of {self.runs} runs did not reach the level by step {self.horizon:g} and count with "
            f"that; {self.at_start} began past it"
        )


def trend(case: Case, unlearning: Unlearning, level_name: str) -> Trend | None:
    """Return the trend over positions; None with fewer than three: two positions are the contrast itself."""
    found, by_position = _paths_and_levels(case, unlearning, level_name), positions(case)
    return trend_of(*found, by_position) if found and len(by_position) > 2 else None


def trend_of(
    paths: Mapping[str, Trajectory], levels: Mapping[str, Level], by_position: Mapping[int, Sequence[str]]
) -> Trend:
    """Return the least-squares slope of the restricted steps to a level over position, per replicate.

    `slope_r = sum_p w_p mean over h at p of min(tau_hr, T)`, `w_p = (p - mean p) / sum (p - mean p)^2`.

    Args:
        paths: the losses of each history, all over the same replicates.
        levels: where each history is to get.
        by_position: histories by position of their forget stage, two positions at least.
    """
    places = sorted(by_position)
    weights_P = slope_weights(np.asarray(places, dtype=np.float64), [True] * len(places))
    steps_PLR = np.array(
        [
            np.mean([_restricted(paths[name], _levels(paths[name], levels[name])) for name in by_position[p]], axis=0)
            for p in places
        ]
    )
    values_LR = np.einsum("p,plr->lr", weights_P, steps_PLR)
    times = [steps_to(paths[name], levels[name]) for p in places for name in by_position[p]]
    codes = reduce(worse, [item.codes for item in times])
    nobody = not any(item.there_R.any() for item in times)
    horizon = max(item.horizon for item in times)
    oracles_N = np.logical_or.reduce([level.oracles_N for level in levels.values()])
    number = estimated_level.jackknifed(values_LR, np.isfinite(values_LR[0]) & (not nobody), oracles_N)
    undefined = f"no run reached the level by step {horizon:g}" if nobody else "no replicate has every position"
    return Trend(
        estimate=of_jackknife(number, unit=TREND_UNIT, method=TREND_METHOD, undefined=f"undefined: {undefined}"),
        counts=replace(count(codes), lost_oracles=max(level.lost for level in levels.values())),
        n_positions=len(places),
        not_reached=sum(item.not_reached for item in times),
        at_start=sum(item.at_start for item in times),
        runs=sum(len(item.taus_R) for item in times),
        horizon=horizon,
    )


def sign_flips(part: Part, *, seed: int = 0, alpha: float = ALPHA) -> Test | None:
    """Return the test that last and earlier positions take equally many steps; None below two replicates.

    Sign flips of whole replicates: of the differences, or of their Gehan signs where a time is censored. Replicates in
    which nobody was first do not add to what the latter can reach. The level is taken as given: flips within a
    replicate leave the oracles as they are.
    """
    kept = np.isfinite(part.values_R)
    n, least = int(kept.sum()), sign_flip.smallest_n(1, alpha)
    if n < 2:
        return None
    if not part.has_censored_times:
        p_value = sign_flip.of_differences(part.values_R[kept], seed=seed)
        return Test(
            p_value=p_value,
            method=sign_flip.METHOD,
            smallest_n=least if n < least else None,
            sample_R=tuple(np.where(kept, part.values_R, np.nan).tolist()),
        )
    signs = part.signs_R[kept]
    told = signs[signs != 0]
    needed = None
    if len(told) < least:
        # In proportion: as many replicates again as now have one run that was first.
        needed = -(-least * n // len(told)) if len(told) else None
    p_value = sign_flip.of_differences(told, seed=seed) if len(told) else 1.0
    return Test(p_value=p_value, method=gehan.METHOD, smallest_n=needed)


def _not_together(finding: Finding, part: Part) -> Finding:
    """Take EQUIVALENT back where runs have not reached the level: nobody knows how many steps these need."""
    if finding.verdict is not Verdict.EQUIVALENT or not part.not_reached:
        return finding
    return replace(
        finding,
        verdict=Verdict.INCONCLUSIVE,
        reason=f"{part.not_reached} of {part.runs} runs did not reach the level by step {part.horizon:g}: equal steps "
        "up to there do not show equal steps to the level",
        n_needed=None,
    )


def findings(case: Case) -> Iterator[Finding]:
    """Steps to each level by history, the declared contrast, its parts by earlier position, and the trend."""
    if not case.table.forget_item_names:
        return
    for unlearning in case.study.unlearnings:
        for level_name in LEVELS:
            yield from _by_history(case, unlearning, level_name)
            yield from _by_position(case, unlearning, level_name)


def _place(unlearning: Unlearning, quantity: str, history: str = "", other: str = "") -> Place:
    return Place(
        contrast="recency",
        quantity=quantity,
        probe=FORGET_LOSS,
        unlearning=unlearning.name,
        history=history,
        other=other,
        alignment="at_forget_level",
    )


def _by_history(case: Case, unlearning: Unlearning, level_name: str) -> Iterator[Finding]:
    for history in case.unlearned:
        level = level_of(case, history.name, unlearning, level_name)
        if level is None:
            continue
        times = steps_to(trajectory(case, history.name, unlearning), level)
        yield conclude(
            _place(unlearning, f"tau({level_name})", history.name),
            times.estimate,
            count(times.codes),
            rule=Rule.SIGNED,
            alpha=case.alpha,
            describes=f"steps to {level.value:.4g} nats/token: {times.reached} reached it, {times.at_start} began "
            f"past it, {times.not_reached} did not reach it by step {times.horizon:g} and count with that",
        )


def _by_position(case: Case, unlearning: Unlearning, level_name: str) -> Iterator[Finding]:
    comparisons = asked(case.study, "recency", FORGET_LOSS, "anywhere", distance=False)
    for part in parts(case, unlearning, level_name):
        against = "mean of earlier" if part.earlier is None else f"position {part.earlier}"
        declared = part.part == "total" and part.earlier is None and level_name == "oracle"
        for comparison in each(comparisons if declared else []):
            finding = conclude(
                _place(unlearning, f"{part.part}({level_name})", f"position {part.last}", against),
                part.estimate,
                part.counts,
                rule=Rule.SIGNED,
                alpha=case.alpha,
                asked=comparison,
                paired=True,
                refusal=NOT_BAND if by_band(comparison) else "",
                test=sign_flips(part, seed=case.study.seed, alpha=case.alpha) if comparison else None,
                describes=part.says,
            )
            yield _not_together(finding, part)
    slope = trend(case, unlearning, level_name)
    if slope is not None:
        yield conclude(
            _place(unlearning, f"trend({level_name})"),
            slope.estimate,
            slope.counts,
            rule=Rule.SIGNED,
            alpha=case.alpha,
            describes=slope.says,
        )


def phase(case: Case, unlearning: Unlearning, history: str) -> list[tuple[float, float, float, int]]:
    """Return (midpoint step, loss, d loss/dt, n) between recorded steps, means over the runs finite at both ends."""
    path = trajectory(case, history, unlearning)
    rows: list[tuple[float, float, float, int]] = []
    for k in range(len(path.times_T) - 1):
        one, two = path.losses_RT[:, k], path.losses_RT[:, k + 1]
        both = np.isfinite(one) & np.isfinite(two)
        if both.any():
            gap = float(path.times_T[k + 1] - path.times_T[k])
            middle = float(path.times_T[k]) + gap / 2
            rows.append(
                (
                    middle,
                    float(np.mean((one + two)[both] / 2)),
                    float(np.mean((two - one)[both]) / gap),
                    int(both.sum()),
                )
            )
    return rows
