"""Distances between runs, and the band: how far retrained runs are from each other.

Legend: L unlearned and retrained runs together, I items.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from retrain_equivalence.equivalence.estimate import finite
from retrain_equivalence.equivalence.measurements import Flags, Floats
from retrain_equivalence.judging import forget_quality
from retrain_equivalence.judging.evaluation_log import FORGET_QUALITY
from retrain_equivalence.judging.forget_quality import mean_across, mean_among
from retrain_equivalence.judging.judgement import ONE_ORACLE, Number, Sizes, jackknifed
from retrain_equivalence.judging.run_jackknife import of_groups
from retrain_equivalence.judging.runs import Runs, matrix_of, values_of

QUANTITY = "distance to retrained runs / among retrained runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Distances between all unlearned and retrained runs that could be measured."""

    distance_LL: Floats
    """Mean over items of the absolute difference; of the runs' own numbers where no items were logged; for forget
    quality the KS distance."""
    unlearned_L: Flags
    n_items: int
    """Items behind a distance; 0 where runs were compared by their own number."""
    left_out: int
    """Items that some run left undefined."""

    @property
    def n(self) -> Sizes:
        """How many runs of each group there are."""
        return Sizes(unlearned=int(self.unlearned_L.sum()), retrained=int((~self.unlearned_L).sum()))


def distances_of(runs: Runs) -> Distances:
    """Return the distances between runs.

    `d(r, s) = mean_i |x_ri - x_si|`: the energy distance that is made from it is then the mean over items of the
    one-dimensional energy distances of the items' laws.

    Raises:
        InputError: E-DATA-145 if two runs were evaluated on different items.
    """
    listed = [*runs.unlearned, *runs.retrained]
    unlearned_L = np.arange(len(listed)) < len(runs.unlearned)
    if runs.metric == FORGET_QUALITY:
        ratios = [forget_quality.ratios_of(run) for run in listed]
        kept_L = np.array([len(found) > 0 for found in ratios])
        scored = [found for found in ratios if len(found)]
        return Distances(
            distance_LL=forget_quality.distances(scored)[0],
            unlearned_L=unlearned_L[kept_L],
            n_items=min((len(found) for found in scored), default=0),
            left_out=0,
        )
    values_LI, left_out = matrix_of([run.items for run in listed], [run.name for run in listed])
    n_items = values_LI.shape[1]
    if not n_items:
        unlearned_L = unlearned_L[np.array([run.value is not None for run in listed])]
        values_LI = values_of(listed)[:, None]
    return Distances(distance_LL=_absolute(values_LI), unlearned_L=unlearned_L, n_items=n_items, left_out=left_out)


def _absolute(values_LI: Floats) -> Floats:
    n = len(values_LI)
    return np.array([np.abs(values_LI - one_I).mean(axis=1) for one_I in values_LI]).reshape(n, n)


def of_distances(found: Distances) -> Number:
    """Return `D_uo / D_oo` over pairs of different runs, with a jackknife interval on the log scale.

    1 is what one more retrained run has; below 1 is possible for runs that vary less than retrained ones do.

    Source: the relative distance `R_h` of `equivalence.oracle_distance`, with independent runs in place of replicates.
    """
    n = found.n
    if not n.unlearned or n.retrained < 2:
        reason = ONE_ORACLE if n.retrained == 1 else "undefined: a group has no run with a value"
        return jackknifed(None, quantity=QUANTITY, n=n, reason=reason)
    distance_LL, unlearned_L = found.distance_LL, found.unlearned_L
    across, among = mean_across(distance_LL, unlearned_L, ~unlearned_L), mean_among(distance_LL, ~unlearned_L)
    if not (across > 0 and among > 0):
        return jackknifed(None, quantity=QUANTITY, n=n, reason="undefined: runs at no distance from each other")
    says = f"{across:.4g} to a retrained run, {among:.4g} between retrained runs; one more retrained run would have 1"
    if n.retrained < 3:
        pair = jackknifed(None, quantity=QUANTITY, n=n, reason=f"{says}; no interval from one pair")
        return replace(pair, estimate=across / among)

    def log_ratio(kept_L: Flags) -> float:
        one, two = unlearned_L & kept_L, ~unlearned_L & kept_L
        return _log(mean_across(distance_LL, one, two)) - _log(mean_among(distance_LL, two))

    on_log = jackknifed(of_groups(log_ratio, np.where(unlearned_L, 0, 1).tolist()), quantity=QUANTITY, n=n, reason=says)
    return replace(
        on_log,
        estimate=_exp(on_log.estimate),
        low=_exp(on_log.low),
        high=_exp(on_log.high),
        method="leave-one-run-out jackknife on the log scale",
    )


def _log(value: float) -> float:
    """Return the logarithm; nan for 0, so that an interval with it is undefined."""
    return math.log(value) if value > 0 else math.nan


def _exp(value: float | None) -> float | None:
    return None if value is None or value > 700 else finite(math.exp(value))
