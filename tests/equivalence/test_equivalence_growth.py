"""Rates of coupled gaps: by hand, against planted truth, and where they are undefined."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import planted
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence import gap_growth as growing
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

PROBE, SET = growing.PRIMARY, "forget"
A, B = "instruct>safety", "safety>instruct"
Gap = Any
"""(kind, history or pair, replicate or pair, step) -> gap."""


def rows(study: Study, gap: Gap, *, probe: str = PROBE, test_set: str = SET, unlearning: str = "ga") -> list[Any]:
    """Return coupled rows exactly as the model wing writes them: step 0 under the trained names."""
    names = [h.name for h in study.all_histories()]
    found = []

    def add(one: tuple[str, int], two: tuple[str, int], step: int, value: float | None, status: str) -> None:
        method = unlearning if step else ""
        state, other = (StateName(history=h, replicate=r, unlearning=method, step=step) for h, r in (one, two))
        found.append(planted.row(state, probe, test_set, value, "nats", against=str(other), status=status))

    for step in planted.STEPS:
        for a, b in combinations(names, 2):
            for r in range(study.replicates):
                value = gap("path", (a, b), r, step)
                add((a, r), (b, r), step, value, "ok" if value is not None else "censored")
        for h in names:
            for r, s in combinations(range(study.replicates), 2):
                value = gap("seed", h, (r, s), step)
                add((h, r), (h, s), step, value, "ok" if value is not None else "censored")
    return found


def found(study: Study, gap: Gap) -> growing.GapGrowth:
    growth = growing.gap_growth(Case(planted.frame(rows(study, gap)), study), PROBE, SET, study.unlearnings[0])
    assert growth is not None
    return growth


def test_rates_and_factors_by_hand() -> None:
    """Two replicates at 0.1 and 0.3 per step, seed pairs at 0.05; gaps 2 e^(rt), seeds 4 e^(0.05t)."""
    study = planted.study(replicates=2)

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        return 2 * math.exp((0.1, 0.3)[r] * step) if kind == "path" else 4 * math.exp(0.05 * step)

    growth = found(study, gap)
    assert growth.path_rate.value == pytest.approx(0.2)
    # Two numbers 0.2 apart: standard deviation 0.2/√2, standard error 0.1; t(0.975, 1) = 12.706.
    assert growth.path_rate.se == pytest.approx(0.1)
    assert growth.path_rate.interval == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), rel=1e-3)
    assert growth.seed_rate.value == pytest.approx(0.05)
    assert growth.rate_difference.value == pytest.approx(0.15)
    assert growth.path_factor.estimate == pytest.approx(math.exp(0.2 * 8))
    assert growth.seed_factor.estimate == pytest.approx(math.exp(0.05 * 8))
    assert growth.ratio_at_start.estimate == pytest.approx(0.5)
    assert growth.ratio_at_end.estimate == pytest.approx(0.5 * math.exp(0.15 * 8))
    assert growth.word == growing.NOT_TOLD and growth.steps == planted.STEPS
    assert growth.counts.ok == 2


def test_a_slope_by_hand_where_the_log_is_no_line() -> None:
    """log g = 0, 0, 0, 0, 1 at steps 0, 1, 2, 4, 8 (mean 3): slope 5 / (9 + 4 + 1 + 1 + 25) = 0.125."""
    study = planted.study(replicates=3)
    growth = found(study, lambda kind, who, r, step: math.e if step == 8 else 1.0)
    assert growth.path_rate.value == pytest.approx(0.125)
    assert growth.seed_rate.value == pytest.approx(0.125)
    assert growth.path_factor.estimate == pytest.approx(math.e)


def test_pairs_of_histories_are_averaged_within_a_replicate() -> None:
    study = planted.study(replicates=3, stages=("instruct", "tofu"))
    rates = dict(zip(combinations([h.name for h in study.all_histories()], 2), (0.1, 0.2, 0.6), strict=True))
    growth = found(study, lambda kind, who, r, step: math.exp(rates[who] * step) if kind == "path" else 1.0)
    assert growth.path_rate.value == pytest.approx(0.3)
    assert growth.path_rate.n == 3, "pairs of histories are no replicates"


def noisy(seed: int, rate: float, noise: float = 0.2) -> Gap:
    """Gaps `3 e^(rt)` times a replicate's own rate and a factor of its own at each step."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 0.05, 64)
    factor = rng.normal(0, noise, (64, 64, 64, 9))

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        first, second = (r, r) if kind == "path" else r
        place = hash_of(who)
        own_rate = (own[first] + own[second]) / 2
        return float(3 * math.exp((rate + own_rate) * step + factor[place, first, second, step]))

    return gap


def hash_of(who: Any) -> int:
    """A small number that is the same in every process."""
    return sum(map(ord, str(who))) % 64


@pytest.mark.parametrize("factor", [1e-9, 0.3, 7e6])
def test_scale_moves_no_rate(factor: float) -> None:
    study, gap = planted.study(replicates=4), noisy(1, 0.1)
    one, two = found(study, gap), found(study, lambda *place: factor * gap(*place))
    for name in ("path_rate", "seed_rate", "rate_difference", "path_factor", "seed_factor", "ratio_at_end"):
        before, after = getattr(one, name), getattr(two, name)
        assert after.value == pytest.approx(before.value, rel=1e-9, abs=1e-12), name
        assert after.se == pytest.approx(before.se, rel=1e-6), name


def test_the_order_of_rows_moves_no_bit() -> None:
    study = planted.study(planted.asks("gap_growth"), replicates=4)
    table = planted.frame(rows(study, noisy(2, 0.1)))
    one = [f for f in compare(table, study) if f.contrast == "gap_growth"]
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        assert [f for f in compare(shuffled, study) if f.contrast == "gap_growth"] == one
    assert len(one) == 7


def test_planted_rates_are_recovered_and_their_intervals_cover() -> None:
    """2,400 studies of n = 6: a replicate's rate is normal around the truth, and so is the log of each gap."""
    study = planted.study(replicates=6)
    table = planted.frame(rows(study, noisy(0, 0.0)))
    case = Case(table, study)
    rng = np.random.default_rng(20261125)
    truth, steps = 0.12, np.asarray(planted.STEPS, dtype=np.float64)
    coupled = case.table.coupled
    covered = {"path": 0, "factor": 0, "seed": 0, "difference": 0}
    rates, n_studies = [], 2400
    a, b = case.pairs[0]
    for _ in range(n_studies):
        own = rng.normal(0, 0.04, 6)
        at = {step: i for i, step in enumerate(planted.STEPS)}
        logs = (truth + own)[None, :] * steps[:, None] + rng.normal(0, 0.2, (5, 6))
        seeds = {}
        for h in (a, b):
            # A pair of replicates parts by what each of them adds: sums over the two, as a U-statistic of order one.
            each = rng.normal(0, 0.04, 6)
            pair = (0.05 + (each[:, None] + each[None, :]) / 2)[None] * steps[:, None, None]
            seeds[h] = np.exp(pair)
        for key, (values, _) in coupled._path.items():
            values[:] = np.exp(logs[at[key[3]]])
        for place, (values, _) in coupled._seed.items():
            values[:] = seeds[place[4]][at[place[3]]]
        growth = growing.gap_growth(case, PROBE, SET, study.unlearnings[0])
        assert growth is not None
        rates.append(growth.path_rate.value)
        for name, estimate, true in (
            ("path", growth.path_rate, truth),
            ("factor", growth.path_factor, math.exp(8 * truth)),
            ("seed", growth.seed_rate, 0.05),
            ("difference", growth.rate_difference, truth - 0.05),
        ):
            low, high = estimate.interval
            assert low is not None and high is not None
            covered[name] += low <= true <= high
    assert float(np.mean(np.array(rates, dtype=np.float64))) == pytest.approx(
        truth, abs=4 * 0.04 / math.sqrt(6 * n_studies) * 1.5
    )
    for name, times in covered.items():
        assert 0.93 <= times / n_studies <= 0.97, (name, times / n_studies)


def test_words() -> None:
    study = planted.study(replicates=6)
    for rate, said in ((0.3, growing.EXPANDS), (-0.3, growing.CONTRACTS), (0.0, growing.NOT_TOLD)):
        growth = found(study, noisy(3, rate))
        assert growth.word == said
    only_one = planted.study(replicates=1)
    assert found(only_one, noisy(3, 0.3)).word == "", "one replicate has no interval, and so no word"


def test_a_gap_of_zero_is_undefined_and_says_so() -> None:
    study = planted.study(planted.asks("gap_growth", value=0.1), replicates=4)

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        return 0.0 if kind == "path" and r == 2 and step == 8 else 1.0 + step

    growth = found(study, gap)
    for estimate in (growth.path_rate, growth.path_factor, growth.rate_difference, growth.ratio_at_end):
        assert estimate.value is None and "1 of 20 are 0" in estimate.undefined
    assert growth.seed_rate.value is not None
    (rate,) = [f for f in compare(planted.frame(rows(study, gap)), study) if f.quantity == "path rate"]
    assert rate.estimate is None and rate.verdict is Verdict.INCONCLUSIVE and "logarithm" in rate.reason


def test_runs_that_left_the_numbers_are_counted_and_decide_nothing() -> None:
    study = planted.study(planted.asks("gap_growth", value=0.01), replicates=6)
    whole = noisy(4, 0.3)

    def gap(kind: str, who: Any, r: Any, step: int) -> float | None:
        return None if step == 8 and (r == 5 or (kind == "seed" and 5 in r)) else whole(kind, who, r, step)

    growth = found(study, gap)
    assert (growth.counts.ok, growth.counts.censored) == (5, 1)
    assert (growth.seed_counts.ok, growth.seed_counts.censored) == (5, 1)
    assert growth.path_rate.n == 5 and growth.seed_rate.n == 5 and growth.rate_difference.n == 5
    (rate,) = [f for f in compare(planted.frame(rows(study, gap)), study) if f.quantity == "path rate"]
    assert rate.censored == 1 and rate.verdict is Verdict.INCONCLUSIVE and "stopped being finite" in rate.reason


def judged(rate: float, margin: float | None) -> Finding:
    asked = planted.asks("gap_growth", value=margin) if margin else planted.asks("gap_growth")
    study = planted.study(asked, replicates=8)
    (one,) = [f for f in compare(planted.frame(rows(study, noisy(5, rate, 0.05))), study) if f.quantity == "path rate"]
    return one


def test_a_verdict_stands_only_where_a_margin_was_declared() -> None:
    assert judged(0.5, None).verdict is None and judged(0.5, None).reason.startswith("expands: ")
    assert judged(0.5, 0.1).verdict is Verdict.DIFFERENT
    assert judged(-0.5, 0.1).verdict is Verdict.DIFFERENT
    assert judged(0.0, 0.2).verdict is Verdict.EQUIVALENT


def test_a_comparison_of_predictions_means_the_measure_without_a_ceiling() -> None:
    study = planted.study(planted.asks("gap_growth"), replicates=3)
    (one,) = growing.asks(study, "gap/label_logp")
    assert one.contrast == "gap_growth"
    assert growing.asks(study, "gap/hellinger") == [] and growing.asks(study, "gap/parameters") == []
    named = planted.study(planted.asks("gap_growth", "prediction:safety/hellinger"), replicates=3)
    assert len(growing.asks(named, "gap/hellinger")) == 1 and growing.asks(named, "gap/label_logp") == []


def test_no_other_contrast_sees_a_coupled_gap() -> None:
    """A table of gaps alone holds no distance, no scalar and no censored run; and gaps change no other finding."""
    study = planted.study(planted.asks("gap_growth"), replicates=4)
    case = Case(planted.frame(rows(study, noisy(6, 0.1))), study)
    assert case.table.distance_probes == [] and case.table.scalar_probes == []
    assert {f.contrast for f in compare(planted.frame(rows(study, noisy(6, 0.1))), study)} == {"gap_growth"}
    distances = planted.distance_rows(study, planted.vectors(study, planted.still(), seed=1))
    alone = compare(planted.frame(distances), study)
    both = compare(planted.frame([*distances, *rows(study, noisy(6, 0.1))]), study)
    assert [f for f in both if f.contrast != "gap_growth"] == alone


@pytest.mark.parametrize(
    ("one", "against"),
    [
        (StateName(history=A, replicate=0), f"{B}#1"),
        (StateName(history=A, replicate=0), f"{A}#0"),
        (StateName(history=A, replicate=0), f"{B}#0@ga:2"),
        (StateName(history=A, replicate=0, unlearning="ga", step=2), f"{B}#0@ga:4"),
        (StateName(history=A, replicate=0), f"{B}#9"),
        (StateName(history=A, replicate=0), "no state"),
        (StateName(history=A, replicate=0), ""),
    ],
)
def test_rows_of_states_that_are_not_coupled_are_refused(one: StateName, against: str) -> None:
    study = planted.study(replicates=2)
    with pytest.raises(InputError, match="E-DATA-57"):
        Case(planted.frame([planted.row(one, PROBE, SET, 1.0, "nats", against=against)]), study)


def test_one_step_is_no_rate() -> None:
    study = planted.study(replicates=3)
    trained = [row for row in rows(study, noisy(1, 0.1)) if row["step"] == 0]
    assert growing.gap_growth(Case(planted.frame(trained), study), PROBE, SET, study.unlearnings[0]) is None
