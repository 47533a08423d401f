"""Array types, and the checks that every claim makes of what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError

Array: TypeAlias = npt.NDArray[np.float64]
"""Float64 values; shapes stand in the docstrings: n rows, d dimensions, k forget rows, m test rows, H histories."""


def matrix(values: npt.ArrayLike, name: str, *, columns: int | None = None) -> Array:
    """Return `values` as a finite float64 matrix with at least one row.

    Args:
        values: anything array-like, shape [n, d].
        name: what it is called in an error.
        columns: the dimension d of the forget inputs, where it must be theirs; None takes any but zero.

    Raises:
        InputError: E-DATA-100 for another shape or no rows, E-DATA-101 for values that are not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or found.size == 0:
        raise InputError.of(
            "E-DATA-100", name, f"expected rows × dimensions with at least one of each, found shape {found.shape}",
            "give a two-dimensional array",
        )  # fmt: skip
    _finite(found, name)
    if columns is not None and found.shape[1] != columns:
        raise InputError.of(
            "E-DATA-100", name, f"{found.shape[1]} dimensions, expected {columns}",
            "use the dimension of the forget inputs",
        )  # fmt: skip
    return found


def vector(values: npt.ArrayLike, name: str, size: int | None = None) -> Array:
    """Return `values` as a finite float64 vector.

    Args:
        values: anything array-like, shape [size].
        name: what it is called in an error.
        size: the expected number of values; None takes any but zero.

    Raises:
        InputError: E-DATA-100 for another shape, E-DATA-101 for values that are not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or found.size == 0 or (size is not None and found.size != size):
        expected = "at least one value" if size is None else f"{size} values"
        raise InputError.of(
            "E-DATA-100", name, f"expected a vector of {expected}, found shape {found.shape}",
            "make the sizes of inputs, targets and parameters agree",
        )  # fmt: skip
    return _finite(found, name)


def positive(value: float, name: str) -> float:
    """Return a step size, penalty or tolerance that is finite and above zero.

    Raises:
        InputError: E-DATA-102 otherwise.
    """
    if not (np.isfinite(value) and value > 0):
        raise InputError.of("E-DATA-102", name, f"expected a finite number above 0, found {value}", f"raise {name}")
    return float(value)


def whole_steps(steps: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the steps to report as integers, shape [T].

    Raises:
        InputError: E-DATA-112 if there is none, or one is below 0 or no whole number.
    """
    found = np.asarray(steps)
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iu" or (found < 0).any():
        raise InputError.of(
            "E-DATA-112", "steps", "expected at least one whole number, none below 0", "name the steps to report"
        )
    return found.astype(np.int64)


def _finite(found: Array, name: str) -> Array:
    if not np.isfinite(found).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise InputError.of(
            "E-DATA-101", name, f"the value at {where} is not finite ({found[where]})", "remove or correct it"
        )
    return found
