"""Distance of a history to independent retrain oracles, raw, as a multiple of the band, and bias-corrected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import forget_level
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import Where, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs, between
from retrain_equivalence.equivalence.measurements import Pairs, StateClass, state_class
from retrain_equivalence.equivalence.runs import RunCounts, count, status_of_pairs, worse
from retrain_equivalence.equivalence.verdict import Place, Rule, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison

SQUARED_MEASURES = ("hellinger", "squared_l2", "jensen_shannon")
"""Distances that are squared norms in a Hilbert space, so that seed noise can be subtracted."""
DIRECTED_MEASURES = ("kl_oracle_to_state", "kl_state_to_oracle")
"""Divergences with a direction: described, never judged against a band."""
NOT_SQUARED = "undefined: this distance is no squared norm, so seed noise cannot be subtracted from it"
NO_DISTANCES = "undefined: the table has no distance between runs and oracles of different replicates here"
AT_LEVEL = (
    "the error rates of verdicts at equal forgetting, where runs stand at different steps, have not been established"
)
D_METHOD = "mean over history replicate r and oracle replicate s != r, joint leave-one-replicate-out jackknife, t"
R_METHOD = "log ratio of two such means, joint leave-one-replicate-out jackknife, t on the log scale"
B_METHOD = "D_ho - D_hh/2 - D_oo/2 over different replicates, joint leave-one-replicate-out jackknife, t"


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
    found = count(codes)
    if measure_of(probe) in SQUARED_MEASURES:
        bias, no_bias = raw - 0.5 * spread - 0.5 * band, "undefined: distances among runs or among oracles are missing"
    else:
        bias, no_bias = float("nan") * raw, NOT_SQUARED
    return OracleDistance(
        raw=of_jackknife(raw, unit=unit, method=D_METHOD, undefined=NO_DISTANCES),
        ratio=_ratio(raw, band),
        bias=of_jackknife(bias, unit=unit, method=B_METHOD, undefined=no_bias),
        counts=replace(found, lost_pairs=lost),
        number=raw,
        within=spread,
        band=band,
    )


def at_step(case: Case, probe: str, test_set: str, history: str, unlearning: str, step: int) -> OracleDistance:
    """Return the distance of a history to its own-order oracle at one step; step 0 is 'do nothing'."""
    table, oracle = case.table, case.oracle_of[history]
    here = state_class(history, unlearning, step)
    to_oracle = table.pairs(probe, test_set, here, StateClass(oracle, "", 0))
    codes, lost = status_of_pairs(to_oracle, table.R, table.N, table.censored_by(history, unlearning, step))
    return _of_pairs(case, probe, test_set, oracle, to_oracle, table.pairs(probe, test_set, here, here), codes, lost)


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
    return _of_pairs(case, probe, test_set, oracle, to_oracle, within, worse(reached, codes), lost)


def _conclude(
    case: Case, found: OracleDistance, place: Place, comparisons: list[Comparison], refusal: str = ""
) -> Iterator[Finding]:
    counts = found.counts
    directed = measure_of(place.probe) in DIRECTED_MEASURES
    by_value = [c for c in comparisons if c.margin is not None and c.margin.value is not None]
    no_margin = [c for c in comparisons if c.margin is None]
    ratio_refusal = refusal or ("a directed divergence is described, never judged against a band" if directed else "")
    for quantity, estimate, judged, why_not, describes in (
        ("D_ho", found.raw, no_margin, "", "distance to independent retrained models; read it beside the band"),
        (
            "D_ho/D_oo",
            found.ratio,
            [c for c in comparisons if by_band(c)],
            ratio_refusal,
            "that distance as a multiple of the band; 1 if unlearned and retrained have one law",
        ),
        (
            "B_h",
            found.bias,
            by_value,
            refusal,
            "that distance without seed noise; 0 if unlearned and retrained have one law, may be negative",
        ),
    ):
        named = replace(place, quantity=quantity)
        for comparison in each(judged):
            yield conclude(
                named, estimate, counts, rule=Rule.DISTANCE, asked=comparison, refusal=why_not, describes=describes
            )


def findings(case: Case) -> Iterator[Finding]:
    """Every history's distance to its oracle: trained, at each saved step, at the end, and at the forget level.

    A placebo history is there as trained only: the yardstick for having had an extra stage.

    Verdicts stand only where they were declared. The secondary distances are described at step 0 and at the end.
    """
    study = case.study
    for probe, test_set in case.table.distance_probes:
        for history in case.histories:
            place = Place(
                contrast="oracle_distance",
                quantity="",
                probe=probe,
                test_set=test_set,
                history=history.name,
                other=case.oracle_of[history.name],
                alignment="trained",
                step=0,
            )
            yield from _conclude(case, at_step(case, probe, test_set, history.name, "", 0), place, [])
            for unlearning in case.unlearnings_of(history):
                last = case.last(unlearning)
                steps = case.steps(probe, test_set, unlearning)
                declared_end = asked(study, "oracle_distance", probe, "at_end", distance=True)
                if declared_end and last not in steps:
                    steps = [*steps, last]
                for step in steps:
                    where: Where = "at_end" if step == last else "at_step"
                    comparisons = asked(study, "oracle_distance", probe, where, distance=True)
                    if where == "at_step" and measure_of(probe) not in ("hellinger", "squared_l2") and not comparisons:
                        continue
                    found = at_step(case, probe, test_set, history.name, unlearning.name, step)
                    place = Place(
                        contrast="oracle_distance",
                        quantity="",
                        probe=probe,
                        test_set=test_set,
                        unlearning=unlearning.name,
                        history=history.name,
                        other=case.oracle_of[history.name],
                        alignment=where,
                        step=step,
                    )
                    yield from _conclude(case, found, place, comparisons)
                comparisons = asked(study, "oracle_distance", probe, "at_forget_level", distance=True)
                if not comparisons:
                    continue
                level = at_forget_level(case, probe, test_set, history.name, unlearning)
                if level is not None:
                    place = Place(
                        contrast="oracle_distance",
                        quantity="",
                        probe=probe,
                        test_set=test_set,
                        unlearning=unlearning.name,
                        history=history.name,
                        other=case.oracle_of[history.name],
                        alignment="at_forget_level",
                    )
                    yield from _conclude(case, level, place, comparisons, AT_LEVEL)
