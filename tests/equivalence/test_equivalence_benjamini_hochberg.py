from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.equivalence.benjamini_hochberg import adjusted
from retrain_equivalence.equivalence.holm import holm


def test_by_hand() -> None:
    # In order .01, .02, .03, .5 times 4/1, 4/2, 4/3, 1: .04, .04, .04, .5.
    assert adjusted([0.5, 0.02, 0.01, 0.03]) == pytest.approx([0.5, 0.04, 0.04, 0.04])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_is_between_the_p_value_and_holm_and_keeps_the_order(p_values: list[float]) -> None:
    found = adjusted(p_values)
    bounds = zip(p_values, found, holm(p_values), strict=True)
    assert all(p <= q + 1e-15 and q <= most + 1e-15 for p, q, most in bounds)
    ranked = [q for _, q in sorted(zip(p_values, found, strict=True))]
    assert ranked == sorted(ranked)


def test_nothing_to_correct() -> None:
    assert adjusted([]) == []


def test_the_share_of_false_discoveries_is_held() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(1500):
        p_values = np.concatenate([rng.uniform(size=15), rng.beta(0.2, 8, size=5)])
        found = np.array(adjusted(p_values.tolist())) <= 0.1
        shares.append(found[:15].sum() / max(1, found.sum()))
    # Exactly 10 % times the share of true nulls for independent tests; Monte-Carlo sd below .5 points.
    assert np.mean(shares) == pytest.approx(0.075, abs=0.015)
