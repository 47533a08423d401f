"""Does the gap between histories grow while unlearning? Slopes of its logarithm, beside those of seed pairs.

Windows are fixed by the study's steps, not by the data: *early* is the saved steps in [0, T/2], *late* those in
[T/2, T]; a window needs two steps. Bounded distances saturate: a gap near its ceiling cannot show a rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_equivalence.equivalence import path_gap
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, slope
from retrain_equivalence.equivalence.oracle_distance import SQUARED_MEASURES
from retrain_equivalence.equivalence.runs import RunCounts
from retrain_equivalence.equivalence.verdict import Place, Rule, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning

METHOD = "least-squares slope of the log over the window's saved steps, leave-one-replicate-out jackknife, t"
NOT_POSITIVE = (
    "undefined: the debiased gap, or one of its leave-one-out values, is not above 0 at every step of the window"
)
NOT_ESTABLISHED = "classes of growth need simultaneous intervals whose error rates have not been established"
UNIT = "log units/step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Slopes over one window."""

    path: Estimate
    """Of log G_ab."""
    seed: Estimate
    """Of log (D_aa + D_bb)/2."""
    difference: Estimate
    """Path minus seed: the slope of the log path-to-seed ratio."""
    counts: RunCounts


def windows(steps: list[int]) -> dict[str, list[int]]:
    """Return the declared windows that have at least two of the saved steps.

    >>> windows([0, 1, 2, 5, 10, 20, 30])
    {'early': [0, 1, 2, 5, 10], 'late': [20, 30]}
    """
    end = max(steps)
    both = {"early": [s for s in steps if 2 * s <= end], "late": [s for s in steps if 2 * s >= end]}
    return {name: chosen for name, chosen in both.items() if len(chosen) >= 2}


def growth(case: Case, probe: str, test_set: str, a: str, b: str, unlearning: Unlearning, steps: list[int]) -> Growth:
    """Return the slopes of the log path gap and of the log seed distance over some saved steps."""
    found = [path_gap.at_step(case, probe, test_set, a, b, unlearning.name, step) for step in steps]
    times = [float(step) for step in steps]
    of_path = slope([item.gap_number.log() for item in found], times)
    of_seed = slope([item.seed_number.log() for item in found], times)
    return Growth(
        path=_estimate(of_path),
        seed=_estimate(of_seed),
        difference=_estimate(of_path - of_seed),
        counts=max((item.counts for item in found), key=lambda counts: counts.registered - counts.ok),
    )


def _estimate(number: Jackknifed) -> Estimate:
    estimate = of_jackknife(number, unit=UNIT, method=METHOD, undefined=NOT_POSITIVE)
    if estimate.value is not None and estimate.se is None and estimate.n > 1:
        # A slope whose leave-one-out values are undefined has no interval, and without one it is no statement.
        return Estimate(
            value=None, se=None, n=estimate.n, unit=UNIT, method=METHOD, needs=estimate.needs, undefined=NOT_POSITIVE
        )
    return estimate


def findings(case: Case) -> Iterator[Finding]:
    """Slopes of every pair of histories, of the primary distances, over the early and the late window."""
    study = case.study
    for probe, test_set in case.table.distance_probes:
        comparisons = asked(study, "growth", probe, "anywhere", distance=True)
        if measure_of(probe) not in SQUARED_MEASURES or (measure_of(probe) == "jensen_shannon" and not comparisons):
            continue
        for unlearning in study.unlearnings:
            steps = [0, *case.steps(probe, test_set, unlearning)]
            for window, chosen in windows(steps).items():
                for a, b in case.pairs:
                    found = growth(case, probe, test_set, a, b, unlearning, chosen)
                    for quantity, estimate, judged, describes in (
                        ("path slope", found.path, comparisons, "above 0: the gap between the histories grows"),
                        ("seed slope", found.seed, [], "the same for two seeds of one history: the yardstick"),
                        ("path-to-seed slope", found.difference, [], "above 0: histories part faster than seeds do"),
                    ):
                        place = Place(
                            contrast="growth",
                            quantity=f"{window} {quantity}",
                            probe=probe,
                            test_set=test_set,
                            unlearning=unlearning.name,
                            history=a,
                            other=b,
                            alignment="window",
                            step=chosen[-1],
                        )
                        for comparison in each(judged):
                            yield conclude(
                                place,
                                estimate,
                                found.counts,
                                rule=Rule.SIGNED,
                                asked=comparison,
                                refusal=NOT_ESTABLISHED,
                                describes=describes,
                            )
