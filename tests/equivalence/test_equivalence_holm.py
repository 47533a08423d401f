from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.equivalence.holm import holm


def test_by_hand() -> None:
    # In order .01, .02, .03, .5 times 4, 3, 2, 1; the running maximum keeps the third at .06.
    assert holm([0.5, 0.02, 0.01, 0.03]) == pytest.approx([0.5, 0.06, 0.04, 0.06])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_is_between_the_p_value_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    found = holm(p_values)
    assert all(p <= q <= min(1.0, len(p_values) * p) + 1e-15 for p, q in zip(p_values, found, strict=True))
    ranked = [q for _, q in sorted(zip(p_values, found, strict=True))]
    assert ranked == sorted(ranked)


def test_nothing_to_correct() -> None:
    assert holm([]) == []
