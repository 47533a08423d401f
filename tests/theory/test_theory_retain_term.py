"""A retain term bounds the expansion iff the spans nest, above a threshold, and below a lower edge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import null_space, sqrtm

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.retain_run import retain_run
from retrain_equivalence.theory.retain_term import NoThreshold, RetainTerm, Window

WEIGHTS = (0.0, 0.3, 1.0, 10.0, 1e3, 1e5)


def _generic(seed: int) -> RetainTerm:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(4, 12))
    k, n = int(rng.integers(1, d)), int(rng.integers(1, d))
    return RetainTerm(
        forget_inputs=rng.standard_normal((k, d)), retain_inputs=rng.standard_normal((n, d)),
        learning_rate=float(rng.uniform(0.01, 0.5)),
    )  # fmt: skip


def _nested(seed: int) -> RetainTerm:
    rng = np.random.default_rng(seed)
    d, n, k = 8, int(rng.integers(2, 12)), int(rng.integers(1, 5))
    retain = rng.standard_normal((n, d))
    return RetainTerm(
        forget_inputs=rng.standard_normal((k, n)) @ retain, retain_inputs=retain,
        learning_rate=float(10 ** rng.uniform(-3, 0)),
    )  # fmt: skip


def _spectrum(term: RetainTerm, weight: float) -> np.ndarray:
    """Return the full spectrum of M_U − λM_R, written out."""
    x_u, x_r = np.asarray(term.forget_inputs), np.asarray(term.retain_inputs)
    h_u, h_r = 2 / len(x_u) * x_u.T @ x_u, 2 / len(x_r) * x_r.T @ x_r
    return np.linalg.eigvalsh(term.learning_rate * (h_u - weight * h_r))


def test_by_hand() -> None:
    term = RetainTerm(forget_inputs=[[1.0, 0, 0]], retain_inputs=[[1.0, 0, 0], [0, 2.0, 0]], learning_rate=0.1)
    # H_U = diag(2, 0, 0), H_R = diag(1, 4, 0).
    assert term.threshold == pytest.approx(2.0)
    assert term.limit_eigenvalue == 0.0 and term.limit_rate == 0.0
    assert term.lower_edge == pytest.approx(2 / (0.1 * 4)) == pytest.approx(term.lower_edge_estimate)
    assert term.window is Window.OPEN
    assert term.largest_learning_rate == pytest.approx(2 / (2 * 4))
    modes = term.modes(3.0)
    assert (modes.top, modes.bottom) == pytest.approx((0.1 * (2 - 3), -0.1 * 12))
    assert modes.growth_rate == pytest.approx(np.log(0.9))


def test_no_weight_bounds_a_generic_world() -> None:
    n_without = 0
    for seed in range(300):
        term = _generic(seed)
        if term.is_nested:
            continue
        n_without += 1
        assert term.threshold is NoThreshold.NOT_NESTED and term.window is Window.NONE
        assert term.largest_learning_rate is NoThreshold.NOT_NESTED
        assert term.limit_eigenvalue > 0
        tops = [float(_spectrum(term, weight)[-1]) for weight in WEIGHTS]
        assert all(top >= term.limit_eigenvalue * (1 - 1e-6) for top in tops), seed
        assert (np.diff(tops) <= 1e-9).all()
    assert n_without == 300


def test_limit_is_the_largest_curvature_on_the_kernel_and_is_approached() -> None:
    for seed in range(100):
        term = _generic(seed)
        kernel = null_space(np.asarray(term.retain_inputs))
        x_u = np.asarray(term.forget_inputs)
        restricted = term.learning_rate * 2 / len(x_u) * kernel.T @ x_u.T @ x_u @ kernel
        assert term.limit_eigenvalue == pytest.approx(float(np.linalg.eigvalsh(restricted)[-1]), rel=1e-9)
        far = float(_spectrum(term, 1e9)[-1])
        assert far == pytest.approx(term.limit_eigenvalue, rel=0.05, abs=1e-5)


def test_threshold_is_where_the_top_eigenvalue_vanishes_when_the_spans_nest() -> None:
    for seed in range(200):
        term = _nested(seed)
        low = term.threshold
        assert term.is_nested and isinstance(low, float) and term.limit_eigenvalue == 0
        scale = term.learning_rate * low * np.linalg.norm(term.retain, 2) ** 2
        assert float(_spectrum(term, 0.99 * low)[-1]) > 1e-9 * scale, seed
        assert float(_spectrum(term, 1.01 * low)[-1]) <= 1e-12 * scale, seed


def test_threshold_equals_the_formula_written_out() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        term = RetainTerm(
            forget_inputs=rng.standard_normal((3, 5)), retain_inputs=rng.standard_normal((9, 5)), learning_rate=0.1
        )
        h_u, h_r = term.forget.T @ term.forget, term.retain.T @ term.retain
        root = np.linalg.inv(np.real(sqrtm(h_r)))
        assert term.threshold == pytest.approx(float(np.linalg.eigvalsh(root @ h_u @ root)[-1]), rel=1e-8)


def test_lower_edge_is_where_the_smallest_eigenvalue_is_minus_two() -> None:
    for seed in range(200):
        term = _generic(seed)
        assert float(_spectrum(term, term.lower_edge)[0]) == pytest.approx(-2, rel=1e-8)
        assert float(_spectrum(term, 0.99 * term.lower_edge)[0]) > -2
        top_u, top_r = np.linalg.norm(term.forget, 2) ** 2, np.linalg.norm(term.retain, 2) ** 2
        assert term.lower_edge_estimate <= term.lower_edge * (1 + 1e-12)
        assert term.lower_edge <= (term.lower_edge_estimate + top_u / top_r) * (1 + 1e-12)


def test_window_is_empty_iff_the_step_size_is_too_large_and_a_smaller_one_opens_it() -> None:
    windows = []
    for seed in range(200):
        term = _nested(seed)
        windows.append(term.window)
        low, largest = term.threshold, term.largest_learning_rate
        assert isinstance(low, float) and isinstance(largest, float)
        assert (term.window is Window.OPEN) is (term.learning_rate <= largest)
        spectrum = _spectrum(term, low)
        assert spectrum[-1] <= 1e-12 * term.learning_rate * low * np.linalg.norm(term.retain, 2) ** 2
        assert bool(spectrum[0] >= -2) is (term.window is Window.OPEN)
        if np.isfinite(largest):
            opened = RetainTerm(
                forget_inputs=term.forget_inputs, retain_inputs=term.retain_inputs, learning_rate=0.99 * largest
            )
            assert opened.window is Window.OPEN
    assert {Window.OPEN, Window.EMPTY} == set(windows)


def test_window_is_never_closed_where_both_sets_are_one() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 5))
    term = RetainTerm(forget_inputs=rows, retain_inputs=rows, learning_rate=50.0)
    assert term.threshold == pytest.approx(1.0) and term.largest_learning_rate == float("inf")
    # λ = 1 undoes the ascent exactly, whatever η.
    assert np.abs(_spectrum(term, 1.0)).max() < 1e-9


def test_map_equals_the_explicit_run_with_labels() -> None:
    for seed in range(100):
        term = _generic(seed) if seed % 2 else _nested(seed)
        rng = np.random.default_rng(seed)
        weight = min(1.0, term.lower_edge)
        k, n, d = len(term.forget), len(term.retain), term.forget.shape[1]
        thetas = rng.standard_normal((2, d))
        path = retain_run(term, weight, rng.standard_normal(k), rng.standard_normal(n), thetas, n_steps=8)
        modes, delta = term.modes(weight), thetas[0] - thetas[1]
        parts = modes.coordinates(delta)
        predicted = delta + (((1 + modes.factors.change) ** 8 - 1) * parts) @ modes.basis
        np.testing.assert_allclose(path[8, 0] - path[8, 1], predicted, atol=1e-10 * np.abs(path).max())
        spectrum = np.sort(np.concatenate([modes.factors.change, np.zeros(d - len(modes.factors.change))]))
        np.testing.assert_allclose(spectrum, _spectrum(term, weight), atol=1e-9 * np.abs(spectrum).max())


def test_bounded_and_unbounded_runs() -> None:
    term = RetainTerm(forget_inputs=[[1.0, 0]], retain_inputs=[[1.0, 0], [0, 2.0]], learning_rate=0.1)
    for weight, is_bounded in ((1.9, False), (2.1, True), (4.9, True), (5.1, False)):
        path = retain_run(term, weight, [1.0], [0.0, 1.0], np.eye(2), n_steps=1_000)
        grown = np.linalg.norm(path[-1, 0] - path[-1, 1]) / np.linalg.norm([1, -1])
        assert bool(grown <= 1 + 1e-9) is is_bounded, weight


def test_bad_input_has_its_code() -> None:
    rows = np.eye(2)
    for code, call in (
        ("E-DATA-121", lambda: RetainTerm(forget_inputs=rows, retain_inputs=np.eye(3), learning_rate=1.0)),
        ("E-DATA-121", lambda: RetainTerm(forget_inputs=rows, retain_inputs=0 * rows, learning_rate=1.0)),
        ("E-DATA-121", lambda: RetainTerm(forget_inputs=0 * rows, retain_inputs=rows, learning_rate=1.0)),
        ("E-DATA-102", lambda: RetainTerm(forget_inputs=rows, retain_inputs=rows, learning_rate=0.0)),
        ("E-DATA-122", lambda: RetainTerm(forget_inputs=rows, retain_inputs=rows, learning_rate=1.0).modes(-1.0)),
        ("E-DATA-101", lambda: RetainTerm(forget_inputs=rows, retain_inputs=rows * np.inf, learning_rate=1.0)),
    ):
        with np.errstate(invalid="ignore"), pytest.raises(InputError, match=code):
            call()
