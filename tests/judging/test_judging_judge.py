"""Verdicts on runs: hand cases, agreement with scipy and statsmodels, and the rates of simulated studies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from judging_runs import bare, two, with_items
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

from retrain_equivalence.equivalence.finding import Verdict
from retrain_equivalence.equivalence.verdict import Rule
from retrain_equivalence.judging import band, forget_quality, improvement
from retrain_equivalence.judging.deciding import Reading, n_each
from retrain_equivalence.judging.judge import judge
from retrain_equivalence.judging.judgement import Judgement
from retrain_equivalence.judging.run_jackknife import of_groups
from retrain_equivalence.judging.runs import Run, Runs
from retrain_equivalence.metrics.distributional import margin_law


def judged(runs: Runs, margin: float = 1.0) -> Judgement:
    return judge(runs, margin=margin, rationale="small")


def test_the_difference_is_welchs_and_equivalence_is_tost() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(0, 1, 6), random.normal(0.2, 3, 9)
    said = judged(two(bare(one.tolist()), bare(other.tolist())), margin=4.0)
    reference = stats.ttest_ind(one, other, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert said.p_difference == pytest.approx(reference.pvalue, abs=1e-9)
    assert (said.judged.low, said.judged.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert said.p_equivalence == pytest.approx(ttost_ind(one, other, -4.0, 4.0, usevar="unequal")[0], abs=1e-9)
    decision = reference.confidence_interval(0.90)
    assert (said.decision_low, said.decision_high) == pytest.approx((decision.low, decision.high), abs=1e-9)
    assert (said.verdict is Verdict.EQUIVALENT) == (said.p_equivalence < 0.05)


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, Verdict.EQUIVALENT), (1.0, Verdict.INCONCLUSIVE), (-5.0, Verdict.DIFFERENT)]
)
def test_the_three_verdicts(shift: float, verdict: Verdict) -> None:
    values = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    said = judged(two(bare((values + shift).tolist()), bare(values.tolist())))
    assert said.verdict is verdict
    assert (said.n_needed is None) == (verdict is not Verdict.INCONCLUSIVE) or shift == 1.0


def test_one_retrained_run_gives_no_band_and_the_n_that_would_do() -> None:
    said = judged(two(bare([0.0, 0.5, 1.0, 1.5]), bare([0.4])))
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.reason.startswith("no band: one oracle")
    assert said.band.estimate is None
    assert said.band.reason == said.laws.reason == said.judged.reason == "no band: one oracle"
    sd, n = float(np.std([0.0, 0.5, 1.0, 1.5], ddof=1)), said.n_needed
    assert n is not None

    def reaches(k: int) -> bool:
        return stats.t.ppf(0.95, 2 * k - 2) * sd * math.sqrt(2 / k) < 1 - 0.35

    assert reaches(n)
    assert not reaches(n - 1)
    assert said.p_difference is None
    assert said.laws.p_value is None


def test_one_run_of_each_says_how_many_are_needed_at_least() -> None:
    said = judged(two(bare([0.0]), bare([0.4])))
    assert said.n_needed == 3
    assert "needs 3 runs of each" in said.reason


def test_runs_that_do_not_vary_decide_nothing() -> None:
    said = judged(two(bare([0.5] * 4), bare([0.5] * 4)))
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "do not vary" in said.reason


def test_a_collapsed_run_is_counted_and_blocks_the_verdict() -> None:
    said = judged(two(bare([0.0, 0.1, -0.1, None]), bare([0.0, 0.1, -0.1, 0.05])))
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.reason.startswith("1 of 4 unlearned runs have no value")
    assert said.groups[0].undefined == 1
    assert said.judged.n.unlearned == 3


def test_items_do_not_make_the_interval_narrower() -> None:
    """Ten thousand items in three runs are three runs."""
    random = np.random.default_rng(2)
    effects = random.normal(0, 1, 6)
    few = effects[:, None] + np.zeros((6, 2))
    many = effects[:, None] + np.zeros((6, 2000))
    for items_RI in (few, many):
        said = judged(two(with_items(items_RI[:3]), with_items(items_RI[3:])))
        assert said.judged.se == pytest.approx(math.sqrt(effects[:3].var(ddof=1) / 3 + effects[3:].var(ddof=1) / 3))


def test_the_laws_statistic_is_the_mean_of_the_items_energy_distances() -> None:
    random = np.random.default_rng(3)
    one_RI, two_SI = random.normal(0, 1, (4, 5)), random.normal(0.5, 2, (3, 5))
    said = judged(two(with_items(one_RI), with_items(two_SI)))

    def energy(x: np.ndarray, y: np.ndarray) -> float:
        def among(z: np.ndarray) -> float:
            return float(np.mean([abs(z[i] - z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]))

        return 2 * float(np.mean(np.abs(x[:, None] - y))) - among(x) - among(y)

    by_hand = np.mean([energy(one_RI[:, i], two_SI[:, i]) for i in range(5)])
    assert said.laws.statistic == pytest.approx(by_hand, abs=1e-12)
    assert said.laws.statistic == pytest.approx(margin_law.energy(one_RI, two_SI), abs=1e-12)
    assert said.laws.smallest_p == pytest.approx(1 / 35)
    assert said.laws.exact


def test_a_permutation_that_cannot_reach_its_level_gives_no_p_but_the_n() -> None:
    said = judged(two(bare([5.0, 6.0, 7.0]), bare([0.0, 1.0, 2.0])))
    assert said.laws.p_value is None
    assert said.laws.smallest_p == pytest.approx(0.1)
    assert said.laws.n_needed == 4


def test_the_band_is_the_ratio_of_mean_distances() -> None:
    said = judged(two(bare([3.0]), bare([0.0, 1.0, 2.0])))
    assert said.band.estimate == pytest.approx(2.0 / (4 / 3))
    assert said.band.low is not None
    pair = judged(two(bare([3.0]), bare([0.0, 1.0])))
    assert pair.band.estimate == pytest.approx(2.5)
    assert (pair.band.low, pair.band.high) == (None, None)


def test_the_jackknife_of_a_difference_of_means_is_welch() -> None:
    random = np.random.default_rng(4)
    x = random.normal(0, 1, 12)
    labels = np.array([0] * 5 + [1] * 7)
    found = of_groups(
        lambda kept: float(x[kept & (labels == 0)].mean() - x[kept & (labels == 1)].mean()), labels.tolist()
    )
    interval = stats.ttest_ind(x[:5], x[5:], equal_var=False).confidence_interval(0.95)
    assert found.bounds(0.95) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_improvement_compares_how_far_the_means_are() -> None:
    runs = two(bare([0.2, 0.3, 0.1]), bare([0.0, 0.1, -0.1]), bare([1.0, 1.2, 0.8]))
    found = improvement.of_runs(runs)
    assert found.estimate == pytest.approx(0.2 - 1.0)
    assert found.high is not None
    assert found.high < 0
    assert "nearer" in found.reason
    past = improvement.of_runs(two(bare([-2.0, -2.1, -1.9]), runs.retrained, runs.before))
    assert past.estimate == pytest.approx(1.0)
    assert "farther" in past.reason


def test_unlearning_that_moved_nothing_says_so() -> None:
    runs = two(bare([1.0, 1.0]), bare([0.0, 0.1]), bare([1.0]))
    assert judged(runs).improvement is not None
    assert improvement.of_runs(runs).reason == improvement.MOVED_NOTHING


def test_the_outlook_is_the_smallest_n_that_decides() -> None:
    reading = Reading(rule=Rule.SIGNED, margin=1.0, needs=3)
    n = n_each(0.3, (0.5, 2.0), reading, 3)
    assert n is not None

    def half(k: int) -> float:
        df = 2.5**2 / (0.5**2 + 2.0**2) * (k - 1)
        return float(stats.t.ppf(0.95, df)) * math.sqrt(2.5 / k)

    assert half(n) < 0.7 <= half(n - 1)
    assert n_each(1.0, (0.5, 2.0), reading, 3) is None


def test_verdicts_come_at_their_rates() -> None:
    """At the margin each definite verdict comes in 5 % of studies; sets of unequal sizes and spreads."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(1000):
        unlearned, retrained = random.normal(1.0, 0.4, 5), random.normal(0.0, 0.2, 7)
        found.append(judged(two(bare(unlearned.tolist()), bare(retrained.tolist()))).verdict)
    rates = [found.count(verdict) / 1000 for verdict in Verdict]
    # Monte-Carlo sd .007 at 5 %.
    assert rates[0] == pytest.approx(0.05, abs=0.024)
    assert rates[1] == pytest.approx(0.05, abs=0.024)


def drawn(random: np.random.Generator, runs: int, spread: float, shift: float = 0.0) -> tuple[Run, ...]:
    """Runs whose items move together: what makes items no independent runs."""
    effects = random.normal(shift, spread, (runs, 1))
    return with_items(effects + random.normal(0, 1, (runs, 40)))


def test_ks_over_items_rejects_equal_laws_too_often_and_runs_as_units_do_not() -> None:
    """The negative control: with run effects of half an item's sd, retrained models fail KS against each other."""
    random = np.random.default_rng(6)
    naive, ours, pairs = 0, 0, 0
    for _ in range(200):
        runs = two(drawn(random, 5, 0.5), drawn(random, 5, 0.5), metric="forget_quality")
        said = judge(runs, margin=0.1, rationale="small", seed=1)
        assert said.forget_quality is not None
        naive += said.forget_quality.own_below
        pairs += said.forget_quality.own_pairs
        assert said.laws.p_value is not None
        ours += said.laws.p_value <= 0.05
    assert naive / pairs > 0.25
    assert ours / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_the_ks_excess_is_unbiased_and_its_interval_covers() -> None:
    random = np.random.default_rng(7)
    values, covered, false_different = [], 0, 0
    for _ in range(300):
        runs = two(drawn(random, 6, 0.4), drawn(random, 6, 0.4), metric="forget_quality")
        found = band.distances_of(runs)
        excess = forget_quality.excess(found.distance_LL, found.unlearned_L)
        assert excess is not None
        values.append(excess.value)
        low, high = excess.bounds(0.95)
        assert low is not None
        assert high is not None
        covered += low <= 0 <= high
        lower, _ = excess.bounds(0.90)
        assert lower is not None
        false_different += lower > 0
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)
    assert covered / 300 > 0.90
    assert false_different / 300 < 0.065 + 3 * math.sqrt(0.065 / 300)


def test_forget_quality_counts_and_ks_by_hand() -> None:
    assert forget_quality.ks(np.array([1.0, 2.0]), np.array([1.5, 3.0]))[0] == 0.5
    inverse = forget_quality.ks(1 / np.array([1.0, 2.0]), 1 / np.array([1.5, 3.0]))
    assert inverse == forget_quality.ks(np.array([1.0, 2.0]), np.array([1.5, 3.0]))
    same = with_items(np.tile(np.arange(40.0), (3, 1)))
    far = with_items(np.tile(np.arange(40.0) + 100, (2, 1)))
    said = judge(two(far, same, metric="forget_quality"), margin=0.1, rationale="small")
    quality = said.forget_quality
    assert quality is not None
    assert [one.n_against for one in quality.runs] == [3, 3, 2, 2, 2]
    assert [one.distance for one in quality.runs] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert quality.own_pairs == 3
    assert quality.own_below == 0
    assert said.judged.estimate == 1.0
    assert said.verdict is Verdict.INCONCLUSIVE  # two unlearned runs
    assert said.p_equivalence is None
    alone = judge(two(far, same[:1], metric="forget_quality"), margin=0.1, rationale="small")
    assert alone.reason.startswith("no band: one oracle")
    assert alone.n_needed == 5


def test_a_margin_must_be_above_nothing() -> None:
    with pytest.raises(ValueError, match="margin above 0"):
        judge(two(bare([1.0]), bare([1.0])), margin=0.0, rationale="none")
