"""Signed difference of a scalar probe to the retrain oracle, paired by replicate.

The equal-seed oracle is allowed here: a difference of means is unbiased whatever the two runs share, and pairing takes
their common noise out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import along
from retrain_equivalence.equivalence.estimate import Estimate, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import OK, StateClass, state_class
from retrain_equivalence.equivalence.path_gap import t_test
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_scalars, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.study.study import Comparison

METHOD = "history minus oracle of the same replicate, t (TOST against the margin)"
ITS_OWN_ORACLE = "undefined: the replayed model is its own oracle, so the difference is 0 by construction"
NOT_BAND = "a signed difference needs a margin in its own unit, not a multiple of the band"


def difference(case: Case, probe: str, history: str, unlearning: str, step: int) -> tuple[Estimate, RunCounts]:
    """Return the mean over replicates of probe(history) - probe(own-order oracle), and the runs behind it."""
    table = case.table
    if case.is_own_oracle(history, unlearning, step):
        nothing = np.full(table.R, np.nan)
        estimate = of_sample(nothing, unit=table.units.get(probe, ""), method=METHOD, undefined=ITS_OWN_ORACLE)
        return estimate, count([OK] * table.R)
    here = table.scalar(probe, state_class(history, unlearning, step))
    oracle = table.scalar(probe, StateClass(case.oracle_of[history], "", 0))
    codes = worse(
        status_of_scalars(here.states_N, table.R, table.censored_by(history, unlearning, step)),
        status_of_scalars(oracle.states_N, table.R, set()),
    )
    estimate = of_sample(
        (here.values_N - oracle.values_N)[: table.R],
        unit=table.units.get(probe, ""),
        method=METHOD,
        undefined="undefined: no replicate has both the history and its oracle here",
    )
    return estimate, count(codes)


def findings(case: Case) -> Iterator[Finding]:
    """Differences of every scalar probe: trained ('do nothing'), at the end, and at each step that was declared."""
    for probe in case.table.scalar_probes:
        if probe.startswith("stage_loss:"):
            continue
        places: list[tuple[str, int, str, list[Comparison]]] = [("", 0, "trained", [])]
        for unlearning in case.study.unlearnings:
            places += [
                (unlearning.name, step, where, comparisons)
                for step, where, comparisons in along(case, "difference", probe, "", unlearning)
                if where == "at_end" or comparisons
            ]
        for history in case.histories:
            for unlearning_name, step, where, comparisons in places if case.unlearnings_of(history) else places[:1]:
                estimate, counts = difference(case, probe, history.name, unlearning_name, step)
                place = Place(
                    contrast="difference",
                    quantity="history-oracle",
                    probe=probe,
                    unlearning=unlearning_name,
                    history=history.name,
                    other=case.oracle_of[history.name],
                    alignment=where,
                    step=step,
                )
                for comparison in each(comparisons):
                    yield conclude(
                        place,
                        estimate,
                        counts,
                        rule=Rule.SIGNED,
                        alpha=case.alpha,
                        asked=comparison,
                        paired=True,
                        refusal=NOT_BAND if by_band(comparison) else "",
                        test=t_test(estimate),
                        describes="signed difference to the oracle of one seed; 0 if unlearning equals retraining",
                    )
