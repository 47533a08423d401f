"""The search for the fewest replicates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.equivalence.fewest import fewest


@given(threshold=st.integers(1, 300), least=st.integers(1, 40), most=st.integers(40, 200))
def test_it_finds_what_trying_each_would_find(threshold: int, least: int, most: int) -> None:
    each = next((n for n in range(least, most + 1) if n >= threshold), None)
    assert fewest(lambda n: n >= threshold, least, most) == each


def test_nothing_beyond_the_end_is_tried() -> None:
    tried: list[int] = []
    assert fewest(lambda n: tried.append(n) is not None, 3, 20) is None
    assert max(tried) == 20
