"""Which rows stay and which go."""

from __future__ import annotations

import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.removal_rows import split_rows


def test_rows_that_go_keep_the_order_of_the_requests() -> None:
    kept, gone = split_rows([3, 0, 2], 5)
    assert kept.tolist() == [1, 4]
    assert gone.tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "E-DATA-106"),
        ([4], "E-DATA-127"),
        ([-1], "E-DATA-127"),
        ([1, 1], "E-DATA-127"),
        ([0, 1, 2, 3], "E-DATA-127"),
    ],
)
def test_rows_that_cannot_be_removed(rows: list[int], code: str) -> None:
    with pytest.raises(InputError, match=code):
        split_rows(rows, 4)
