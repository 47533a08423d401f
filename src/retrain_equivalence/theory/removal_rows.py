"""Which rows a removal keeps and which it takes away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError

RowNumbers = npt.NDArray[np.int64]


def split_rows(rows: Sequence[int], n_rows: int) -> tuple[RowNumbers, RowNumbers]:
    """Return the rows that stay, and those that go, in their order.

    Args:
        rows: to be removed: each once, at least one, not all.
        n_rows: n.

    Raises:
        InputError: E-DATA-106 if `rows` is empty, E-DATA-127 if it repeats one, names one that is not there, or leaves
            none.

    >>> [part.tolist() for part in split_rows([2, 0], 4)]
    [[1, 3], [2, 0]]
    """
    gone = np.asarray(rows, dtype=np.int64)
    if not gone.size:
        raise InputError.of("E-DATA-106", "rows to remove", "are none", "name at least one row")
    outside = gone[(gone < 0) | (gone >= n_rows)]
    if outside.size or len(np.unique(gone)) != len(gone) or len(gone) >= n_rows:
        problem = f"row {outside[0]} of {n_rows} does not exist" if outside.size else f"{len(gone)} of {n_rows} rows"
        raise InputError.of(
            "E-DATA-127", "rows to remove", problem, "name existing rows once each, and leave at least one"
        )
    return np.setdiff1d(np.arange(n_rows), gone), gone
