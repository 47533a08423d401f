"""Order or noise: how much runs vary between histories, beside how much they vary between seeds of one history.

Legend: H histories, R replicates; h, k are histories, r, s replicates.

Intervals. The history component is a debiased squared norm and is read on its scale (`squared_norm`), from five
replicates on. The seed component and the ratio have no interval: those of the first cover 87 to 95 %, those of the
second 93 % where both components are alike (`docs/calibration.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import PRIMARY_MEASURE, Where, along, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, of_jackknife
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_runs, over_whole_runs
from retrain_equivalence.equivalence.measurements import OK, Floats, Pairs, state_class
from retrain_equivalence.equivalence.oracle_distance import BETWEEN_ALL
from retrain_equivalence.equivalence.path_gap import flip_test
from retrain_equivalence.equivalence.runs import RunCounts, count, lost_in, status_of_pairs, status_of_scalars, worse
from retrain_equivalence.equivalence.squared_norm import noise_of_mean, of_squared_norm
from retrain_equivalence.equivalence.verdict import Place, Rule, Test, by_band, conclude, each

if TYPE_CHECKING:
    from retrain_equivalence.histories.history import History
    from retrain_equivalence.study.study import Comparison

CONTRAST = "path_spread"
HISTORY_METHOD = "(MS_history - MS_residual) / n over different replicates, jackknife, t on a shifted log scale"
SEED_METHOD = "mean over histories of the variance between replicates; no interval, since none was found to cover"
RATIO_METHOD = "ratio of the two components; no interval, since none was found to cover"
SHOWN_FROM = 5
"""Replicates from which the interval of the history component was found to cover."""
NO_RUNS = "undefined: fewer than two replicates have every history here"
NO_SEEDS = "undefined: the replicates do not vary"
NOT_BAND = "a component of variance needs a margin in its own unit, not a multiple of the band"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The two components of variance and their ratio, each with its leave-one-replicate-out values."""

    history: Jackknifed
    """`sigma2_history`: variance of the histories' means; may be negative, 0 without path dependence."""
    seed: Jackknifed
    """`sigma2_seed`: mean over histories of the variance between replicates."""
    ratio: Jackknifed
    """`rho = sigma2_history / sigma2_seed`; nan unless the seeds vary."""
    kernel_RR: Floats
    """`sum_h <Z_hr, Z_hs>`, `Z` centred over histories within a replicate; nan where a distance is missing."""
    noise: float
    """What the seeds add to the variance of the histories' means."""
    draws_seed: int
    """Of the random sign flips above n = 14."""

    @cached_property
    def test(self) -> Test | None:
        """Sign flip of whole replicates; null if a distance between two replicates that count is missing."""
        return flip_test(self.kernel_RR, self.history.runs_N, self.draws_seed)

    @property
    def p_value(self) -> float | None:
        """That test's."""
        return None if self.test is None else self.test.p_value

    def of_history(self, unit: str) -> Estimate:
        """`sigma2_history` with its interval."""
        found = of_squared_norm(self.history, self.noise, unit=unit, method=HISTORY_METHOD, undefined=NO_RUNS)
        return replace(found, shows=SHOWN_FROM)

    def of_seed(self, unit: str) -> Estimate:
        """`sigma2_seed`, a yardstick without an interval."""
        plain = of_jackknife(self.seed, unit=unit, method=SEED_METHOD, undefined=NO_RUNS)
        return replace(plain, se=None)

    def of_ratio(self) -> Estimate:
        """`rho`, a description without an interval."""
        undefined = NO_SEEDS if math.isfinite(self.seed.value) else NO_RUNS
        plain = of_jackknife(self.ratio, unit="ratio", method=RATIO_METHOD, undefined=undefined)
        return replace(plain, se=None)


def of_scalars(values_HR: Floats, *, seed: int = 0) -> Spread:
    """Split the variance of one number per run into a history and a seed component.

    `sigma2_H = (MS_H - MS_HR) / n` and `sigma2_seed = mean_h s_h^2`, with `MS_H = n sum_h (y_h - y)^2 / (H - 1)` and
    `MS_HR = sum_hr (y_hr - y_h - y_r + y)^2 / ((H - 1)(n - 1))`. With `Z_hr = y_hr - y_r` the first is the mean over
    r != s of `sum_h Z_hr Z_hs / (H - 1)`: products of independent replicates, hence unbiased for any covariance
    between the histories of one replicate.

    Args:
        values_HR: [H >= 2, R]; a replicate with a nan does not count.
        seed: of the random sign flips above n = 14.

    Returns:
        Components in the square of the values' unit, with a jackknife over replicates and an omnibus sign flip.

    Source: crossed layout replicate x history, method of moments (Searle, Casella, McCulloch 1992, ch. 4). Deviations:
    no F test, whose law needs independent histories; sign flips of whole replicates take its place.

    >>> found = of_scalars(np.array([[0.0, 2.0, 4.0], [3.0, 5.0, 7.0]]))
    >>> found.history.value, found.seed.value, found.ratio.value
    (4.5, 4.0, 1.125)
    """
    histories = len(values_HR)
    values = np.where(np.isfinite(values_HR).all(axis=0), values_HR, np.nan)
    centred = values - values.mean(axis=0)
    kernel = centred.T @ centred
    squares = np.square(values[:, :, None] - values[:, None, :]).mean(axis=0)
    found = _of_kernel(kernel, 0.5 * squares, histories, seed)
    n = int(found.history.runs_N.sum())
    if n < 2:
        return found
    kept = centred[:, found.history.runs_N]
    residual = float(kept.var(axis=1, ddof=1).sum()) / (histories - 1)
    return replace(found, noise=residual / n)


def of_distances(distances_HHRR: Floats, *, seed: int = 0) -> Spread:
    """Split the spread of vectors into a history and a seed component, from squared distances over r != s alone.

    `sum_h <Z_hr, Z_hs> = (1/(2H)) sum_hk d(y_hr, y_ks) - (1/2) sum_h d(y_hr, y_hs)`, since the norms cancel in it; and
    `s_h^2 = (1/2) mean over r != s of d(y_hr, y_hs)`. The rest is as in `of_scalars`.

    Args:
        distances_HHRR: `[h, k, r, s] = d(y_hr, y_ks)`, all h and k, so `[k, h]` is the transpose of `[h, k]`; a squared
            norm in a Hilbert space; equal replicates are not read; nan where there is no distance.
        seed: of the random sign flips above n = 14.

    Source: as `of_scalars`, with `d` for the squared difference.

    >>> values = np.array([[0.0, 2.0, 4.0], [3.0, 5.0, 7.0]])
    >>> found = of_distances(np.square(values[:, None, :, None] - values[None, :, None, :]))
    >>> found.history.value, found.seed.value, found.ratio.value
    (4.5, 4.0, 1.125)
    """
    histories = len(distances_HHRR)
    distances = over_whole_runs(distances_HHRR)
    within = np.einsum("hhrs->rs", distances)
    kernel = distances.sum(axis=(0, 1)) / (2 * histories) - 0.5 * within
    return _of_kernel(kernel, 0.5 * within / histories, histories, seed)


def _of_kernel(kernel_RR: Floats, seeds_RR: Floats, histories: int, draws_seed: int) -> Spread:
    history = among_runs(kernel_RR / (histories - 1))
    seeds = among_runs(seeds_RR)
    return Spread(
        history=history,
        seed=seeds,
        ratio=history.over(seeds),
        kernel_RR=kernel_RR,
        noise=noise_of_mean(kernel_RR / (histories - 1), seeds.value / max(seeds.n, 1)),
        draws_seed=draws_seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The spread at one place of a study, in its unit, and the runs behind it."""

    spread: Spread
    unit: str
    counts: RunCounts

    @property
    def history(self) -> Estimate:
        """`sigma2_history`."""
        return self.spread.of_history(self.unit)

    @property
    def seed(self) -> Estimate:
        """`sigma2_seed`."""
        return self.spread.of_seed(self.unit)

    @property
    def ratio(self) -> Estimate:
        """`rho`."""
        return self.spread.of_ratio()


def orders(case: Case) -> list[History]:
    """Return the unlearned histories of the study's own sample order: a `shuffle_only` control is no other order."""
    return [history for history in case.unlearned if not history.shuffle]


def by_scalar(case: Case, probe: str, unlearning: str, step: int) -> Components:
    """Return the spread of a scalar probe over the orders at one step; step 0 is trained."""
    table = case.table
    values, codes = [], [OK] * table.R
    for history in orders(case):
        found = table.scalar(probe, state_class(history.name, unlearning, step))
        stopped = table.censored_by(history.name, unlearning, step)
        codes = worse(codes, status_of_scalars(found.states_N, table.R, stopped))
        values.append(found.values_N[: table.R])
    return Components(
        spread=of_scalars(np.array(values), seed=case.study.seed),
        unit=f"({table.units.get(probe, '')})²",
        counts=count(codes),
    )


def by_distance(case: Case, probe: str, test_set: str, unlearning: str, step: int) -> Components:
    """Return the spread of predictions over the orders at one step; step 0 is trained."""
    table, R = case.table, case.table.R
    names = [history.name for history in orders(case)]
    states = [state_class(name, unlearning, step) for name in names]
    stack, flags = table.stack(probe, test_set, [(one, two) for one in states for two in states])
    values = stack.reshape(len(names), len(names), table.N, table.N)[:, :, :R, :R]
    codes = [OK] * R
    for index, name in enumerate(names):
        own = index * (len(names) + 1)
        pairs = Pairs(values_NN=stack[own], states_NN=flags[own])
        codes = worse(codes, status_of_pairs(pairs, R, R, table.censored_by(name, unlearning, step))[0])
    spread = of_distances(values, seed=case.study.seed)
    return Components(
        spread=spread,
        unit=table.units.get(probe, ""),
        counts=replace(count(codes), lost_pairs=lost_in(spread.kernel_RR, codes)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Components, where they stand, and which comparisons ask about them."""

    place: Place
    components: Components
    comparisons: list[Comparison]


def everywhere(case: Case) -> Iterator[Found]:
    """Every scalar probe and every distance between all states: trained, at the end, and at steps.

    Steps before the end are there for the primary distance, and where a comparison asks for them. A study with a single
    order has nothing here.
    """
    if len(orders(case)) < 2:
        return
    scalars = [(probe, "") for probe in case.table.scalar_probes if not probe.startswith("stage_loss:")]
    distances = [(probe, item) for probe, item in case.table.distance_probes if measure_of(probe) in BETWEEN_ALL]
    for probe, test_set in (*scalars, *distances):
        for unlearning, step, where, comparisons in _places(case, probe, test_set):
            yield Found(
                place=Place(
                    contrast=CONTRAST,
                    quantity="",
                    probe=probe,
                    test_set=test_set,
                    unlearning=unlearning,
                    alignment=where or "trained",
                    step=step,
                ),
                components=by_distance(case, probe, test_set, unlearning, step)
                if test_set
                else by_scalar(case, probe, unlearning, step),
                comparisons=comparisons,
            )


def _places(case: Case, probe: str, test_set: str) -> Iterator[tuple[str, int, Where | None, list[Comparison]]]:
    yield "", 0, None, []
    for unlearning in case.study.unlearnings:
        for step, where, comparisons in along(case, CONTRAST, probe, test_set, unlearning):
            if where == "at_end" or measure_of(probe) == PRIMARY_MEASURE or comparisons:
                yield unlearning.name, step, where, comparisons


def findings(case: Case) -> Iterator[Finding]:
    """The components and their ratio; a margin is one of the history component."""
    for found in everywhere(case):
        components = found.components
        for comparison in each(found.comparisons):
            yield conclude(
                replace(found.place, quantity="sigma2_history"),
                components.history,
                components.counts,
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                asked=comparison,
                refusal=NOT_BAND if by_band(comparison) else "",
                test=components.spread.test if comparison is not None else None,
                describes="variance between the histories' means; 0 without path dependence, may be negative",
            )
        for quantity, estimate, describes in (
            ("sigma2_seed", components.seed, "variance between the seeds of one history"),
            ("rho", components.ratio, "variance between histories over that between seeds: order against noise"),
        ):
            yield conclude(
                replace(found.place, quantity=quantity),
                estimate,
                components.counts,
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                describes=describes,
            )
