"""The price of a universal stopping time: against its definition spelled out, planted, and without a path effect."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import planted
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from planted import PROBE, asks, distance_rows, frame, study, vectors
from scipy import stats

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.stopping_price import AGREED, NAIVE, price, standard_errors, stopping_price
from retrain_equivalence.equivalence.tables import report_tables


def spelled_out(d_HTRN: np.ndarray) -> tuple[list[float], list[list[int]], list[int], list[float]]:
    """The definition, one loop per symbol."""
    H, T, R, N = d_HTRN.shape
    prices, owns, commons, worst = [], [], [], []
    for r in range(R):

        def others(h: int, t: int, r: int = r) -> float:
            pairs = [(q, s) for q in range(R) for s in range(N) if q != r and s not in (q, r)]
            return float(np.mean([d_HTRN[h, t, q, s] for q, s in pairs]))

        def judged(h: int, t: int, r: int = r) -> float:
            return float(np.mean([d_HTRN[h, t, r, s] for s in range(N) if s != r]))

        seen = np.array([[others(h, t) for t in range(T)] for h in range(H)])
        own, common = [int(np.argmin(seen[h])) for h in range(H)], int(np.argmin(seen.mean(axis=0)))
        dearest = int(np.argmax([seen[h, common] - seen[h, own[h]] for h in range(H)]))
        prices.append(float(np.mean([judged(h, common) - judged(h, own[h]) for h in range(H)])))
        worst.append(judged(dearest, common) - judged(dearest, own[dearest]))
        owns.append(own)
        commons.append(common)
    return prices, owns, commons, worst


@drawn(st.integers(2, 3), st.integers(2, 4), st.integers(3, 4), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_it_is_the_definition(H: int, T: int, R: int, extra: int, seed: int) -> None:
    distances = np.random.default_rng(seed).random((H, T, R, R + extra))
    found, (prices, owns, commons, worst) = price(distances), spelled_out(distances)
    assert found.per_replicate_R == pytest.approx(prices)
    assert found.worst_R == pytest.approx(worst)
    assert found.own_HR.T.tolist() == owns
    assert found.common_R.tolist() == commons
    off = ~np.eye(R, R + extra, dtype=bool)
    whole = np.array([[distances[h, t][off].mean() for t in range(T)] for h in range(H)])
    assert found.naive == pytest.approx(whole.mean(axis=0).min() - whole.min(axis=1).mean())
    assert found.naive >= 0


def test_a_replicate_moves_no_choice_that_judges_it() -> None:
    distances = np.random.default_rng(0).random((2, 3, 4, 4))
    moved = distances.copy()
    moved[:, :, 1, :] = np.random.default_rng(1).random((2, 3, 4))
    moved[:, :, :, 1] = np.random.default_rng(2).random((2, 3, 4))
    one, two = price(distances), price(moved)
    assert one.own_HR[:, 1].tolist() == two.own_HR[:, 1].tolist() and one.common_R[1] == two.common_R[1]


def test_what_cannot_be_chosen_is_nan() -> None:
    distances = np.random.default_rng(0).random((2, 3, 4, 4))
    distances[1, 2] = np.nan
    found = price(distances)
    assert np.isnan(found.per_replicate_R).all() and math.isnan(found.naive)
    assert (found.own_HR[1] == -1).all() and (found.common_R == -1).all()
    lonely = price(np.random.default_rng(0).random((2, 3, 2, 2)))
    assert np.isnan(lonely.per_replicate_R).all()


def valley(rng: np.random.Generator, bottoms: tuple[float, ...], n: int, noise: float = 1.0) -> np.ndarray:
    """Runs on a line that pass their oracle at their history's own time, with noise of seeds and of steps."""
    times = np.arange(6)
    common = noise * 0.3 * rng.normal(size=n)
    oracles = common + noise * 0.5 * rng.normal(size=n)
    runs = np.array([(times[:, None] - bottom) for bottom in bottoms])
    of_run, of_step = rng.normal(size=(len(bottoms), 1, n)), rng.normal(size=(len(bottoms), 6, n))
    runs = runs + common + noise * (0.5 * of_run + 0.3 * of_step)
    return np.square(runs[:, :, :, None] - oracles)


def test_without_a_path_effect_the_naive_price_is_above_0_and_the_cross_fitted_one_is_not() -> None:
    rng = np.random.default_rng(3)
    found = [price(valley(rng, (2.5, 2.5, 2.5), 6)) for _ in range(800)]
    naive = np.array([one.naive for one in found])
    fitted = np.array([one.per_replicate_R.mean() for one in found])
    assert naive.mean() > 10 * naive.std() / math.sqrt(800)
    assert fitted.mean() < 2 * fitted.std() / math.sqrt(800)


@pytest.mark.parametrize(("n", "bottoms"), [(5, (2.5, 2.5, 2.5)), (8, (2.5, 2.5, 2.5)), (6, (1.0, 4.0))])
def test_the_interval_covers_and_one_over_folds_does_not(n: int, bottoms: tuple[float, ...]) -> None:
    rng = np.random.default_rng(7)
    tables = [valley(rng, bottoms, n) for _ in range(300)]
    mean = np.array([price(table).per_replicate_R.mean() for table in tables])
    error = np.array([standard_errors(table)[0] for table in tables])
    t = stats.t.ppf(0.975, n - 1)
    assert np.mean(np.abs(mean - mean.mean()) <= t * error) >= 0.95
    folds = np.array([price(table).per_replicate_R.std(ddof=1) / math.sqrt(n) for table in tables])
    assert folds.mean() < mean.std() < 2.5 * error.mean()


def test_the_standard_error_is_that_of_repeating_the_procedure_without_each_half() -> None:
    table = valley(np.random.default_rng(8), (1.0, 4.0), 6)
    again = []
    for kept in combinations(range(6), 3):
        again.append(price(table[:, :, list(kept)][:, :, :, list(kept)]).per_replicate_R.mean())
    assert len(again) == 20
    assert standard_errors(table)[0] == pytest.approx(np.std(again))  # (n - d) / d = 1
    assert np.isnan(standard_errors(table[:, :, :4, :4])).all()


def test_a_planted_price_is_found() -> None:
    """Bottoms at steps 1 and 4, curvature 1: the best common steps 2 or 3 cost ((2-1)² + (2-4)²)/2 = 2.5."""
    rng = np.random.default_rng(4)
    sample = np.array([price(valley(rng, (1.0, 4.0), 6, 0.3)).per_replicate_R.mean() for _ in range(300)])
    assert sample.mean() == pytest.approx(2.5, abs=0.15)


GIVEN = study(asks("stopping_price"), stages=("a",), replicates=6, oracle_replicates=2)
EARLY, LATE = (history.name for history in GIVEN.all_histories())


def passing(bottoms: dict[str, float]) -> planted.Mean:
    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(20)
        if history in bottoms:
            vector[0] = step - bottoms[history]
        return vector

    return mean


def test_a_study_shows_the_price_and_its_parts_without_a_verdict() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, passing({EARLY: 1.0, LATE: 4.0}), seed=0, seed_sd=0.3))
    found = {(f.quantity, f.history): f for f in compare(frame(rows), GIVEN) if f.contrast == "stopping_price"}
    assert {quantity for quantity, _ in found} == {
        "price", "largest price", "naive price", "D_ho at own best step", "D_ho at common best step"
    }  # fmt: skip
    one = found["price", ""]
    assert one.estimate == pytest.approx(2.5, abs=0.5)
    assert one.low is not None and one.low > 0 and one.n == 6
    assert (one.verdict, one.p_value, one.alignment, one.step) == (None, None, "at_common_step", None)
    assert one.family
    naive = found["naive price", ""]
    assert (naive.low, naive.high, naive.reason) == (None, None, NAIVE)
    own = [found["D_ho at own best step", name].estimate for name in (EARLY, LATE)]
    shared = [found["D_ho at common best step", name].estimate for name in (EARLY, LATE)]
    assert one.estimate == pytest.approx(np.mean(np.array(shared) - np.array(own)))
    assert found["D_ho at own best step", EARLY].alignment == "at_best_step"
    table = report_tables(frame(rows), GIVEN)["stopping"]
    steps = {(r["quantity"], r["history"]): r["step"] for r in table}
    assert steps["D_ho at own best step", EARLY] == 1
    assert steps["D_ho at own best step", LATE] == 4
    assert steps["D_ho at common best step", LATE] == steps["D_ho at common best step", EARLY] == 2
    assert steps["price", ""] is None


def test_the_distance_at_chosen_steps_is_that_of_the_rows() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, passing({EARLY: 1.0, LATE: 4.0}), seed=0, seed_sd=0.3))
    case = Case(frame(rows), GIVEN)
    found = stopping_price(case, PROBE, "forget", GIVEN.unlearnings[0])
    assert found is not None
    expected = [
        row["value"]
        for row in rows
        if (row["history"], row["step"]) == (EARLY, 1)
        and row["against"].startswith("a#")
        and int(row["against"].split("#")[1]) != row["replicate"]
    ]
    assert len(expected) == 6 * 7
    assert found.at_own[0 if found.histories[0] == EARLY else 1].value == pytest.approx(np.mean(expected))


def test_a_price_of_0_because_all_agree_has_no_interval() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, passing({EARLY: 2.0, LATE: 2.0}), seed=0, seed_sd=0.1))
    one = next(f for f in compare(frame(rows), GIVEN) if f.quantity == "price")
    assert (one.estimate, one.low, one.high, one.n) == (0.0, None, None, 6)
    assert one.reason == AGREED


def test_one_history_or_one_step_has_no_price() -> None:
    alone = study(stages=("a",), histories=[["safety", "a"]], replicates=4)
    rows = distance_rows(alone, vectors(alone, passing({}), seed=0))
    assert [f for f in compare(frame(rows), alone) if f.contrast == "stopping_price"] == []


def test_a_censored_run_is_counted_and_its_step_is_not_judged_elsewhere() -> None:
    rows = distance_rows(GIVEN, vectors(GIVEN, passing({EARLY: 1.0, LATE: 4.0}), seed=0, seed_sd=0.3))
    for row in rows:
        if (row["history"], row["replicate"]) == (LATE, 2) and row["step"] >= 4:
            row.update(value=None, status="censored")
    one = next(f for f in compare(frame(rows), GIVEN) if f.quantity == "price")
    assert (one.n, one.censored) == (5, 1)
