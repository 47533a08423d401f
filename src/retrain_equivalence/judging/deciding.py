"""From a number over two groups of runs to a verdict, and to how many runs would do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from retrain_equivalence.equivalence.fewest import fewest
from retrain_equivalence.equivalence.finding import ALPHA, Verdict
from retrain_equivalence.equivalence.verdict import MOST_REPLICATES, Rule, still
from retrain_equivalence.equivalence.verdict import judge as read_bounds
from retrain_equivalence.judging.judgement import ONE_ORACLE, Number
from retrain_equivalence.judging.run_jackknife import satterthwaite


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a number is read against a margin."""

    rule: Rule
    margin: float
    """Above 0."""
    needs: int
    """Runs of each group from which the rule's error rates hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict with what it was read from."""

    verdict: Verdict
    reason: str
    low: float | None = None
    """Lower one-sided 95 % bound."""
    high: float | None = None
    n_needed: int | None = None
    """Runs of each group that would do."""


def decide(number: Number, variances: Sequence[float], reading: Reading) -> Decision:
    """Read a number against a margin.

    Args:
        number: with standard error and degrees of freedom; without them the answer is INCONCLUSIVE.
        variances: between the runs of each group that has a spread, as in `run_jackknife`, for the outlook.
        reading: rule, margin, and the runs that the rule needs.
    """
    fewest = min(number.n.unlearned, number.n.retrained)
    outlook = n_each(number.estimate, variances, reading, max(reading.needs, fewest))
    would = (
        f"about {outlook} runs of each would do at this estimate and spread"
        if outlook
        else f"no number of runs up to {MOST_REPLICATES} would do at this estimate and spread"
    )
    if number.estimate is None or fewest < reading.needs:
        if not any(v > 0 for v in variances):
            would = f"a verdict needs {reading.needs} runs of each"
        have = f"{number.n.unlearned} unlearned and {number.n.retrained} retrained runs cannot decide; {would}"
        alone = number.n.retrained == 1
        return Decision(
            verdict=Verdict.INCONCLUSIVE, reason=f"{ONE_ORACLE}; {have}" if alone else have, n_needed=outlook
        )
    if number.se is None or number.df is None or still(number.se, number.estimate, reading.margin):
        return Decision(
            verdict=Verdict.INCONCLUSIVE, reason="the runs do not vary, so nothing is known of their spread"
        )
    half = float(special.stdtrit(number.df, 1 - ALPHA)) * number.se
    low, high = number.estimate - half, number.estimate + half
    verdict = read_bounds(low, high, reading.margin, reading.rule)
    margin = f"{reading.margin:g}"
    if verdict is Verdict.INCONCLUSIVE:
        reason = f"the bounds {low:.4g} and {high:.4g} do not clear the margin {margin}; {would}"
    elif reading.rule is Rule.SIGNED:
        side = "inside" if verdict is Verdict.EQUIVALENT else "outside"
        reason = f"the 90 % interval [{low:.4g}, {high:.4g}] lies {side} ±{margin}"
    elif verdict is Verdict.EQUIVALENT:
        reason = f"the upper one-sided 95 % bound {high:.4g} is below the margin {margin}"
    else:
        reason = f"the lower one-sided 95 % bound {low:.4g} is above the margin {margin}"
    needed = outlook if verdict is Verdict.INCONCLUSIVE else None
    return Decision(verdict=verdict, reason=reason, low=low, high=high, n_needed=needed)


def n_each(estimate: float | None, variances: Sequence[float], reading: Reading, least: int) -> int | None:
    """Return the runs of each group at which the present estimate and spread would decide; null if more than 10,000.

    The smallest n with `t(1 - alpha, df) sqrt(sum_g v_g / n) < distance of the estimate from the margin`. A group whose
    spread is unknown (one run) is taken to vary like the other. An outlook, not a promise: the estimate moves too.

    Args:
        estimate: the number that is judged; null gives `least`.
        variances: of each group that has a spread; none gives `least`.
        reading: how bounds are read.
        least: runs below which no verdict is given.

    >>> reading = Reading(rule=Rule.SIGNED, margin=1.0, needs=3)
    >>> n_each(0.0, (1.0, 1.0), reading, 3), n_each(0.0, (1.0,), reading, 3), n_each(None, (), reading, 3)
    (7, 7, 3)
    """
    if estimate is None or not any(v > 0 for v in variances):
        return least
    both = tuple(variances) if len(variances) > 1 else (variances[0], variances[0])
    room = abs((abs(estimate) if reading.rule is Rule.SIGNED else estimate) - reading.margin)

    def decides(n: int) -> bool:
        df = satterthwaite(both, [n] * len(both))
        return df is not None and float(special.stdtrit(df, 1 - ALPHA)) * math.sqrt(sum(both) / n) < room

    return fewest(decides, max(least, 2), MOST_REPLICATES)
