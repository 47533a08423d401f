"""Equal forgetting: at which step each run has forgotten as much as the model that never saw the forget stage.

The level is the mean `forget_loss` (nats/token, whole response) of the retrain oracle. The recorded forget items are
split by sorted id: the even half (0th, 2nd, ...) says when to stop, the odd half judges, so that a run is not judged on
the noise it was stopped by. A run stops at its first saved step at or past the level; the overshoot is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from retrain_equivalence.equivalence import estimated_level
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import (
    CENSORED,
    FORGET_LOSS,
    MISSING,
    OK,
    Floats,
    StateClass,
    state_class,
)
from retrain_equivalence.equivalence.runs import RunCounts, count
from retrain_equivalence.equivalence.verdict import Place, Rule, conclude

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

Half = Literal["stopping", "judging", "all"]


def _items(case: Case, half: Half) -> slice:
    return {"stopping": slice(0, None, 2), "judging": slice(1, None, 2), "all": slice(None)}[half]


def loss(case: Case, at: StateClass, half: Half) -> Floats:
    """Return the mean `forget_loss` of each run over some forget items, [N] nats/token, nan where incomplete."""
    items = case.table.forget_items(at)[:, _items(case, half)]
    return items.mean(axis=1) if items.shape[1] else np.full(case.table.N, np.nan)


def oracle_level(case: Case, oracle: str, half: Half) -> float | None:
    """Return the mean loss of an oracle over its replicates, nats/token; null if the table has none."""
    losses = loss(case, StateClass(oracle, "", 0), half)
    kept = losses[np.isfinite(losses)]
    return float(kept.mean()) if len(kept) else None


def lost_oracles(case: Case, oracle: str) -> int:
    """Return how many registered replicates of an oracle are not in its level."""
    return int((~np.isfinite(loss(case, StateClass(oracle, "", 0), "all"))).sum())


def pair_level(case: Case, one: str, two: str) -> float | None:
    """Return the level at which two histories are compared: the mean of their own oracles' levels on the stopping half.

    Equal forgetting needs one level; with one oracle order it is that oracle's.
    """
    levels = [oracle_level(case, case.oracle_of[name], "stopping") for name in (one, two)]
    return None if None in levels else float(np.mean([level for level in levels if level is not None]))


def _steps(unlearning: Unlearning) -> list[int]:
    """The saved steps, and the start."""
    return sorted(set(unlearning.steps) | {0})


def stops(case: Case, history: str, unlearning: Unlearning, level: float) -> tuple[list[int | None], list[int]]:
    """Return the first saved step at or past the level of each registered replicate, and its status.

    A run that never gets there, or stops being finite before, is CENSORED and stands nowhere (None).
    """
    table = case.table
    steps = _steps(unlearning)
    losses = np.array([loss(case, state_class(history, unlearning.name, step), "stopping") for step in steps])
    found: list[int | None] = [None] * table.N
    codes: list[int] = []
    for r in range(table.R):
        reached = [step for step, value in zip(steps, losses[:, r].tolist(), strict=True) if value >= level]
        if reached:
            found[r] = reached[0]
            codes.append(OK)
        elif np.isfinite(losses[-1, r]) or r in table.censored_by(history, unlearning.name, None):
            codes.append(CENSORED)
        else:
            codes.append(MISSING)
    return found, codes


def overshoot(case: Case, history: str, unlearning: Unlearning) -> tuple[Estimate, RunCounts] | None:
    """Return how far past its oracle's level a history stands where it is compared; None without a level.

    `mean_r l_judging,r(s_r) - c_judging`, with s_r the first saved step at which the stopping half is at or past
    c_stopping; both levels are means over oracles and are computed again at each removal (`estimated_level`).
    """
    oracle = StateClass(case.oracle_of[history], "", 0)
    stopping = estimated_level.mean_of_oracles(loss(case, oracle, "stopping"))
    judging = estimated_level.mean_of_oracles(loss(case, oracle, "judging"))
    if stopping is None:
        return None
    R, places = case.table.R, [state_class(history, unlearning.name, step) for step in _steps(unlearning)]
    until_RT, judged_RT = (np.array([loss(case, at, half)[:R] for at in places]).T for half in ("stopping", "judging"))
    past_LRT = until_RT[None] >= stopping.at_L[:, None, None]
    stopped_LR = judged_RT[np.arange(R), past_LRT.argmax(axis=2)]
    levels_L = judging.at_L if judging is not None else np.full(len(stopping.at_L), np.nan)
    over_LR = np.where(past_LRT.any(axis=2), stopped_LR, np.nan) - levels_L[:, None]
    number = estimated_level.jackknifed(over_LR, np.isfinite(over_LR[0]), stopping.oracles_N)
    estimate = of_jackknife(
        number,
        unit=case.table.units[FORGET_LOSS],
        undefined="no run reached the level, or no item is left to judge",
        method="loss of the judging half at the first saved step past the level, minus its own level; "
        "leave-one-replicate-out jackknife with the level computed again, t",
    )
    found = count(stops(case, history, unlearning, stopping.value)[1])
    return estimate, replace(found, lost_oracles=stopping.lost)


def findings(case: Case) -> Iterator[Finding]:
    """Overshoot of each history and unlearning at its oracle's level, on the judging half."""
    if not case.table.forget_item_names:
        return
    for history in case.unlearned:
        for unlearning in case.study.unlearnings:
            found = overshoot(case, history.name, unlearning)
            if found is None:
                continue
            estimate, counts = found
            yield conclude(
                Place(
                    contrast="forget_level",
                    quantity="overshoot",
                    probe=FORGET_LOSS,
                    unlearning=unlearning.name,
                    history=history.name,
                    alignment="at_forget_level",
                ),
                estimate,
                counts,
                rule=Rule.SIGNED,
                alpha=case.alpha,
                describes="how far past equal forgetting the runs stand when they are compared there",
            )
