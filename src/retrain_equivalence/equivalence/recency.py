"""Recency: is the stage that was learned last forgotten first? Steps to a level, split into head start and speed.

Per replicate, with `tau_h(c)` the step at which the whole-response loss first reaches the level c (linear interpolation
between recorded steps), for an earlier position q and the last K:

    tau_K(c) - tau_q(c)  =  head start: tau_K(l_q(0))  +  speed: [tau_K(c) - tau_K(l_q(0))] - tau_q(c)

exactly. If unlearning is a clock on the level, speed is 0 and all positions lie on one curve of d loss/dt against loss.
A run that has not reached the level by the horizon T counts with T (restricted mean), one that starts past it with 0.

Deviation from the source, which assumes `l_q(0) > l_K(0)`: where the last position starts *higher*, the head start is
`-tau_q(l_K(0))`, so that it keeps its sign and the identity stays exact. Where several histories share a position (all
orders), parts are averaged over all pairs of a last and an earlier history before replicates are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import forget_level, sign_flip
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import asked
from retrain_equivalence.equivalence.estimate import Estimate, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import CENSORED, FORGET_LOSS, MISSING, OK, Floats, state_class
from retrain_equivalence.equivalence.runs import RunCounts, count, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

UNIT = "steps"
LEVELS = ("oracle", "halfway")
"""The own-order oracle's mean loss; and half the way to it from the highest mean start among the histories."""
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
        forget_level.loss(case, state_class(h.name, unlearning.name, 0), "all")[: case.table.R] for h in case.histories
    ]
    means = [float(np.mean(start[np.isfinite(start)])) for start in starts if np.isfinite(start).any()]
    if not means or max(means) >= oracle:
        return None
    return 0.5 * (max(means) + oracle)


def positions(case: Case) -> dict[int, list[str]]:
    """Return the histories by position of their forget stage, ascending; placebo histories have none."""
    found: dict[int, list[str]] = {}
    for history in case.histories:
        position = history.position()
        if position is not None:
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
    per_earlier: dict[int | None, list[Floats]] = {}
    codes: dict[int | None, list[int]] = {}
    for q in (position for position in by_position if position != K):
        pairs = [split(paths[k], paths[e], known[k], known[e]) for k, e in product(by_position[K], by_position[q])]
        per_earlier[q] = [np.mean([pair[index] for pair in pairs], axis=0) for index in range(3)]
        joined = times[by_position[K][0]].codes
        for name in (*by_position[K], *by_position[q]):
            joined = worse(joined, times[name].codes)
        codes[q] = joined
    earlier = [q for q in per_earlier if q is not None]
    per_earlier[None] = [np.mean([per_earlier[q][index] for q in earlier], axis=0) for index in range(3)]
    whole = codes[earlier[0]]
    for q in earlier[1:]:
        whole = worse(whole, codes[q])
    codes[None] = whole
    unequal = " (restricted mean steps; "
    counts_text = f"{sum(t.not_reached for t in times.values())} runs not there by the horizon count with it)"
    found: list[Part] = []
    for against in (None, *earlier):
        for name, values in zip(("total", "head_start", "speed"), per_earlier[against], strict=True):
            found.append(
                Part(
                    part=name,
                    last=K,
                    earlier=against,
                    values_R=values,
                    counts=count(codes[against]),
                    estimate=of_sample(
                        values,
                        unit=UNIT,
                        method=f"paired by replicate, t{unequal}{counts_text}",
                        undefined="undefined: no replicate has both positions",
                    ),
                )
            )
    return found


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


def findings(case: Case) -> Iterator[Finding]:
    """Steps to each level by history, the declared contrast, and its parts by earlier position."""
    if not case.table.forget_item_names:
        return
    comparisons = asked(case.study, "recency", FORGET_LOSS, "anywhere", distance=False)
    for unlearning in case.study.unlearnings:
        for level_name in LEVELS:
            for history in case.histories:
                level = level_of(case, history.name, unlearning, level_name)
                if level is None:
                    continue
                path = trajectory(case, history.name, unlearning)
                times = steps_to(path, level)
                estimate = of_sample(
                    times.steps_R,
                    unit=UNIT,
                    method="restricted mean min(tau, T), linear interpolation between steps, t",
                    undefined="undefined: no finite run",
                )
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
                describes = {
                    "total": "last minus earlier: below 0, what was learned last is forgotten in fewer steps",
                    "head_start": "steps the last position needs to where the earlier one starts",
                    "speed": "steps beyond the head start; 0 if unlearning is a clock on the level",
                }[part.part]
                for comparison in each(comparisons if declared else []):
                    yield conclude(
                        place,
                        part.estimate,
                        part.counts,
                        rule=Rule.SIGNED,
                        asked=comparison,
                        paired=True,
                        refusal=NOT_BAND if by_band(comparison) else "",
                        test=_test(case, part) if comparison else None,
                        describes=describes,
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
