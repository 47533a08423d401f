"""How far apart two histories are once seed noise is taken out: vectors by distances, scalars by paired differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import forget_level, sign_flip
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import Where, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife, of_sample
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs
from retrain_equivalence.equivalence.measurements import Floats, Pairs, state_class
from retrain_equivalence.equivalence.oracle_distance import AT_LEVEL, NOT_SQUARED, SQUARED_MEASURES
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_pairs, status_of_scalars, worse
from retrain_equivalence.equivalence.tost import paired_t
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison

G_METHOD = "D_ab - D_aa/2 - D_bb/2 over different replicates, leave-one-replicate-out jackknife, t"
S_METHOD = "mean of differences paired by replicate, t"
NOT_BAND = (
    "a multiple of the band belongs to raw distances to the oracle; a debiased gap needs a margin in its own unit"
)
DESCRIBES = "squared distance between the histories' mean predictions; 0 without path dependence, may be negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathGap:
    """The debiased gap of two histories at one place."""

    gap: Estimate
    """`G_ab`."""
    to_seed: Estimate
    """`G_ab / ((D_aa + D_bb)/2)`: the gap in units of the distance between seeds of one history."""
    seed: Estimate
    """`(D_aa + D_bb)/2`."""
    counts: RunCounts
    gap_number: Jackknifed
    seed_number: Jackknifed
    kernel_RR: Floats
    """Inner products `<delta_r, delta_s>`, r != s, of the differences of the complete replicates."""


def _of_pairs(case: Case, probe: str, across: Pairs, one: Pairs, two: Pairs, codes: list[int], lost: int) -> PathGap:
    R = case.table.R
    unit = case.table.units.get(probe, "")
    matrices = [pairs.values_NN[:R, :R].copy() for pairs in (across, one, two)]
    present = (
        np.isfinite(matrices[0]).any(axis=1)
        & np.isfinite(matrices[0]).any(axis=0)
        & np.isfinite(matrices[1]).any(axis=1)
        & np.isfinite(matrices[2]).any(axis=1)
    )
    for matrix in matrices:
        matrix[~np.outer(present, present)] = np.nan
    d_ab, d_aa, d_bb = (among_runs(matrix) for matrix in matrices)
    seed = 0.5 * d_aa + 0.5 * d_bb
    gap = d_ab - seed
    ab, aa, bb = (matrix[np.ix_(present, present)] for matrix in matrices)
    found = count(codes)
    ratio = Jackknifed(
        value=gap.value / seed.value if seed.value > 0 else float("nan"),
        joint_N=np.where(seed.joint_N > 0, gap.joint_N / np.where(seed.joint_N > 0, seed.joint_N, 1.0), np.nan),
        own_N=np.where(seed.own_N > 0, gap.own_N / np.where(seed.own_N > 0, seed.own_N, 1.0), np.nan),
        oracle_N=np.full(R, np.nan),
        runs_N=gap.runs_N,
        oracles_N=gap.oracles_N,
    )
    missing = "undefined: distances between or within the two histories over different replicates are missing"
    return PathGap(
        gap=of_jackknife(gap, unit=unit, method=G_METHOD, undefined=missing),
        to_seed=of_jackknife(
            ratio,
            unit="ratio",
            method="G_ab over (D_aa + D_bb)/2, leave-one-replicate-out jackknife, t",
            undefined=missing,
        ),
        seed=of_jackknife(
            seed, unit=unit, method="(D_aa + D_bb)/2 over different replicates, jackknife, t", undefined=missing
        ),
        counts=replace(found, lost_pairs=lost),
        gap_number=gap,
        seed_number=seed,
        kernel_RR=0.5 * (ab + ab.T - aa - bb),
    )


def at_step(case: Case, probe: str, test_set: str, a: str, b: str, unlearning: str, step: int) -> PathGap:
    """Return the gap of histories a and b at the same step of the same unlearning; step 0 is trained."""
    table = case.table
    one, two = state_class(a, unlearning, step), state_class(b, unlearning, step)
    place = (probe, test_set, a, b, one.unlearning, step)
    if place in case.gaps:
        return case.gaps[place]
    across = table.pairs(probe, test_set, one, two)
    codes_a, lost = status_of_pairs(across, table.R, table.R, table.censored_by(a, unlearning, step))
    codes_b, _ = status_of_pairs(across, table.R, table.R, table.censored_by(b, unlearning, step), columns=True)
    within = [table.pairs(probe, test_set, state, state) for state in (one, two)]
    found = _of_pairs(case, probe, across, within[0], within[1], worse(codes_a, codes_b), lost)
    case.gaps[place] = found
    return found


def at_forget_level(case: Case, probe: str, test_set: str, a: str, b: str, unlearning: Unlearning) -> PathGap | None:
    """Return the gap where each run has reached the forget level; null if there is no such level."""
    table = case.table
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
    codes_a, lost = status_of_pairs(across, table.R, table.R, set())
    codes_b, _ = status_of_pairs(across, table.R, table.R, set(), columns=True)
    reached_both = worse(codes[0], codes[1])
    return _of_pairs(case, probe, across, one, two, worse(reached_both, worse(codes_a, codes_b)), lost)


def _flip_test(case: Case, found: PathGap) -> Test | None:
    kernel = found.kernel_RR
    apart = ~np.eye(len(kernel), dtype=bool)
    if len(kernel) < 2 or not np.isfinite(kernel[apart]).all():
        return None
    p_value = sign_flip.of_inner_products(kernel, seed=case.study.seed)
    least = sign_flip.smallest_n(1)
    return Test(p_value=p_value, method="exact sign flip", smallest_n=least if len(kernel) < least else None)


def _conclude(
    case: Case, found: PathGap, place: Place, comparisons: list[Comparison], refusal: str = ""
) -> Iterator[Finding]:
    for comparison in each(comparisons):
        yield conclude(
            place,
            found.gap,
            found.counts,
            rule=Rule.DISTANCE,
            asked=comparison,
            refusal=NOT_BAND if by_band(comparison) else refusal,
            describes=DESCRIBES,
            test=_flip_test(case, found) if comparison is not None else None,
        )


def distance_findings(case: Case) -> Iterator[Finding]:
    """Gaps by distances: every pair of histories, trained, at every saved step and at the declared forget level."""
    study = case.study
    pairs = [(a.name, b.name) for a, b in combinations(case.histories, 2)]
    for probe, test_set in case.table.distance_probes:
        declared = [
            c
            for w in ("at_end", "at_step", "at_forget_level")
            for c in asked(study, "path_gap", probe, w, distance=True)
        ]
        if measure_of(probe) not in SQUARED_MEASURES:
            for comparison in dict.fromkeys(declared):
                nothing = Estimate(
                    value=None,
                    se=None,
                    n=0,
                    unit=case.table.units.get(probe, ""),
                    method=G_METHOD,
                    needs=0,
                    undefined=NOT_SQUARED,
                )
                place = Place(contrast="path_gap", quantity="G_ab", probe=probe, test_set=test_set)
                yield conclude(place, nothing, count([]), rule=Rule.DISTANCE, asked=comparison, describes=NOT_SQUARED)
            continue
        for a, b in pairs:
            trained = Place(
                contrast="path_gap",
                quantity="G_ab",
                probe=probe,
                test_set=test_set,
                history=a,
                other=b,
                alignment="trained",
                step=0,
            )
            yield from _conclude(case, at_step(case, probe, test_set, a, b, "", 0), trained, [])
            for unlearning in study.unlearnings:
                last = case.last(unlearning)
                steps = case.steps(probe, test_set, unlearning)
                if last not in steps and asked(study, "path_gap", probe, "at_end", distance=True):
                    steps = [*steps, last]
                for step in steps:
                    where: Where = "at_end" if step == last else "at_step"
                    comparisons = asked(study, "path_gap", probe, where, distance=True)
                    if where == "at_step" and measure_of(probe) not in ("hellinger", "squared_l2") and not comparisons:
                        continue
                    found = at_step(case, probe, test_set, a, b, unlearning.name, step)
                    place = Place(
                        contrast="path_gap",
                        quantity="G_ab",
                        probe=probe,
                        test_set=test_set,
                        unlearning=unlearning.name,
                        history=a,
                        other=b,
                        alignment=where,
                        step=step,
                    )
                    yield from _conclude(case, found, place, comparisons)
                    if step == last:
                        ratio = Place(
                            contrast="path_gap",
                            quantity="G_ab/D_seed",
                            probe=probe,
                            test_set=test_set,
                            unlearning=unlearning.name,
                            history=a,
                            other=b,
                            alignment=where,
                            step=step,
                        )
                        yield conclude(
                            ratio,
                            found.to_seed,
                            found.counts,
                            rule=Rule.DISTANCE,
                            describes="the gap in units of the distance between two seeds of one history",
                        )
                comparisons = asked(study, "path_gap", probe, "at_forget_level", distance=True)
                if not comparisons:
                    continue
                matched = at_forget_level(case, probe, test_set, a, b, unlearning)
                if matched is not None:
                    place = Place(
                        contrast="path_gap",
                        quantity="G_ab",
                        probe=probe,
                        test_set=test_set,
                        unlearning=unlearning.name,
                        history=a,
                        other=b,
                        alignment="at_forget_level",
                    )
                    yield from _conclude(case, matched, place, comparisons, AT_LEVEL)


def scalar_findings(case: Case) -> Iterator[Finding]:
    """Signed gaps of scalar probes, paired by replicate: trained, at the end, and wherever a comparison asks."""
    study, table = case.study, case.table
    for probe in table.scalar_probes:
        if probe.startswith("stage_loss:"):
            continue
        places = [("", 0, "trained", 0)]
        for unlearning in study.unlearnings:
            last = case.last(unlearning)
            everywhere = bool(asked(study, "path_gap", probe, "at_step", distance=False))
            chosen = [step for step in case.steps(probe, None, unlearning) if everywhere or step == last]
            places += [(unlearning.name, step, "at_end" if step == last else "at_step", last) for step in chosen]
        for a, b in combinations(case.histories, 2):
            for unlearning_name, step, where, _ in places:
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
                if where == "trained":
                    comparisons: list[Comparison] = []
                elif where == "at_end":
                    comparisons = asked(study, "path_gap", probe, "at_end", distance=False)
                else:
                    comparisons = asked(study, "path_gap", probe, "at_step", distance=False)
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
    return Test(p_value=paired_t(estimate.value, estimate.se, estimate.n), method="paired t")


def findings(case: Case) -> Iterator[Finding]:
    """All path gaps."""
    yield from distance_findings(case)
    yield from scalar_findings(case)
