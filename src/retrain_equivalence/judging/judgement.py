"""What is said of one metric of some runs: a verdict with its number, and what is described beside it.

Values only; `judge` makes them. What is undefined is null with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrain_equivalence.equivalence.estimate import finite
from retrain_equivalence.equivalence.finding import LEVEL, Verdict
from retrain_equivalence.equivalence.verdict import Rule
from retrain_equivalence.judging.forget_quality import ForgetQuality
from retrain_equivalence.judging.run_jackknife import GroupsJackknifed
from retrain_equivalence.judging.runs import Group

ONE_ORACLE = "no band: one oracle"
"""With a single retrained run nothing is known of how much retrained models differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One group of runs."""

    group: Group
    n: int
    """Runs with a value."""
    undefined: int
    """Runs without one: collapsed, or logged as null."""
    mean: float | None
    sd: float | None
    """Between runs; null below two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many runs of each group a number stands on."""

    unlearned: int
    retrained: int
    before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One estimate over runs with its 95 % interval."""

    quantity: str
    estimate: float | None
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    n: Sizes
    method: str
    reason: str
    """What it says, or why it is undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """Whether whole runs of the two groups come from one law."""

    statistic: float | None
    """Energy distance of the items' laws, mean over items, in the metric's unit: 0 on average for equal laws, may be
    negative."""
    p_value: float | None
    """Null where the test cannot reach 5 % at these sizes."""
    smallest_p: float | None
    n_needed: int | None
    """Runs of each group from which the test can reach 5 %; null if it can."""
    exact: bool
    n_items: int
    """Items that every run has; 0 where runs are compared by their own number."""
    left_out: int
    """Items that some run left undefined."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Everything that is said of one metric."""

    metric: str
    margin: float
    rationale: str
    rule: Rule
    """Differences are read on both sides of 0, the KS distance beyond retraining on one."""
    verdict: Verdict
    reason: str
    n_needed: int | None
    """Runs of each group that would do: for the rule to hold, or at the observed spread to decide."""
    judged: Number
    decision_low: float | None
    """Lower one-sided 95 % bound: what the verdict was read from."""
    decision_high: float | None
    p_difference: float | None
    """Two-sided, of no difference at all: a separate statement from the verdict."""
    p_equivalence: float | None
    """TOST against the margin; null for forget quality."""
    groups: tuple[Spread, ...]
    band: Number
    """Distance to the retrained runs as a multiple of the distance among them."""
    laws: Laws
    improvement: Number | None
    """Null without runs from before unlearning."""
    forget_quality: ForgetQuality | None
    """Null where some log has no truth ratios."""
    remarks: tuple[str, ...]
    """What a reader must know to use the numbers."""


def jackknifed(found: GroupsJackknifed | None, *, quantity: str, n: Sizes, reason: str) -> Number:
    """Return the number of a jackknife; undefined without one, and `reason` says why."""
    low, high = found.bounds(LEVEL) if found else (None, None)
    return Number(
        quantity=quantity,
        estimate=finite(found.value) if found else None,
        low=low,
        high=high,
        se=found.se if found else None,
        df=found.df if found else None,
        n=n,
        method="leave-one-run-out jackknife",
        reason=reason,
    )
