"""The laws of the inputs: their variances, their windows, their names."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.inputs import HALF_SHARED, ISOTROPIC, LAWS, POWER_LAW, InputLaw, law_named


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_rows_have_expected_squared_length_one(law: InputLaw) -> None:
    for stage in (0, 1):
        rows = law.draw(np.random.default_rng(0), 20_000, 30, stage=stage, n_stages=2)
        squared = np.square(rows).sum(axis=1)
        # Five standard errors of the mean.
        assert abs(squared.mean() - 1) < 5 * squared.std() / np.sqrt(len(rows))


def test_sampled_covariance_is_the_stated_one() -> None:
    rows = POWER_LAW.draw(np.random.default_rng(1), 50_000, 5)
    expected = np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]) / (137 / 60)
    np.testing.assert_allclose(POWER_LAW.variances(5), expected, rtol=1e-14)
    np.testing.assert_allclose(np.cov(rows.T), np.diag(expected), atol=0.01)


def test_windows_share_the_stated_part_and_cover_everything() -> None:
    for dim in (8, 31, 200):
        for overlap in (0.0, 0.25, 0.5, 1.0):
            law = InputLaw(name="any", overlap=overlap)
            windows = [set(law.window(dim, s, 3).tolist()) for s in range(3)]
            assert set.union(*windows) == set(range(dim))
            common = set.intersection(*windows)
            assert abs(len(common) - overlap * dim) <= 1
            assert all(a & b == common for a, b in pairwise(windows))


def test_coordinates_out_of_the_window_are_zero() -> None:
    rows = HALF_SHARED.draw(np.random.default_rng(2), 10, 8, stage=0, n_stages=2)
    assert np.flatnonzero(rows.any(axis=0)).tolist() == [0, 1, 3, 4, 5, 7]


def test_equal_seeds_draw_equal_rows() -> None:
    first, second = (ISOTROPIC.draw(np.random.default_rng(3), 4, 6) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_laws_are_found_by_name_with_dashes_or_spaces() -> None:
    assert law_named("power-law") is POWER_LAW is law_named("power law") is law_named("power_law")
    with pytest.raises(InputError, match=r"E-DATA-103.*isotropic, power-law, half-shared"):
        law_named("cauchy")
