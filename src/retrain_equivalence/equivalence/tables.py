"""The tables behind the report's figures: `report_tables(frame, study)`, tidy lists of flat dicts.

Every row of a table has the same keys. Numbers are float, int or None (undefined, never nan). `mean`, `low`, `high` are
an estimate and its 95 % interval over replicates; `n` is how many replicates are behind it. `history` is a
`History.name`; `position` the 1-based position of its forget stage (None: placebo or oracle); rows come in the study's
declared order of histories, then unlearnings, then steps. `last` marks an unlearning's last saved step. A placebo
history, which is never unlearned, stands in distances, stage losses and runs as trained only. Of a study with the
Hellinger distance, the other distances are here at step 0 and at the last step.

`trajectories`     kind ('history' | 'oracle'), probe, unit, unlearning, history, position, step, mean, low, high, n,
                   censored, failed.  Scalar probes at every recorded step; step 0 (the trained end state) is repeated
                   under each unlearning. Oracles: unlearning '', step 0: draw as a level.
`bands`            probe, measure, unit, test_set, oracle, other_oracle ('' within one order), mean, low, high, n,
                   reason
`distances`        probe, measure, unit, test_set, unlearning, history, position, oracle, step, last, mean, low, high,
                   n, n_oracles, band_mean, band_low, band_high, band_n, ratio, ratio_low, ratio_high, bias, bias_low,
                   bias_high, censored, failed.  To the oracles of other replicates; step 0 is 'do nothing'; `ratio` is
                   mean / band_mean, `bias` the bias-corrected squared distance (may be negative). A placebo history:
                   unlearning '', step 0.
`path_gap`         probe, measure, unit, test_set, unlearning, history, other, alignment ('at_step' |
                   'at_forget_level'), step (None at a level), last, mean, low, high, n, seed_mean (same history, other
                   replicates: the yardstick), ratio (mean / seed_mean), censored, failed.  Debiased: may be <= 0;
                   leave a gap on a log axis.
`excess`           the columns of `path_gap`, alignment 'at_step': the gap beyond that of the histories' own oracles, at
                   step 0, at the last step and where declared; no row for two histories with one oracle.
`spread`           probe, measure, test_set ('' for scalars), unlearning ('' = trained), step, last, unit,
                   history_component, history_low, history_high, seed_component, ratio, p_value
                   (None where not declared), n, censored, failed.  Variance between histories
                   (may be < 0) and between seeds; of the primary distance at every step.
`stopping`         unlearning, test_set, probe, measure, unit, quantity ('price' | 'largest price' | 'naive price' |
                   'D_ho at own best step' | 'D_ho at common best step'), history ('' for all), position, step (the
                   median chosen; None for prices), mean, low, high, n, censored, failed.  The primary distance only.
`distribution`     probe, test_set, unlearning, history, other (the oracle), position, step, unit, statistic (energy
                   distance of the laws), null_mean (oracles against oracles), gaussian_kl, gaussian_kl_null (margins
                   only), p_value (None where not declared, or where these sizes cannot reach 5 %), smallest_p, n,
                   n_oracles, independent ('oracle-only replicates' | 'split halves'), reason, censored, failed
`improvements`     unlearning, history, position, probe, measure, test_set, unit, mean, low, high, n, verdict (None: no
                   margin declared), censored, failed.  Distance to the oracle at the last step minus at step 0.
`recency`          unlearning, history, position, level_name ('oracle' | 'halfway'), level (nats/token), unit
                   ('steps'), mean, low, high, n, reached, at_start, not_reached, censored, horizon.  Restricted mean
                   steps to level; None where no run reached it.
`recency_contrast` unlearning, level_name, part ('total' | 'head_start' | 'speed'), position (last), earlier
                   (position, or None for the mean of all earlier ones), unit, mean, low, high, n, replicates,
                   reached, at_start, not_reached, runs, horizon, reason.  Total: restricted mean steps. Head start and
                   speed: over the replicates in which every run reached it; at_start and not_reached count runs of
                   all positions in the contrast.
`recency_trend`    unlearning, level_name, positions (how many, 3 at least), unit ('steps/position'), mean, low, high,
                   n, replicates, at_start, not_reached, runs, censored, horizon, reason.  Above 0: later stages take
                   more steps.
`phase`            unlearning, history, position, step (midpoint), loss, speed (nats/token per step), n
`utility`          unlearning, history, position, step, last, forget_probe, forget, forget_low, forget_high,
                   forget_unit, utility_probe, utility, utility_low, utility_high, utility_unit, n
`stage_losses`     history, position, stage, role, when ('before' | 'after' | 'end' | 'oracle'), unit, mean, low, high,
                   n
`runs`             history, position, unlearning ('' = trained), registered, ok, censored, failed, unscored, missing,
                   first_censored_step
`methods`          unlearning, alignment ('at_end' | 'at_forget_level'), predicted ('' if theory says nothing), unit
                   (nats/token), before, before_low, before_high, after, after_low, after_high, oracle, oracle_low,
                   oracle_high, n, reached, runs, collapsed (None: cannot be told) of collapse_runs,
                   collapse_stages, diverged.  Forget
                   loss and runs over all histories: see `equivalence.method_summary`.
`method_utility`   unlearning, alignment, probe, unit, mean, low, high, n.  Minus the oracle's; retain probes only.
`method_nearness`  unlearning, alignment, probe, measure, unit, test_set, before_bands, after_bands, mean, low, high,
                   n.  The primary distance to independent oracles; mean is after minus before, negative if nearer.
`growth`           unlearning, predicted, probe, measure, test_set ('weights' for parameters), unit (of the rates),
                   steps, path_rate, path_low, path_high, n, seed_rate, seed_low, seed_high, seed_n, difference,
                   difference_low, difference_high, early_path_rate, early_path_low, early_path_high, early_seed_rate,
                   early_seed_low, early_seed_high, early_difference, early_difference_low, early_difference_high,
                   late_path_rate, late_path_low, late_path_high, late_seed_rate, late_seed_low, late_seed_high,
                   late_difference, late_difference_low, late_difference_high, change_path_rate, change_path_low,
                   change_path_high, change_seed_rate, change_seed_low, change_seed_high, change_difference,
                   change_difference_low, change_difference_high, factor, factor_low, factor_high, seed_factor,
                   seed_factor_low, seed_factor_high, start, start_low, start_high, end, end_low, end_high, word
                   ('expands' | 'contracts' | 'not told from frozen' | ''), margin (None: none declared), class,
                   seed_class ('frozen' | 'saturating' | 'contracting' | 'exponential' | 'linear' | 'inconclusive' |
                   '' without a margin), last_share (of the ceiling; None without one), ceiling (a warning or ''),
                   reason, censored, failed.  Coupled gaps; difference is path minus seed, change late minus early,
                   `start` and `end` path over seed.
`growth_pairs`     unlearning, probe, measure, test_set, history, other, unit, rate, rate_low, rate_high, early,
                   early_low, early_high, late, late_low, late_high, change, change_low, change_high, word, margin,
                   class, n, reason, censored, failed.  Each pair of histories, of the measures that are asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from retrain_equivalence.equivalence import (
    band,
    distribution,
    excess_path_gap,
    growth,
    improvement,
    method_summary,
    natural_forgetting,
    oracle_distance,
    path_gap,
    path_spread,
    recency,
    stopping_price,
)
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import PRIMARY_MEASURE, asked, measure_of
from retrain_equivalence.equivalence.estimate import Estimate, of_sample
from retrain_equivalence.equivalence.measurements import CENSORED, FAILED, UNSCORED, StateClass, state_class
from retrain_equivalence.equivalence.predicted import predicted
from retrain_equivalence.equivalence.runs import count, status_of_scalars
from retrain_equivalence.histories.history import Role

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.records.columns import Columns
    from retrain_equivalence.study.study import Study

Record = dict[str, Any]
UTILITY_KINDS = ("answer_logprob", "accuracy", "exact_match")
FORGET_PROBE = "forget_score"


def report_tables(rows: pd.DataFrame | Columns, study: Study) -> dict[str, list[Record]]:
    """Return the tables that the report draws; their layout stands at the top of this module.

    Args:
        rows: the table, in any order of its rows.
        study: the study that made them.

    Raises:
        InputError: as `compare` does.
    """
    return tables_of(Case(rows, study))


def tables_of(case: Case) -> dict[str, list[Record]]:
    """Return the tables of a case that was read already."""
    return {name: make(case) for name, make in TABLES.items()}


def _numbers(estimate: Estimate, name: str = "") -> Record:
    return _interval(estimate, name or "mean", f"{name}_" if name else "")


def _interval(estimate: Estimate, name: str, bounds: str) -> Record:
    low, high = estimate.interval
    return {name: estimate.estimate, f"{bounds}low": low, f"{bounds}high": high}


def _mean(case: Case, probe: str, at: StateClass, replicates: int) -> tuple[Estimate, Record]:
    found = case.table.scalar(probe, at)
    codes = status_of_scalars(found.states_N, replicates, case.table.censored_by(at.history, at.unlearning, at.step))
    estimate = of_sample(
        found.values_N[:replicates], unit=case.table.units.get(probe, ""), method="mean, t", undefined="no run"
    )
    counts = count(codes)
    return estimate, {"n": estimate.n, "censored": counts.censored, "failed": counts.failed}


def _positions(case: Case) -> dict[str, int | None]:
    return {history.name: history.position() for history in case.unlearned}


def _shown_scalars(case: Case) -> list[str]:
    return [probe for probe in case.table.scalar_probes if not probe.startswith("stage_loss:")]


def trajectories(case: Case) -> list[Record]:
    """Scalar probes at every recorded step, and the oracles' levels."""
    rows: list[Record] = []
    for probe in _shown_scalars(case):
        unit = case.table.units[probe]
        for history in case.unlearned:
            for unlearning in case.study.unlearnings:
                for step in (0, *case.table.saved_steps(probe, None, unlearning.name, [history.name])):
                    estimate, counts = _mean(
                        case, probe, state_class(history.name, unlearning.name, step), case.table.R
                    )
                    if step == 0 and estimate.value is None and not counts["failed"]:
                        continue
                    rows.append(
                        {
                            "kind": "history",
                            "probe": probe,
                            "unit": unit,
                            "unlearning": unlearning.name,
                            "history": history.name,
                            "position": history.position(),
                            "step": step,
                            **_numbers(estimate),
                            **counts,
                        }
                    )
        for oracle in case.oracles:
            at = StateClass(oracle, "", 0)
            if case.table.has_scalar(probe, at):
                estimate, counts = _mean(case, probe, at, case.table.N)
                rows.append(
                    {
                        "kind": "oracle",
                        "probe": probe,
                        "unit": unit,
                        "unlearning": "",
                        "history": oracle,
                        "position": None,
                        "step": 0,
                        **_numbers(estimate),
                        **counts,
                    }
                )
    return rows


def bands(case: Case) -> list[Record]:
    """Distances among independent oracles."""
    rows: list[Record] = []
    for probe, test_set in case.table.distance_probes:
        for index, oracle in enumerate(case.oracles):
            for other in ("", *case.oracles[index + 1 :]):
                estimate, _ = band.band(case, probe, test_set, oracle, other)
                rows.append(
                    {
                        "probe": probe,
                        "measure": measure_of(probe),
                        "unit": estimate.unit,
                        "test_set": test_set,
                        "oracle": oracle,
                        "other_oracle": other,
                        **_numbers(estimate),
                        "n": estimate.n,
                        "reason": estimate.undefined,
                    }
                )
        if len(case.oracles) == 1:
            rows.append(
                {
                    "probe": probe,
                    "measure": measure_of(probe),
                    "unit": case.table.units.get(probe, ""),
                    "test_set": test_set,
                    "oracle": case.oracles[0],
                    "other_oracle": case.oracles[0],
                    "mean": None,
                    "low": None,
                    "high": None,
                    "n": 0,
                    "reason": band.ONE_ORDER,
                }
            )
    return rows


def _steps(case: Case, probe: str, test_set: str, unlearning: Unlearning) -> list[int]:
    """The steps > 0 of a distance: all saved ones of the primary one, the last of the others, as pages show them."""
    steps = case.steps(probe, test_set, unlearning)
    measures = {measure_of(name) for name, _ in case.table.distance_probes}
    if measure_of(probe) == PRIMARY_MEASURE or PRIMARY_MEASURE not in measures:
        return steps
    return [step for step in steps if step == case.last(unlearning)]


def distances(case: Case) -> list[Record]:
    """Distances to the oracles of other replicates, at every saved step, beside the band."""
    rows: list[Record] = []
    for probe, test_set in case.table.distance_probes:
        of_band = {oracle: band.band(case, probe, test_set, oracle)[0] for oracle in case.oracles}
        for history in case.histories:
            trained = oracle_distance.at_step(case, probe, test_set, history.name, "", 0)
            beside = of_band[case.oracle_of[history.name]]
            unlearnings = case.unlearnings_of(history)
            places = [(u.name, step, step == case.last(u)) for u in unlearnings
                      for step in (0, *_steps(case, probe, test_set, u))]  # fmt: skip
            for name, step, is_last in places or [("", 0, False)]:
                found = oracle_distance.at_step(case, probe, test_set, history.name, name, step) if step else trained
                rows.append(
                    {
                        "probe": probe,
                        "measure": measure_of(probe),
                        "unit": found.raw.unit,
                        "test_set": test_set,
                        "unlearning": name,
                        "history": history.name,
                        "position": history.position(),
                        "oracle": case.oracle_of[history.name],
                        "step": step,
                        "last": is_last,
                        **_numbers(found.raw),
                        "n": found.raw.n,
                        "n_oracles": found.raw.n_oracles,
                        "band_mean": beside.estimate,
                        "band_low": beside.interval[0],
                        "band_high": beside.interval[1],
                        "band_n": beside.n,
                        **_numbers(found.ratio, "ratio"),
                        **_numbers(found.bias, "bias"),
                        "censored": found.counts.censored,
                        "failed": found.counts.failed,
                    }
                )
    return rows


def gaps(case: Case) -> list[Record]:
    """Debiased gaps between histories at every saved step, and at equal forgetting where the study declares it."""
    rows: list[Record] = []
    for probe, test_set in case.table.distance_probes:
        if measure_of(probe) not in oracle_distance.SQUARED_MEASURES:
            continue
        matched = bool(asked(case.study, "path_gap", probe, "at_forget_level", distance=True))
        for a, b in case.pairs:
            trained = path_gap.at_step(case, probe, test_set, a, b, "", 0)
            for unlearning in case.study.unlearnings:
                found: list[tuple[int | None, path_gap.PathGap]] = [(0, trained)]
                found += [
                    (step, path_gap.at_step(case, probe, test_set, a, b, unlearning.name, step))
                    for step in _steps(case, probe, test_set, unlearning)
                ]
                if matched and (level := path_gap.at_forget_level(case, probe, test_set, a, b, unlearning)):
                    found.append((None, level))
                rows += [
                    _gap_row(probe, test_set, unlearning.name, (a, b), step, gap, last=step == case.last(unlearning))
                    for step, gap in found
                ]
    return rows


def _gap_row(
    probe: str,
    test_set: str,
    unlearning: str,
    pair: tuple[str, str],
    step: int | None,
    found: path_gap.PathGap | excess_path_gap.ExcessGap,
    *,
    last: bool,
) -> Record:
    return {
        "probe": probe,
        "measure": measure_of(probe),
        "unit": found.unit,
        "test_set": test_set,
        "unlearning": unlearning,
        "history": pair[0],
        "other": pair[1],
        "alignment": "at_forget_level" if step is None else "at_step",
        "step": step,
        "last": last,
        **_numbers(found.gap),
        "n": found.gap.n,
        "seed_mean": found.seed_value,
        "ratio": found.ratio_value,
        "censored": found.counts.censored,
        "failed": found.counts.failed,
    }


def excess(case: Case) -> list[Record]:
    """Gaps between histories beyond those of their own oracles."""
    rows: list[Record] = []
    for probe, test_set in case.table.distance_probes:
        if measure_of(probe) not in oracle_distance.BETWEEN_ALL:
            continue
        trained = {
            pair: excess_path_gap.at_step(case, probe, test_set, *pair, "", 0)
            for pair in case.pairs
            if not excess_path_gap.one_oracle(case, *pair)
        }
        for name, step, is_last in excess_path_gap.steps(case, probe, test_set):
            for pair, before in trained.items():
                found = excess_path_gap.at_step(case, probe, test_set, *pair, name, step) if step else before
                if found is not None:
                    rows.append(_gap_row(probe, test_set, name, pair, step, found, last=is_last))
    return rows


def spread(case: Case) -> list[Record]:
    """Components of variance: between histories and between seeds."""
    return [
        {
            "probe": found.place.probe,
            "measure": measure_of(found.place.probe),
            "test_set": found.place.test_set,
            "unlearning": found.place.unlearning,
            "step": found.place.step,
            "last": found.place.alignment == "at_end",
            "unit": found.components.unit,
            **_interval(found.components.history, "history_component", "history_"),
            "seed_component": found.components.seed.estimate,
            "ratio": found.components.ratio.estimate,
            "p_value": found.components.spread.p_value
            if found.comparisons and case.gives_tests and not found.components.counts.incomplete()
            else None,
            "n": found.components.history.n,
            "censored": found.components.counts.censored,
            "failed": found.components.counts.failed,
        }
        for found in path_spread.everywhere(case)
    ]


def stopping(case: Case) -> list[Record]:
    """The price of one stopping time for all histories, and the distances that it is made of."""
    position = _positions(case)
    return [
        {
            "unlearning": found.place.unlearning,
            "test_set": found.place.test_set,
            "probe": found.place.probe,
            "measure": measure_of(found.place.probe),
            "unit": found.estimate.unit,
            "quantity": found.place.quantity,
            "history": found.place.history,
            "position": position.get(found.place.history),
            "step": found.step,
            **_numbers(found.estimate),
            "n": found.estimate.n,
            "censored": found.counts.censored,
            "failed": found.counts.failed,
        }
        for found in stopping_price.everywhere(case)
    ]


def distributions(case: Case) -> list[Record]:
    """Laws of unlearned runs against laws of independent oracles at the last step."""
    position = _positions(case)
    rows: list[Record] = []
    for found in distribution.everywhere(case):
        laws, place = found.laws, found.place
        if place.quantity == distribution.GAUSSIAN_KL:
            # It follows the energy of the same margins.
            rows[-1] |= {"gaussian_kl": laws.estimate.estimate, "gaussian_kl_null": laws.null_mean}
            continue
        tested = bool(found.comparisons) and case.gives_tests
        test = laws.test(seed=case.study.seed, alpha=case.alpha) if tested else None
        rows.append(
            {
                "probe": place.probe,
                "test_set": place.test_set or distribution.test_set_of(place.probe),
                "unlearning": place.unlearning,
                "history": place.history,
                "other": place.other,
                "position": position[place.history],
                "step": place.step,
                "unit": laws.estimate.unit,
                "statistic": laws.estimate.estimate,
                "null_mean": laws.null_mean,
                "gaussian_kl": None,
                "gaussian_kl_null": None,
                "p_value": None if test is None else test.p_value,
                "smallest_p": laws.smallest_p,
                "n": laws.n,
                "n_oracles": laws.n_oracles,
                "independent": laws.independent,
                "reason": laws.why_no_p(case.alpha, is_asked=bool(found.comparisons)),
                "censored": laws.counts.censored,
                "failed": laws.counts.failed,
            }
        )
    return rows


def improvements(case: Case) -> list[Record]:
    """Distance to the oracle after unlearning minus before, with the verdict where one was declared."""
    position = _positions(case)
    rows: dict[tuple[str, str, str, str], Record] = {}
    for found in improvement.findings(case):
        place = (found.probe, found.test_set, found.unlearning, found.history)
        if place in rows and rows[place]["verdict"] is not None:
            continue
        rows[place] = {
            "unlearning": found.unlearning,
            "history": found.history,
            "position": position[found.history],
            "probe": found.probe,
            "measure": measure_of(found.probe),
            "test_set": found.test_set,
            "unit": found.unit,
            "mean": found.estimate,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "verdict": None if found.verdict is None else str(found.verdict),
            "censored": found.censored,
            "failed": found.failed,
        }
    return list(rows.values())


def recency_by_history(case: Case) -> list[Record]:
    """Restricted mean steps to the levels by history."""
    rows: list[Record] = []
    if not case.table.forget_item_names:
        return rows
    for unlearning in case.study.unlearnings:
        for level_name in recency.LEVELS:
            for history in case.unlearned:
                level = recency.level_of(case, history.name, unlearning, level_name)
                if level is None:
                    continue
                times = recency.steps_to(recency.trajectory(case, history.name, unlearning), level)
                rows.append(
                    {
                        "unlearning": unlearning.name,
                        "history": history.name,
                        "position": history.position(),
                        "level_name": level_name,
                        "level": level.value,
                        "unit": recency.UNIT,
                        **_numbers(times.estimate),
                        "n": times.estimate.n,
                        "reached": times.reached,
                        "at_start": times.at_start,
                        "not_reached": times.not_reached,
                        "censored": times.stopped,
                        "horizon": int(times.horizon),
                    }
                )
    return rows


def recency_contrast(case: Case) -> list[Record]:
    """Last against earlier positions: total, head start and speed."""
    return [
        {
            "unlearning": unlearning.name,
            "level_name": level_name,
            "part": part.part,
            "position": part.last,
            "earlier": part.earlier,
            "unit": recency.UNIT,
            **_numbers(part.estimate),
            "n": part.estimate.n,
            "replicates": part.counts.registered,
            "reached": part.reached,
            "at_start": part.at_start,
            "not_reached": part.not_reached,
            "runs": part.runs,
            "horizon": int(part.horizon),
            "reason": part.estimate.undefined,
        }
        for unlearning in case.study.unlearnings
        for level_name in recency.LEVELS
        for part in recency.parts(case, unlearning, level_name)
    ]


def recency_trend(case: Case) -> list[Record]:
    """Slope of the restricted steps to a level over position."""
    return [
        {
            "unlearning": unlearning.name,
            "level_name": level_name,
            "positions": found.n_positions,
            "unit": found.estimate.unit,
            **_numbers(found.estimate),
            "n": found.estimate.n,
            "replicates": found.counts.registered,
            "at_start": found.at_start,
            "not_reached": found.not_reached,
            "runs": found.runs,
            "censored": found.counts.censored,
            "horizon": int(found.horizon),
            "reason": found.estimate.undefined,
        }
        for unlearning in case.study.unlearnings
        for level_name in recency.LEVELS
        if (found := recency.trend(case, unlearning, level_name)) is not None
    ]


def phase(case: Case) -> list[Record]:
    """Speed of forgetting against the loss: one curve for all positions if unlearning is a clock on the level."""
    if not case.table.forget_item_names:
        return []
    return [
        {
            "unlearning": unlearning.name,
            "history": history.name,
            "position": history.position(),
            "step": step,
            "loss": loss,
            "speed": speed,
            "n": n,
        }
        for unlearning in case.study.unlearnings
        for history in case.unlearned
        for step, loss, speed, n in recency.phase(case, unlearning, history.name)
    ]


def utility(case: Case) -> list[Record]:
    """Forgetting against utility at every saved step: each forget score beside each utility probe."""
    shown = _shown_scalars(case)
    forget = [probe for probe in shown if probe.partition(":")[0] == FORGET_PROBE]
    useful = [probe for probe in shown if probe.partition(":")[0] in UTILITY_KINDS]
    rows: list[Record] = []
    for forget_probe in forget:
        for utility_probe in useful:
            for history in case.unlearned:
                for unlearning in case.study.unlearnings:
                    common = set(case.steps(forget_probe, None, unlearning)) & set(
                        case.steps(utility_probe, None, unlearning)
                    )
                    for step in (0, *sorted(common)):
                        at = state_class(history.name, unlearning.name, step)
                        one, _ = _mean(case, forget_probe, at, case.table.R)
                        two, _ = _mean(case, utility_probe, at, case.table.R)
                        rows.append(
                            {
                                "unlearning": unlearning.name,
                                "history": history.name,
                                "position": history.position(),
                                "step": step,
                                "last": step == case.last(unlearning),
                                "forget_probe": forget_probe,
                                **_numbers(one, "forget"),
                                "forget_unit": one.unit,
                                "utility_probe": utility_probe,
                                **_numbers(two, "utility"),
                                "utility_unit": two.unit,
                                "n": min(one.n, two.n),
                            }
                        )
    return rows


def stage_losses(case: Case) -> list[Record]:
    """Loss on each stage's rows before it, after it, at the end, and at the oracle."""
    rows: list[Record] = []
    known = set(case.table.scalar_probes)
    for history in case.histories:
        for index, stage in enumerate(history.stages):
            if f"stage_loss:{stage.name}" not in known:
                continue
            for when in natural_forgetting.WHEN:
                estimate, _ = natural_forgetting.stage_loss(case, history, index, when)
                rows.append(
                    {
                        "history": history.name,
                        "position": history.position(),
                        "stage": stage.name,
                        "role": str(stage.role),
                        "when": when,
                        "unit": estimate.unit,
                        **_numbers(estimate),
                        "n": estimate.n,
                    }
                )
    return rows


def runs(case: Case) -> list[Record]:
    """How many runs finished, stopped being finite, failed a probe, or are not in the table."""
    rows: list[Record] = []
    table = case.table
    for history in case.histories:
        for name, last in (("", 0), *((u.name, case.last(u)) for u in case.unlearnings_of(history))):
            worst = np.zeros(table.N, dtype=np.uint8)
            for probe in table.scalar_probes:
                if not probe.startswith("stage_loss:"):
                    worst = np.maximum(worst, table.scalar(probe, state_class(history.name, name, last)).states_N)
            for probe, test_set in table.distance_probes:
                at = state_class(history.name, name, last)
                pairs = table.pairs(probe, test_set, at, StateClass(case.oracle_of[history.name], "", 0))
                worst = np.maximum(worst, pairs.states_NN.max(axis=1))
            stopped = table.censored_by(history.name, name, None)
            codes = [CENSORED if r in stopped else int(worst[r]) for r in range(table.R)]
            counts = count(codes)
            first = [step for (h, u, _), step in table.first_censored.items() if (h, u) == (history.name, name)]
            rows.append(
                {
                    "history": history.name,
                    "position": history.position(),
                    "unlearning": name,
                    "registered": counts.registered,
                    "ok": counts.ok,
                    "censored": counts.censored,
                    "failed": codes.count(FAILED),
                    "unscored": codes.count(UNSCORED),
                    "missing": counts.missing,
                    "first_censored_step": min(first) if first else None,
                }
            )
    return rows


def _places(case: Case) -> Iterator[tuple[Unlearning, method_summary.Alignment, method_summary.Stops]]:
    """Every unlearning at its end and, where runs reached it, at equal forgetting."""
    for unlearning in case.study.unlearnings if case.unlearned else ():
        for alignment in method_summary.ALIGNMENTS:
            at = method_summary.stops(case, unlearning, alignment)
            if at is not None and (alignment == "at_end" or at.reached):
                yield unlearning, alignment, at


def methods(case: Case) -> list[Record]:
    """What each unlearning did to the forget items over all histories, and how many of its runs came to grief."""
    rows: list[Record] = []
    for unlearning, alignment, at in _places(case):
        before, after, oracle = method_summary.forgetting(case, unlearning, alignment, at)
        prediction, collapse = predicted(unlearning), method_summary.collapsed(case, unlearning, at)
        rows.append(
            {
                "unlearning": unlearning.name,
                "alignment": alignment,
                "predicted": str(prediction or ""),
                "unit": after.unit,
                **_numbers(before, "before"),
                **_numbers(after, "after"),
                **_numbers(oracle, "oracle"),
                "n": after.n,
                "reached": at.reached,
                "runs": at.runs,
                "collapsed": None if collapse is None else collapse[0],
                "collapse_runs": None if collapse is None else collapse[1],
                "collapse_stages": ", ".join(method_summary.collapse_stages(case)),
                "diverged": method_summary.diverged(case, unlearning),
            }
        )
    return rows


def method_utility(case: Case) -> list[Record]:
    """Each utility probe of a retain stage after unlearning, minus the oracle's."""
    retain = {stage.name for stage in case.study.stages if stage.role is Role.RETAIN}
    named = {probe: probe.partition("/")[0].split(":") for probe in _shown_scalars(case)}
    probes = [probe for probe, parts in named.items() if parts[0] in UTILITY_KINDS and parts[1] in retain]
    rows: list[Record] = []
    for unlearning, alignment, at in _places(case):
        for probe in probes:
            estimate = method_summary.utility(case, probe, unlearning, at)
            rows.append(
                {
                    "unlearning": unlearning.name,
                    "alignment": alignment,
                    "probe": probe,
                    "unit": estimate.unit,
                    **_numbers(estimate),
                    "n": estimate.n,
                }
            )
    return rows


def method_nearness(case: Case) -> list[Record]:
    """The primary distance to independent oracles before and after, mean over histories."""
    rows: list[Record] = []
    for unlearning, alignment, at in _places(case):
        for probe, test_set in case.table.distance_probes:
            if measure_of(probe) != PRIMARY_MEASURE:
                continue
            found = method_summary.nearness(case, probe, test_set, unlearning, at)
            rows.append(
                {
                    "unlearning": unlearning.name,
                    "alignment": alignment,
                    "probe": probe,
                    "measure": measure_of(probe),
                    "unit": found.improvement.unit,
                    "test_set": test_set,
                    "before_bands": found.before_bands,
                    "after_bands": found.after_bands,
                    **_numbers(found.improvement),
                    "n": found.improvement.n,
                }
            )
    return rows


def gap_rates(case: Case) -> list[Record]:
    """Rates at which histories of equal draws part, beside those of replicates."""
    rows: list[Record] = []
    for probe, test_set, unlearning, found in _growths(case):
        kappa = _declared_kappa(case, probe)
        rows.append(
            {
                "unlearning": unlearning.name,
                "predicted": str(predicted(unlearning) or ""),
                "probe": probe,
                "measure": measure_of(probe),
                "test_set": test_set,
                "unit": found.whole.path.unit,
                "steps": len(found.steps),
                **_rates(found.whole, ""),
                "n": found.whole.path.n,
                "seed_n": found.whole.seed.n,
                **_rates(found.early, "early_"),
                **_rates(found.late, "late_"),
                **_rates(found.change, "change_"),
                **_numbers(found.path_factor, "factor"),
                **_numbers(found.seed_factor, "seed_factor"),
                **_numbers(found.ratio_at_start, "start"),
                **_numbers(found.ratio_at_end, "end"),
                "word": found.word,
                "margin": kappa,
                "class": found.path_class(kappa, case.alpha).word if kappa is not None else "",
                "seed_class": found.seed_class(kappa, case.alpha).word if kappa is not None else "",
                "last_share": found.last_share,
                "ceiling": found.ceiling,
                "reason": found.whole.path.undefined,
                "censored": found.counts.censored,
                "failed": found.counts.failed,
            }
        )
    return rows


def growth_pairs(case: Case) -> list[Record]:
    """The same rates for each pair of histories."""
    rows: list[Record] = []
    for probe, test_set, unlearning, found in _growths(case):
        if not growth.asks(case.study, probe):
            continue
        kappa = _declared_kappa(case, probe)
        rows += [
            {
                "unlearning": unlearning.name,
                "probe": probe,
                "measure": measure_of(probe),
                "test_set": test_set,
                "history": pair.history,
                "other": pair.other,
                "unit": pair.rate.unit,
                **_numbers(pair.rate, "rate"),
                **_numbers(pair.early, "early"),
                **_numbers(pair.late, "late"),
                **_numbers(pair.change, "change"),
                "word": pair.word,
                "margin": kappa,
                "class": pair.classified(kappa, case.alpha).word if kappa is not None else "",
                "n": pair.rate.n,
                "reason": pair.rate.undefined,
                "censored": pair.counts.censored,
                "failed": pair.counts.failed,
            }
            for pair in found.pairs
        ]
    return rows


def _growths(case: Case) -> Iterator[tuple[str, str, Unlearning, growth.Growth]]:
    for probe, test_set in case.table.coupled.probes:
        for unlearning in case.study.unlearnings:
            found = growth.growth(case, probe, test_set, unlearning)
            if found is not None:
                yield probe, test_set, unlearning, found


def _declared_kappa(case: Case, probe: str) -> float | None:
    """The first margin that a comparison of the measure declares."""
    return next((kappa for c in growth.asks(case.study, probe) if (kappa := growth.margin_of(c)) is not None), None)


def _rates(rates: growth.Rates, prefix: str) -> Record:
    return {
        **_interval(rates.path, f"{prefix}path_rate", f"{prefix}path_"),
        **_interval(rates.seed, f"{prefix}seed_rate", f"{prefix}seed_"),
        **_numbers(rates.difference, f"{prefix}difference"),
    }


TABLES: dict[str, Callable[[Case], list[Record]]] = {
    "trajectories": trajectories,
    "bands": bands,
    "distances": distances,
    "path_gap": gaps,
    "excess": excess,
    "spread": spread,
    "stopping": stopping,
    "distribution": distributions,
    "improvements": improvements,
    "recency": recency_by_history,
    "recency_contrast": recency_contrast,
    "recency_trend": recency_trend,
    "phase": phase,
    "utility": utility,
    "stage_losses": stage_losses,
    "runs": runs,
    "methods": methods,
    "method_utility": method_utility,
    "method_nearness": method_nearness,
    "growth": gap_rates,
    "growth_pairs": growth_pairs,
}
"""Every table by name, in the order of the report."""
