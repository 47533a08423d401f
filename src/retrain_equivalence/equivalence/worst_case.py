"""What runs that did not reach the level might have shown: bounds without imputation, from the range of a distance."""

from __future__ import annotations

import math
from collections.abc import Iterator

from retrain_equivalence.equivalence.declared import measure_of
from retrain_equivalence.equivalence.estimate import Estimate
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.runs import RunCounts
from retrain_equivalence.equivalence.verdict import Place, at_place

CEILINGS = {"hellinger": 1.0, "squared_l2": 2.0, "jensen_shannon": math.log(2), "total_variation": 1.0}
"""The largest value of each bounded distance; no other has a worst case."""
METHOD = "worst case over the runs that are not there: each of their distances between 0 and {ceiling:.3g}; no interval"
REASON = (
    "undefined: {gone} of {registered} runs did not reach the level; whatever they had shown there, "
    "the number over all runs lies between these bounds"
)


def bounds(value: float, share: float, ceiling: float) -> tuple[float, float]:
    """Return the least and the largest mean over all, of which a share has this mean and the rest lies in 0..ceiling.

    >>> bounds(0.5, 0.75, 1.0)
    (0.375, 0.625)
    """
    return share * value, share * value + (1 - share) * ceiling


def of_distance(place: Place, raw: Estimate, counts: RunCounts) -> Iterator[Finding]:
    """Bound the mean distance to the oracle over all registered runs; nothing if all of them reached the level.

    Args:
        place: what it is about.
        raw: mean over the runs that reached it.
        counts: the runs.
    """
    ceiling = CEILINGS.get(measure_of(place.probe))
    if not counts.censored or ceiling is None or raw.value is None:
        return
    yield _finding(place, raw, counts, ceiling, *bounds(raw.value, counts.ok / counts.registered, ceiling))


def of_gap(place: Place, gap: Estimate, counts: RunCounts) -> Iterator[Finding]:
    """Bound the debiased gap over all registered replicates; nothing if all of them reached the level.

    `G = D_ab - (D_aa + D_bb)/2` over pairs of replicates: of these a share is known, and the rest adds at most the
    ceiling from `D_ab` and takes at most the ceiling by `D_aa` and `D_bb`.

    Args:
        place: what it is about.
        gap: over the replicates in which both runs reached it.
        counts: the replicates.
    """
    ceiling = CEILINGS.get(measure_of(place.probe))
    if not counts.censored or ceiling is None or gap.estimate is None:
        return
    share = counts.ok * (counts.ok - 1) / (counts.registered * (counts.registered - 1))
    known, slack = share * gap.estimate, (1 - share) * ceiling
    yield _finding(place, gap, counts, ceiling, known - slack, known + slack)


def _finding(place: Place, estimate: Estimate, counts: RunCounts, ceiling: float, low: float, high: float) -> Finding:
    return at_place(
        place,
        counts,
        estimate=None,
        low=low,
        high=high,
        n=counts.ok,
        unit=estimate.unit,
        method=METHOD.format(ceiling=ceiling),
        reason=REASON.format(gone=counts.registered - counts.ok, registered=counts.registered),
    )
