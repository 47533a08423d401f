"""The price of a universal stopping time, cross-fitted and naive.

Legend: M studies, H histories, T steps, R replicates, D coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import Question, Row, Run, report
from benchmarks.calibration.worlds import ORACLE, POSITIONS, half_squared, tree

from retrain_equivalence.equivalence import stopping_price
from retrain_equivalence.equivalence.measurements import Floats

RANK = 6
CURVE_T = np.array([2.0, 1.2, 1.0, 1.05, 1.3, 1.8])
"""Norm of the mean displacement from the oracle along the steps, flat around its least value."""
SHIFTED_T = np.array([1.05, 1.0, 1.2, 1.6, 2.2, 2.8])
"""The same of histories that are best at an earlier step."""


def curves(rng: np.random.Generator, studies: int, n: int, effect: bool) -> Floats:
    """Return distances of runs at each step to oracles of all replicates, [M, H, T, R, R]."""
    T = len(CURVE_T)
    base = tree(rng, (*POSITIONS, ORACLE), studies, n, dims=RANK)
    oracles, starts = base[:, :, -1], base[:, :, :-1]
    found = []
    for h in range(len(POSITIONS)):
        lengths = SHIFTED_T if effect and h % 2 else CURVE_T
        wander = np.cumsum(0.3 * rng.standard_normal((studies, T, n, RANK)), axis=1)
        by_step = [half_squared(starts[:, :, h] + wander[:, t] + lengths[t] / np.sqrt(RANK), oracles) for t in range(T)]
        found.append(np.stack(by_step, axis=1))
    return np.stack(found, axis=1)


def expected() -> float:
    """Return the true price with the effect, from the mean curves: noise adds the same to all histories at a step."""
    noise = 0.5 * RANK * (1 + 1 + 0.09 * np.arange(1, len(CURVE_T) + 1))
    means = noise + 0.5 * np.array([CURVE_T**2, SHIFTED_T**2])
    return float(means.mean(axis=0).min() - means.min(axis=1).mean())


def ask(run: Run) -> Iterator[Row]:
    """Mean and one-sided errors of the price without and with an effect of the history; the naive price."""
    rng = run.rng
    part = run.some(20)
    for n in (3, 5, 8, 10, 20):
        for effect in (False, True):
            values: list[Floats] = []
            naive: list[float] = []
            errors: list[float] = []
            for studies in run.chunks():
                for one in curves(rng, studies, n, effect):
                    found = stopping_price.price(one)
                    values.append(found.per_replicate_R)
                    naive.append(found.naive)
                    if len(errors) < part.studies and n >= stopping_price.SHOWN_FROM:
                        errors.append(stopping_price.standard_errors(one)[0])
            folds = batch.of_sample(np.array(values))
            setting = f"{'histories best at two steps' if effect else 'no effect of the history'}, n = {n}"
            mean = float(folds.value_M.mean())
            yield report(setting, "true price, in 1/100", 100 * (expected() if effect else 0.0), percent=False)
            if effect:
                yield report(setting, "mean price, in 1/100", 100 * mean, percent=False)
            else:
                # A price that is too high would claim an effect of the history: the side on which it must not err.
                high = 300 * float(folds.value_M.std()) / math.sqrt(run.studies)
                quantity = "mean price, must not be above 0, in 1/100"
                yield Row(setting=setting, quantity=quantity, value=100 * mean, high=high, percent=False)
                yield run.control(setting, "naive price, in 1/100", 100 * float(np.mean(naive)), 0.5, percent=False)
                yield run.control(setting, "naive price above 0", float(np.mean(np.array(naive) > 0)), 0.5)
            if errors:
                halves = batch.Estimates(value_M=folds.value_M[: len(errors)], se_M=np.array(errors), n=n)
                quantity = f"coverage of 95 % of the mean price, {part.studies:,} studies"
                yield report(setting, quantity, halves.covers(mean) / part.studies)
                if not effect:
                    above = float(np.mean(halves.bounds(0.9)[0] > 0))
                    quantity = f"lower one-sided 95 % bound above 0, {part.studies:,} studies"
                    yield part.approximate(setting, quantity, above)
            yield report(setting, "coverage of a t interval over folds", folds.covers(mean) / run.studies)


QUESTION = Question(
    name="price",
    title="Does a universal stopping time cost anything where it should not?",
    meaning="Four histories whose distance to the oracle has a flat least value at the same step, or at two different "
    "ones. Steps are chosen on other replicates than those that judge, so that without an effect the price is "
    "not above 0 on average; it lies below the true one, since few runs choose badly. Its interval, from "
    "leaving out halves of the replicates, is to lie above 0 in 6.5 % of studies at most where there is no "
    "effect. A t interval over folds would be too short, the more so the more replicates, because folds choose "
    "on nearly the same runs. No verdict and no star stands on the price. The naive one, choosing and judging "
    "on the same runs, is above 0 nearly always: the control.",
    ask=ask,
)
