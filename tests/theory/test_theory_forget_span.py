"""The decomposition of the forget inputs."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.forget_span import ForgetSpan


def test_curvatures_are_the_eigenvalues_of_the_hessian() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        k, d = int(rng.integers(1, 8)), int(rng.integers(8, 20))
        rows = rng.standard_normal((k, d))
        span = ForgetSpan.of(rows)
        eigenvalues = np.linalg.eigvalsh(2 / k * rows.T @ rows)[::-1]
        np.testing.assert_allclose(span.curvatures, eigenvalues[:k], rtol=1e-9)
        np.testing.assert_allclose(eigenvalues[k:], 0, atol=1e-12)
        np.testing.assert_allclose(span.rates(0.3), 0.3 * span.curvatures, rtol=1e-15)
        assert span.n_rows == k


def test_projection_is_the_papers_projector() -> None:
    for seed in range(50):
        rng = np.random.default_rng(100 + seed)
        rows, vectors = rng.standard_normal((4, 9)), rng.standard_normal((3, 9))
        span = ForgetSpan.of(rows)
        projector = rows.T @ np.linalg.solve(rows @ rows.T, rows)
        np.testing.assert_allclose(span.on_span(vectors), vectors @ projector, atol=1e-12)
        np.testing.assert_allclose(span.off_span(vectors) @ rows.T, 0, atol=1e-12)
        np.testing.assert_allclose(span.on_span(vectors) + span.off_span(vectors), vectors, atol=1e-14)
        np.testing.assert_allclose(
            np.linalg.norm(span.coordinates(vectors), axis=1), np.linalg.norm(vectors @ projector, axis=1), rtol=1e-12
        )


def test_by_hand() -> None:
    span = ForgetSpan.of([[0.0, 3.0], [4.0, 0.0]])
    np.testing.assert_allclose(span.singular_values, [4, 3], rtol=1e-15)
    np.testing.assert_allclose(span.curvatures, [16, 9], rtol=1e-14)


def test_bad_forget_sets() -> None:
    with pytest.raises(InputError, match="E-DATA-106"):
        ForgetSpan.of([])
    with pytest.raises(InputError, match="E-DATA-106"):
        ForgetSpan.of(np.empty((0, 3)))
    with pytest.raises(InputError, match=r"E-DATA-107.*3 rows in 2 dimensions"):
        ForgetSpan.of(np.ones((3, 2)))
    with pytest.raises(InputError, match=r"E-DATA-107.*rank below 2"):
        ForgetSpan.of([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    with pytest.raises(InputError, match="E-DATA-107"):
        ForgetSpan.of([[0.0, 0.0]])
    with pytest.raises(InputError, match="E-DATA-101"):
        ForgetSpan.of([[np.inf, 0.0]])
    with pytest.raises(InputError, match="E-DATA-100"):
        ForgetSpan.of([1.0, 0.0])
    with pytest.raises(InputError, match="E-DATA-102"):
        ForgetSpan.of([[1.0, 0.0]]).rates(-1.0)
