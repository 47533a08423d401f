"""How many runs: the stated power is met by simulated studies."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.equivalence import welch
from retrain_equivalence.judging.power import margin_each, power_of_equivalence


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_stated_power_is_simulated(n: int) -> None:
    random = np.random.default_rng(n)
    margin, passed, studies = margin_each(n), 0, 3000
    for _ in range(studies):
        found = welch.difference(random.normal(size=n), random.normal(size=n)).p_equivalence(margin)
        assert found is not None
        passed += found < 0.05
    assert power_of_equivalence(margin, n) == pytest.approx(0.8, abs=1e-6)
    assert passed / studies == pytest.approx(0.8, abs=0.025)


def test_more_runs_and_wider_margins_help() -> None:
    assert power_of_equivalence(1.0, 5) < power_of_equivalence(1.0, 20) < power_of_equivalence(1.5, 20) <= 1
    assert power_of_equivalence(0.1, 3) >= 0
