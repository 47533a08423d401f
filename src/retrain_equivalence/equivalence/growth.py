"""How fast do histories part under a method? Rates and classes of coupled gaps, whose two states differ in order alone.

With g_ab,r(t) the gap of histories a, b of replicate r after t steps, and s_h,rs(t) that of replicates r, s of one
history h, the *path rate* is the mean over replicates of the mean over pairs of histories of the least-squares slope of
log g_ab,r over all saved steps; the *factor* the same with log g(T) - log g(0). The *seed* rate and factor are means
over histories and over pairs of replicates. The same slopes over the *early* window, the saved steps up to T/2, and the
*late* one, those from T/2 on, and late minus early, the *change*, say how a gap grows: with a declared margin kappa,
below which a slope counts as none, it is `frozen`, `saturating`, `contracting`, `exponential` or `linear` (slower than
exponential); see `classify`. Without a margin a method *expands* if the 95 % interval of its path rate lies above 0 and
*contracts* if below; otherwise it is *not told from frozen*.

Verdict. For a declared margin EQUIVALENT means frozen, DIFFERENT one of the other four classes, and INCONCLUSIVE none;
the class is the first word of the reason. All three intervals hold together with probability 1 - alpha, so that each
wrong verdict comes up in at most alpha of studies.

Design. Equal draws take out what two independent runs differ by, so a rate can be seen where the debiased gap of
`path_gap` is still below its noise. What they cannot show is the outcome of the method on a fresh run, so these numbers
are read with intervals over replicates, the only independent units, and beside the rates of seed pairs: a method that
drives any two runs apart says nothing of histories. Windows are fixed by the study's steps, not by the data. Where a
procedure has several parts, they are those of the last: relearning before it moves the gap another way.

Legend: R replicates, T saved steps, G pairs of histories or histories.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.coupled_gaps import PREFIX
from retrain_equivalence.equivalence.declared import measure_of
from retrain_equivalence.equivalence.estimate import Estimate, nothing, of_jackknife, of_sample, t_quantile
from retrain_equivalence.equivalence.fewest import fewest
from retrain_equivalence.equivalence.finding import ALPHA, Finding, Verdict
from retrain_equivalence.equivalence.gap_series import NO_GAPS, GapSeries, slope_weights
from retrain_equivalence.equivalence.jackknife import among_runs, of_mean
from retrain_equivalence.equivalence.measurements import Floats
from retrain_equivalence.equivalence.runs import RunCounts, count
from retrain_equivalence.equivalence.verdict import MOST_REPLICATES, Place, Rule, conclude, each, still

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison, Study

CONTRAST = "growth"
PRIMARY = "gap/label_logp"
"""What a comparison of `prediction` is judged on: the measure without a ceiling."""
PARAMETERS = "gap/parameters"

PATH_METHOD = "mean over pairs of histories within a replicate, then over replicates, t"
PAIR_METHOD = "mean over replicates, t"
SEED_METHOD = "mean over histories and pairs of replicates, leave-one-replicate-out jackknife, t"
BOTH_METHOD = "path minus seed, leave-one-replicate-out jackknife, t"
RATE_UNIT, LOGIT_UNIT, FACTOR_UNIT = "log units/step", "logit units/step", "ratio"

FEW_STEPS = "undefined: fewer than two saved steps in the {window} window"
NEAR_CEILING = 0.7
"""Share of its ceiling from which a Hellinger gap has spent half of its largest square."""
EXPANDS, CONTRACTS, NOT_TOLD = "expands", "contracts", "not told from frozen"
FROZEN, SATURATING, CONTRACTING = "frozen", "saturating", "contracting"
EXPONENTIAL, LINEAR, INCONCLUSIVE = "exponential", "linear", "inconclusive"

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Slopes over one window, or their change from one to the other."""

    path: Estimate
    """Of the gap between histories."""
    seed: Estimate
    """Of the gap between replicates of one history."""
    difference: Estimate
    """Path minus seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairGrowth:
    """How one pair of histories parts."""

    history: str
    other: str
    rate: Estimate
    early: Estimate
    late: Estimate
    change: Estimate
    counts: RunCounts

    @property
    def word(self) -> str:
        """`expands`, `contracts`, `not told from frozen`; empty without an interval."""
        return word(self.rate)

    def classified(self, kappa: float, alpha: float = ALPHA) -> GrowthClass:
        """Return the class of the pair's gap."""
        return classified(self.early, self.late, self.change, kappa, alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Everything about one unlearning, measure and test set."""

    whole: Rates
    """Over all saved steps of the last part of the procedure."""
    early: Rates
    """Over those in its first half, the middle included."""
    late: Rates
    """Over those in its second half, the middle included."""
    change: Rates
    """Late minus early."""
    path_factor: Estimate
    """Gap at the last saved step over gap at step 0."""
    seed_factor: Estimate
    ratio_at_start: Estimate
    """Geometric mean of path gaps over that of seed gaps, at step 0."""
    ratio_at_end: Estimate
    """The same at the last saved step."""
    pairs: tuple[PairGrowth, ...]
    """Each pair of histories alone."""
    counts: RunCounts
    """Replicates behind the path numbers."""
    seed_counts: RunCounts
    """Replicates behind the seed numbers."""
    steps: tuple[int, ...]
    last_share: float | None
    """Mean path gap at the last saved step as a share of the measure's largest value; null if it has none."""

    @property
    def word(self) -> str:
        """What the path rate says: `expands`, `contracts`, `not told from frozen`; empty without an interval."""
        return word(self.whole.path)

    @property
    def ceiling(self) -> str:
        """A warning where the gap ends near its ceiling; empty otherwise."""
        if self.last_share is None or self.last_share < NEAR_CEILING:
            return ""
        return f"the gap ends at {self.last_share:.0%} of its ceiling, where differences of rates can hardly be seen"

    def path_class(self, kappa: float, alpha: float = ALPHA) -> GrowthClass:
        """Return the class of the gap between histories."""
        return classified(self.early.path, self.late.path, self.change.path, kappa, alpha)

    def seed_class(self, kappa: float, alpha: float = ALPHA) -> GrowthClass:
        """Return the class of the gap between replicates, the yardstick."""
        return classified(self.early.seed, self.late.seed, self.change.seed, kappa, alpha)


def word(rate: Estimate) -> str:
    """Read a rate's 95 % interval.

    >>> def rate(value, se):
    ...     return Estimate(value=value, se=se, n=6, unit=RATE_UNIT, method="", needs=3)
    >>> word(rate(0.10, 0.02)), word(rate(-0.10, 0.02)), word(rate(0.10, 0.1))
    ('expands', 'contracts', 'not told from frozen')
    """
    low, high = rate.interval
    if low is None or high is None:
        return ""
    return EXPANDS if low > 0 else CONTRACTS if high < 0 else NOT_TOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthClass:
    """How a gap grows, and the three numbers that say so."""

    word: str
    """`frozen`, `saturating`, `contracting`, `exponential`, `linear` or `inconclusive`."""
    early: Estimate
    """s1, the mean slope over the early window."""
    late: Estimate
    """s2, the mean slope over the late window."""
    change: Estimate
    """s2 - s1, paired by replicate."""
    level: float
    """Confidence of each of the three intervals: together they hold with probability 1 - alpha at least."""


def classify(early_R: Floats, late_R: Floats, kappa: float, *, alpha: float = ALPHA) -> GrowthClass:
    """Say how a gap grows, from its slopes in the early and the late window.

    With simultaneous t intervals of s1, s2 and s2 - s1, and a slope of less than `kappa` in size counting as none:

        frozen        |s1| < kappa and |s2| < kappa
        saturating    s1 > kappa   and |s2| < kappa
        contracting   s1 < -kappa
        exponential   s1 > kappa   and s2 > kappa   and |s2 - s1| < kappa
        linear        s1 > kappa   and s2 > kappa   and s2 - s1 < -kappa      (any growth slower than exponential)
        inconclusive  otherwise

    each said of the whole interval. A gap that grows ever faster, or grows and then shrinks, is none of these.

    Args:
        early_R: s1 of each replicate, log units per step, [R]; nan for runs that do not count.
        late_R: s2, in the same order; replicates of which either is nan are left out.
        kappa: the declared margin, above 0, log units per step.
        alpha: chance of a wrong class, at most: each interval is of confidence 1 - alpha/3 (Bonferroni).

    Returns:
        The class. Fewer than two replicates, or replicates that do not vary, are inconclusive.

    Source: classes and conditions are this package's own; the intervals are t intervals made simultaneous by
    Bonferroni, which asks nothing of the dependence between the three.

    >>> classify(np.array([0.5, 0.52, 0.48]), np.array([0.01, 0.02, 0.03]), 0.2).word
    'saturating'
    """
    both = np.isfinite(early_R) & np.isfinite(late_R)
    one, two = np.where(both, early_R, np.nan), np.where(both, late_R, np.nan)
    early, late, change = (
        of_sample(values, unit=RATE_UNIT, method=PATH_METHOD, undefined=NO_GAPS) for values in (one, two, two - one)
    )
    return classified(early, late, change, kappa, alpha)


def classified(early: Estimate, late: Estimate, change: Estimate, kappa: float, alpha: float = ALPHA) -> GrowthClass:
    """Say how a gap grows, from the estimates of s1, s2 and s2 - s1: `classify` for any of their standard errors."""
    level = 1 - alpha / 3
    word, bounds = INCONCLUSIVE, []
    for estimate in (early, late, change):
        low, high = estimate.bounds(level)
        if low is not None and high is not None and not still(estimate.se, estimate.value, kappa):
            bounds.append((low, high))
    if len(bounds) == 3:
        word = class_of(bounds[0], bounds[1], bounds[2], kappa)
    return GrowthClass(word=word, early=early, late=late, change=change, level=level)


def n_to_classify(found: GrowthClass, kappa: float) -> int | None:
    """Return the replicates at which the present slopes and spread would give a class; null if more than 10,000.

    An outlook, not a promise: the slopes move too.
    """

    def has_class(n: int) -> bool:
        bounds = []
        for estimate in (found.early, found.late, found.change):
            if estimate.value is None or estimate.se is None:
                return False
            half = t_quantile((1 + found.level) / 2, n - 1) * estimate.se * math.sqrt(estimate.n / n)
            bounds.append((estimate.value - half, estimate.value + half))
        return class_of(bounds[0], bounds[1], bounds[2], kappa) != INCONCLUSIVE

    # Intervals only shrink with n, and a class once reached is kept: `class_of` asks intervals to lie inside regions.
    return fewest(has_class, max(found.early.n, found.early.needs), MOST_REPLICATES)


def class_of(early: Bounds, late: Bounds, change: Bounds, kappa: float) -> str:
    """Read three intervals against `kappa`, as `classify` states.

    >>> class_of((0.3, 0.4), (0.25, 0.45), (-0.1, 0.1), 0.2)
    'exponential'
    """

    def flat(bounds: Bounds) -> bool:
        return -kappa < bounds[0] and bounds[1] < kappa

    if early[1] < -kappa:
        return CONTRACTING
    if flat(early):
        return FROZEN if flat(late) else INCONCLUSIVE
    if early[0] <= kappa:
        return INCONCLUSIVE
    if flat(late):
        return SATURATING
    if late[0] <= kappa:
        return INCONCLUSIVE
    if flat(change):
        return EXPONENTIAL
    return LINEAR if change[1] < -kappa else INCONCLUSIVE


def windows(steps: list[int], begin: int, end: int) -> dict[str, list[bool]]:
    """Say which saved steps belong to the whole last part of a procedure, to its first and to its second half.

    Where that part has fewer than two saved steps, all of them stand for it.

    >>> windows([0, 5, 10, 20], 0, 20)["late"]
    [False, False, True, True]
    """
    if sum(step >= begin for step in steps) < 2:
        begin = steps[0]
    return {
        "whole": [step >= begin for step in steps],
        "early": [begin <= step and 2 * step <= begin + end for step in steps],
        "late": [2 * step >= begin + end for step in steps],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """Path and seed gaps of one unlearning, measure and test set, from which every number is a weighted sum."""

    path: GapSeries
    seed: GapSeries

    @property
    def rate_unit(self) -> str:
        return RATE_UNIT if self.path.ceiling is None else LOGIT_UNIT

    def rates(self, weights_T: Floats | str) -> Rates:
        """Return the slopes of some weights, or nothing for the reason that is given in their place."""
        if isinstance(weights_T, str):
            none = nothing(unit=self.rate_unit, method="", undefined=weights_T)
            return Rates(path=none, seed=none, difference=none)
        unit = self.rate_unit
        return Rates(
            path=self._of_path(weights_T, unit),
            seed=self._of_seed(weights_T, unit),
            difference=self.both(weights_T, unit),
        )

    def pair(self, index: int, weights_T: Floats | str) -> Estimate:
        """Return the slope of one pair of histories."""
        one = self.path.only(index)
        if isinstance(weights_T, str):
            return of_sample(np.array([]), unit=self.rate_unit, method=PAIR_METHOD, undefined=weights_T)
        return of_sample(one.weighted(weights_T), unit=self.rate_unit, method=PAIR_METHOD, undefined=one.undefined)

    def factors(self, weights_T: Floats) -> tuple[Estimate, Estimate]:
        """Return the factors of path and seed gaps."""
        return self._of_path(weights_T, FACTOR_UNIT), self._of_seed(weights_T, FACTOR_UNIT)

    def _of_path(self, weights_T: Floats, unit: str) -> Estimate:
        values_R = self.path.weighted(weights_T, log=unit == FACTOR_UNIT)
        return _shown(of_sample(values_R, unit=unit, method=PATH_METHOD, undefined=self.path.undefined))

    def _of_seed(self, weights_T: Floats, unit: str) -> Estimate:
        number = among_runs(self.seed.weighted(weights_T, log=unit == FACTOR_UNIT))
        return _shown(of_jackknife(number, unit=unit, method=SEED_METHOD, undefined=self.seed.undefined))

    def both(self, weights_T: Floats, unit: str) -> Estimate:
        """Return path minus seed over the replicates that have both."""
        log = unit == FACTOR_UNIT
        one, two = self.path.weighted(weights_T, log=log), self.seed.weighted(weights_T, log=log)
        common = np.isfinite(one) & np.isfinite(two).any(axis=1)
        undefined = self.path.undefined if not np.isfinite(one).any() else self.seed.undefined
        one = np.where(common, one, np.nan)
        two = np.where(common[:, None] & common[None, :], two, np.nan)
        return _shown(of_jackknife(of_mean(one) - among_runs(two), unit=unit, method=BOTH_METHOD, undefined=undefined))


def growth(case: Case, probe: str, test_set: str, unlearning: Unlearning) -> Growth | None:
    """Return the rates and factors of one unlearning; None if the table has gaps at fewer than two of its steps."""
    saved = set(unlearning.steps)
    after = [step for step in case.table.coupled.steps(probe, test_set, unlearning.name) if step in saved and step > 0]
    steps = [0, *after]
    if not after:
        return None
    numbers = _Numbers(
        path=GapSeries.of_paths(case, probe, test_set, unlearning.name, steps),
        seed=GapSeries.of_seeds(case, probe, test_set, unlearning.name, steps),
    )
    times_T = np.asarray(steps, dtype=np.float64)
    chosen = windows(steps, unlearning.last - unlearning.procedure[-1].n_steps, unlearning.last)
    weights: dict[str, Floats | str] = {
        name: slope_weights(times_T, inside) if sum(inside) > 1 else FEW_STEPS.format(window=name)
        for name, inside in chosen.items()
    }
    early, late = weights["early"], weights["late"]
    if isinstance(early, str) or isinstance(late, str):
        weights["change"] = early if isinstance(early, str) else late
    else:
        weights["change"] = late - early
    start_T, end_T = np.zeros(len(steps)), np.zeros(len(steps))
    start_T[0] = end_T[-1] = 1.0
    path_factor, seed_factor = numbers.factors(end_T - start_T)
    return Growth(
        whole=numbers.rates(weights["whole"]),
        early=numbers.rates(early),
        late=numbers.rates(late),
        change=numbers.rates(weights["change"]),
        path_factor=path_factor,
        seed_factor=seed_factor,
        ratio_at_start=numbers.both(start_T, FACTOR_UNIT),
        ratio_at_end=numbers.both(end_T, FACTOR_UNIT),
        pairs=tuple(
            PairGrowth(
                history=a,
                other=b,
                rate=numbers.pair(index, weights["whole"]),
                early=numbers.pair(index, early),
                late=numbers.pair(index, late),
                change=numbers.pair(index, weights["change"]),
                counts=count(numbers.path.codes_G[index]),
            )
            for index, (a, b) in enumerate(numbers.path.names)
        ),
        counts=count(numbers.path.codes),
        seed_counts=count(numbers.seed.codes),
        steps=tuple(steps),
        last_share=numbers.path.last_share(),
    )


def _shown(estimate: Estimate) -> Estimate:
    """Show factors as such: their interval holds on the log scale."""
    if estimate.unit != FACTOR_UNIT:
        return estimate
    return replace(estimate, method=f"{estimate.method}, on the log scale", shown=_exp, scaled=math.log)


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def asks(study: Study, probe: str) -> list[Comparison]:
    """Return the comparisons that ask about a measure: `prediction` means `gap/label_logp`, others are named."""
    wanted = probe.removeprefix(PREFIX)
    primary = PRIMARY.removeprefix(PREFIX)
    return [c for c in study.comparisons if c.contrast == CONTRAST and (measure_of(c.probe) or primary) == wanted]


def margin_of(comparison: Comparison | None) -> float | None:
    """Return kappa where the comparison declares it."""
    return None if comparison is None or comparison.margin is None else comparison.margin.value


def findings(case: Case) -> Iterator[Finding]:
    """Rates, factors and path-to-seed ratios of every unlearning, measure and test set; classes where declared."""
    for probe, test_set in case.table.coupled.probes:
        comparisons = asks(case.study, probe)
        for unlearning in case.study.unlearnings:
            found = growth(case, probe, test_set, unlearning)
            if found is None:
                continue
            place = Place(
                contrast=CONTRAST,
                quantity="path rate",
                probe=probe,
                test_set=test_set,
                unlearning=unlearning.name,
                alignment="window",
                step=found.steps[-1],
            )
            for comparison in each(comparisons):
                yield _judged(case, place, found, comparison)
            yield from _described(case, place, found)
            # Pairs are many and describe only: they are told where a comparison asks for their measure.
            for pair in found.pairs if comparisons and len(found.pairs) > 1 else ():
                yield from _of_pair(case, place, pair, margin_of(comparisons[0]))


def _judged(case: Case, place: Place, found: Growth, comparison: Comparison | None) -> Finding:
    """The path rate over all pairs, with the verdict that its class gives."""
    said = "; ".join(filter(None, ("the rate at which histories of equal draws part", found.ceiling)))
    finding = conclude(
        place,
        found.whole.path,
        found.counts,
        rule=Rule.SIGNED,
        alpha=case.alpha,
        asked=comparison,
        describes=f"{found.word}: {said}" if found.word else said,
    )
    kappa = margin_of(comparison)
    if kappa is None or comparison is None:
        return finding
    if finding.decision_low is None:
        # Nothing may be read from these runs; why not is said already.
        return replace(finding, reason=f"{INCONCLUSIVE}: {finding.reason}")
    growing = found.path_class(kappa, case.alpha)
    verdict, reason, needed = _read(growing, kappa)
    reason = "; ".join(filter(None, (reason, found.ceiling)))
    return replace(finding, decision_low=None, decision_high=None, verdict=verdict, reason=reason, n_needed=needed)


def _read(growing: GrowthClass, kappa: float) -> tuple[Verdict, str, int | None]:
    """Return verdict, reason and the replicates that would do of a class."""
    shown = {
        name: _interval_words(estimate, growing.level)
        for name, estimate in (("early", growing.early), ("late", growing.late), ("change", growing.change))
    }
    missing = [e.undefined for e in (growing.early, growing.late) if e.undefined]
    if missing:
        return Verdict.INCONCLUSIVE, f"{INCONCLUSIVE}: {missing[0]}", None
    unit = growing.early.unit
    said = ", ".join(f"{name} {text}" for name, text in shown.items())
    simultaneous = f"{said} {unit} (intervals that hold together), margin {kappa:g}"
    if growing.word == INCONCLUSIVE:
        needed = n_to_classify(growing, kappa)
        outlook = f"about n = {needed} would do at these slopes and spread" if needed else "no n gives them a class"
        return Verdict.INCONCLUSIVE, f"{INCONCLUSIVE}: {simultaneous}; {outlook}", needed
    verdict = Verdict.EQUIVALENT if growing.word == FROZEN else Verdict.DIFFERENT
    return verdict, f"{growing.word}: {simultaneous}", None


def _interval_words(estimate: Estimate, level: float) -> str:
    low, high = estimate.bounds(level)
    return "without interval" if low is None or high is None else f"[{low:.3g}, {high:.3g}]"


def _described(case: Case, place: Place, found: Growth) -> Iterator[Finding]:
    """Everything beside the path rate: windows, seed pairs, factors, ratios."""
    both, seeds = found.counts, found.seed_counts
    path, seed, apart = (
        "the rate at which histories of equal draws part",
        "the same for two replicates of one history",
        "above 0: histories part faster than seeds",
    )
    numbers: list[tuple[str, Estimate, RunCounts, str]] = [
        ("seed rate", found.whole.seed, seeds, seed),
        ("path-to-seed rate", found.whole.difference, both, apart),
        ("path factor", found.path_factor, both, "gap of histories at the last saved step over step 0"),
        ("seed factor", found.seed_factor, seeds, seed),
        ("path/seed at start", found.ratio_at_start, both, "gap of histories over that of replicates"),
        ("path/seed at end", found.ratio_at_end, both, "gap of histories over that of replicates"),
    ]
    for name, rates, where in (
        ("early", found.early, "up to half of the steps"),
        ("late", found.late, "from half of the steps on"),
        ("change of", found.change, "late minus early"),
    ):
        numbers += [
            (f"{name} path rate", rates.path, both, f"{path}, {where}"),
            (f"{name} seed rate", rates.seed, seeds, f"{seed}, {where}"),
            (f"{name} path-to-seed rate", rates.difference, both, f"{apart}, {where}"),
        ]
    for quantity, estimate, counts, describes in numbers:
        yield conclude(
            replace(place, quantity=quantity, step=0 if quantity.endswith("start") else place.step),
            estimate,
            counts,
            rule=Rule.SIGNED,
            alpha=case.alpha,
            describes=describes,
        )


def _of_pair(case: Case, place: Place, pair: PairGrowth, kappa: float | None) -> Iterator[Finding]:
    """The rates of one pair of histories: described, never judged, since the margin is for all pairs together."""
    said = pair.word if kappa is None else pair.classified(kappa, case.alpha).word
    for quantity, estimate, describes in (
        ("path rate", pair.rate, f"{said}: the rate at which these two histories part" if said else "one pair"),
        ("early path rate", pair.early, "the same up to half of the steps"),
        ("late path rate", pair.late, "the same from half of the steps on"),
    ):
        yield conclude(
            replace(place, quantity=quantity, history=pair.history, other=pair.other),
            estimate,
            pair.counts,
            rule=Rule.SIGNED,
            alpha=case.alpha,
            describes=describes,
        )
