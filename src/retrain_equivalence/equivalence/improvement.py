"""Did unlearning bring the model nearer to the oracle than doing nothing? Natural forgetting may have done it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import asked
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import between
from retrain_equivalence.equivalence.measurements import StateClass, state_class
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_pairs, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, by_band, conclude, each

METHOD = "D_ho(end) - D_ho(0) over the same pairs of different replicates, joint leave-one-replicate-out jackknife, t"
NOT_BAND = (
    "an improvement is a signed difference: its margin is a value in the distance's unit, not a multiple of the band"
)


def improvement(
    case: Case, probe: str, test_set: str, history: str, unlearning: str, step: int
) -> tuple[Estimate, RunCounts]:
    """Return `D_ho(step) - D_ho(0)`, negative if unlearning came nearer, over pairs that both have."""
    table = case.table
    oracle = StateClass(case.oracle_of[history], "", 0)
    after = table.pairs(probe, test_set, state_class(history, unlearning, step), oracle)
    before = table.pairs(probe, test_set, state_class(history, "", 0), oracle)
    both = np.isfinite(after.values_NN) & np.isfinite(before.values_NN)
    change = between(np.where(both, after.values_NN - before.values_NN, np.nan))
    codes_after, lost_after = status_of_pairs(after, table.R, table.N, table.censored_by(history, unlearning, step))
    codes_before, lost_before = status_of_pairs(before, table.R, table.N, set())
    found = count(worse(codes_after, codes_before))
    estimate = of_jackknife(
        change,
        unit=table.units.get(probe, ""),
        method=METHOD,
        undefined="undefined: the table lacks the distance to the oracle before or after unlearning",
    )
    return estimate, replace(found, lost_pairs=max(lost_after, lost_before))


def findings(case: Case) -> Iterator[Finding]:
    """The improvement of every unlearned history at the end of every unlearning."""
    for probe, test_set in case.table.distance_probes:
        comparisons = asked(case.study, "improvement", probe, "anywhere", distance=True)
        for unlearning in case.study.unlearnings:
            last = case.last(unlearning)
            if last not in case.steps(probe, test_set, unlearning) and not comparisons:
                continue
            for history in case.unlearned:
                estimate, counts = improvement(case, probe, test_set, history.name, unlearning.name, last)
                place = Place(
                    contrast="improvement",
                    quantity="D_ho(end)-D_ho(0)",
                    probe=probe,
                    test_set=test_set,
                    unlearning=unlearning.name,
                    history=history.name,
                    other=case.oracle_of[history.name],
                    step=last,
                )
                for comparison in each(comparisons):
                    yield conclude(
                        place,
                        estimate,
                        counts,
                        rule=Rule.SIGNED,
                        alpha=case.alpha,
                        asked=comparison,
                        refusal=NOT_BAND if by_band(comparison) else "",
                        describes="below 0: unlearning came nearer to the oracle than doing nothing",
                    )
