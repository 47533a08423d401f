"""Is the law of unlearned runs the law of retrained runs? Sets of independent runs, permuted as whole runs.

Legend: L = n + m runs, n unlearned and m oracles; I items; P splits of oracles.

Design. A permutation needs runs that are exchangeable if the two laws are equal. An unlearned run and the oracle of its
own replicate share seeds and a prefix, so the two sets must have no replicate in common: all unlearned runs against the
oracle-only replicates where there are two or more of these, else the first half against the second. The test is against
equality of laws: a large p-value is not equivalence, least of all with few runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import permutation
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import PRIMARY_MEASURE, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, finite
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import LABEL_MARGIN, Floats, StateClass, state_class
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_pairs, status_of_scalars
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, conclude, each
from retrain_equivalence.metrics.distributional import energy_distance, margin_law

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison

ENERGY, GAUSSIAN_KL = "energy", "gaussian KL"
ORACLE_ONLY, HALVES = "oracle-only replicates", "split halves"
SPLITS = 200
"""Random splits of the oracles behind the number that oracles give against oracles."""
ENERGY_METHOD = "energy distance on the square root of Hellinger² over independent runs, U-form"
MARGIN_ENERGY_METHOD = "energy distance of each item's margins over independent runs, U-form, mean over items"
MARGIN_KL_METHOD = "divergence of the two normal laws fitted to each item's margins, mean over items"
TOO_FEW = "undefined: a law needs at least two runs, found {n} unlearned and {m} independent oracles"
NO_RUNS = "undefined: the table lacks distances or margins of some of these runs"
INFINITE = "undefined: some item does not vary over the runs of one set"
DESCRIBES = {
    ENERGY: "how far the law of unlearned runs is from that of independent oracles; 0 in the mean for equal laws",
    GAUSSIAN_KL: "of each item's label margin; above 0 for equal laws: read it beside oracles against oracles",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """Which replicates are the unlearned ones and which the oracles: none in common."""

    unlearned: range
    oracles: range
    independent: str
    """How they were kept apart."""


def sets(replicates: int, oracle_replicates: int) -> Sets:
    """Return the two sets of replicates.

    >>> sets(6, 4), sets(5, 0).unlearned, sets(5, 0).oracles
    (Sets(unlearned=range(0, 6), oracles=range(6, 10), independent='oracle-only replicates'), range(0, 3), range(3, 5))
    """
    if oracle_replicates >= 2:
        oracles = range(replicates, replicates + oracle_replicates)
        return Sets(unlearned=range(replicates), oracles=oracles, independent=ORACLE_ONLY)
    half = (replicates + 1) // 2
    return Sets(unlearned=range(half), oracles=range(half, replicates), independent=HALVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """One statistic between the two sets, beside what oracles give against oracles."""

    statistic: str
    """`energy` or `gaussian KL`."""
    estimate: Estimate
    null_mean: float | None
    """Mean of the statistic over splits of the oracles into sets of the same sizes; null without enough oracles."""
    distances_LL: Floats | None
    """Among the runs, the unlearned first: what is permuted; null where nothing is."""
    n: int
    n_oracles: int
    smallest_p: float | None
    """Smallest p-value that these sizes can give; null where there is no test."""
    independent: str
    counts: RunCounts

    def test(self, *, seed: int, alpha: float) -> Test | None:
        """Return the permutation test; without a p-value where the sizes cannot reach 5 %, null where there is none."""
        if self.distances_LL is None or self.smallest_p is None or self.estimate.undefined or self.counts.incomplete():
            return None
        if self.smallest_p > alpha:
            return Test(
                p_value=None,
                method=permutation.METHOD,
                smallest_n=permutation.needed(self.n, self.n_oracles, alpha),
            )
        first = np.arange(self.n + self.n_oracles) < self.n
        found = permutation.two_sample(self.distances_LL, first, seed=seed)
        return Test(p_value=found.p_value, method=permutation.METHOD)

    def why_no_p(self, alpha: float, *, is_asked: bool) -> str:
        """Return why there is no p-value; empty if there is one, or if the statistic has no test."""
        if self.estimate.undefined:
            return self.estimate.undefined
        if self.smallest_p is None:
            return ""
        if self.smallest_p > alpha:
            needed = permutation.needed(self.n, self.n_oracles, alpha)
            least = f"{self.n} against {self.n_oracles} runs cannot give p below {self.smallest_p:.2g}"
            return f"{least}; {needed} a side could" if needed else least
        return self.counts.incomplete() or ("" if is_asked else "no comparison asks for a test")

    def says(self, alpha: float, *, is_asked: bool) -> str:
        """Return what the number is, and why a test that was asked for is not there."""
        why = self.why_no_p(alpha, is_asked=is_asked) if is_asked else ""
        return f"{DESCRIBES[self.statistic]} ({self.independent})" + (f"; {why}" if why else "")


def _estimate(value: float | None, n: int, m: int, unit: str, method: str, undefined: str) -> Estimate:
    return Estimate(
        value=value,
        se=None,
        n=n,
        n_oracles=m,
        unit=unit,
        method=method,
        needs=0,
        undefined="" if value is not None else undefined,
    )


def _splits(n: int, total: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Splits of the oracles into n and the rest, [P, total], with a fixed seed: they are a yardstick, not data."""
    order = np.argsort(np.random.Generator(np.random.Philox(key=[n, total])).random((SPLITS, total)), axis=1)
    return order < n


def of_predictions(case: Case, probe: str, test_set: str, history: str, unlearning: str, step: int) -> Laws:
    """Return the energy distance of whole predictions by the root of Hellinger², which is a metric.

    Args:
        case: study and table.
        probe: full name of the Hellinger² distance.
        test_set: which texts.
        history: its name.
        unlearning: its name.
        step: unlearning steps done.
    """
    table, two = case.table, sets(case.table.R, case.table.N - case.table.R)
    n, m, unit = len(two.unlearned), len(two.oracles), f"√({table.units.get(probe, '')})"
    here, oracle = state_class(history, unlearning, step), StateClass(case.oracle_of[history], "", 0)
    within, across, among = (
        table.pairs(probe, test_set, one, other) for one, other in ((here, here), (here, oracle), (oracle, oracle))
    )
    codes, _ = status_of_pairs(across, table.R, table.N, table.censored_by(history, unlearning, step))
    counts, distances, value, null = count(codes[:n]), None, None, None
    if min(n, m) >= 2:
        block = across.values_NN[np.ix_(two.unlearned, two.oracles)]
        squared = np.block(
            [
                [within.values_NN[np.ix_(two.unlearned, two.unlearned)], block],
                [block.T, among.values_NN[np.ix_(two.oracles, two.oracles)]],
            ]
        )
        distances = _rooted(squared)
        if distances is not None:
            value = energy_distance.statistic(distances, np.arange(n + m) < n)
        known = _rooted(among.values_NN[: n + m, : n + m])
        if known is not None:
            null = float(energy_distance.of_splits(known, _splits(n, n + m)).mean())
    return Laws(
        statistic=ENERGY,
        estimate=_estimate(value, n, m, unit, ENERGY_METHOD, _why(n, m)),
        null_mean=null,
        distances_LL=distances,
        n=n,
        n_oracles=m,
        smallest_p=permutation.smallest_p(n, m) if min(n, m) >= 2 else None,
        independent=two.independent,
        counts=counts,
    )


def _why(n: int, m: int) -> str:
    return TOO_FEW.format(n=n, m=m) if min(n, m) < 2 else NO_RUNS


def _rooted(squared_LL: Floats) -> Floats | None:
    """Square roots of squared distances, exactly symmetric, 0 on the diagonal; null if one is missing."""
    filled = squared_LL.copy()
    np.fill_diagonal(filled, 0.0)
    if not np.isfinite(filled).all():
        return None
    upper = np.triu(np.sqrt(np.maximum(filled, 0.0)), 1)
    symmetric: Floats = upper + upper.T
    return symmetric


def of_margins(case: Case, probe: str, history: str, unlearning: str, step: int) -> list[Laws]:
    """Return energy distance and normal divergence of each item's label margins.

    Args:
        case: study and table.
        probe: `label_margin:<set>`.
        history: its name.
        unlearning: its name.
        step: unlearning steps done.
    """
    table, two = case.table, sets(case.table.R, case.table.N - case.table.R)
    n, m, unit = len(two.unlearned), len(two.oracles), table.units.get(probe, "")
    here, oracle = state_class(history, unlearning, step), StateClass(case.oracle_of[history], "", 0)
    codes = status_of_scalars(table.scalar(probe, here).states_N, table.R, table.censored_by(history, unlearning, step))
    one = table.items(probe, here)[two.unlearned.start : two.unlearned.stop]
    oracles = table.items(probe, oracle)
    other = oracles[two.oracles.start : two.oracles.stop]
    distances, energy, divergence = None, None, None
    if min(n, m) >= 2 and one.shape[1] and np.isfinite(one).all() and np.isfinite(other).all():
        runs = np.vstack([one, other])
        distances = _margin_distances(runs)
        energy, divergence = margin_law.energy(one, other), finite(margin_law.gaussian_kl(one, other))
    place = (probe, case.oracle_of[history])
    if place not in case.margin_nulls:
        case.margin_nulls[place] = _oracles_against_oracles(oracles[: n + m], n)
    null_energy, null_divergence = case.margin_nulls[place]
    energies = Laws(
        statistic=ENERGY,
        estimate=_estimate(energy, n, m, unit, MARGIN_ENERGY_METHOD, _why(n, m)),
        null_mean=null_energy,
        distances_LL=distances,
        n=n,
        n_oracles=m,
        smallest_p=permutation.smallest_p(n, m) if min(n, m) >= 2 else None,
        independent=two.independent,
        counts=count(codes[:n]),
    )
    return [
        energies,
        replace(
            energies,
            statistic=GAUSSIAN_KL,
            estimate=_estimate(
                divergence, n, m, unit, MARGIN_KL_METHOD, INFINITE if energy is not None else _why(n, m)
            ),
            null_mean=null_divergence,
            distances_LL=None,
            smallest_p=None,
        ),
    ]


def _oracles_against_oracles(margins_LI: Floats, n: int) -> tuple[float | None, float | None]:
    """Mean energy and normal divergence over splits of the oracles into n and the rest; null where runs are missing."""
    if min(n, len(margins_LI) - n) < 2 or not margins_LI.shape[1] or not np.isfinite(margins_LI).all():
        return None, None
    splits = _splits(n, len(margins_LI))
    energy = float(energy_distance.of_splits(_margin_distances(margins_LI), splits).mean())
    divergence = float(np.mean([margin_law.gaussian_kl(margins_LI[s], margins_LI[~s]) for s in splits]))
    return finite(energy), finite(divergence)


def _margin_distances(margins_LI: Floats) -> Floats:
    """Mean absolute difference over items: its energy distance is the mean over items of the items' own ones."""
    distances: Floats = np.array([np.abs(margins_LI - row).mean(axis=1) for row in margins_LI])
    upper = np.triu(distances, 1)
    return upper + upper.T


def test_set_of(probe: str) -> str:
    """Return the test set that a margin probe's name carries.

    >>> test_set_of("label_margin:retain:math")
    'retain:math'
    """
    return probe.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A statistic, where it stands, and the comparisons that ask for it."""

    place: Place
    laws: Laws
    comparisons: list[Comparison]


def everywhere(case: Case) -> Iterator[Found]:
    """Yield every unlearned history at the end of every unlearning: predictions by test set, margins by probe."""
    predictions = [(p, s) for p, s in case.table.distance_probes if measure_of(p) == PRIMARY_MEASURE]
    margins = [(probe, "") for probe in case.table.scalar_probes if probe.partition(":")[0] == LABEL_MARGIN]
    for probe, test_set in (*predictions, *margins):
        comparisons = asked(case.study, "distribution", probe, "at_end", distance=bool(test_set))
        for unlearning in case.study.unlearnings:
            if case.last(unlearning) not in case.steps(probe, test_set or None, unlearning) and not comparisons:
                continue
            for history in case.unlearned:
                yield from _at_end(case, probe, test_set, history.name, unlearning, comparisons)


def _at_end(
    case: Case, probe: str, test_set: str, history: str, unlearning: Unlearning, comparisons: list[Comparison]
) -> Iterator[Found]:
    last = case.last(unlearning)
    found = (
        [of_predictions(case, probe, test_set, history, unlearning.name, last)]
        if test_set
        else of_margins(case, probe, history, unlearning.name, last)
    )
    for laws in found:
        place = Place(
            contrast="distribution",
            quantity=laws.statistic,
            probe=probe,
            test_set=test_set,
            unlearning=unlearning.name,
            history=history,
            other=case.oracle_of[history],
            step=last,
        )
        yield Found(place=place, laws=laws, comparisons=comparisons if laws.smallest_p is not None else [])


def findings(case: Case) -> Iterator[Finding]:
    """Distances between the two laws; a p-value where a comparison asks for one and the sizes can reach 5 %."""
    for found in everywhere(case):
        for comparison in each(found.comparisons):
            yield conclude(
                found.place,
                found.laws.estimate,
                found.laws.counts,
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                asked=comparison,
                describes=found.laws.says(case.alpha, is_asked=comparison is not None),
                test=None if comparison is None else found.laws.test(seed=case.study.seed, alpha=case.alpha),
            )
