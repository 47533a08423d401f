"""Means over replicates: coverage of the t interval, size of the t-test, the three verdicts by TOST."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import CHECKED, Question, Row, Run, report, same
from benchmarks.calibration.worlds import CARRY, ORACLE, POSITIONS, scalars
from scipy import stats

from retrain_equivalence.equivalence import estimate, tost, verdict
from retrain_equivalence.equivalence.finding import Verdict
from retrain_equivalence.equivalence.measurements import Floats
from retrain_equivalence.equivalence.power import power_of_tost
from retrain_equivalence.equivalence.verdict import Rule

NUMBERS = (3, 5, 8, 10, 20)
MARGIN = 3.0
"""In standard deviations of the paired difference: far enough that no interval is wider than the margin's band."""


def differences(rng: np.random.Generator, studies: int, n: int, carry: float) -> Floats:
    """Return history minus oracle of the same replicate, [M, R]; the truth is 0."""
    values = scalars(rng, (POSITIONS[2], ORACLE), studies, n, carry=carry)
    return values[..., 0] - values[..., 1]


def agreement(values_MR: Floats, margin: float) -> float:
    """Return the largest difference of the batch form from the package's estimate, bounds, p-values and verdicts."""
    found = batch.of_sample(values_MR)
    low_M, high_M = found.bounds(0.9)
    p_M = 2 * stats.t.sf(np.abs(found.value_M) / found.se_M, found.n - 1)
    worst, verdicts = 0.0, np.zeros(3)
    for m, values in enumerate(values_MR):
        one = estimate.of_sample(values, unit="", method="", undefined="")
        low, high = one.bounds(0.9)
        assert one.value is not None and one.se is not None and low is not None and high is not None
        p = tost.paired_t(one.value, one.se, one.n)
        assert p is not None
        said = verdict.judge(low, high, margin, Rule.SIGNED)
        verdicts[[Verdict.EQUIVALENT, Verdict.DIFFERENT, Verdict.INCONCLUSIVE].index(said)] += 1
        by_tost = tost.tost(one.value, one.se, one.n, margin)
        assert by_tost is not None
        assert (by_tost < 0.05) == (said is Verdict.EQUIVALENT)
        worst = max(worst, abs(low - low_M[m]), abs(high - high_M[m]), abs(p - p_M[m]))
    return max(worst, float(np.abs(verdicts - found.verdicts(margin, Rule.SIGNED)).max()))


def ask(run: Run) -> Iterator[Row]:
    """Coverage and size at each n, verdict rates at the margin and at no effect."""
    rng = run.rng
    for noise, carry in CARRY.items():
        sd = float(np.std(differences(rng, 20_000, 2, carry)))
        for n in NUMBERS:
            covered = rejected = 0
            boundary, nothing = np.zeros(3), np.zeros(3)
            for studies in run.chunks():
                values = differences(rng, studies, n, carry)
                found = batch.of_sample(values)
                covered += found.covers(0.0)
                critical = estimate.t_quantile(0.975, n - 1)
                rejected += int(np.sum(np.abs(found.value_M) > critical * found.se_M))
                at_margin = batch.of_sample(values + MARGIN * sd)
                boundary += at_margin.verdicts(MARGIN * sd, Rule.SIGNED)
                nothing += found.verdicts(sd, Rule.SIGNED)
            name = f"noise {noise} along the tree, n = {n}"
            yield run.coverage(name, covered / run.studies)
            yield run.exact(name, "t-test: detections without an effect", rejected / run.studies)
            yield run.exact(name, "EQUIVALENT with the truth at the margin", boundary[0] / run.studies)
            yield run.exact(name, "DIFFERENT with the truth at the margin", boundary[1] / run.studies)
            yield report(name, "INCONCLUSIVE with the truth at the margin", boundary[2] / run.studies)
            stated = power_of_tost(1.0, n)
            yield run.power(name, "EQUIVALENT without an effect, margin 1 sd", nothing[0] / run.studies, stated)
        values = differences(rng, CHECKED, 6, carry)
        yield same(f"noise {noise} along the tree, n = 6", agreement(values, 1.5))


QUESTION = Question(
    name="means",
    title="Does the t interval cover, and does TOST err as often as it says?",
    meaning="A score of an unlearned model minus that of the oracle of the same replicate: the two share a prefix of "
    "the tree, their variances differ, and their items lie in clusters. The 95 % interval should miss in 5 % of"
    " studies. With the true difference on the margin, EQUIVALENT and DIFFERENT should each be wrong in 5 % of "
    "studies and INCONCLUSIVE come up in 90 %. Nothing here depends on how many items were scored: runs are the"
    " unit.",
    ask=ask,
)
