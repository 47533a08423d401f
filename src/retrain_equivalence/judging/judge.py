"""`judge`: runs of an unlearned model against runs of a retrained one, with one of the three verdicts.

The number that is judged is the difference of the groups' mean metric (Welch); for forget quality it is the KS distance
beyond the retrained models' own (jackknife). Beside it, described without a verdict: the band among retrained runs, the
laws of the items (energy distance, permutation of whole runs), and what unlearning improved over `before`.

Runs are the unit and the two groups must be independent: a retrained model that shares a seed or a prefix of its
training with an unlearned one is coupled to it, and nearer than a retrained model would be.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrain_equivalence.equivalence import permutation, welch
from retrain_equivalence.equivalence.estimate import JACKKNIFE_NEEDS, T_NEEDS
from retrain_equivalence.equivalence.finding import ALPHA, LEVEL, Verdict
from retrain_equivalence.equivalence.verdict import Rule
from retrain_equivalence.judging import band, forget_quality, improvement
from retrain_equivalence.judging.band import Distances
from retrain_equivalence.judging.deciding import Decision, Reading, decide
from retrain_equivalence.judging.evaluation_log import FORGET_QUALITY
from retrain_equivalence.judging.judgement import ONE_ORACLE, Judgement, Laws, Number, Sizes, Spread, jackknifed
from retrain_equivalence.judging.runs import Group, Run, Runs, values_of

INDEPENDENT = (
    "The groups are taken as independent: no retrained run may share a seed or a prefix with an unlearned one."
)
ONE_START = (
    "Runs that were all unlearned from one model say how that model would do, not how the method does on another one."
)


def judge(runs: Runs, *, margin: float, rationale: str, seed: int = 0) -> Judgement:
    """Judge one metric.

    Args:
        runs: at least one unlearned and one retrained run.
        margin: the largest difference that does not matter, above 0, in the metric's unit; for `forget_quality` in
            units of the KS distance, 0 to 1.
        rationale: why that margin; it stands beside the verdict.
        seed: of the permutations that are drawn where there are too many to enumerate.

    Raises:
        InputError: E-DATA-145 if runs were evaluated on different items.
        ValueError: if a group that is needed is empty, or the margin is not above 0.
    """
    if not runs.unlearned or not runs.retrained or not margin > 0:
        raise ValueError("needs an unlearned and a retrained run, and a margin above 0")
    groups = tuple(_spread(group, runs.of(group), runs.metric) for group in Group if runs.of(group))
    found = band.distances_of(runs)
    difference: welch.Welch | None = None
    if runs.metric == FORGET_QUALITY:
        number, decision = _of_forget_quality(found, margin)
    else:
        one, two = values_of(runs.unlearned), values_of(runs.retrained)
        difference = welch.difference(one, two) if len(one) and len(two) else None
        number, decision = _of_means(runs, difference, margin)
    if undefined := [_undefined(spread) for spread in groups if spread.undefined and spread.group is not Group.BEFORE]:
        decision = Decision(verdict=Verdict.INCONCLUSIVE, reason="; ".join(undefined))
    return Judgement(
        metric=runs.metric,
        margin=margin,
        rationale=rationale,
        rule=Rule.DISTANCE if runs.metric == FORGET_QUALITY else Rule.SIGNED,
        verdict=decision.verdict,
        reason=decision.reason,
        n_needed=decision.n_needed,
        judged=number,
        decision_low=decision.low,
        decision_high=decision.high,
        p_difference=difference.p_value if difference else None,
        p_equivalence=difference.p_equivalence(margin) if difference and decision.low is not None else None,
        groups=groups,
        band=band.of_distances(found),
        laws=_laws(found, seed),
        improvement=improvement.of_runs(runs) if runs.before and runs.metric != FORGET_QUALITY else None,
        forget_quality=forget_quality.of_runs(runs.unlearned, runs.retrained),
        remarks=(INDEPENDENT, ONE_START),
    )


def _spread(group: Group, runs: Sequence[Run], metric: str) -> Spread:
    if metric == FORGET_QUALITY:
        scored = sum(len(forget_quality.ratios_of(run)) > 0 for run in runs)
        return Spread(group=group, n=scored, undefined=len(runs) - scored, mean=None, sd=None)
    values_R = values_of(runs)
    return Spread(
        group=group,
        n=len(values_R),
        undefined=len(runs) - len(values_R),
        mean=float(values_R.mean()) if len(values_R) else None,
        sd=float(values_R.std(ddof=1)) if len(values_R) > 1 else None,
    )


def _undefined(spread: Spread) -> str:
    whole = spread.n + spread.undefined
    return (
        f"{spread.undefined} of {whole} {spread.group} runs have no value: a collapsed run is a result, and the others "
        "alone would be judged without it"
    )


def _of_means(runs: Runs, difference: welch.Welch | None, margin: float) -> tuple[Number, Decision]:
    """Return the difference of means and what it says."""
    reason = "mean of the unlearned minus mean of the retrained runs"
    if difference is None:
        reason = "undefined: a group has no run with a value"
    elif difference.se is None:
        reason = ONE_ORACLE if difference.m == 1 else "no interval: one unlearned run, or runs that do not vary"
    low, high = difference.bounds(LEVEL) if difference else (None, None)
    number = Number(
        quantity=f"mean {runs.metric}, unlearned minus retrained",
        estimate=difference.estimate if difference else None,
        low=low,
        high=high,
        se=difference.se if difference else None,
        df=difference.df if difference else None,
        n=Sizes(unlearned=len(values_of(runs.unlearned)), retrained=len(values_of(runs.retrained))),
        method="Welch t over runs",
        reason=reason,
    )
    groups = (values_of(runs.unlearned), values_of(runs.retrained))
    variances = [float(values_R.var(ddof=1)) for values_R in groups if len(values_R) > 1]
    return number, decide(number, variances, Reading(rule=Rule.SIGNED, margin=margin, needs=T_NEEDS))


def _of_forget_quality(found: Distances, margin: float) -> tuple[Number, Decision]:
    """Return the KS distance beyond the retrained models' own and what it says."""
    beyond = forget_quality.excess(found.distance_LL, found.unlearned_L)
    reason = "mean KS distance to a retrained model minus the mean between retrained models"
    if beyond is None:
        reason = ONE_ORACLE if found.n.retrained == 1 else "undefined: the jackknife needs 3 retrained runs"
    number = jackknifed(beyond, quantity="KS distance beyond the retrained models' own", n=found.n, reason=reason)
    reading = Reading(rule=Rule.DISTANCE, margin=margin, needs=JACKKNIFE_NEEDS)
    return number, decide(number, beyond.variances if beyond else (), reading)


def _laws(found: Distances, seed: int) -> Laws:
    """Return the permutation test of whole runs on the energy distance."""
    n = found.n
    reason = "share of labellings of whole runs with an energy distance at least as large"
    if min(n.unlearned, n.retrained) < 2:
        reason = ONE_ORACLE if n.retrained == 1 else "undefined: a law needs two runs of each group"
        return Laws(
            statistic=None,
            p_value=None,
            smallest_p=None,
            n_needed=permutation.needed(2, 2, ALPHA),
            exact=False,
            n_items=found.n_items,
            left_out=found.left_out,
            reason=reason,
        )
    test = permutation.two_sample(found.distance_LL, found.unlearned_L, seed=seed)
    reaches = test.smallest_p <= ALPHA
    if not reaches:
        reason = f"{n.unlearned} against {n.retrained} runs cannot give a p-value below {test.smallest_p:.3g}"
    return Laws(
        statistic=test.statistic,
        p_value=test.p_value if reaches else None,
        smallest_p=test.smallest_p,
        n_needed=None if reaches else permutation.needed(n.unlearned, n.retrained, ALPHA),
        exact=test.exact,
        n_items=found.n_items,
        left_out=found.left_out,
        reason=reason,
    )
