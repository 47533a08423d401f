"""What unlearning improved: is the metric nearer to the retrained runs than it was before?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from retrain_equivalence.equivalence.measurements import Flags
from retrain_equivalence.judging.judgement import Number, Sizes, jackknifed
from retrain_equivalence.judging.run_jackknife import of_groups
from retrain_equivalence.judging.runs import Runs, values_of

MOVED_NOTHING = "unlearning moved nothing: every unlearned run has the number that the run before has"


def of_runs(runs: Runs) -> Number:
    """Return `|mean unlearned - mean retrained| - |mean before - mean retrained|`; below 0 is nearer than before.

    Groups are taken as independent. A group of one run is held fixed: the interval is then for that model alone. Where
    the unlearned mean lies on the retrained one the absolute value makes unlearning look a little worse than it is.

    Returns:
        The number with a leave-one-run-out jackknife interval, in the metric's unit; undefined if a group has no value.

    Source: the contrast `improvement`, on the mean metric instead of a distance of predictions.
    """
    groups = [values_of(runs.unlearned), values_of(runs.retrained), values_of(runs.before)]
    n = Sizes(unlearned=len(groups[0]), retrained=len(groups[1]), before=len(groups[2]))
    quantity = f"|{runs.metric} from retrained|, unlearned minus before"
    if not all(len(group) for group in groups):
        return jackknifed(None, quantity=quantity, n=n, reason="undefined: a group has no run with a value")
    values_L = np.concatenate(groups)
    labels_L = np.repeat([0, 1, 2], [len(group) for group in groups])

    def closer(kept_L: Flags) -> float:
        unlearned, retrained, before = (values_L[kept_L & (labels_L == group)].mean() for group in range(3))
        return float(abs(unlearned - retrained) - abs(before - retrained))

    found = jackknifed(of_groups(closer, labels_L.tolist()), quantity=quantity, n=n, reason="")
    if len(set(groups[0].tolist()) | set(groups[2].tolist())) == 1:
        return replace(found, reason=MOVED_NOTHING)
    fixed = [
        name
        for name, count in (("unlearned", n.unlearned), ("retrained", n.retrained), ("before", n.before))
        if count == 1
    ]
    held = f"; one {' and one '.join(fixed)} run held fixed" if fixed else ""
    if found.low is None or found.high is None:
        return replace(found, reason=f"no interval{held}")
    if found.high < 0:
        return replace(found, reason=f"nearer to the retrained runs than before unlearning{held}")
    if found.low > 0:
        return replace(found, reason=f"farther from the retrained runs than before unlearning{held}")
    return replace(found, reason=f"neither nearer nor farther can be told{held}")
