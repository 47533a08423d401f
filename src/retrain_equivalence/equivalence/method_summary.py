"""What each unlearning did, over all histories: forgetting, utility, nearness to the oracles, collapse and divergence.

Every number is a mean over histories within a replicate, so that replicates stay the independent units; `at_end` is the
last saved step, `at_forget_level` the first saved step at or past the oracle's forget level, run by run. At the level
forgetting is read on the half of the forget items that did not stop the run, and a replicate of which one history never
gets there does not count: `reached` says how many runs did.

A run *collapsed* if, on every retain stage whose answers are probed, it gives the answers a larger loss than the base
model does, which has learned none of them. Compared are `-answer_logprob:<stage>` of the run and `stage_loss:<stage>`
of the base: one quantity, nats per token of the whole answer, on rows of one order, of which `stage_loss` reads the
first few. Where no retain stage has both, nothing is said.

Legend: R replicates of the study, N with oracle-only ones, H histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from retrain_equivalence.equivalence import forget_level
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.difference import ITS_OWN_ORACLE
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife, of_sample
from retrain_equivalence.equivalence.jackknife import Jackknifed, between
from retrain_equivalence.equivalence.measurements import FORGET_LOSS, OK, Floats, StateClass, state_class
from retrain_equivalence.histories.history import BASE, Role

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

Alignment = Literal["at_end", "at_forget_level"]
ALIGNMENTS: tuple[Alignment, ...] = ("at_end", "at_forget_level")
STAGE_LOSS, ANSWERS = "stage_loss", "answer_logprob"

MEAN_METHOD = "mean over histories within a replicate, then over replicates, t"
NEARER_METHOD = "D_ho(after) - D_ho(0), mean over histories, joint leave-one-replicate-out jackknife, t"
UNDEFINED = "undefined: no replicate has every history here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Where the runs of an unlearning are looked at."""

    steps: dict[str, list[int | None]]
    """History -> step of each of N replicates; None: nowhere."""
    reached: int
    """Runs that are somewhere, of all registered ones of all histories."""
    runs: int


def stops(case: Case, unlearning: Unlearning, alignment: Alignment) -> Stops | None:
    """Return where each run is looked at; None if there is no forget level."""
    table = case.table
    found: dict[str, list[int | None]] = {}
    reached = 0
    for history in case.unlearned:
        if alignment == "at_end":
            found[history.name] = [case.last(unlearning) if r < table.R else None for r in range(table.N)]
            continue
        level = forget_level.oracle_level(case, case.oracle_of[history.name], "stopping")
        if level is None or not table.forget_item_names:
            return None
        where, codes = forget_level.stops(case, history.name, unlearning, level)
        found[history.name] = where
        reached += codes.count(OK)
    if alignment == "at_end":
        level_stops = stops(case, unlearning, "at_forget_level")
        reached = level_stops.reached if level_stops else 0
    return Stops(steps=found, reached=reached, runs=table.R * len(found))


def _own_steps(values: dict[int, Floats], where: list[int | None]) -> Floats:
    """One value per replicate, each at its own step."""
    return np.array([values[step][r] if step is not None else np.nan for r, step in enumerate(where)])


def _mean_over(rows: list[Floats], R: int) -> Floats:
    """Mean over histories of each registered replicate; nan where one is missing."""
    return np.mean([row[:R] for row in rows], axis=0) if rows else np.full(R, np.nan)


def forgetting(
    case: Case, unlearning: Unlearning, alignment: Alignment, at: Stops
) -> tuple[Estimate, Estimate, Estimate]:
    """Return the mean forget loss before, after, and of the oracles, nats/token."""
    half: forget_level.Half = "all" if alignment == "at_end" else "judging"
    R = case.table.R
    before, after, level = [], [], []
    for name, where in at.steps.items():
        before.append(forget_level.loss(case, state_class(name, unlearning.name, 0), half))
        at_step = {
            step: forget_level.loss(case, state_class(name, unlearning.name, step), half)
            for step in sorted({step for step in where if step is not None})
        }
        after.append(_own_steps(at_step, where))
        level.append(forget_level.loss(case, StateClass(case.oracle_of[name], "", 0), half))
    unit = case.table.units.get(FORGET_LOSS, "")
    one, two, three = (
        of_sample(_mean_over(rows, R), unit=unit, method=MEAN_METHOD, undefined=UNDEFINED)
        for rows in (before, after, level)
    )
    return one, two, three


def utility(case: Case, probe: str, unlearning: Unlearning, at: Stops) -> Estimate:
    """Return a probe after unlearning minus the own oracle's of the same replicate, in the probe's unit."""
    rows = []
    for name, where in at.steps.items():
        if any(step is not None and case.is_own_oracle(name, unlearning.name, step) for step in where):
            nothing = np.full(case.table.R, np.nan)
            unit = case.table.units.get(probe, "")
            return of_sample(nothing, unit=unit, method=MEAN_METHOD, undefined=ITS_OWN_ORACLE)
        at_step = {
            step: case.table.scalar(probe, state_class(name, unlearning.name, step)).values_N
            for step in sorted({step for step in where if step is not None})
        }
        oracle = case.table.scalar(probe, StateClass(case.oracle_of[name], "", 0)).values_N
        rows.append(_own_steps(at_step, where) - oracle)
    return of_sample(
        _mean_over(rows, case.table.R), unit=case.table.units.get(probe, ""), method=MEAN_METHOD, undefined=UNDEFINED
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """Distance to the independent oracles of the own order, before and after."""

    before_bands: float | None
    """Mean over histories of `D_ho / D_oo` of the trained ends."""
    after_bands: float | None
    improvement: Estimate
    """After minus before in the distance's unit; below 0: unlearning came nearer."""


def nearness(case: Case, probe: str, test_set: str, unlearning: Unlearning, at: Stops) -> Nearness:
    """Return how near the histories are to independent oracles, over the pairs that both ends have."""
    table = case.table
    changes: list[Jackknifed] = []
    before_bands: list[float] = []
    after_bands: list[float] = []
    for name, where in at.steps.items():
        oracle = case.oracle_of[name]
        here = (name, unlearning.name, where)
        after = table.pairs_at_own_steps(probe, test_set, here, (oracle, "", [0] * table.N)).values_NN
        before = table.pairs(probe, test_set, state_class(name, "", 0), StateClass(oracle, "", 0)).values_NN
        both = np.isfinite(after) & np.isfinite(before)
        changes.append(between(np.where(both, after - before, np.nan)))
        band = case.band(probe, test_set, oracle).value
        for values, found in ((before, before_bands), (after, after_bands)):
            found.append(between(np.where(both, values, np.nan)).value / band if band > 0 else float("nan"))
    total = (1 / len(changes)) * changes[0]
    for change in changes[1:]:
        total = total + (1 / len(changes)) * change
    return Nearness(
        before_bands=_mean(before_bands),
        after_bands=_mean(after_bands),
        improvement=of_jackknife(
            total, unit=table.units.get(probe, ""), method=NEARER_METHOD, undefined="undefined: distances are missing"
        ),
    )


def _mean(values: list[float]) -> float | None:
    mean = float(np.mean(values)) if values else float("nan")
    return mean if np.isfinite(mean) else None


def collapse_stages(case: Case) -> list[str]:
    """Return the retain stages on which collapse can be told: answers probed, and the base's loss known."""
    base = StateClass(BASE, "", 0)
    return [
        stage.name
        for stage in case.study.stages
        if stage.role is Role.RETAIN
        and f"{ANSWERS}:{stage.name}" in case.table.scalar_probes
        and case.table.has_scalar(f"{STAGE_LOSS}:{stage.name}", base)
    ]


def collapsed(case: Case, unlearning: Unlearning, at: Stops) -> tuple[int, int] | None:
    """Return how many runs are worse than the base model on every retain stage, and of how many that can be told.

    A run that left the numbers, or never reached the place, is not among the latter. None if no stage can tell.
    """
    stages = collapse_stages(case)
    if not stages:
        return None
    table, worse, told = case.table, 0, 0
    for name, where in at.steps.items():
        is_worse, is_told = np.ones(table.N, dtype=bool), np.ones(table.N, dtype=bool)
        for stage in stages:
            base = table.scalar(f"{STAGE_LOSS}:{stage}", StateClass(BASE, "", 0)).values_N
            # A base that is made once serves every replicate.
            base = base if np.isfinite(base[1:]).any() else np.full_like(base, base[0])
            at_step = {
                step: -table.scalar(f"{ANSWERS}:{stage}", state_class(name, unlearning.name, step)).values_N
                for step in sorted({step for step in where if step is not None})
            }
            losses = _own_steps(at_step, where)
            is_worse &= losses > base
            is_told &= np.isfinite(losses) & np.isfinite(base)
        worse += int(is_worse[: table.R].sum())
        told += int(is_told[: table.R].sum())
    return worse, told


def diverged(case: Case, unlearning: Unlearning) -> int:
    """Return how many runs stopped being finite at any step."""
    return sum(len(case.table.censored_by(h.name, unlearning.name, None)) for h in case.unlearned)
