"""The path gap beyond the path difference that the histories' own oracles have: as vectors, not as distances.

Legend: K = 4 states in the order u_a, o_a, u_b, o_b (unlearned and oracle of history a, then of b); R replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence.band import ONE_ORDER
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import Where, along, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, finite, nothing
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs, over_whole_runs
from retrain_equivalence.equivalence.measurements import Floats, Pairs, StateClass, state_class
from retrain_equivalence.equivalence.oracle_distance import BETWEEN_ALL
from retrain_equivalence.equivalence.path_gap import flip_test
from retrain_equivalence.equivalence.runs import RunCounts, count, lost_in, status_of_pairs, worse
from retrain_equivalence.equivalence.squared_norm import noise_of_mean, of_squared_norm
from retrain_equivalence.equivalence.verdict import Place, Rule, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.study.study import Comparison

METHOD = "mean over r != s of <delta_r, delta_s>, delta = (u_a - o_a) - (u_b - o_b), leave-one-replicate-out, t"
ONE_ORACLE = "undefined: one oracle (the two histories are one order without the forget stage)"
NO_DISTANCES = "undefined: distances of the histories to each other's oracles over different replicates are missing"
NOT_BAND = "a debiased gap needs a margin in its own unit, not a multiple of the band"
DESCRIBES = "path gap beyond that of the histories' own oracles; 0 if unlearning adds no path dependence"

SIGNS_K = np.array([1.0, -1.0, -1.0, 1.0])
"""`delta = (u_a - o_a) - (u_b - o_b)` over the four states; they add up to 0, so norms cancel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """The debiased squared norm of the excess, and its yardstick."""

    gap: Jackknifed
    """Unbiased for `||E u_a - E o_a - E u_b + E o_b||^2`; may be negative."""
    seed: Jackknifed
    """Half the sum of the four states' distances between replicates: what independent runs would add to it."""
    kernel_RR: Floats
    """`<delta_r, delta_s>`, r != s; nan where a distance is missing."""


def of_distances(distances_KKRR: Floats) -> Excess:
    """Return the debiased squared norm of `delta = (u_a - o_a) - (u_b - o_b)`.

    `<delta_r, delta_s> = -1/2 sum_kl c_k c_l d(x_kr, x_ls)` with `c = (1, -1, -1, 1)`; the gap is its mean over r != s.

    Args:
        distances_KKRR: `[k, l, r, s] = d(x_kr, x_ls)`, a squared norm in a Hilbert space; equal replicates are not
            read; nan where there is no distance.

    Source: the debiased path gap, a cross-validated distance (Walther et al. 2016), of a difference of differences.
    Deviation: none; the difference of two debiased distances, `G(u) - G(o)`, is another number, which may be 0 or
    negative where the vectors differ.

    >>> x_KR = np.array([[4.0, 5.0], [1.0, 1.0], [2.0, 2.0], [1.0, 0.0]])
    >>> float(of_distances(np.square(x_KR[:, None, :, None] - x_KR[None, :, None, :])).gap.value)
    4.0
    """
    distances = over_whole_runs(distances_KKRR)
    kernel: Floats = -0.5 * np.einsum("k,l,klrs->rs", SIGNS_K, SIGNS_K, distances)
    # What is not there for one pair of states is not there for the yardstick either.
    seed = np.where(np.isfinite(kernel), 0.5 * np.einsum("kkrs->rs", distances), np.nan)
    return Excess(gap=among_runs(kernel), seed=among_runs(seed), kernel_RR=kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcessGap:
    """The excess of two histories at one place of a study, and the runs behind it."""

    excess: Excess
    counts: RunCounts
    unit: str

    @property
    def gap(self) -> Estimate:
        """The debiased squared norm."""
        noise = noise_of_mean(self.excess.kernel_RR, self.excess.seed.value / max(self.excess.gap.n, 1))
        return of_squared_norm(self.excess.gap, noise, unit=self.unit, method=METHOD, undefined=NO_DISTANCES)

    @property
    def seed_value(self) -> float | None:
        """The yardstick; null if undefined."""
        return finite(self.excess.seed.value)

    @property
    def ratio_value(self) -> float | None:
        """The gap over the yardstick; null if undefined."""
        gap, seed = self.excess.gap.value, self.excess.seed.value
        return finite(gap / seed) if seed > 0 else None


def one_oracle(case: Case, a: str, b: str) -> bool:
    """Whether two histories have the same order without the forget stage, so that nothing can be taken out."""
    return case.oracle_of[a] == case.oracle_of[b]


def at_step(case: Case, probe: str, test_set: str, a: str, b: str, unlearning: str, step: int) -> ExcessGap | None:
    """Return the excess of histories a and b at one step; null if the table has no distance across their oracles.

    Args:
        case: study and table.
        probe: full name of a squared norm.
        test_set: which texts.
        a: name of a history.
        b: name of another one, with another oracle.
        unlearning: its name.
        step: unlearning steps done; 0 is trained.
    """
    table, R = case.table, case.table.R
    states = [StateClass("", "", 0)] * 4
    for index, name in ((0, a), (2, b)):
        states[index] = state_class(name, unlearning, step)
        states[index + 1] = StateClass(case.oracle_of[name], "", 0)
    values, flags = table.stack(probe, test_set, [(one, two) for one in states for two in states])
    across = (0 * 4 + 3, 2 * 4 + 1)
    if not np.isfinite(values[list(across)]).any():
        return None
    codes = []
    for name, own in ((a, 0 * 4 + 3), (b, 2 * 4 + 1), (b, 2 * 4 + 0)):
        pairs = Pairs(values_NN=values[own], states_NN=flags[own])
        codes.append(status_of_pairs(pairs, R, R, table.censored_by(name, unlearning, step))[0])
    excess, of_all = of_distances(values.reshape(4, 4, table.N, table.N)[:, :, :R, :R]), reduce(worse, codes)
    return ExcessGap(
        excess=excess,
        counts=replace(count(of_all), lost_pairs=lost_in(excess.kernel_RR, of_all)),
        unit=table.units.get(probe, ""),
    )


def _undefined(case: Case, place: Place, comparisons: list[Comparison], reason: str) -> Iterator[Finding]:
    unit = case.table.units.get(place.probe, "")
    none = nothing(unit=unit, method=METHOD, undefined=reason)
    for comparison in each(comparisons):
        yield conclude(place, none, count([]), rule=Rule.DISTANCE, alpha=case.alpha, asked=comparison, describes=reason)


def _conclude(case: Case, found: ExcessGap, place: Place, comparisons: list[Comparison]) -> Iterator[Finding]:
    for comparison in each(comparisons):
        yield conclude(
            place,
            found.gap,
            found.counts,
            rule=Rule.DISTANCE,
            alpha=case.alpha,
            asked=comparison,
            refusal=NOT_BAND if by_band(comparison) else "",
            test=flip_test(found.excess.kernel_RR, found.excess.gap.runs_N, case.study.seed)
            if comparison is not None
            else None,
            describes=DESCRIBES,
        )


def places(case: Case, probe: str, test_set: str) -> Iterator[tuple[str, int, Where | None, list[Comparison]]]:
    """Yield unlearning, step, alignment (none: trained) and comparisons of every place of a probe."""
    yield "", 0, None, []
    for unlearning in case.study.unlearnings:
        for step, where, comparisons in along(case, "excess_path_gap", probe, test_set, unlearning):
            if where == "at_end" or comparisons:
                yield unlearning.name, step, where, comparisons


def steps(case: Case, probe: str, test_set: str) -> Iterator[tuple[str, int, bool]]:
    """Yield unlearning, step and whether it is the last, step 0 under each unlearning: what a table has."""
    for unlearning in case.study.unlearnings:
        yield unlearning.name, 0, False
        for name, step, where, _ in places(case, probe, test_set):
            if name == unlearning.name:
                yield name, step, where == "at_end"


def findings(case: Case) -> Iterator[Finding]:
    """Excess of every pair of histories with different oracles; with one oracle, one line says that it is undefined."""
    for probe, test_set in case.table.distance_probes:
        if measure_of(probe) not in BETWEEN_ALL or not case.pairs:
            continue
        place = Place(contrast="excess_path_gap", quantity="G_excess", probe=probe, test_set=test_set)
        if len({case.oracle_of[history.name] for history in case.unlearned}) == 1:
            comparisons = asked(case.study, "excess_path_gap", probe, "anywhere", distance=True)
            yield from _undefined(case, place, comparisons, ONE_ORDER)
            continue
        for unlearning, step, where, comparisons in places(case, probe, test_set):
            for a, b in case.pairs:
                here = replace(
                    place, unlearning=unlearning, history=a, other=b, alignment=where or "trained", step=step
                )
                if one_oracle(case, a, b):
                    if comparisons:
                        yield from _undefined(case, here, comparisons, ONE_ORACLE)
                    continue
                found = at_step(case, probe, test_set, a, b, unlearning, step)
                if found is not None:
                    yield from _conclude(case, found, here, comparisons)
                elif comparisons:
                    yield from _undefined(case, here, comparisons, NO_DISTANCES)
