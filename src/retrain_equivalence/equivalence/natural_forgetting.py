"""Natural forgetting: each stage's loss before the stage, after it, at the end of the history, and at the oracle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.estimate import Estimate, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import MISSING, OK, Floats, StateClass
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_scalars
from retrain_equivalence.equivalence.verdict import Place, Rule, conclude
from retrain_equivalence.histories.history import BASE, History

WHEN = ("before", "after", "end", "oracle")
METHOD = "mean over the stage's recorded rows, then over replicates, t"


def node(history: History, index: int, when: str) -> History:
    """Return the part of a history whose end is meant by `when` of its stage number `index` (0-based)."""
    if when == "oracle":
        return history.oracle()
    length = {"before": index, "after": index + 1, "end": len(history.stages)}[when]
    return History(stages=history.stages[:length], shuffle=history.shuffle)


def _values(case: Case, probe: str, node: History) -> tuple[Floats, list[int]]:
    """Losses of the registered replicates at a node; a base made once per study serves every replicate."""
    table = case.table
    found = table.scalar(probe, StateClass(node.name, "", 0))
    if not node.stages and node.shuffle and not table.has_scalar(probe, StateClass(node.name, "", 0)):
        found = table.scalar(probe, StateClass(BASE, "", 0))
    values, codes = found.values_N[: table.R].copy(), status_of_scalars(found.states_N, table.R, set())
    if not node.stages and codes[0] == OK and all(code == MISSING for code in codes[1:]):
        values[:] = values[0]
        codes = [OK] * table.R
    return values, codes


def stage_loss(case: Case, history: History, index: int, when: str) -> tuple[Estimate, RunCounts]:
    """Return the loss on the rows of the history's stage number `index` (0-based), nats/token.

    Args:
        case: study and table.
        history: whose stage.
        index: which stage.
        when: `before` and `after` that stage, `end` of the history, or its `oracle`.
    """
    probe = f"stage_loss:{history.stages[index].name}"
    values, codes = _values(case, probe, node(history, index, when))
    if (
        np.isfinite(values).sum() > 1
        and np.ptp(values[np.isfinite(values)]) == 0
        and not node(history, index, when).stages
    ):
        # One base for all replicates has no spread over them: the number is exact, an interval would pretend otherwise.
        estimate = Estimate(
            value=float(values[np.isfinite(values)][0]),
            se=None,
            n=1,
            unit=case.table.units.get(probe, ""),
            method=METHOD,
            needs=0,
        )
    else:
        estimate = of_sample(
            values,
            unit=case.table.units.get(probe, ""),
            method=METHOD,
            undefined="undefined: the table has no such loss",
        )
    return estimate, count(codes)


def findings(case: Case) -> Iterator[Finding]:
    """Every stage of every history, at each of the four moments that the table knows."""
    known = set(case.table.scalar_probes)
    for history in case.histories:
        for index, stage in enumerate(history.stages):
            if f"stage_loss:{stage.name}" not in known:
                continue
            for when in WHEN:
                estimate, counts = stage_loss(case, history, index, when)
                place = Place(
                    contrast="natural_forgetting",
                    quantity=when,
                    probe=f"stage_loss:{stage.name}",
                    history=history.name,
                    other=case.oracle_of[history.name] if when == "oracle" else "",
                    alignment="trained",
                    step=0,
                )
                yield conclude(
                    place,
                    estimate,
                    counts,
                    rule=Rule.SIGNED,
                    alpha=case.alpha,
                    describes=f"loss on the stage's own rows ({when})",
                )
