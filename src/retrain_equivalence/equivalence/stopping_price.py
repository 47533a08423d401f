"""The price of a universal stopping time: what one step for all histories costs in distance to the oracle.

Legend: H histories, T saved steps (0 included), R replicates, N >= R oracle replicates.

Design. A step is chosen on the other replicates and judged on one. Choosing and judging on the same runs gives an
optimum over noise, which is never below 0 and above 0 without any path effect.

Interval. The folds choose on nearly the same runs and are judged by the same oracles, so their values are no sample: a
t interval over folds covers 92 % at n = 5 and 71 % at n = 20. The whole procedure is therefore repeated without a half
of the replicates, half by half (delete-half jackknife): 97 to 100 % in simulations with flat minima: conservative.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import PRIMARY_MEASURE, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, finite, of_jackknife, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import between, ratio
from retrain_equivalence.equivalence.measurements import OK, Floats, Pairs, StateClass, state_class
from retrain_equivalence.equivalence.oracle_distance import D_METHOD
from retrain_equivalence.equivalence.path_spread import orders
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_pairs, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

NOWHERE = -1
"""Index of a step where none can be chosen."""
CONTRAST = "stopping_price"
METHOD = "steps chosen on the other replicates, mean over replicates, delete-half jackknife, t (conservative; no test)"
AT_METHOD = f"at the step chosen on the other replicates: {D_METHOD}"
NAIVE_METHOD = "the same replicates choose and judge; no interval"
NO_ERRORS = (float("nan"), float("nan"))
HALVES = 70
"""Halves that are left out: all of them up to 8 replicates, so many drawn ones above."""
SHOWN_FROM = 5
"""Replicates from which what is left without a half has three, the fewest that can choose and judge."""
UNDEFINED = "undefined: some history has no distance to its oracle at some saved step, or there are too few replicates"
AGREED = "every history chose the common step on every set of the others: the price is 0, and without an interval"
NAIVE = "an optimum over noise: above 0 without any path effect, and so never the price"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The steps chosen without each replicate, and what they cost on it."""

    per_replicate_R: Floats
    """Mean over histories of `D_hr(common) - D_hr(own)`; nan where a run or a choice is missing."""
    worst_R: Floats
    """The same of the one history that pays most on the other replicates."""
    own_HR: NDArray[np.int64]
    """Index of each history's best step on the replicates other than r; -1 where there is none."""
    common_R: NDArray[np.int64]
    """Index of the step that is best on the mean over histories, on the replicates other than r."""
    naive: float
    """The price with all replicates choosing and judging: an optimum over noise."""


def price(distances_HTRN: Floats) -> Price:
    """Return the cross-fitted price of stopping all histories at one step.

    `price_r = mean_h [D_hr(t) - D_hr(t_h)]`, `D_hr(t)` = mean over oracles s != r of `d(u_hr(t), o_s)`; `t_h` is the
    step with the least mean over other runs q != r and oracles s not in {q, r}, and `t` that of the mean over h.
    Of equal steps the earliest is taken.

    Args:
        distances_HTRN: `[h, t, r, s]`, distance of run r of history h at step t to oracle replicate s; equal
            replicates are not read; nan where there is no distance.

    Source: cross-fitting (Chernozhukov et al. 2018) with replicates as folds. Deviations: oracles s serve choosing and
    judging; the folds share runs, so a t interval over r is approximate and no test stands on it.

    >>> far = np.array([[3.0, 1.0, 2.0], [3.0, 2.0, 1.0]])
    >>> found = price(np.broadcast_to(far[:, :, None, None], (2, 3, 4, 4)))
    >>> found.per_replicate_R.tolist(), found.own_HR[:, 0].tolist(), int(found.common_R[0]), found.naive
    ([0.5, 0.5, 0.5, 0.5], [1, 2], 1, 0.5)
    """
    histories, _, replicates, oracles = distances_HTRN.shape
    there = np.isfinite(distances_HTRN) & ~np.eye(replicates, oracles, dtype=bool)
    filled, counts = np.where(there, distances_HTRN, 0.0), there.astype(np.float64)
    total, count = filled.sum(axis=(2, 3)), counts.sum(axis=(2, 3))
    by_run, n_by_run = filled.sum(axis=3), counts.sum(axis=3)
    of_oracle, n_of_oracle = filled.sum(axis=2)[:, :, :replicates], counts.sum(axis=2)[:, :, :replicates]
    judged_HTR = ratio(by_run, n_by_run)
    others_HTR = ratio(total[:, :, None] - by_run - of_oracle, count[:, :, None] - n_by_run - n_of_oracle)
    own_HR, common_R = _least(others_HTR), _least(others_HTR.mean(axis=0, keepdims=True))[0]
    common_HR = np.tile(common_R, (histories, 1))
    cost_HR = _at(judged_HTR, common_HR) - _at(judged_HTR, own_HR)
    expected_HR = _at(others_HTR, common_HR) - _at(others_HTR, own_HR)
    dearest_R = np.where(np.isfinite(expected_HR), expected_HR, -np.inf).argmax(axis=0)
    whole_HT = ratio(total, count)
    return Price(
        per_replicate_R=cost_HR.mean(axis=0),
        worst_R=np.where(np.isfinite(cost_HR).all(axis=0), cost_HR[dearest_R, np.arange(replicates)], np.nan),
        own_HR=own_HR,
        common_R=common_R,
        naive=_naive(whole_HT),
    )


def halves(replicates: int, seed: int = 0) -> list[list[int]]:
    """Return the sets of replicates that stay when a half of them is left out, the larger half of an odd number.

    >>> halves(5)[:2], len(halves(8)), len(halves(12))
    ([[0, 1, 2], [0, 1, 3]], 70, 70)
    """
    kept = replicates - replicates // 2
    if math.comb(replicates, kept) <= HALVES:
        return [list(chosen) for chosen in combinations(range(replicates), kept)]
    random = np.random.Generator(np.random.Philox(key=[seed, replicates]))
    drawn = np.sort(np.argsort(random.random((HALVES, replicates)), axis=1)[:, :kept], axis=1)
    return [[int(r) for r in chosen] for chosen in drawn]


def standard_errors(distances_HTRN: Floats, *, seed: int = 0) -> tuple[float, float]:
    """Return the standard errors of the price and of the largest price; nan below `SHOWN_FROM` replicates.

    `se^2 = ((n - d) / d) mean over halves S of (theta_S - mean theta)^2`, `d = n // 2` replicates left out, runs and
    oracles alike, and every second oracle-only replicate.

    Args:
        distances_HTRN: as `price` takes them, all of them finite but for equal replicates.
        seed: of the halves that are drawn above 8 replicates.

    Source: delete-d jackknife, consistent where a statistic is not smooth, as a least value is (Shao and Wu 1989).
    """
    replicates, oracles = distances_HTRN.shape[2:]
    if replicates < SHOWN_FROM:
        return NO_ERRORS
    found = []
    for number, kept in enumerate(halves(replicates, seed)):
        more = [s for s in range(replicates, oracles) if (s + number) % 2 == 0]
        part = price(distances_HTRN[:, :, kept][:, :, :, kept + more])
        found.append((float(part.per_replicate_R.mean()), float(part.worst_R.mean())))
    left = replicates // 2
    one, two = np.sqrt((replicates - left) / left * np.var(found, axis=0)).tolist()
    return one, two


def _least(curves_HTR: Floats) -> NDArray[np.int64]:
    """Index of the least entry along the steps; -1 if a step is missing, since it might have been the best."""
    whole = np.isfinite(curves_HTR).all(axis=1)
    found: NDArray[np.int64] = np.where(whole, np.where(np.isfinite(curves_HTR), curves_HTR, np.inf).argmin(axis=1), -1)
    return found


def _at(curves_HTR: Floats, steps_HR: NDArray[np.int64]) -> Floats:
    found = np.take_along_axis(curves_HTR, np.maximum(steps_HR, 0)[:, None, :], axis=1)[:, 0, :]
    return np.where(steps_HR == NOWHERE, np.nan, found)


def _naive(whole_HT: Floats) -> float:
    if not np.isfinite(whole_HT).all():
        return float("nan")
    return float(whole_HT.mean(axis=0).min() - whole_HT.min(axis=1).mean())


@dataclass(frozen=True, kw_only=True)
class StoppingPrice:
    """The price at one unlearning and test set of a study, with the runs behind it."""

    steps: Sequence[int]
    """Saved steps, 0 included: what the indices of `price` mean."""
    price: Price
    histories: Sequence[str]
    at_own: Sequence[Estimate]
    """Distance to the oracle of each history at its own best step."""
    at_common: Sequence[Estimate]
    """Distance to the oracle of each history at the common step."""
    errors: tuple[float, float]
    """Standard errors of the price and of the largest price; nan where there is none."""
    counts: RunCounts
    unit: str

    @cached_property
    def mean(self) -> Estimate:
        """The price, mean over histories."""
        return self._of_folds(self.price.per_replicate_R, self.errors[0])

    @cached_property
    def largest(self) -> Estimate:
        """The price of the history that pays most."""
        return self._of_folds(self.price.worst_R, self.errors[1])

    @cached_property
    def naive(self) -> Estimate:
        """The optimum over noise."""
        value = finite(self.price.naive)
        return Estimate(
            value=value,
            se=None,
            n=self.mean.n,
            unit=self.unit,
            method=NAIVE_METHOD,
            needs=0,
            undefined=UNDEFINED if value is None else "",
        )

    def _of_folds(self, values_R: Floats, error: float) -> Estimate:
        found = of_sample(values_R, unit=self.unit, method=METHOD, undefined=UNDEFINED)
        # Where all halves chose alike every value is 0, and a spread of 0 would pretend to be sure of it.
        return replace(found, se=finite(error) or None, shows=SHOWN_FROM, sample_R=None)

    def step_of(self, chosen_R: NDArray[np.int64]) -> int | None:
        """Return the median of chosen steps (the lower one of two); null where none could be chosen."""
        steps = sorted(self.steps[index] for index in chosen_R.tolist() if index != NOWHERE)
        return steps[(len(steps) - 1) // 2] if steps else None


def stopping_price(case: Case, probe: str, test_set: str, unlearning: Unlearning) -> StoppingPrice | None:
    """Return the price of one step for all orders; null for a single order or a single step.

    Args:
        case: study and table.
        probe: full name of a distance.
        test_set: which texts.
        unlearning: its saved steps, and step 0, are what is chosen from.
    """
    table, R = case.table, case.table.R
    names = [history.name for history in orders(case)]
    steps = [0, *case.steps(probe, test_set, unlearning)]
    if len(names) < 2 or len(steps) < 2:
        return None
    wanted = [
        (state_class(name, unlearning.name, step), StateClass(case.oracle_of[name], "", 0))
        for name in names
        for step in steps
    ]
    stack, flags = table.stack(probe, test_set, wanted)
    values = stack.reshape(len(names), len(steps), table.N, table.N)[:, :, :R]
    codes, lost = [OK] * R, 0
    for index, (state, _) in enumerate(wanted):
        stopped = table.censored_by(state.history, unlearning.name, state.step)
        found, missing = status_of_pairs(Pairs(values_NN=stack[index], states_NN=flags[index]), R, table.N, stopped)
        codes, lost = worse(codes, found), lost + missing
    chosen, unit = price(values), table.units.get(probe, "")

    def at(history: int, index_R: NDArray[np.int64]) -> Estimate:
        # Rows are runs, each at the step that the others chose for it.
        picked = np.full((table.N, table.N), np.nan)
        for r, index in enumerate(index_R.tolist()):
            if index != NOWHERE:
                picked[r] = values[history, index, r]
        return of_jackknife(between(picked), unit=unit, method=AT_METHOD, undefined=UNDEFINED)

    whole = bool(np.isfinite(chosen.per_replicate_R).all())
    return StoppingPrice(
        steps=steps,
        price=chosen,
        histories=names,
        at_own=[at(index, chosen.own_HR[index]) for index in range(len(names))],
        at_common=[at(index, chosen.common_R) for index in range(len(names))],
        errors=standard_errors(values, seed=case.study.seed) if whole else NO_ERRORS,
        counts=replace(count(codes), lost_pairs=lost),
        unit=unit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One number of the price, and where it stands."""

    place: Place
    estimate: Estimate
    step: int | None
    """The median of the steps that were chosen; null for prices, which compare steps."""
    counts: RunCounts
    describes: str


def everywhere(case: Case) -> Iterator[Found]:
    """The price by the primary distance, for every test set and unlearning, and the distances that it is made of."""
    for probe, test_set in case.table.distance_probes:
        if measure_of(probe) != PRIMARY_MEASURE:
            continue
        for unlearning in case.study.unlearnings:
            found = stopping_price(case, probe, test_set, unlearning)
            if found is None:
                continue
            common = Place(
                contrast=CONTRAST,
                quantity="",
                probe=probe,
                test_set=test_set,
                unlearning=unlearning.name,
                alignment="at_common_step",
            )
            mean, largest = (
                "distance to the oracle at the one step best for all, minus at each one's own",
                "the price of the history that pays most on the other replicates",
            )
            for quantity, estimate, describes in (
                ("price", found.mean, mean if found.mean.se or found.mean.n < 2 else AGREED),
                ("largest price", found.largest, largest if found.largest.se or found.largest.n < 2 else AGREED),
                ("naive price", found.naive, NAIVE),
            ):
                place = replace(common, quantity=quantity)
                yield Found(place=place, estimate=estimate, step=None, counts=found.counts, describes=describes)
            for index, name in enumerate(found.histories):
                one = replace(common, history=name, other=case.oracle_of[name])
                yield Found(
                    place=replace(one, quantity="D_ho at own best step", alignment="at_best_step"),
                    estimate=found.at_own[index],
                    step=found.step_of(found.price.own_HR[index]),
                    counts=found.counts,
                    describes="distance to the oracle at the history's best step, chosen on the other replicates",
                )
                yield Found(
                    place=replace(one, quantity="D_ho at common best step"),
                    estimate=found.at_common[index],
                    step=found.step_of(found.price.common_R),
                    counts=found.counts,
                    describes="distance to the oracle at the one step best for all, chosen on the other replicates",
                )


def findings(case: Case) -> Iterator[Finding]:
    """All numbers of the price; a comparison marks the price itself. There is no verdict, and no test."""
    for found in everywhere(case):
        is_price = found.place.quantity == "price"
        comparisons = asked(case.study, CONTRAST, found.place.probe, "anywhere", distance=True) if is_price else []
        for comparison in each(comparisons):
            yield conclude(
                found.place,
                found.estimate,
                found.counts,
                rule=Rule.SIGNED,
                alpha=case.alpha,
                asked=comparison,
                describes=found.describes,
            )
