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

Deviation from the source, which assumes `l_q(0) > l_K(0)`: where the last position starts *higher*, the head start is
`-tau_q(l_K(0))`, so that it keeps its sign and the identity stays exact. Where several histories share a position (all
orders), parts are averaged over all pairs of a last and an earlier history before replicates are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import forget_level, sign_flip
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import asked
from retrain_equivalence.equivalence.estimate import Estimate, of_sample
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.equivalence.measurements import CENSORED, FORGET_LOSS, MISSING, OK, Flags, Floats, state_class
from retrain_equivalence.equivalence.runs import RunCounts, count, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

UNIT = "steps"
LEVELS = ("oracle", "halfway")
"""The own-order oracle's mean loss; and half the way to it from the highest mean start among the histories."""
TOTAL_METHOD = "restricted mean steps, last minus earlier, paired by replicate, t"
SPLIT_METHOD = "paired by replicate, over replicates in which every run reached the level, t"
NOT_BAND = "steps to a level need a margin in steps, not a multiple of the band"
IDENTITY_TOLERANCE = 1e-9
"""Steps; the identity is a sum of three numbers below 1e5, whose rounding is below 1e-10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The whole-response loss of one history under one unlearning."""

    times_T: Floats
    """Steps at which it was recorded, 0 first."""
    losses_RT: Floats
    """nats/token; nan from where a run stopped being finite."""
    censored: set[int]
    """Replicates that stopped being finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Restricted steps to a level of each run."""

    steps_R: Floats
    """`min(tau, T)`; nan where a run stopped being finite before the level, or is not there."""
    there_R: Flags
    """Whether a run got to the level by the horizon, at the start or later."""
    reached: int
    """Runs that got there after step 0."""
    at_start: int
    """Runs that were there at step 0."""
    not_reached: int
    """Finite runs that did not get there by the horizon."""
    stopped: int
    """Runs that stopped being finite before the level."""
    codes: list[int]


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


def first_crossing(times_T: Floats, losses_T: Floats, level: float) -> float:
    """Return the time at which the loss first reaches `level`, linearly interpolated; inf if never, nan if unknown.

    >>> first_crossing(np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 4.0]), 3.0)
    2.0
    """
    for k, value in enumerate(losses_T.tolist()):
        if not np.isfinite(value):
            return float("nan")
        if value >= level:
            if k == 0:
                return 0.0
            before = float(losses_T[k - 1])
            share = (level - before) / (value - before)
            return float(times_T[k - 1] + share * (times_T[k] - times_T[k - 1]))
    return float("inf")


def restricted(path: Trajectory, levels_R: Floats) -> Floats:
    """Return `min(tau(level_r), T)` of each run; nan where a run stopped before its level."""
    horizon = float(path.times_T[-1])
    found = [
        min(first_crossing(path.times_T, losses, level), horizon) if np.isfinite(level) else np.nan
        for losses, level in zip(path.losses_RT, levels_R.tolist(), strict=True)
    ]
    return np.array(found)


def steps_to(path: Trajectory, level: float) -> Times:
    """Return the restricted steps to one level with the counts that must be read beside them."""
    taus = [first_crossing(path.times_T, losses, level) for losses in path.losses_RT]
    horizon = float(path.times_T[-1])
    codes: list[int] = []
    for r, tau in enumerate(taus):
        if np.isnan(tau):
            codes.append(CENSORED if r in path.censored else MISSING)
        else:
            codes.append(OK)
    return Times(
        steps_R=np.array([min(tau, horizon) if not np.isnan(tau) else np.nan for tau in taus]),
        there_R=np.isfinite(taus),
        reached=sum(1 for tau in taus if 0 < tau < np.inf),
        at_start=sum(1 for tau in taus if tau == 0),
        not_reached=sum(1 for tau in taus if tau == np.inf),
        stopped=codes.count(CENSORED),
        codes=codes,
    )


def split(
    last: Trajectory, earlier: Trajectory, level_last: float, level_earlier: float
) -> tuple[Floats, Floats, Floats]:
    """Return total, head start and speed of each replicate, in steps; total = head start + speed."""
    n = len(last.losses_RT)
    tau_last = restricted(last, np.full(n, level_last))
    tau_earlier = restricted(earlier, np.full(n, level_earlier))
    start_last, start_earlier = last.losses_RT[:, 0], earlier.losses_RT[:, 0]
    ahead = restricted(last, np.minimum(start_earlier, level_last))
    behind = restricted(earlier, np.minimum(start_last, level_earlier))
    head_start = np.where(start_earlier >= start_last, ahead, -behind)
    total = tau_last - tau_earlier
    return total, head_start, total - head_start


def level_of(case: Case, history: str, unlearning: Unlearning, level_name: str) -> float | None:
    """Return the level of one name for one history, nats/token; null if the table cannot say."""
    oracle = forget_level.oracle_level(case, case.oracle_of[history], "all")
    if oracle is None or level_name == "oracle":
        return oracle
    starts = [
        forget_level.loss(case, state_class(h.name, unlearning.name, 0), "all")[: case.table.R] for h in case.unlearned
    ]
    means = [float(np.mean(start[np.isfinite(start)])) for start in starts if np.isfinite(start).any()]
    if not means or max(means) >= oracle:
        return None
    return 0.5 * (max(means) + oracle)


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
    by_position = positions(case)
    if len(by_position) < 2 or not case.table.forget_item_names:
        return []
    paths = {name: trajectory(case, name, unlearning) for names in by_position.values() for name in names}
    levels = {name: level_of(case, name, unlearning, level_name) for name in paths}
    if any(level is None for level in levels.values()):
        return []
    known = {name: float(level) for name, level in levels.items() if level is not None}
    times = {name: steps_to(path, known[name]) for name, path in paths.items()}
    K = max(by_position)
    earlier = [position for position in by_position if position != K]
    split_by: dict[int, list[Floats]] = {}
    for q in earlier:
        pairs = [split(paths[k], paths[e], known[k], known[e]) for k, e in product(by_position[K], by_position[q])]
        split_by[q] = [np.mean([pair[index] for pair in pairs], axis=0) for index in range(3)]
    horizon = max(float(path.times_T[-1]) for path in paths.values())
    found: list[Part] = []
    for against, others in ((None, earlier), *((q, [q]) for q in earlier)):
        names = [*by_position[K], *(name for q in others for name in by_position[q])]
        means = [np.mean([split_by[q][index] for q in others], axis=0) for index in range(3)]
        found += _parts_of(means, [times[name] for name in names], last=K, earlier=against, horizon=horizon)
    return found


def _parts_of(
    means: list[Floats], times: list[Times], *, last: int, earlier: int | None, horizon: float
) -> Iterator[Part]:
    """The three parts of one contrast, with what may be said of them given which runs reached the level."""
    whole = times[0].codes
    for other in times[1:]:
        whole = worse(whole, other.codes)
    together = np.logical_and.reduce([item.there_R for item in times])
    not_all = [CENSORED if code == OK and not there else code for code, there in zip(whole, together, strict=True)]
    n_there = sum(item.reached + item.at_start for item in times)
    nobody = f"undefined: no run reached the level by step {horizon:g}"
    for name, values in zip(("total", "head_start", "speed"), means, strict=True):
        is_total = name == "total"
        kept = values if is_total and n_there else np.where(together & (n_there > 0), values, np.nan)
        if not any(code == OK for code in whole):
            undefined = "undefined: no replicate has both positions"
        elif not n_there:
            undefined = nobody
        else:
            undefined = f"undefined: in no replicate did every run reach the level by step {horizon:g}"
        yield Part(
            part=name,
            last=last,
            earlier=earlier,
            values_R=kept,
            counts=count(whole if is_total else not_all),
            estimate=of_sample(kept, unit=UNIT, method=TOTAL_METHOD if is_total else SPLIT_METHOD, undefined=undefined),
            reached=int(together.sum()),
            at_start=sum(item.at_start for item in times),
            not_reached=sum(item.not_reached for item in times),
            runs=sum(len(item.steps_R) for item in times),
            horizon=horizon,
        )


def tau(times: Times, horizon: float) -> Estimate:
    """Return the restricted mean steps to a level; undefined where no run got there: the horizon is not an answer."""
    nobody = not times.reached and not times.at_start and times.not_reached
    return of_sample(
        np.full_like(times.steps_R, np.nan) if nobody else times.steps_R,
        unit=UNIT,
        method="restricted mean min(tau, T), linear interpolation between steps, t",
        undefined=f"undefined: no run reached the level by step {horizon:g}" if nobody else "undefined: no finite run",
    )


def _test(case: Case, part: Part) -> Test | None:
    kept = part.values_R[np.isfinite(part.values_R)]
    if len(kept) < 2:
        return None
    least = sign_flip.smallest_n(1)
    return Test(
        p_value=sign_flip.of_differences(kept, seed=case.study.seed),
        method="exact sign flip",
        smallest_n=least if len(kept) < least else None,
    )


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
    """Steps to each level by history, the declared contrast, and its parts by earlier position."""
    if not case.table.forget_item_names:
        return
    comparisons = asked(case.study, "recency", FORGET_LOSS, "anywhere", distance=False)
    for unlearning in case.study.unlearnings:
        for level_name in LEVELS:
            for history in case.unlearned:
                level = level_of(case, history.name, unlearning, level_name)
                if level is None:
                    continue
                path = trajectory(case, history.name, unlearning)
                times = steps_to(path, level)
                estimate = tau(times, float(path.times_T[-1]))
                place = Place(
                    contrast="recency",
                    quantity=f"tau({level_name})",
                    probe=FORGET_LOSS,
                    unlearning=unlearning.name,
                    history=history.name,
                    alignment="at_forget_level",
                )
                yield conclude(
                    place,
                    estimate,
                    count(times.codes),
                    rule=Rule.SIGNED,
                    describes=f"steps to {level:.4g} nats/token: {times.reached} reached it, {times.at_start} began "
                    f"past it, {times.not_reached} did not reach it by step {path.times_T[-1]:g} and count with that",
                )
            for part in parts(case, unlearning, level_name):
                against = "mean of earlier" if part.earlier is None else f"position {part.earlier}"
                place = Place(
                    contrast="recency",
                    quantity=f"{part.part}({level_name})",
                    probe=FORGET_LOSS,
                    unlearning=unlearning.name,
                    history=f"position {part.last}",
                    other=against,
                    alignment="at_forget_level",
                )
                declared = part.part == "total" and part.earlier is None and level_name == "oracle"
                for comparison in each(comparisons if declared else []):
                    finding = conclude(
                        place,
                        part.estimate,
                        part.counts,
                        rule=Rule.SIGNED,
                        asked=comparison,
                        paired=True,
                        refusal=NOT_BAND if by_band(comparison) else "",
                        test=_test(case, part) if comparison else None,
                        describes=part.says,
                    )
                    yield _not_together(finding, part)


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
