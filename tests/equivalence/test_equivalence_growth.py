"""Rates of coupled gaps: by hand, against planted truth, and where they are undefined."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import planted
import pytest
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence import growth as growing
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.estimate import Estimate
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.equivalence.tables import tables_of
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

PROBE, SET = growing.PRIMARY, "forget"
A, B = "instruct>safety", "safety>instruct"
WINDOWS, RATES = ("whole", "early", "late", "change"), ("path", "seed", "difference")
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


def found(study: Study, gap: Gap) -> growing.Growth:
    growth = growing.growth(Case(planted.frame(rows(study, gap)), study), PROBE, SET, study.unlearnings[0])
    assert growth is not None
    return growth


def test_rates_and_factors_by_hand() -> None:
    """Two replicates at 0.1 and 0.3 per step, seed pairs at 0.05; gaps 2 e^(rt), seeds 4 e^(0.05t)."""
    study = planted.study(replicates=2)

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        return 2 * math.exp((0.1, 0.3)[r] * step) if kind == "path" else 4 * math.exp(0.05 * step)

    growth = found(study, gap)
    assert growth.whole.path.value == pytest.approx(0.2)
    # Two numbers 0.2 apart: standard deviation 0.2/√2, standard error 0.1; t(0.975, 1) = 12.706.
    assert growth.whole.path.se == pytest.approx(0.1)
    assert growth.whole.path.interval == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), rel=1e-3)
    assert growth.whole.seed.value == pytest.approx(0.05)
    assert growth.whole.difference.value == pytest.approx(0.15)
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
    assert growth.whole.path.value == pytest.approx(0.125)
    assert growth.whole.seed.value == pytest.approx(0.125)
    assert growth.path_factor.estimate == pytest.approx(math.e)


def test_pairs_of_histories_are_averaged_within_a_replicate() -> None:
    study = planted.study(replicates=3, stages=("instruct", "tofu"))
    rates = dict(zip(combinations([h.name for h in study.all_histories()], 2), (0.1, 0.2, 0.6), strict=True))
    growth = found(study, lambda kind, who, r, step: math.exp(rates[who] * step) if kind == "path" else 1.0)
    assert growth.whole.path.value == pytest.approx(0.3)
    assert growth.whole.path.n == 3, "pairs of histories are no replicates"


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
    for name, before, after in (
        *((f"{w} {n}", getattr(getattr(one, w), n), getattr(getattr(two, w), n)) for w in WINDOWS for n in RATES),
        *((n, getattr(one, n), getattr(two, n)) for n in ("path_factor", "seed_factor", "ratio_at_end")),
    ):
        assert after.value == pytest.approx(before.value, rel=1e-9, abs=1e-12), name
        assert after.se == pytest.approx(before.se, rel=1e-6), name


def test_the_order_of_rows_moves_no_bit() -> None:
    study = planted.study(planted.asks("growth"), replicates=4)
    table = planted.frame(rows(study, noisy(2, 0.1)))
    one = [f for f in compare(table, study) if f.contrast == "growth"]
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        assert [f for f in compare(shuffled, study) if f.contrast == "growth"] == one
    assert len(one) == 16


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
        growth = growing.growth(case, PROBE, SET, study.unlearnings[0])
        assert growth is not None
        rates.append(growth.whole.path.value)
        for name, estimate, true in (
            ("path", growth.whole.path, truth),
            ("factor", growth.path_factor, math.exp(8 * truth)),
            ("seed", growth.whole.seed, 0.05),
            ("difference", growth.whole.difference, truth - 0.05),
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
    study = planted.study(planted.asks("growth", value=0.1), replicates=4)

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        return 0.0 if kind == "path" and r == 2 and step == 8 else 1.0 + step

    growth = found(study, gap)
    for estimate in (growth.whole.path, growth.path_factor, growth.whole.difference, growth.ratio_at_end):
        assert estimate.value is None and "1 of 20 are" in estimate.undefined
    assert growth.whole.seed.value is not None
    (rate,) = [f for f in compare(planted.frame(rows(study, gap)), study) if f.quantity == "path rate"]
    assert rate.estimate is None and rate.verdict is Verdict.INCONCLUSIVE and "logarithm" in rate.reason


def test_runs_that_left_the_numbers_are_counted_and_decide_nothing() -> None:
    study = planted.study(planted.asks("growth", value=0.01), replicates=6)
    whole = noisy(4, 0.3)

    def gap(kind: str, who: Any, r: Any, step: int) -> float | None:
        return None if step == 8 and (r == 5 or (kind == "seed" and 5 in r)) else whole(kind, who, r, step)

    growth = found(study, gap)
    assert (growth.counts.ok, growth.counts.censored) == (5, 1)
    assert (growth.seed_counts.ok, growth.seed_counts.censored) == (5, 1)
    assert growth.whole.path.n == 5 and growth.whole.seed.n == 5 and growth.whole.difference.n == 5
    (rate,) = [f for f in compare(planted.frame(rows(study, gap)), study) if f.quantity == "path rate"]
    assert rate.censored == 1 and rate.verdict is Verdict.INCONCLUSIVE and "stopped being finite" in rate.reason


def judged(rate: float, margin: float | None) -> Finding:
    asked = planted.asks("growth", value=margin) if margin else planted.asks("growth")
    study = planted.study(asked, replicates=8)
    (one,) = [f for f in compare(planted.frame(rows(study, noisy(5, rate, 0.05))), study) if f.quantity == "path rate"]
    return one


def test_a_verdict_stands_only_where_a_margin_was_declared() -> None:
    assert judged(0.5, None).verdict is None and judged(0.5, None).reason.startswith("expands: ")
    assert judged(0.5, 0.1).verdict is Verdict.DIFFERENT
    assert judged(-0.5, 0.1).verdict is Verdict.DIFFERENT
    assert judged(0.0, 0.2).verdict is Verdict.EQUIVALENT


def test_a_comparison_of_predictions_means_the_measure_without_a_ceiling() -> None:
    study = planted.study(planted.asks("growth"), replicates=3)
    (one,) = growing.asks(study, "gap/label_logp")
    assert one.contrast == "growth"
    assert growing.asks(study, "gap/hellinger") == [] and growing.asks(study, "gap/parameters") == []
    named = planted.study(planted.asks("growth", "prediction:safety/hellinger"), replicates=3)
    assert len(growing.asks(named, "gap/hellinger")) == 1 and growing.asks(named, "gap/label_logp") == []


def test_no_other_contrast_sees_a_coupled_gap() -> None:
    """A table of gaps alone holds no distance, no scalar and no censored run; and gaps change no other finding."""
    study = planted.study(planted.asks("growth"), replicates=4)
    case = Case(planted.frame(rows(study, noisy(6, 0.1))), study)
    assert case.table.distance_probes == [] and case.table.scalar_probes == []
    assert {f.contrast for f in compare(planted.frame(rows(study, noisy(6, 0.1))), study)} == {"growth"}
    distances = planted.distance_rows(study, planted.vectors(study, planted.still(), seed=1))
    alone = compare(planted.frame(distances), study)
    both = compare(planted.frame([*distances, *rows(study, noisy(6, 0.1))]), study)
    assert [f for f in both if f.contrast != "growth"] == alone


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
    assert growing.growth(Case(planted.frame(trained), study), PROBE, SET, study.unlearnings[0]) is None


CLASSES = {
    growing.FROZEN: (0.0, 0.0),
    growing.SATURATING: (0.5, 0.0),
    growing.CONTRACTING: (-0.5, -0.1),
    growing.EXPONENTIAL: (0.5, 0.5),
    growing.LINEAR: (0.8, 0.4),
}
"""Slopes of log g up to step 4 and from there on, per step, that belong to each class at kappa = 0.2."""
SEVERAL = {"grows, then shrinks": (0.5, -0.5), "ever faster": (0.4, 0.8), "shrinks at the end": (0.0, -0.5)}
"""Slopes that belong to no class."""


def bent(early: float, late: float, *, sd: float = 0.02, seed: int = 0, scale: float = 3.0) -> Gap:
    """Gaps whose log has one slope up to step 4 and another after it; replicates vary in both."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, sd, (2, 64))

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        places = (r,) if kind == "path" else r
        one, two = (float(np.mean([own[w][place] for place in places])) for w in range(2))
        first, then = (early, late) if kind == "path" else (0.01, 0.01)
        return scale * math.exp((first + one) * min(step, 4) + (then + two) * max(step - 4, 0))

    return gap


@pytest.mark.parametrize("word", [*CLASSES, *SEVERAL])
def test_planted_classes_are_recovered_with_their_verdicts(word: str) -> None:
    slopes = (CLASSES | SEVERAL)[word]
    study = planted.study(planted.asks("growth", value=0.2), replicates=6)
    table = planted.frame(rows(study, bent(*slopes)))
    at = {f.quantity: f for f in compare(table, study) if f.contrast == "growth"}
    rate = at["path rate"]
    assert rate.reason.split(":")[0] == (word if word in CLASSES else growing.INCONCLUSIVE)
    expected = {growing.FROZEN: Verdict.EQUIVALENT}.get(
        word, Verdict.DIFFERENT if word in CLASSES else Verdict.INCONCLUSIVE
    )
    assert rate.verdict is expected
    for name, slope in (("early", slopes[0]), ("late", slopes[1]), ("change of", slopes[1] - slopes[0])):
        assert at[f"{name} path rate"].estimate == pytest.approx(slope, abs=0.06)
        assert at[f"{name} seed rate"].estimate == pytest.approx(0.0 if name == "change of" else 0.01, abs=0.06)
        one, two, apart = (at[f"{name} {kind} rate"].estimate for kind in ("path", "seed", "path-to-seed"))
        assert one is not None and two is not None and apart == pytest.approx(one - two)
        assert at[f"{name} path rate"].verdict is None
    (row,) = tables_of(Case(table, study))["growth"]
    assert row["class"] == rate.reason.split(":")[0] and row["seed_class"] == growing.FROZEN
    assert row["early_path_rate"] == at["early path rate"].estimate and row["change_path_low"] is not None


@pytest.mark.parametrize(
    ("early", "late", "change", "word"),
    [
        ((-0.19, 0.19), (-0.19, 0.19), (-1, 1), growing.FROZEN),
        ((-0.19, 0.19), (-0.19, 0.2), (-1, 1), growing.INCONCLUSIVE),
        ((0.21, 0.9), (-0.19, 0.19), (-1, 1), growing.SATURATING),
        ((0.20, 0.9), (-0.19, 0.19), (-1, 1), growing.INCONCLUSIVE),
        ((-0.9, -0.21), (5, 6), (5, 7), growing.CONTRACTING),
        ((0.21, 0.9), (0.21, 0.9), (-0.19, 0.19), growing.EXPONENTIAL),
        ((0.21, 0.9), (0.21, 0.9), (-0.9, -0.21), growing.LINEAR),
        ((0.21, 0.9), (0.21, 0.9), (-0.3, 0.1), growing.INCONCLUSIVE),
        ((0.21, 0.9), (0.21, 0.9), (0.21, 0.9), growing.INCONCLUSIVE),
        ((-0.3, 0.1), (-0.1, 0.1), (-0.1, 0.1), growing.INCONCLUSIVE),
    ],
)
def test_classes_by_hand(early: growing.Bounds, late: growing.Bounds, change: growing.Bounds, word: str) -> None:
    assert growing.class_of(early, late, change, 0.2) == word


def test_the_intervals_of_a_class_are_simultaneous() -> None:
    """Level 1 - 0.05/3 each; two replicates that do not vary, or one alone, are no class."""
    early, late = np.array([0.5, 0.6, 0.55, np.nan]), np.array([0.1, 0.1, 0.4, 0.2])
    found = growing.classify(early, late, 0.01)
    assert found.level == pytest.approx(1 - 0.05 / 3)
    half = stats.t.ppf(1 - 0.05 / 6, 2) * early[:3].std(ddof=1) / math.sqrt(3)
    assert found.early.bounds(found.level) == pytest.approx((0.55 - half, 0.55 + half))
    assert (found.early.n, found.late.n, found.change.n) == (3, 3, 3)
    assert found.change.value == pytest.approx(0.2 - 0.55)
    assert growing.classify(np.full(4, 0.5), np.full(4, 0.5), 0.1).word == growing.INCONCLUSIVE
    assert growing.classify(np.array([0.5]), np.array([0.5]), 0.1).word == growing.INCONCLUSIVE


def test_a_wrong_class_is_rare_where_classes_meet() -> None:
    """2,000 studies of n = 5 with both slopes exactly on the margin: any definite class is wrong, or late alone is."""
    rng = np.random.default_rng(7)
    kappa, wrong, found = 0.2, 0, []
    for _ in range(2000):
        noise = rng.normal(0, 0.05, (2, 5))
        found.append(growing.classify(kappa + noise[0], kappa + noise[1], kappa).word)
        wrong += found[-1] != growing.INCONCLUSIVE
    assert wrong / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert growing.INCONCLUSIVE in found


@pytest.mark.parametrize("word", CLASSES)
def test_n_to_classify_is_the_smallest_that_does(word: str) -> None:
    rng = np.random.default_rng(3)
    early, late = (slope + np.concatenate([x := rng.normal(0, 0.5, 4), -x]) for slope in CLASSES[word])
    found = growing.classify(early, late, 0.2)
    assert found.word == growing.INCONCLUSIVE
    needed = growing.n_to_classify(found, 0.2)
    assert needed is not None and needed > 8

    def at(n: int) -> str:
        def bounds(estimate: Estimate) -> growing.Bounds:
            assert estimate.value is not None and estimate.se is not None
            half = stats.t.ppf((1 + found.level) / 2, n - 1) * estimate.se * math.sqrt(8 / n)
            return estimate.value - half, estimate.value + half

        return growing.class_of(bounds(found.early), bounds(found.late), bounds(found.change), 0.2)

    assert at(needed) == word and at(needed - 1) == growing.INCONCLUSIVE
    none = growing.classify(*(s + np.concatenate([x := rng.normal(0, 0.5, 4), -x]) for s in (0.5, -0.5)), 0.2)
    assert growing.n_to_classify(none, 0.2) is None


def test_windows_are_fixed_by_the_steps_and_slopes_are_those_of_polyfit() -> None:
    study = planted.study(replicates=4)
    gap = noisy(9, 0.1, 0.3)
    growth = found(study, gap)
    steps = np.array(planted.STEPS)
    logs_TR = np.array([[math.log(gap("path", (A, B), r, int(step))) for r in range(4)] for step in steps])
    slopes = {}
    for name, inside in (("whole", steps >= 0), ("early", steps <= 4), ("late", steps >= 4)):
        slopes[name] = np.polyfit(steps[inside], logs_TR[inside], 1)[0]
        assert getattr(growth, name).path.value == pytest.approx(slopes[name].mean())
        assert getattr(growth, name).path.se == pytest.approx(slopes[name].std(ddof=1) / 2)
    assert growth.change.path.se == pytest.approx((slopes["late"] - slopes["early"]).std(ddof=1) / 2)


def test_relearning_before_the_last_part_is_in_no_window() -> None:
    assert growing.windows([0, 4, 10, 15, 20], 10, 20) == {
        "whole": [False, False, True, True, True],
        "early": [False, False, True, True, False],
        "late": [False, False, False, True, True],
    }
    assert growing.windows([0, 20], 20, 20)["whole"] == [True, True]


def test_a_window_with_one_step_has_no_class() -> None:
    study = planted.study(planted.asks("growth", value=0.2), replicates=6, unlearnings=[planted.unlearning()])
    table = [row for row in rows(study, bent(0.5, 0.5)) if row["step"] in (0, 1, 8)]
    at = {f.quantity: f for f in compare(planted.frame(table), study) if f.contrast == "growth"}
    assert at["late path rate"].estimate is None and "fewer than two saved steps" in at["late path rate"].reason
    assert at["path rate"].verdict is Verdict.INCONCLUSIVE and at["path rate"].estimate is not None
    assert at["path rate"].reason.startswith("inconclusive: undefined: fewer than two saved steps in the late window")


def test_a_bounded_gap_grows_on_the_logit_scale_and_says_where_it_ends() -> None:
    """Logistic growth at 0.9 per step, from 0.05 to 0.99 of the ceiling: no slowing on the logit scale."""
    study = planted.study(planted.asks("growth", "prediction:safety/hellinger", value=0.2), replicates=6)
    rng = np.random.default_rng(11)
    own = rng.normal(0, 0.02, (2, 6))

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        rate = 0.9 + float(own[0][r] if kind == "path" else np.mean([own[0][i] for i in r]))
        bend = float(own[1][r] if kind == "path" else np.mean([own[1][i] for i in r])) * max(step - 4, 0)
        return 1 / (1 + 19 * math.exp(-rate * step - bend))

    table = planted.frame(rows(study, gap, probe="gap/hellinger"))
    growth = growing.growth(Case(table, study), "gap/hellinger", SET, study.unlearnings[0])
    assert growth is not None and growth.whole.path.unit == "logit units/step"
    assert growth.early.path.value == pytest.approx(0.9, abs=0.03)
    assert growth.late.path.value == pytest.approx(0.9, abs=0.04)
    assert growth.path_class(0.2).word == growing.EXPONENTIAL
    assert growth.last_share == pytest.approx(0.986, abs=0.01) and "of its ceiling" in growth.ceiling
    assert growth.path_factor.estimate == pytest.approx(0.986 / 0.05, rel=0.02), "factors are of the gap itself"
    (rate,) = [f for f in compare(table, study) if f.quantity == "path rate"]
    assert "99% of its ceiling" in rate.reason
    small = planted.frame(rows(study, lambda *place: 0.05 * gap(*place), probe="gap/hellinger"))
    below = growing.growth(Case(small, study), "gap/hellinger", SET, study.unlearnings[0])
    assert below is not None and below.ceiling == "" and below.path_class(0.2).word == growing.SATURATING


def test_each_pair_of_histories_is_told_alone_and_judged_together() -> None:
    study = planted.study(planted.asks("growth", value=0.2), replicates=6, stages=("instruct", "tofu"))
    pairs = list(combinations([h.name for h in study.all_histories()], 2))
    gaps = dict(zip(pairs, (bent(0.5, 0.5), bent(0.5, 0.0), bent(0.0, 0.0)), strict=True))

    def gap(kind: str, who: Any, r: Any, step: int) -> float:
        return float((gaps[who] if kind == "path" else gaps[pairs[0]])(kind, who, r, step))

    table = planted.frame(rows(study, gap))
    rates = [f for f in compare(table, study) if f.quantity == "path rate"]
    assert sorted((f.history, f.other) for f in rates) == sorted([("", ""), *pairs])
    words = {(f.history, f.other): f.reason.split(":")[0] for f in rates}
    assert [words[pair] for pair in pairs] == [growing.EXPONENTIAL, growing.SATURATING, growing.FROZEN]
    assert [f.verdict is not None for f in rates if f.history] == [False] * 3
    told = tables_of(Case(table, study))["growth_pairs"]
    assert {(row["history"], row["other"]): row["class"] for row in told} == {pair: words[pair] for pair in pairs}
    unasked = planted.with_(study, planted.asks("path_gap"))
    assert not [f for f in compare(table, unasked) if f.contrast == "growth" and f.history]
