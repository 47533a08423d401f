"""How far apart two histories are once seed noise is taken out: vectors by distances, scalars by paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.equivalence import forget_level, sign_flip, worst_case
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import along, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, finite, nothing, of_jackknife, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, of_runs, removed
from retrain_equivalence.equivalence.measurements import OK, Flags, Floats, Pairs, state_class
from retrain_equivalence.equivalence.oracle_distance import BETWEEN_ALL, NOT_SQUARED, SQUARED_MEASURES
from retrain_equivalence.equivalence.runs import RunCounts, count, lost_in, status_of_pairs, status_of_scalars, worse
from retrain_equivalence.equivalence.squared_norm import noise_of_mean, of_squared_norm
from retrain_equivalence.equivalence.tost import PAIRED_T, paired_t
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison

G_METHOD = "D_ab - D_aa/2 - D_bb/2 over different replicates, jackknife, t on a shifted log scale"
SEED_METHOD = "(D_aa + D_bb)/2 over different replicates, jackknife, t"
TO_SEED_METHOD = "G_ab over (D_aa + D_bb)/2, leave-one-replicate-out jackknife, t on a shifted log scale"
NO_DISTANCES = "undefined: distances between or within the two histories over different replicates are missing"
S_METHOD = "mean of differences paired by replicate, t"
NOT_BAND = (
    "a multiple of the band belongs to raw distances to the oracle; a debiased gap needs a margin in its own unit"
)
DESCRIBES = "squared distance between the histories' mean predictions; 0 without path dependence, may be negative"


@dataclass(frozen=True, kw_only=True)
class PathGap:
    """The debiased gap of two histories at one place; estimates are made when they are asked for."""

    gap_number: Jackknifed
    """`G_ab`."""
    seed_number: Jackknifed
    """`(D_aa + D_bb)/2`."""
    counts: RunCounts
    kernel_RR: Floats
    """Inner products `<delta_r, delta_s>`, r != s, of the differences of the replicates; nan if one is incomplete."""
    unit: str

    @cached_property
    def gap(self) -> Estimate:
        """`G_ab`."""
        return of_squared_norm(self.gap_number, self._noise, unit=self.unit, method=G_METHOD, undefined=NO_DISTANCES)

    @property
    def _noise(self) -> float:
        return noise_of_mean(self.kernel_RR, self.seed_number.value / max(self.gap_number.n, 1))

    @cached_property
    def seed(self) -> Estimate:
        """`(D_aa + D_bb)/2`."""
        return of_jackknife(self.seed_number, unit=self.unit, method=SEED_METHOD, undefined=NO_DISTANCES)

    @property
    def seed_value(self) -> float | None:
        """`(D_aa + D_bb)/2` alone, for tables of thousands of pairs; null if undefined."""
        return finite(self.seed_number.value)

    @property
    def ratio_value(self) -> float | None:
        """`to_seed` alone; null if undefined."""
        gap, seed = self.gap_number.value, self.seed_number.value
        return finite(gap / seed) if seed > 0 else None

    @cached_property
    def to_seed(self) -> Estimate:
        """`G_ab / ((D_aa + D_bb)/2)`: the gap in units of the distance between seeds of one history."""
        seed = self.seed_number.value
        ratio = self.gap_number.over(self.seed_number)
        noise = self._noise / seed if seed > 0 else 0.0
        return of_squared_norm(ratio, noise, unit="ratio", method=TO_SEED_METHOD, undefined=NO_DISTANCES)


def _of_stacks(
    across_GRR: Floats, one_GRR: Floats, two_GRR: Floats, codes: list[list[int]], unit: str
) -> list[PathGap]:
    """Return the gaps of G pairs of histories from their distances across and within; all pairs in one go."""
    there = np.isfinite(across_GRR)
    present = np.any(there, axis=2) & np.any(there, axis=1)
    for within in (one_GRR, two_GRR):
        present &= np.any(np.isfinite(within), axis=2)
    both = present[:, :, None] & present[:, None, :]
    across, one, two = (np.where(both, matrix, np.nan) for matrix in (across_GRR, one_GRR, two_GRR))
    (d_ab, ab_out, ab_in), (d_aa, aa_out, aa_in), (d_bb, bb_out, bb_in) = map(removed, (across, one, two))
    seed, seed_out, seed_in = 0.5 * d_aa + 0.5 * d_bb, 0.5 * aa_out + 0.5 * bb_out, aa_in | bb_in
    gap, gap_out, gap_in = d_ab - seed, ab_out - seed_out, ab_in | seed_in
    kernels = 0.5 * (across + across.transpose(0, 2, 1) - one - two)
    return [
        PathGap(
            gap_number=of_runs(value, gap_out[g], gap_in[g]),
            seed_number=of_runs(beside, seed_out[g], seed_in[g]),
            counts=_counts(codes[g], kernels[g]),
            kernel_RR=kernels[g],
            unit=unit,
        )
        for g, (value, beside) in enumerate(zip(gap.tolist(), seed.tolist(), strict=True))
    ]


def _counts(codes: Sequence[int], kernel_RR: Floats) -> RunCounts:
    """Return the runs behind a pair, and how many distances across or within the two histories are not there."""
    return replace(count(codes), lost_pairs=lost_in(kernel_RR, codes))


def _codes(
    case: Case, across_GRR: NDArray[np.uint8], pairs: Sequence[tuple[str, str]], where: tuple[str, int]
) -> list[list[int]]:
    """Return the status of each pair's replicates, in one look where every distance is there: nearly always so."""
    R = case.table.R
    whole = [R > 1 and bool(flag) for flag in ((across_GRR == OK) | np.eye(R, dtype=bool)).all(axis=(1, 2))]
    stopped = {name: case.table.censored_by(name, *where) for name in {name for pair in pairs for name in pair}}
    every = [OK] * R
    found = []
    for g, (a, b) in enumerate(pairs):
        if whole[g] and not stopped[a] and not stopped[b]:
            found.append(every)
            continue
        matrix = Pairs(values_NN=np.full((R, R), np.nan), states_NN=across_GRR[g])
        codes_a, _ = status_of_pairs(matrix, R, R, stopped[a])
        codes_b, _ = status_of_pairs(matrix, R, R, stopped[b], columns=True)
        found.append(worse(codes_a, codes_b))
    return found


def at_step(case: Case, probe: str, test_set: str, a: str, b: str, unlearning: str, step: int) -> PathGap:
    """Return the gap of histories a and b (in declared order) at the same step of the same unlearning; 0 is trained.

    The gaps of all pairs at that place are computed together, once a case.
    """
    trained = state_class(a, unlearning, step).unlearning == ""
    place = (probe, test_set, "" if trained else unlearning, step)
    if place not in case.gaps:
        pairs = [(x.name, y.name) for x, y in combinations(case.histories, 2)] if trained else list(case.pairs)
        case.gaps[place] = dict(zip(pairs, _all_at(case, pairs, *place), strict=True))
    return case.gaps[place][a, b]


def _all_at(
    case: Case, pairs: list[tuple[str, str]], probe: str, test_set: str, unlearning: str, step: int
) -> list[PathGap]:
    table, R = case.table, case.table.R
    states = {name: state_class(name, unlearning, step) for name in dict.fromkeys(n for pair in pairs for n in pair)}
    row = {name: i for i, name in enumerate(states)}
    within, _ = table.stack(probe, test_set, [(state, state) for state in states.values()])
    across, codes = table.stack(probe, test_set, [(states[a], states[b]) for a, b in pairs])
    return _of_stacks(
        across[:, :R, :R],
        within[[row[a] for a, _ in pairs], :R, :R],
        within[[row[b] for _, b in pairs], :R, :R],
        _codes(case, codes[:, :R, :R], pairs, (unlearning, step)),
        table.units.get(probe, ""),
    )


def at_forget_level(case: Case, probe: str, test_set: str, a: str, b: str, unlearning: Unlearning) -> PathGap | None:
    """Return the gap where each run has reached the forget level; null if there is no such level."""
    table, R = case.table, case.table.R
    level = forget_level.pair_level(case, a, b)
    if level is None:
        return None
    places, codes = [], []
    for name in (a, b):
        where, reached = forget_level.stops(case, name, unlearning, level)
        places.append((name, unlearning.name, where))
        codes.append(reached)
    across = table.pairs_at_own_steps(probe, test_set, places[0], places[1])
    one, two = (table.pairs_at_own_steps(probe, test_set, place, place) for place in places)
    codes_a, _ = status_of_pairs(across, R, R, set())
    codes_b, _ = status_of_pairs(across, R, R, set(), columns=True)
    found = worse(worse(codes[0], codes[1]), worse(codes_a, codes_b))
    d_ab, d_aa, d_bb = (pairs.values_NN[None, :R, :R] for pairs in (across, one, two))
    (gap,) = _of_stacks(d_ab, d_aa, d_bb, [found], table.units.get(probe, ""))
    lost = sum(forget_level.lost_oracles(case, oracle) for oracle in {case.oracle_of[a], case.oracle_of[b]})
    return replace(gap, counts=replace(gap.counts, lost_oracles=lost))


def flip_test(kernel_RR: Floats, present_R: Flags, seed: int) -> Test | None:
    """Return the sign flip of whole replicates; null if two replicates that count lack their inner product.

    Args:
        kernel_RR: inner products of the replicates' differences.
        present_R: which replicates count.
        seed: of the flips that are drawn above n = 14.
    """
    kernel = kernel_RR[np.ix_(present_R, present_R)]
    apart = ~np.eye(len(kernel), dtype=bool)
    if len(kernel) < 2 or not np.isfinite(kernel[apart]).all():
        return None
    p_value = sign_flip.of_inner_products(kernel, seed=seed)
    least = sign_flip.smallest_n(1)
    return Test(p_value=p_value, method=sign_flip.METHOD, smallest_n=least if len(kernel) < least else None)


def _conclude(case: Case, found: PathGap, place: Place, comparisons: list[Comparison]) -> Iterator[Finding]:
    for comparison in each(comparisons):
        yield conclude(
            place,
            found.gap,
            found.counts,
            rule=Rule.DISTANCE,
            alpha=case.alpha,
            asked=comparison,
            refusal=NOT_BAND if by_band(comparison) else "",
            describes=DESCRIBES,
            test=flip_test(found.kernel_RR, found.gap_number.runs_N, case.study.seed)
            if comparison is not None
            else None,
        )


def distance_findings(case: Case) -> Iterator[Finding]:
    """Gaps by distances: every pair of histories, trained, at every saved step and at the declared forget level."""
    study, unlearned = case.study, set(case.pairs)
    for probe, test_set in case.table.distance_probes:
        of_probe = Place(contrast="path_gap", quantity="G_ab", probe=probe, test_set=test_set)
        if measure_of(probe) not in SQUARED_MEASURES:
            none = nothing(unit=case.table.units.get(probe, ""), method=G_METHOD, undefined=NOT_SQUARED)
            for comparison in asked(study, "path_gap", probe, "anywhere", distance=True):
                yield conclude(
                    of_probe,
                    none,
                    count([]),
                    rule=Rule.DISTANCE,
                    alpha=case.alpha,
                    asked=comparison,
                    describes=NOT_SQUARED,
                )
            continue
        for a, b in ((x.name, y.name) for x, y in combinations(case.histories, 2)):
            pair = replace(of_probe, history=a, other=b)
            trained = replace(pair, alignment="trained", step=0)
            yield from _conclude(case, at_step(case, probe, test_set, a, b, "", 0), trained, [])
            for unlearning in study.unlearnings if (a, b) in unlearned else ():
                here = replace(pair, unlearning=unlearning.name)
                for step, where, comparisons in along(case, "path_gap", probe, test_set, unlearning):
                    if where == "at_step" and measure_of(probe) not in BETWEEN_ALL and not comparisons:
                        continue
                    found = at_step(case, probe, test_set, a, b, unlearning.name, step)
                    place = replace(here, alignment=where, step=step)
                    yield from _conclude(case, found, place, comparisons)
                    if where == "at_end":
                        yield conclude(
                            replace(place, quantity="G_ab/D_seed"),
                            found.to_seed,
                            found.counts,
                            rule=Rule.DISTANCE,
                            alpha=case.alpha,
                            describes="the gap in units of the distance between two seeds of one history",
                        )
                comparisons = asked(study, "path_gap", probe, "at_forget_level", distance=True)
                if not comparisons:
                    continue
                matched = at_forget_level(case, probe, test_set, a, b, unlearning)
                if matched is not None:
                    place = replace(here, alignment="at_forget_level")
                    yield from _conclude(case, matched, place, comparisons)
                    yield from worst_case.of_gap(
                        replace(place, quantity="G_ab worst case"), matched.gap, matched.counts
                    )


def scalar_findings(case: Case) -> Iterator[Finding]:
    """Signed gaps of scalar probes, paired by replicate: trained, at the end, and wherever a comparison asks."""
    table, unlearned = case.table, set(case.pairs)
    for probe in table.scalar_probes:
        if probe.startswith("stage_loss:"):
            continue
        places: list[tuple[str, int, str, list[Comparison]]] = [("", 0, "trained", [])]
        for unlearning in case.study.unlearnings:
            places += [
                (unlearning.name, step, where, comparisons)
                for step, where, comparisons in along(case, "path_gap", probe, "", unlearning)
                if where == "at_end" or comparisons
            ]
        for a, b in combinations(case.histories, 2):
            for unlearning_name, step, where, comparisons in places if (a.name, b.name) in unlearned else places[:1]:
                one = table.scalar(probe, state_class(a.name, unlearning_name, step))
                two = table.scalar(probe, state_class(b.name, unlearning_name, step))
                codes = worse(
                    status_of_scalars(one.states_N, table.R, table.censored_by(a.name, unlearning_name, step)),
                    status_of_scalars(two.states_N, table.R, table.censored_by(b.name, unlearning_name, step)),
                )
                estimate = of_sample(
                    (one.values_N - two.values_N)[: table.R],
                    unit=table.units.get(probe, ""),
                    method=S_METHOD,
                    undefined="undefined: no replicate has both histories here",
                )
                place = Place(
                    contrast="path_gap",
                    quantity="a-b",
                    probe=probe,
                    unlearning=unlearning_name,
                    history=a.name,
                    other=b.name,
                    alignment=where,
                    step=step,
                )
                for comparison in each(comparisons):
                    yield conclude(
                        place,
                        estimate,
                        count(codes),
                        rule=Rule.SIGNED,
                        alpha=case.alpha,
                        asked=comparison,
                        paired=True,
                        refusal=NOT_BAND if by_band(comparison) else "",
                        test=t_test(estimate),
                        describes="signed difference of the two histories of one replicate; 0 without path dependence",
                    )


def t_test(estimate: Estimate) -> Test | None:
    """Return the paired t-test of no difference; null if there is no spread to test with."""
    if estimate.value is None or estimate.se is None:
        return None
    return Test(p_value=paired_t(estimate.value, estimate.se, estimate.n), method=PAIRED_T)


def findings(case: Case) -> Iterator[Finding]:
    """All path gaps."""
    yield from distance_findings(case)
    yield from scalar_findings(case)
