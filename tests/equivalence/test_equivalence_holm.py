from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from retrain_equivalence.equivalence.holm import holm


@pytest.mark.parametrize("m", [1, 2, 7, 30])
def test_agrees_with_statsmodels(m: int) -> None:
    p_values = np.random.default_rng(m).uniform(0, 0.2, size=m)
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_nothing_to_correct() -> None:
    assert holm([]) == []
