"""Distance of a history to independent retrain oracles, raw and as a multiple of the band.

At equal forgetting runs stand at different steps, and a distance exists only for the runs that reached the level. Where
all of them did, it is judged as elsewhere. Where some did not, nothing is put in their place: the verdict is
INCONCLUSIVE, and the worst case over what they might have shown is given beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import forget_level, worst_case
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import along, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs, between
from retrain_equivalence.equivalence.measurements import MISSING, OK, Pairs, StateClass, state_class
from retrain_equivalence.equivalence.runs import RunCounts, count, lost_in, status_of_pairs, worse
from retrain_equivalence.equivalence.squared_norm import noise_of_mean, of_squared_norm
from retrain_equivalence.equivalence.verdict import Place, Rule, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison

SQUARED_MEASURES = ("hellinger", "squared_l2", "jensen_shannon")
"""Distances that are squared norms in a Hilbert space, so that seed noise can be subtracted."""
BETWEEN_ALL = ("hellinger", "squared_l2")
"""Those that are recorded between all states, not to the oracles alone."""
DIRECTED_MEASURES = ("kl_oracle_to_state", "kl_state_to_oracle")
"""Divergences with a direction: described, never judged against a band."""
NOT_SQUARED = "undefined: this distance is no squared norm, so seed noise cannot be subtracted from it"
NO_DISTANCES = "undefined: the table has no distance between runs and oracles of different replicates here"
NOT_RAW = "an absolute margin says nothing about a raw distance, whose null is not 0: it belongs to oracle_bias"
D_METHOD = "mean over history replicate r and oracle replicate s != r, joint leave-one-replicate-out jackknife, t"
R_METHOD = "log ratio of two such means, joint leave-one-replicate-out jackknife, t on the log scale"
B_METHOD = "D_ho - D_hh/2 - D_oo/2 over different replicates, joint jackknife, t on a shifted log scale"


@dataclass(frozen=True, kw_only=True)
class OracleDistance:
    """The three numbers of one history at one place, and the runs behind them."""

    raw: Estimate
    """`D_ho`."""
    ratio: Estimate
    """`D_ho / D_oo`; 1 under equal laws."""
    bias: Estimate
    """`B_h`; 0 under equal laws, may be negative."""
    counts: RunCounts
    bias_counts: RunCounts
    """Those of `bias`, which needs the distances within the history too."""
    number: Jackknifed
    """`D_ho` with its leave-one-out values."""
    within: Jackknifed
    """`D_hh`."""
    band: Jackknifed
    """`D_oo`."""

    @cached_property
    def spread(self) -> Estimate:
        """`D_hh / D_oo`: a history may be near on average by varying less."""
        return _ratio(self.within, self.band)


def _ratio(number: Jackknifed, band: Jackknifed) -> Estimate:
    return of_jackknife(
        number.log() - band.log(),
        unit="ratio",
        method=R_METHOD,
        shown=math.exp,
        scaled=math.log,
        undefined="undefined: the ratio needs a distance and a band above 0, from at least two oracle runs",
    )


def _of_pairs(
    case: Case, probe: str, test_set: str, oracle: str, to_oracle: Pairs, within: Pairs, codes: list[int], lost: int
) -> OracleDistance:
    unit = case.table.units.get(probe, "")
    raw = between(to_oracle.values_NN)
    spread = among_runs(np.where(np.outer(raw.runs_N, raw.runs_N), within.values_NN, np.nan))
    band = case.band(probe, test_set, oracle)
    among = case.table.pairs(probe, test_set, StateClass(oracle, "", 0), StateClass(oracle, "", 0)).values_NN
    there = [OK if used else MISSING for used in raw.oracles_N]
    counts = replace(count(codes), lost_pairs=lost + lost_in(among, there))
    R = len(codes)
    to, own = to_oracle.values_NN[:R, :R], within.values_NN[:R, :R]
    kernel = 0.5 * (to + to.T - own - among[:R, :R])
    if measure_of(probe) in SQUARED_MEASURES:
        bias, no_bias = raw - 0.5 * spread - 0.5 * band, "undefined: distances among runs or among oracles are missing"
    else:
        bias, no_bias = float("nan") * raw, NOT_SQUARED
    noise = noise_of_mean(kernel, 0.5 * spread.value / max(raw.n, 1) + 0.5 * band.value / max(raw.n_oracles, 1))
    return OracleDistance(
        raw=of_jackknife(raw, unit=unit, method=D_METHOD, undefined=NO_DISTANCES),
        ratio=_ratio(raw, band),
        bias=of_squared_norm(bias, noise, unit=unit, method=B_METHOD, undefined=no_bias),
        counts=counts,
        bias_counts=replace(counts, lost_pairs=counts.lost_pairs + lost_in(own, codes)),
        number=raw,
        within=spread,
        band=band,
    )


def at_step(case: Case, probe: str, test_set: str, history: str, unlearning: str, step: int) -> OracleDistance:
    """Return the distance of a history to its own-order oracle at one step (0: 'do nothing'); made once a case."""
    table, oracle = case.table, case.oracle_of[history]
    here = state_class(history, unlearning, step)
    place = (probe, test_set, here)
    if place not in case.oracle_distances:
        to_oracle = table.pairs(probe, test_set, here, StateClass(oracle, "", 0))
        codes, lost = status_of_pairs(to_oracle, table.R, table.N, table.censored_by(history, unlearning, step))
        within = table.pairs(probe, test_set, here, here)
        case.oracle_distances[place] = _of_pairs(case, probe, test_set, oracle, to_oracle, within, codes, lost)
    return case.oracle_distances[place]


def at_forget_level(
    case: Case, probe: str, test_set: str, history: str, unlearning: Unlearning
) -> OracleDistance | None:
    """Return the distance where each run has reached the oracle's forget level; null if there is no such level."""
    table, oracle = case.table, case.oracle_of[history]
    level = forget_level.oracle_level(case, oracle, "stopping")
    if level is None:
        return None
    where, reached = forget_level.stops(case, history, unlearning, level)
    runs = (history, unlearning.name, where)
    to_oracle = table.pairs_at_own_steps(probe, test_set, runs, (oracle, "", [0] * table.N))
    within = table.pairs_at_own_steps(probe, test_set, runs, runs)
    codes, lost = status_of_pairs(to_oracle, table.R, table.N, set())
    found = _of_pairs(case, probe, test_set, oracle, to_oracle, within, worse(reached, codes), lost)
    not_there = forget_level.lost_oracles(case, oracle)
    return replace(
        found,
        counts=replace(found.counts, lost_oracles=not_there),
        bias_counts=replace(found.bias_counts, lost_oracles=not_there),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An oracle distance, where it stands, and which comparisons ask about it."""

    place: Place
    number: OracleDistance
    comparisons: list[Comparison]


def everywhere(case: Case, contrast: str) -> Iterator[Found]:
    """Every history's distance to its oracle: trained, at each saved step, at the end, and at the forget level.

    A placebo history is there as trained only: the yardstick for having had an extra stage. Distances other than
    Hellinger and squared L2 come at step 0 and at the end, unless they are declared elsewhere.

    Args:
        case: study and table.
        contrast: whose comparisons are asked for: `oracle_distance` or `oracle_bias`.
    """
    study = case.study
    for probe, test_set in case.table.distance_probes:
        for history in case.histories:
            place = Place(
                contrast=contrast,
                quantity="",
                probe=probe,
                test_set=test_set,
                history=history.name,
                other=case.oracle_of[history.name],
                alignment="trained",
                step=0,
            )
            yield Found(place=place, number=at_step(case, probe, test_set, history.name, "", 0), comparisons=[])
            for unlearning in case.unlearnings_of(history):
                here = replace(place, unlearning=unlearning.name)
                for step, where, comparisons in along(case, contrast, probe, test_set, unlearning):
                    if where == "at_step" and measure_of(probe) not in BETWEEN_ALL and not comparisons:
                        continue
                    yield Found(
                        place=replace(here, alignment=where, step=step),
                        number=at_step(case, probe, test_set, history.name, unlearning.name, step),
                        comparisons=comparisons,
                    )
                comparisons = asked(study, contrast, probe, "at_forget_level", distance=True)
                if not comparisons:
                    continue
                level = at_forget_level(case, probe, test_set, history.name, unlearning)
                if level is not None:
                    yield Found(
                        place=replace(here, alignment="at_forget_level", step=None),
                        number=level,
                        comparisons=comparisons,
                    )


def _conclude(case: Case, found: Found) -> Iterator[Finding]:
    number, place = found.number, found.place
    directed = measure_of(place.probe) in DIRECTED_MEASURES
    for quantity, estimate, judged, refusal, describes in (
        (
            "D_ho",
            number.raw,
            [c for c in found.comparisons if not by_band(c)],
            NOT_RAW,
            "distance to independent retrained models; read it beside the band",
        ),
        (
            "D_ho/D_oo",
            number.ratio,
            [c for c in found.comparisons if by_band(c)],
            "a directed divergence is described, never judged against a band" if directed else "",
            "that distance as a multiple of the band; 1 if unlearned and retrained have one law",
        ),
    ):
        for comparison in each(judged):
            yield conclude(
                replace(place, quantity=quantity),
                estimate,
                number.counts,
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                asked=comparison,
                refusal=refusal,
                describes=describes,
            )
    if place.alignment in ("at_end", "at_forget_level") and number.spread.value is not None:
        yield conclude(
            replace(place, quantity="D_hh/D_oo"),
            number.spread,
            number.counts,
            rule=Rule.DISTANCE,
            alpha=case.alpha,
            describes="scatter of runs over that of retrained ones; below 1, a history may be near by varying less",
        )


def findings(case: Case) -> Iterator[Finding]:
    """Distances to the oracle, raw and over the band; verdicts stand only where they were declared."""
    for found in everywhere(case, "oracle_distance"):
        yield from _conclude(case, found)
        if found.place.alignment == "at_forget_level":
            yield from worst_case.of_distance(
                replace(found.place, quantity="D_ho worst case"), found.number.raw, found.number.counts
            )
