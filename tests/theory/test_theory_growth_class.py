"""Growth classes: rates by hand and against numpy, and classes of planted curves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.growth_class import Growth, growing, slopes

STEPS = np.arange(41.0)


def planted(curve: np.ndarray, noise: float = 1e-4, seeds: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(curve + np.outer(rng.standard_normal(seeds), STEPS) * noise)


@pytest.mark.parametrize(
    ("curve", "kind"),
    [
        (0.05 * STEPS, Growth.EXPONENTIAL),
        (np.log1p(STEPS), Growth.SLOWING),
        (np.minimum(0.05 * STEPS, 1.0), Growth.SATURATING),
        (-0.05 * STEPS, Growth.CONTRACTING),
        (0.0 * STEPS, Growth.FLAT),
        (1 - ((STEPS - 20) / 20) ** 2, Growth.TURNING),
        (np.maximum(0.05 * (STEPS - 20), 0.0), Growth.INCONCLUSIVE),
    ],
)
def test_planted_curves_get_their_class(curve: np.ndarray, kind: Growth) -> None:
    assert growing(planted(curve), margin=0.005).kind is kind


def test_noise_between_seeds_makes_it_inconclusive() -> None:
    assert growing(planted(0.05 * STEPS, noise=0.2), margin=0.005).kind is Growth.INCONCLUSIVE


def test_slopes_match_numpy_polyfit() -> None:
    values = np.random.default_rng(1).standard_normal((5, 12))
    expected = [np.polyfit(np.arange(12), row, 1)[0] for row in values]
    np.testing.assert_allclose(slopes(values), expected, atol=1e-12)


def test_intervals_are_simultaneous_t_intervals_of_quarters() -> None:
    rng = np.random.default_rng(2)
    values = np.cumsum(rng.standard_normal((6, 41)), axis=1)
    first = [np.polyfit(np.arange(11), row[:11], 1)[0] for row in values]
    low, high = stats.t.interval(1 - 0.05 / 3, 5, loc=np.mean(first), scale=stats.sem(first))
    np.testing.assert_allclose(growing(values, margin=0.1).early, (np.mean(first), low, high))


def test_wrongly_decided_classes_are_rare_at_the_boundary() -> None:
    # True rate exactly at the margin: no class but INCONCLUSIVE is right, and each interval errs in 5 %/3.
    rng = np.random.default_rng(3)
    decided = 0
    for _ in range(1000):
        decided += growing(np.outer(0.05 + 0.02 * rng.standard_normal(6), STEPS), 0.05).kind is not Growth.INCONCLUSIVE
    assert decided <= 60


def test_one_seed_decides_nothing_and_bad_input_is_refused() -> None:
    assert growing(STEPS[None], margin=0.1).kind is Growth.INCONCLUSIVE
    with pytest.raises(InputError, match="E-DATA-102"):
        growing(planted(STEPS), margin=0.0)
    with pytest.raises(InputError, match="E-DATA-101"):
        growing(np.full((2, 9), -np.inf), margin=0.1)
