"""Sums of products over tensors, in double precision, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.metrics.parameter.modules import Tensors

Modules = Mapping[str, Sequence[str]]
"""Module -> names of its tensors, as `modules.modules_of` returns; a tensor may be in several."""


def same_tensors(*sides: Tensors) -> None:
    """Check that all sides have the same tensors.

    Raises:
        ValueError: naming the first that one lacks, or whose shape differs.
    """
    first = sides[0]
    for side in sides[1:]:
        if lacking := sorted(first.keys() ^ side.keys()):
            raise ValueError(f"both sides have the same tensors: {lacking[0]} is only in one")
        for name in sorted(first):
            if first[name].shape != side[name].shape:
                raise ValueError(
                    f"{name} has shape {first[name].shape} on one side and {side[name].shape} on the other"
                )


def apart(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return `a - b`, in float32 at least: half precision would round the difference of close weights."""
    return np.asarray(np.subtract(a, b, dtype=np.result_type(a, b, np.float32)))


def inner(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the sum of products of two tensors, added up in float64 without copying either as a whole.

    Raises:
        ValueError: if it is not finite.
    """
    total = float(np.einsum("i,i->", a.reshape(-1), b.reshape(-1), dtype=np.float64))
    if not np.isfinite(total):
        raise ValueError("weights must be finite")
    return total


def by_module(per_tensor: Mapping[str, float], modules: Modules) -> dict[str, float]:
    """Return the sum over each module's tensors."""
    return {module: sum(per_tensor[name] for name in names) for module, names in modules.items()}
