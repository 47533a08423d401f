"""How fast do histories part under a method? Rates of coupled gaps, which share their draws and differ in order alone.

With g_ab,r(t) the gap of histories a, b of replicate r after t steps, and s_h,rs(t) that of replicates r, s of one
history h, the *path rate* is the mean over replicates of the mean over pairs of histories of the least-squares slope of
log g_ab,r over all saved steps; the *factor* the same with log g(T) - log g(0). The *seed* rate and factor are means
over histories and over pairs of replicates. A method *expands* if the 95 % interval of its path rate lies above 0 and
*contracts* if below; otherwise it is *not told from frozen*.

Design. Equal draws take out what two independent runs differ by, so a rate can be seen where the debiased gap of
`path_gap` is still below its noise. What they cannot show is the outcome of the method on a fresh run, so these numbers
are read with intervals over replicates, the only independent units, and without a verdict unless a margin was declared.
A gap of exactly 0 has no logarithm: all that it enters is undefined, since leaving it out would leave out the histories
that came together.

Legend: R replicates, T saved steps, G pairs of histories or histories.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.coupled_gaps import PREFIX
from retrain_equivalence.equivalence.declared import measure_of
from retrain_equivalence.equivalence.estimate import T_NEEDS, Estimate, of_jackknife, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs, of_runs
from retrain_equivalence.equivalence.measurements import OK, Floats
from retrain_equivalence.equivalence.runs import RunCounts, count, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison, Study

CONTRAST = "gap_growth"
PRIMARY = "gap/label_logp"
"""What a comparison of `prediction` is judged on: the measure without a ceiling."""
PARAMETERS = "gap/parameters"

PATH_METHOD = "mean over pairs of histories within a replicate, then over replicates, t"
SEED_METHOD = "mean over histories and pairs of replicates, leave-one-replicate-out jackknife, t"
BOTH_METHOD = "path minus seed, leave-one-replicate-out jackknife, t"
RATE_UNIT, FACTOR_UNIT = "log units/step", "ratio"

NO_GAPS = "undefined: no replicate has a gap at every saved step"
ZERO = "undefined: a gap of exactly 0 has no logarithm, {zeros} of {gaps} are 0"
EXPANDS, CONTRACTS, NOT_TOLD = "expands", "contracts", "not told from frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class GapGrowth:
    """Everything about one unlearning, measure and test set."""

    path_rate: Estimate
    seed_rate: Estimate
    rate_difference: Estimate
    """Path minus seed."""
    path_factor: Estimate
    """Gap at the last saved step over gap at step 0."""
    seed_factor: Estimate
    ratio_at_start: Estimate
    """Geometric mean of path gaps over that of seed gaps, at step 0."""
    ratio_at_end: Estimate
    """The same at the last saved step."""
    counts: RunCounts
    """Replicates behind the path numbers."""
    seed_counts: RunCounts
    """Replicates behind the seed numbers."""
    steps: tuple[int, ...]

    @property
    def word(self) -> str:
        """What the path rate says: `expands`, `contracts`, `not told from frozen`; empty without an interval."""
        return word(self.path_rate)


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


def gap_growth(case: Case, probe: str, test_set: str, unlearning: Unlearning) -> GapGrowth | None:
    """Return the rates and factors of one unlearning; None if the table has gaps at fewer than two of its steps."""
    saved = set(unlearning.steps)
    after = [step for step in case.table.coupled.steps(probe, test_set, unlearning.name) if step in saved and step > 0]
    steps = [0, *after]
    if not after:
        return None
    path = _Stack.of_paths(case, probe, test_set, unlearning.name, steps)
    seed = _Stack.of_seeds(case, probe, test_set, unlearning.name, steps)
    slope_T = _slope(np.asarray(steps, dtype=np.float64), unlearning.last - unlearning.procedure[-1].n_steps)
    change_T = np.zeros(len(steps))
    change_T[0], change_T[-1] = -1.0, 1.0
    start_T, end_T = np.zeros(len(steps)), np.zeros(len(steps))
    start_T[0] = end_T[-1] = 1.0

    def of_path(weights_T: Floats, *, is_rate: bool) -> Estimate:
        return _shown(
            of_sample(path.per_replicate(weights_T), unit=_unit(is_rate), method=PATH_METHOD, undefined=path.undefined),
            is_rate,
        )

    def of_seed(weights_T: Floats, *, is_rate: bool) -> Estimate:
        return _jackknifed(among_runs(seed.per_pair(weights_T)), SEED_METHOD, seed.undefined, is_rate=is_rate)

    def of_both(weights_T: Floats, *, is_rate: bool) -> Estimate:
        one, two = path.per_replicate(weights_T), seed.per_pair(weights_T)
        common = np.isfinite(one) & np.isfinite(two).any(axis=1)
        one = np.where(common, one, np.nan)
        two = np.where(common[:, None] & common[None, :], two, np.nan)
        undefined = path.undefined if path.zeros or not np.isfinite(one).any() else seed.undefined
        return _jackknifed(_mean(one) - among_runs(two), BOTH_METHOD, undefined, is_rate=is_rate)

    return GapGrowth(
        path_rate=of_path(slope_T, is_rate=True),
        seed_rate=of_seed(slope_T, is_rate=True),
        rate_difference=of_both(slope_T, is_rate=True),
        path_factor=of_path(change_T, is_rate=False),
        seed_factor=of_seed(change_T, is_rate=False),
        ratio_at_start=of_both(start_T, is_rate=False),
        ratio_at_end=of_both(end_T, is_rate=False),
        counts=count(path.codes),
        seed_counts=count(seed.codes),
        steps=tuple(steps),
    )


def _slope(times_T: Floats, begin: int) -> Floats:
    """Weights whose sum with a series is its least-squares slope over the steps from `begin` on.

    `begin` is where the last step of the procedure starts: relearning before it moves the gap another way, and one
    slope over both would be the rate of neither. Fewer than two saved steps there: all of them.

    >>> _slope(np.array([0.0, 5.0, 10.0]), 5).tolist()
    [0.0, -0.2, 0.2]
    """
    inside = times_T >= begin
    if inside.sum() < 2:
        inside = np.ones(len(times_T), dtype=bool)
    centred = np.where(inside, times_T - times_T[inside].mean(), 0.0)
    slope: Floats = centred / float(np.square(centred).sum())
    return slope


def _unit(is_rate: bool) -> str:
    return RATE_UNIT if is_rate else FACTOR_UNIT


def _shown(estimate: Estimate, is_rate: bool) -> Estimate:
    if is_rate:
        return estimate
    return Estimate(
        value=estimate.value,
        se=estimate.se,
        n=estimate.n,
        unit=estimate.unit,
        method=f"{estimate.method}, on the log scale",
        needs=T_NEEDS,
        shown=_exp,
        scaled=math.log,
        undefined=estimate.undefined,
    )


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _jackknifed(number: Jackknifed, method: str, undefined: str, *, is_rate: bool) -> Estimate:
    found = of_jackknife(number, unit=_unit(is_rate), method=method, undefined=undefined)
    if is_rate:
        return found
    return of_jackknife(
        number,
        unit=FACTOR_UNIT,
        method=f"{method}, on the log scale",
        undefined=undefined,
        shown=_exp,
        scaled=math.log,
    )


def _mean(values_R: Floats) -> Jackknifed:
    """The mean of one number per replicate, and without replicate i; nan does not count."""
    there = np.isfinite(values_R)
    filled = np.where(there, values_R, 0.0)
    n, total = int(there.sum()), float(filled.sum())
    without = np.where(there, (total - filled) / (n - 1), total / n) if n > 1 else np.full(len(values_R), np.nan)
    return of_runs(total / n if n else math.nan, without, there)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """Logarithms of gaps, [G, T, R] for paths or [G, T, R, R] for seeds, and the runs behind them."""

    logs: Floats
    """Nan where there is no gap, or one of 0."""
    codes: list[int]
    """Status of each replicate over all pairs and steps."""
    zeros: int
    gaps: int

    @property
    def undefined(self) -> str:
        """Why there is no number, where there is none."""
        return ZERO.format(zeros=self.zeros, gaps=self.gaps) if self.zeros else NO_GAPS

    @classmethod
    def of_paths(cls, case: Case, probe: str, test_set: str, unlearning: str, steps: list[int]) -> _Stack:
        """Stack every pair of unlearned histories."""
        read = case.table.coupled.path
        # Histories in another sample order differ by more than the order of their stages.
        order = {history.name: history.shuffle for history in case.unlearned}
        pairs = [(a, b) for a, b in case.pairs if order.get(a) == order.get(b)]
        found = [[read(probe, test_set, a, b, unlearning, step) for step in steps] for a, b in pairs]
        codes: list[int] = [OK] * case.table.R
        for series in found:
            for _, states in series:
                codes = worse(codes, states.tolist())
        if not found:
            codes = [0] * case.table.R
        values = np.array([[values for values, _ in series] for series in found])
        return cls._of(values.reshape(len(found), len(steps), case.table.R), codes)

    @classmethod
    def of_seeds(cls, case: Case, probe: str, test_set: str, unlearning: str, steps: list[int]) -> _Stack:
        """Stack every unlearned history."""
        R = case.table.R
        read = case.table.coupled.seed
        found = [[read(probe, test_set, h.name, unlearning, step) for step in steps] for h in case.unlearned]
        codes: list[int] = [OK] * R
        for series in found:
            for _, states in series:
                # A run is as good as the best of its pairs: the other one of a bad pair has done nothing wrong.
                apart = [[int(states[r, s]) for s in range(R) if s != r] for r in range(R)]
                codes = worse(codes, [OK if OK in row else max(row, default=0) for row in apart])
        values = np.array([[values for values, _ in series] for series in found])
        return cls._of(values.reshape(len(found), len(steps), R, R), codes)

    @classmethod
    def _of(cls, values: Floats, codes: list[int]) -> _Stack:
        there = np.isfinite(values)
        positive = there & (values > 0)
        logs: NDArray[np.float64] = np.log(np.where(positive, values, 1.0))
        return cls(
            logs=np.where(positive, logs, np.nan),
            codes=codes,
            zeros=int((there & ~positive).sum()),
            gaps=int(there.sum()),
        )

    def _weighted(self, weights_T: Floats) -> Floats:
        """Weighted sums over steps, then means over pairs or histories; nan if any of them is missing, or any is 0."""
        if self.zeros or not len(self.logs):
            return np.full(self.logs.shape[2:], np.nan)
        # A replicate that lacks a step lacks it for every number, so that rate and factor are of the same runs.
        whole = np.isfinite(self.logs).all(axis=(0, 1))
        found = np.einsum("gt...,t->g...", np.where(whole, self.logs, 0.0), weights_T).mean(axis=0)
        return np.where(whole, found, np.nan)

    def per_replicate(self, weights_T: Floats) -> Floats:
        """One number per replicate, [R]."""
        return self._weighted(weights_T)

    def per_pair(self, weights_T: Floats) -> Floats:
        """One number per pair of replicates, [R, R], the diagonal nan."""
        return self._weighted(weights_T)


def asks(study: Study, probe: str) -> list[Comparison]:
    """Return the comparisons that ask about a measure: `prediction` means `gap/label_logp`, others are named."""
    wanted = probe.removeprefix(PREFIX)
    primary = PRIMARY.removeprefix(PREFIX)
    return [c for c in study.comparisons if c.contrast == CONTRAST and (measure_of(c.probe) or primary) == wanted]


def findings(case: Case) -> Iterator[Finding]:
    """Rates, factors and path-to-seed ratios of every unlearning, measure and test set."""
    for probe, test_set in case.table.coupled.probes:
        comparisons = asks(case.study, probe)
        for unlearning in case.study.unlearnings:
            found = gap_growth(case, probe, test_set, unlearning)
            if found is None:
                continue
            said = f"{found.word}: " if found.word else ""
            quantities: tuple[tuple[str, Estimate, RunCounts, str], ...] = (
                ("path rate", found.path_rate, found.counts, f"{said}the rate at which histories of equal draws part"),
                ("seed rate", found.seed_rate, found.seed_counts, "the same for two replicates of one history"),
                ("path-to-seed rate", found.rate_difference, found.counts, "above 0: histories part faster than seeds"),
                ("path factor", found.path_factor, found.counts, "gap of histories at the last saved step over step 0"),
                ("seed factor", found.seed_factor, found.seed_counts, "the same for two replicates of one history"),
                ("path/seed at start", found.ratio_at_start, found.counts, "gap of histories over that of replicates"),
                ("path/seed at end", found.ratio_at_end, found.counts, "gap of histories over that of replicates"),
            )
            for quantity, estimate, counts, describes in quantities:
                judged = comparisons if quantity == "path rate" else []
                place = Place(
                    contrast=CONTRAST,
                    quantity=quantity,
                    probe=probe,
                    test_set=test_set,
                    unlearning=unlearning.name,
                    alignment="window",
                    step=0 if quantity.endswith("start") else found.steps[-1],
                )
                for comparison in each(judged):
                    yield conclude(place, estimate, counts, rule=Rule.SIGNED, asked=comparison, describes=describes)
