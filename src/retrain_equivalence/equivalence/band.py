"""The null band: how far independent retrained models are from each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.estimate import Estimate, nothing, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import StateClass
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_pairs
from retrain_equivalence.equivalence.verdict import Place, Rule, conclude

ONE_RUN = "undefined: one oracle run has no distance to another"
ONE_ORDER = "undefined: one oracle (all histories share one order without the forget stage)"
METHOD = "mean over pairs of different oracle replicates, leave-one-replicate-out jackknife, t"


def band(case: Case, probe: str, test_set: str, oracle: str, other: str = "") -> tuple[Estimate, RunCounts]:
    """Return `D_oo = mean over r != s of d(o_r, o_s)` with its interval, and the oracle runs behind it.

    Args:
        case: study and table.
        probe: full name of a distance.
        test_set: which texts.
        oracle: name of the oracle.
        other: name of another oracle for the distance across orders; empty within one order.
    """
    table = case.table
    estimate = of_jackknife(
        case.band(probe, test_set, oracle, other or None),
        unit=table.units.get(probe, ""),
        method=METHOD,
        undefined=ONE_RUN,
    )
    pairs = table.pairs(probe, test_set, StateClass(oracle, "", 0), StateClass(other or oracle, "", 0))
    codes, lost = status_of_pairs(pairs, table.N, table.N, set())
    found = count(codes)
    return estimate, replace(found, lost_pairs=lost)


def findings(case: Case) -> Iterator[Finding]:
    """The band of every distance on every test set: per oracle order, and across orders where there are several."""
    for probe, test_set in case.table.distance_probes:
        for index, oracle in enumerate(case.oracles):
            estimate, counts = band(case, probe, test_set, oracle)
            place = Place(
                contrast="band",
                quantity="D_oo",
                probe=probe,
                test_set=test_set,
                history=oracle,
                alignment="trained",
                step=0,
            )
            yield conclude(
                place,
                estimate,
                counts,
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                describes="how far two models retrained without the forget stage are from each other",
            )
            for other in case.oracles[index + 1 :]:
                across, counts = band(case, probe, test_set, oracle, other)
                place = Place(
                    contrast="band",
                    quantity="D_oo across orders",
                    probe=probe,
                    test_set=test_set,
                    history=oracle,
                    other=other,
                    alignment="trained",
                    step=0,
                )
                yield conclude(
                    place,
                    across,
                    counts,
                    rule=Rule.DISTANCE,
                    alpha=case.alpha,
                    describes="how far models retrained in two orders are from each other",
                )
        if len(case.oracles) == 1:
            place = Place(
                contrast="band",
                quantity="D_oo across orders",
                probe=probe,
                test_set=test_set,
                history=case.oracles[0],
                alignment="trained",
                step=0,
            )
            none = nothing(unit=case.table.units.get(probe, ""), method=METHOD, undefined=ONE_ORDER)
            yield conclude(
                place,
                none,
                count([]),
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                describes="",
            )
