"""The three verdicts, and the finding that carries one.

`DISTANCE` (never negative): EQUIVALENT iff the upper one-sided 95 % bound is below the margin, DIFFERENT iff the lower
one is above it. `SIGNED`: EQUIVALENT iff the 90 % interval lies inside (-margin, margin), which is TOST at 5 %;
DIFFERENT iff it lies outside. Everything else is INCONCLUSIVE. At a true value on the margin each definite verdict then
comes up in 5 % of studies. Whether a value is detectably non-zero is a separate statement (`p_value`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from retrain_equivalence.equivalence.estimate import Estimate, t_quantile
from retrain_equivalence.equivalence.fewest import fewest
from retrain_equivalence.equivalence.finding import ALPHA, COORDINATES, Finding, Verdict
from retrain_equivalence.equivalence.runs import RunCounts
from retrain_equivalence.equivalence.tost import tost

if TYPE_CHECKING:
    from retrain_equivalence.study.study import Comparison

MOST_REPLICATES = 10_000
"""Where the search for the n that would do gives up."""


def by_band(comparison: Comparison | None) -> bool:
    """Whether the comparison's margin is a multiple of the band."""
    return comparison is not None and comparison.margin is not None and comparison.margin.times_band is not None


def each(comparisons: Sequence[Comparison]) -> Sequence[Comparison | None]:
    """The comparisons that ask for a number, or a single None: what nobody asked for is described once."""
    return comparisons or (None,)


ROUNDING = 1e-12
"""A standard error this small beside the estimate and the margin is the rounding of equal numbers."""


class Rule(StrEnum):
    """How bounds are read against a margin."""

    DISTANCE = "distance"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a finding is about."""

    contrast: str
    quantity: str
    probe: str
    test_set: str = ""
    unlearning: str = ""
    history: str = ""
    other: str = ""
    alignment: str = "at_end"
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A p-value of no effect, and its name."""

    p_value: float | None
    method: str
    smallest_n: int | None = None
    """Replicates below which the test cannot reach 5 % whatever the data; null if it always can."""
    sample_R: tuple[float, ...] | None = field(default=None, compare=False, repr=False)
    """The paired differences that it tests, nan where a replicate does not count; null: those of the estimate."""


def judge(low: float, high: float, margin: float, rule: Rule) -> Verdict:
    """Read the two one-sided 95 % bounds against the margin.

    >>> judge(0.1, 0.4, 0.5, Rule.DISTANCE), judge(-0.6, 0.4, 0.5, Rule.SIGNED)
    (<Verdict.EQUIVALENT: 'EQUIVALENT'>, <Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>)
    """
    if rule is Rule.SIGNED:
        if -margin < low and high < margin:
            return Verdict.EQUIVALENT
        return Verdict.DIFFERENT if low > margin or high < -margin else Verdict.INCONCLUSIVE
    if high < margin:
        return Verdict.EQUIVALENT
    return Verdict.DIFFERENT if low > margin else Verdict.INCONCLUSIVE


def still(se: float | None, value: float | None, margin: float) -> bool:
    """Whether runs do not vary beyond rounding: an interval without width would decide anything."""
    if se is None or value is None:
        return True
    return se <= ROUNDING * max(abs(value), abs(margin))


def n_to_decide(estimate: Estimate, margin: float, rule: Rule, alpha: float = ALPHA) -> int | None:
    """Return the replicates at which the present estimate and spread would decide; null if more than 10,000.

    The smallest n with `t(1 - alpha, n-1) sd / sqrt n < distance of the estimate from the margin`, where
    `sd = se sqrt(n now)`: an outlook in the spirit of a power calculation, no promise, since the estimate moves too.
    """
    if estimate.value is None or estimate.se is None or estimate.se <= 0:
        return None
    at = estimate.scaled(margin)
    room = abs(abs(estimate.value) - at) if rule is Rule.SIGNED else abs(estimate.value - at)
    sd = estimate.se * math.sqrt(estimate.n)

    def decides(n: int) -> bool:
        return t_quantile(1 - alpha, n - 1) * sd / math.sqrt(n) < room

    return fewest(decides, max(estimate.n, estimate.needs, 2), MOST_REPLICATES)


def _why_undefined(estimate: Estimate, counts: RunCounts) -> str:
    """Return why there is no number; empty if there is one.

    Where no run could be measured, the runs say why: the estimator only knows that it was given nothing.
    """
    if estimate.undefined and not counts.ok and not counts.censored and (reason := counts.incomplete()):
        return f"undefined: {reason}"
    return estimate.undefined


def at_place(
    place: Place,
    counts: RunCounts,
    *,
    estimate: float | None,
    low: float | None,
    high: float | None,
    n: int,
    n_oracles: int | None = None,
    unit: str,
    method: str,
    reason: str,
    family: str = "",
) -> Finding:
    """Return the finding of a number at a place, with the runs behind it and no verdict."""
    return Finding(
        **{name: getattr(place, name) for name in COORDINATES},
        estimate=estimate,
        low=low,
        high=high,
        n=n,
        n_oracles=n_oracles,
        unit=unit,
        method=method,
        reason=reason,
        family=family,
        censored=counts.censored,
        failed=counts.failed,
        unscored=counts.unscored,
        missing=counts.missing,
    )


def conclude(
    place: Place,
    estimate: Estimate,
    counts: RunCounts,
    *,
    rule: Rule,
    alpha: float = ALPHA,
    asked: Comparison | None = None,
    describes: str,
    refusal: str = "",
    test: Test | None = None,
    paired: bool = False,
) -> Finding:
    """Return the finding of an estimate, with its verdict where `asked` declares a margin.

    Args:
        place: what it is about.
        estimate: number and spread.
        counts: the runs behind it.
        rule: how the bounds are read against a margin.
        alpha: error rate of each definite verdict at the margin: the level of the two one-sided bounds.
        asked: the comparison that declared it; null describes only.
        describes: the sentence that is given where there is no verdict.
        refusal: why the declared margin cannot be judged on this number; empty if it can.
        test: a test of no effect.
        paired: whether TOST's p-value is given.
    """
    low, high = estimate.interval
    finding = at_place(
        place,
        counts,
        estimate=estimate.estimate,
        low=low,
        high=high,
        n=estimate.n,
        n_oracles=estimate.n_oracles,
        unit=estimate.unit,
        method=estimate.method,
        reason=_why_undefined(estimate, counts) or describes,
        family=asked.family if asked else "",
    )
    incomplete = counts.incomplete()
    if incomplete and asked is not None and not estimate.undefined:
        finding = replace(finding, reason=f"{finding.reason}; no test: {incomplete}")
    if test is not None and asked is not None and not incomplete:
        finding = replace(
            finding,
            p_value=test.p_value,
            p_method=test.method,
            n_needed=test.smallest_n,
            sample_R=estimate.sample_R if test.sample_R is None else test.sample_R,
        )
    if asked is None or asked.margin is None:
        return finding
    margin, kind = asked.margin.value, "value"
    if margin is None:
        margin, kind = asked.margin.times_band, "times_band"
    assert margin is not None
    finding = replace(
        finding, margin=float(margin), margin_kind=kind, rationale=asked.margin.rationale, verdict=Verdict.INCONCLUSIVE
    )
    if estimate.undefined:
        return finding
    if refusal:
        return replace(finding, reason=refusal)
    if incomplete:
        return replace(finding, reason=incomplete)
    if estimate.n < estimate.needs:
        return replace(
            finding,
            reason=f"n = {estimate.n} replicates cannot decide: the rule's error rates hold from n = {estimate.needs}",
            n_needed=max(estimate.needs, finding.n_needed or 0),
        )
    if still(estimate.se, estimate.value, estimate.scaled(float(margin))):
        return replace(finding, reason="the replicates do not vary, so nothing is known of the spread")
    below, above = estimate.bounds(1 - 2 * alpha)
    if below is None or above is None:
        return replace(finding, reason="the interval is not finite at this spread")
    verdict = judge(below, above, float(margin), rule)
    finding = replace(finding, decision_low=below, decision_high=above, verdict=verdict)
    if paired and estimate.value is not None and estimate.se is not None:
        finding = replace(finding, p_equivalence=tost(estimate.value, estimate.se, estimate.n, float(margin)))
    shown = f"{margin:g} {estimate.unit}".strip()
    if verdict is Verdict.INCONCLUSIVE:
        needed = n_to_decide(estimate, float(margin), rule, alpha)
        outlook = (
            f"about n = {needed} would do at this estimate and spread"
            if needed
            else f"no n up to {MOST_REPLICATES} would do"
        )
        return replace(
            finding,
            reason=f"the bounds {below:.4g} and {above:.4g} do not clear the margin {shown}; {outlook}",
            n_needed=max(needed, finding.n_needed or 0) if needed else finding.n_needed,
        )
    if rule is Rule.SIGNED:
        said = "inside" if verdict is Verdict.EQUIVALENT else "outside"
        return replace(
            finding,
            reason=f"the {100 * (1 - 2 * alpha):.3g} % interval [{below:.4g}, {above:.4g}] lies {said} ±{shown}",
        )
    if verdict is Verdict.EQUIVALENT:
        return replace(
            finding,
            reason=f"the upper one-sided {100 * (1 - alpha):.3g} % bound {above:.4g} is below the margin {shown}",
        )
    return replace(
        finding, reason=f"the lower one-sided {100 * (1 - alpha):.3g} % bound {below:.4g} is above the margin {shown}"
    )
