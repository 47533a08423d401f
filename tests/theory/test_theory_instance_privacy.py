"""Per-instance privacy loss: against quadrature, against explicit runs, and what it predicts."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from scipy import integrate, stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.instance_privacy import (
    NoisyDescent,
    composed_loss,
    small_step_loss,
    step_loss,
)
from retrain_equivalence.theory.questions.privacy import answer


def by_quadrature(s: float, q: float, sigma: float, order: int) -> float:
    def integrand(x: float) -> float:
        base = stats.norm.pdf(x, 0, sigma)
        return float(base * ((1 - q) + q * math.exp((2 * s * x - s * s) / (2 * sigma**2))) ** order)

    total, _ = integrate.quad(integrand, -12 * sigma, 12 * sigma + order * s, limit=400, epsabs=0, epsrel=1e-11)
    return math.log(total) / (order - 1)


def test_step_loss_is_the_renyi_divergence_of_the_sampled_gaussian() -> None:
    for s, q, sigma, order in [(1.0, 0.1, 2.0, 8), (0.5, 0.5, 1.0, 4), (2.0, 1.0, 3.0, 5), (0.3, 0.02, 1.0, 2)]:
        found = float(step_loss([s], rate=q, noise=sigma, order=order)[0])
        assert found == pytest.approx(by_quadrature(s, q, sigma, order), rel=1e-8)


def test_hand_worked_order_two() -> None:
    # α = 2: log(1 + q²(e^{s²/σ²} − 1)).
    found = float(step_loss([3.0], rate=0.25, noise=2.0, order=2)[0])
    assert found == pytest.approx(math.log(1 + 0.0625 * (math.exp(9 / 4) - 1)), rel=1e-13)


def test_small_step_value_is_the_limit_and_has_the_factor_one_half() -> None:
    for order in (2, 8, 16):
        ratio = step_loss([0.02], rate=0.01, noise=1.0, order=order) / small_step_loss(
            [0.02], rate=0.01, noise=1.0, order=order
        )
        assert float(ratio[0]) == pytest.approx(1.0, abs=0.002)
    # At a usual setting it is a little low: exact over small-step.
    usual = step_loss([1.0], rate=0.01, noise=10.0, order=8) / small_step_loss([1.0], rate=0.01, noise=10.0, order=8)
    assert 1.003 < float(usual[0]) < 1.006


def test_loss_grows_with_norm_rate_and_order() -> None:
    norms = np.linspace(0, 2, 21)
    assert (np.diff(step_loss(norms, rate=0.2, noise=1.0, order=8)) > 0).all()
    by_order = [float(step_loss([1.0], rate=0.2, noise=1.0, order=a)[0]) for a in range(2, 20)]
    assert (np.diff(by_order) > 0).all()
    by_rate = [float(step_loss([1.0], rate=q, noise=1.0, order=8)[0]) for q in (0.01, 0.1, 0.5, 1.0)]
    assert (np.diff(by_rate) > 0).all()


def test_composition_without_randomness_is_the_sum_at_the_growing_orders() -> None:
    norms, p, alpha, expected = np.tile(np.linspace(0.2, 1.0, 6)[None, :, None], (3, 1, 1)), 18.0, 8.0, 0.0
    for step in reversed(range(6)):
        expected += float(step_loss(norms[0, step], rate=0.1, noise=1.5, order=math.ceil(alpha - 1e-9))[0])
        alpha = 1 + (alpha - 1) * p / (p - 1)
    found = composed_loss(norms, rate=0.1, noise=1.5, order=8)
    assert found.values[0] == pytest.approx(expected, rel=1e-12)
    assert found.half_widths[0] == pytest.approx(0.0, abs=1e-12)
    assert found.n_runs == 3
    # Rounding the orders up keeps a bound: never below the sum at the order itself.
    assert expected >= float(step_loss(norms[0], rate=0.1, noise=1.5, order=8).sum())


def test_composition_bounds_the_exact_divergence_of_two_adaptive_steps() -> None:
    q, sigma, order, s1 = 0.5, 1.0, 2, 0.8

    def second(y: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(y)))

    def integrand(y: float) -> float:
        # The first step is N(s1, σ²) or N(0, σ²) with chance q of the row; the second depends on what it showed.
        ratio = (1 - q) + q * math.exp((2 * s1 * y - s1 * s1) / (2 * sigma**2))
        later = float(step_loss([float(second(np.array(y)))], rate=q, noise=sigma, order=order)[0])
        return float(stats.norm.pdf(y, 0, sigma) * ratio**order * math.exp((order - 1) * later))

    truth = math.log(integrate.quad(integrand, -12, 14)[0]) / (order - 1)
    rng = np.random.default_rng(0)
    y = sigma * rng.standard_normal(40_000) + s1 * (rng.random(40_000) < q)
    norms = np.stack([np.full_like(y, s1), second(y)], axis=1)[:, :, None]
    # Jackknife over so many runs is quadratic: groups of runs have the same mean.
    for p in (3.0, 6.0, 20.0):
        scale = p * (order - 1)
        last = np.log(np.exp(scale * step_loss(norms[:, 1, 0], rate=q, noise=sigma, order=order)).mean()) / scale
        grown = 1 + (order - 1) * p / (p - 1)
        first = float(step_loss([s1], rate=q, noise=sigma, order=math.ceil(grown - 1e-9))[0])
        assert first + last > truth
        found = composed_loss(norms[:400], rate=q, noise=sigma, order=order, composition=p)
        assert found.values[0] == pytest.approx(first + last, abs=2 * found.half_widths[0])
        assert found.values[0] + found.half_widths[0] > truth


def test_monte_carlo_interval_covers_the_loss_of_many_runs() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.uniform(0.2, 1.0, (4000, 10, 1))
    scale, alpha, truth = 30.0, 8.0, 0.0
    for step in reversed(range(10)):
        exponent = (
            scale * (alpha - 1) * step_loss(drawn[:, step, 0], rate=0.1, noise=4.0, order=math.ceil(alpha - 1e-9))
        )
        truth += float(np.log(np.exp(exponent).mean())) / (scale * (alpha - 1))
        alpha = 1 + (alpha - 1) * scale / (scale - 1)
    covered = 0
    for repetition in range(200):
        found = composed_loss(drawn[20 * repetition : 20 * repetition + 20], rate=0.1, noise=4.0, order=8)
        covered += abs(found.values[0] - truth) <= found.half_widths[0]
    assert 182 <= covered <= 198


def test_runs_are_an_explicit_loop_and_variants_share_batches_and_noise() -> None:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((6, 3))
    descent = NoisyDescent(n_steps=4, rate=0.5, noise=0.3, learning_rate=0.8, clip=0.6)
    included = np.ones((2, 6))
    included[1, 2] = 0
    starts = np.broadcast_to(rng.standard_normal((1, 5, 3)), (2, 5, 3))
    ends, norms = descent.run(starts, rows, seed=11, included=included, watched=np.array([2, 4]))
    again = np.random.default_rng(11)
    draws = [(again.random((5, 6)) < 0.5, 0.3 * again.standard_normal((5, 3))) for _ in range(4)]
    for variant in range(2):
        for run in range(5):
            theta = starts[variant, run].copy()
            for step, (drawn, noise) in enumerate(draws):
                total = noise[run].copy()
                for j in range(6):
                    gradient = -rows[j] / (1 + np.exp(rows[j] @ theta))
                    length = np.linalg.norm(gradient)
                    clipped = gradient * min(1.0, 0.6 / length)
                    if variant == 0 and j in (2, 4):
                        assert norms[run, step, [2, 4].index(j)] == pytest.approx(min(length, 0.6), rel=1e-12)
                    if drawn[run, j] and not (variant == 1 and j == 2):
                        total -= clipped
                theta = theta + 0.8 / (0.5 * 6) * total
            np.testing.assert_allclose(ends[variant, run], theta, rtol=1e-11)


def test_bad_input() -> None:
    norms = np.ones((3, 2, 1))
    for options, code in (
        ({"rate": 0.0}, "E-DATA-137"),
        ({"rate": 1.2}, "E-DATA-137"),
        ({"order": 1}, "E-DATA-137"),
        ({"noise": 0.0}, "E-DATA-102"),
        ({"composition": 1.0}, "E-DATA-137"),
    ):
        with pytest.raises(InputError, match=code):
            composed_loss(norms, **({"rate": 0.1, "noise": 1.0, "order": 8} | options))
    with pytest.raises(InputError, match="E-DATA-138"):
        composed_loss(norms[:1], rate=0.1, noise=1.0, order=8)
    with pytest.raises(InputError, match="E-DATA-100"):
        composed_loss(np.ones(3), rate=0.1, noise=1.0, order=8)
    with pytest.raises(InputError, match="E-DATA-101"):
        step_loss([-1.0], rate=0.1, noise=1.0, order=8)


def test_question_numbers_at_the_defaults() -> None:
    start = time.thread_time()
    found = answer()
    assert time.thread_time() - start < 25
    within = found.numbers["rank_correlation"]["AB"]["loss over noisy runs"]

    def mean(part: dict[str, dict[str, float]]) -> tuple[float, float]:
        return part["summary"]["mean"], part["summary"]["half_width_95"]

    # The loss tells what a row taught of itself, and is against the steps that ascent takes.
    assert mean(within["margin above the row's own oracle"]) == pytest.approx((0.772, 0.058), abs=0.002)
    assert mean(within["steps to a common level"]) == pytest.approx((-0.709, 0.077), abs=0.002)
    assert mean(within["steps to the row's own oracle"]) == pytest.approx((-0.183, 0.103), abs=0.002)
    assert mean(found.numbers["loss_AB_minus_BA"]) == pytest.approx((0.100, 0.012), abs=0.001)
    assert mean(found.numbers["steps_AB_minus_BA"]) == pytest.approx((0.587, 0.215), abs=0.002)
    assert mean(found.numbers["rank_correlation_of_differences"]) == pytest.approx((0.335, 0.111), abs=0.002)
    means = found.numbers["means"]
    # A later stage without the rows changes no loss.
    assert means["BA"]["loss"] == means["B alone"]["loss"]
    away = found.numbers["steps_to_oracle_BA_minus_B_alone"]["summary"]
    assert away["mean"] == pytest.approx(-0.141, abs=0.002) and away["mean"] + away["half_width_95"] < 0
    assert means["AB"]["exact_steps"]["mean"] / means["AB"]["small_step"]["mean"] == pytest.approx(1.05, abs=0.01)
    assert means["AB"]["loss"]["mean"] / means["AB"]["small_step"]["mean"] == pytest.approx(3.0, abs=0.3)
    json.dumps([found.numbers, found.settings], allow_nan=False)
    assert "rows with more loss take fewer steps to a common level" in found.says[0] and len(found.says) <= 8


def test_question_with_other_options_and_its_figure() -> None:
    found = answer(seeds=2, seed=3, runs=4, steps=10, forget_rows=5, stage_rows=20)
    (figure,) = found.draw()
    assert figure.name == "theory-privacy" and len(figure.panels) == 3
    assert all(panel.startswith("<svg") and "NaN" not in panel for panel in figure.panels)
    for options, code in (
        ({"forget_rows": 2}, "E-DATA-136"),
        ({"runs": 1}, "E-DATA-138"),
        ({"rate": 2.0}, "E-DATA-137"),
        ({"noise": 0.0}, "E-DATA-102"),
    ):
        with pytest.raises(InputError, match=code):
            answer(**({"seeds": 1, "runs": 3, "steps": 2} | options))
