"""Components of variance over histories: by hand, against the mean squares, planted, and under any dependence."""

from __future__ import annotations

import math

import numpy as np
import planted
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from planted import PROBE, asks, distance_rows, frame, study, vectors

from retrain_equivalence.equivalence import path_spread, sign_flip
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Verdict
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.records.state_name import StateName


def mean_squares(values_HR: np.ndarray) -> tuple[float, float]:
    """The definition: `(MS_H - MS_HR) / n`, and the mean of the histories' variances."""
    H, n = values_HR.shape
    grand, rows, columns = values_HR.mean(), values_HR.mean(axis=1), values_HR.mean(axis=0)
    of_history = n * np.square(rows - grand).sum() / (H - 1)
    left = values_HR - rows[:, None] - columns + grand
    residual = np.square(left).sum() / ((H - 1) * (n - 1))
    return float((of_history - residual) / n), float(values_HR.var(axis=1, ddof=1).mean())


def squared(vectors_HRD: np.ndarray) -> np.ndarray:
    return np.square(vectors_HRD[:, None, :, None] - vectors_HRD[None, :, None, :]).sum(axis=-1)


@drawn(st.integers(2, 5), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_components_are_those_of_the_mean_squares(H: int, R: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(H, R))
    found = path_spread.of_scalars(values)
    history, within = mean_squares(values)
    assert found.history.value == pytest.approx(history, rel=1e-9, abs=1e-12)
    assert found.seed.value == pytest.approx(within, rel=1e-9)
    assert found.ratio.value == pytest.approx(history / within, rel=1e-9, abs=1e-12)


@drawn(st.integers(2, 4), st.integers(3, 5), st.integers(0, 2**32 - 1))
def test_without_a_replicate_it_is_the_statistic_of_the_others(H: int, R: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(H, R))
    found = path_spread.of_scalars(values)
    for r in range(R):
        others = path_spread.of_scalars(np.delete(values, r, axis=1))
        assert found.history.joint_N[r] == pytest.approx(others.history.value, rel=1e-9, abs=1e-12)
        assert found.seed.joint_N[r] == pytest.approx(others.seed.value, rel=1e-9)
        assert found.ratio.joint_N[r] == pytest.approx(others.ratio.value, rel=1e-8, abs=1e-12)


@drawn(st.integers(2, 4), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_distances_give_what_vectors_give_coordinate_by_coordinate(H: int, R: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(H, R, 3))
    found = path_spread.of_distances(squared(points))
    parts = [mean_squares(points[:, :, k]) for k in range(3)]
    assert found.history.value == pytest.approx(sum(h for h, _ in parts), rel=1e-9, abs=1e-12)
    assert found.seed.value == pytest.approx(sum(s for _, s in parts), rel=1e-9)


def test_distances_of_equal_replicates_are_not_read() -> None:
    distances = squared(np.random.default_rng(1).normal(size=(3, 4, 2)))
    spoilt = distances.copy()
    np.einsum("hkrr->hkr", spoilt)[:] = 1e9
    assert path_spread.of_distances(spoilt).history.value == path_spread.of_distances(distances).history.value


def test_an_incomplete_replicate_does_not_count() -> None:
    values = np.random.default_rng(2).normal(size=(3, 5))
    holed = values.copy()
    holed[1, 2] = np.nan
    found, whole = path_spread.of_scalars(holed), path_spread.of_scalars(np.delete(values, 2, axis=1))
    assert (found.history.n, found.history.value) == (4, pytest.approx(whole.history.value))
    assert found.p_value == whole.p_value
    distances = squared(values[:, :, None])
    distances[1, :, 2, :] = distances[:, 1, :, 2] = np.nan
    assert path_spread.of_distances(distances).history.value == pytest.approx(whole.history.value)


def test_the_p_value_is_that_of_the_omnibus_sign_flip() -> None:
    values = np.random.default_rng(3).normal(size=(4, 7)) + np.arange(4)[:, None] * 0.3
    assert path_spread.of_scalars(values).p_value == sign_flip.of_contrasts(values)
    assert path_spread.of_distances(squared(values[:, :, None])).p_value == sign_flip.of_contrasts(values)


@pytest.mark.parametrize("shared", [0.0, 0.9, -0.3])
def test_it_is_unbiased_whatever_the_histories_share(shared: float) -> None:
    """Unequal variances and any covariance between the histories of one replicate, planted component .5."""
    rng = np.random.default_rng(4)
    sds = np.array([0.5, 1.0, 2.0])
    covariance = np.outer(sds, sds) * (shared + (1 - shared) * np.eye(3))
    means = np.array([-1.0, 0.0, 1.0]) * math.sqrt(0.5)
    draws = rng.multivariate_normal(means, covariance, size=(4000, 4)).transpose(0, 2, 1)
    found = np.array([mean_squares(study) for study in draws])
    assert found[:, 0].mean() == pytest.approx(0.5, abs=3.3 * found[:, 0].std() / math.sqrt(4000))
    assert found[:, 1].mean() == pytest.approx(np.square(sds).mean(), abs=3.3 * found[:, 1].std() / math.sqrt(4000))
    some = [path_spread.of_scalars(study) for study in draws[:50]]
    assert [one.history.value for one in some] == pytest.approx(found[:50, 0])


def test_sign_flips_keep_their_size_where_histories_share_their_noise() -> None:
    """Correlation that falls with the distance of histories, as shared prefixes make it: 3.1 % are attainable at 6."""
    rng = np.random.default_rng(5)
    apart = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    root = np.linalg.cholesky(0.8**apart)
    rejected = sum((path_spread.of_scalars(root @ rng.normal(size=(6, 6))).p_value or 1.0) <= 0.05 for _ in range(1500))
    assert rejected / 1500 == pytest.approx(sign_flip.attainable_size(6), abs=3.3 * math.sqrt(0.03 * 0.97 / 1500))


@pytest.mark.parametrize(("histories", "component"), [(2, 0.25), (4, 0.0), (4, 0.25), (4, 1.0)])
def test_bounds_on_the_shifted_log_scale_keep_their_errors(histories: int, component: float) -> None:
    """Where plain t bounds of two histories would call a component of .25 smaller in 17 % of studies."""
    rng = np.random.default_rng(6)
    means = np.linspace(-1, 1, histories)
    means *= math.sqrt(component / means.var(ddof=1))
    below, above, studies = 0, 0, 1200
    for _ in range(studies):
        noise = math.sqrt(0.5) * (rng.normal(size=10) + rng.normal(size=(histories, 10)))
        low, high = path_spread.of_scalars(means[:, None] + noise).of_history("").bounds(0.9)
        below, above = below + (high is not None and high < component), above + (low is not None and low > component)
    limit = 0.065 + 2 * math.sqrt(0.065 * 0.935 / studies)
    assert below / studies <= limit and above / studies <= limit


def test_the_scale_changes_the_interval_and_not_the_number() -> None:
    values = np.random.default_rng(7).normal(size=(3, 6))
    found = path_spread.of_scalars(values)
    one, ratio = found.of_history("u"), found.of_ratio()
    assert one.estimate == pytest.approx(found.history.value)
    assert ratio.estimate == pytest.approx(found.ratio.value)
    assert ratio.interval == found.of_seed("u").interval == (None, None)
    few = path_spread.of_scalars(values[:, :4]).of_history("u")
    assert few.estimate is not None and few.interval == (None, None)
    low, high = one.interval
    assert low is not None and high is not None and -2 * found.noise < low < found.history.value < high
    assert one.shown(one.scaled(0.3)) == pytest.approx(0.3)
    # Component and shift add up to the plain variance of the histories' means.
    assert found.history.value + found.noise == pytest.approx(values.mean(axis=1).var(ddof=1))


def test_seeds_that_do_not_vary_have_no_ratio() -> None:
    found = path_spread.of_scalars(np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]))
    assert (found.of_ratio().estimate, found.of_ratio().undefined) == (None, path_spread.NO_SEEDS)
    assert found.of_history("").estimate == pytest.approx(0.5)


THREE = study(
    asks("path_spread", value=0.5),
    asks("path_spread", "expected_loss:generic", value=0.5),
    stages=("a", "b"),
    replicates=7,
    oracle_replicates=2,
)


def apart(size: float) -> planted.Mean:
    order = {history.name: index - 1.0 for index, history in enumerate(THREE.all_histories())}

    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(20)
        vector[0] = order.get(history, 0.0) * size * (step > 0)
        return vector

    return mean


def test_a_study_shows_components_and_verdicts_of_predictions_and_scalars() -> None:
    states = vectors(THREE, apart(3.0), seed=0, seed_sd=0.5)
    rows = distance_rows(THREE, states)
    for state, vector in states.items():
        value = float(vector[0])
        rows.append(planted.row(state, "expected_loss:generic", "i0", value, "nats/token"))
    found = {
        (f.quantity, f.probe, f.alignment, f.step): f
        for f in compare(frame(rows), THREE)
        if f.contrast == "path_spread"
    }
    for probe in (PROBE, "expected_loss:generic"):
        one = found["sigma2_history", probe, "at_end", 8]
        assert one.verdict is Verdict.DIFFERENT
        assert one.estimate == pytest.approx(9.0, abs=1.5)
        assert (one.p_value, one.p_method) == (2**-6, sign_flip.METHOD)
        seed, rho = (found[name, probe, "at_end", 8] for name in ("sigma2_seed", "rho"))
        assert (seed.low, seed.high) == (None, None) and seed.estimate == pytest.approx(0.25, abs=0.25)
        assert rho.estimate == pytest.approx((one.estimate or 0) / (seed.estimate or 1))
        trained = found["sigma2_history", probe, "trained", 0]
        assert trained.verdict is None and trained.p_value is None and trained.low < 0 < trained.high  # type: ignore[operator]
    assert found["sigma2_history", PROBE, "at_end", 8].unit == "Hellinger²"
    assert found["sigma2_history", "expected_loss:generic", "at_end", 8].unit == "(nats/token)²"
    table = report_tables(frame(rows), THREE)["spread"]
    last = [r for r in table if r["last"] and r["probe"] == PROBE]
    assert [(r["history_component"], r["p_value"]) for r in last] == [
        (found["sigma2_history", PROBE, "at_end", 8].estimate, 2**-6)
    ]
    assert [r["step"] for r in table if r["probe"] == PROBE] == [0, 1, 2, 4, 8]


def test_a_shuffled_control_is_no_other_order() -> None:
    given = study(stages=("a",), histories=("forget_at_each_position", "shuffle_only"))
    names = [history.name for history in path_spread.orders(Case(frame([]), given))]
    assert names == ["safety>a", "a>safety"] or names == ["a>safety", "safety>a"]


def test_a_censored_run_is_counted_and_withholds_the_verdict() -> None:
    rows = distance_rows(THREE, vectors(THREE, apart(3.0), seed=0, seed_sd=0.5))
    gone = StateName(history=THREE.all_histories()[0].name, replicate=2, unlearning="ga", step=8)
    for row in rows:
        own = (row["history"], row["replicate"], row["unlearning"], row["step"])
        if own == (gone.history, 2, "ga", 8) or row["against"] == str(gone):
            row.update(value=None, status="censored")
    found = [
        f
        for f in compare(frame(rows), THREE)
        if f.contrast == "path_spread" and f.quantity == "sigma2_history" and f.step == 8
    ]
    assert [(f.verdict, f.censored, f.n) for f in found] == [(Verdict.INCONCLUSIVE, 1, 6)]
