"""What every distance accepts: arrays of probabilities, one row per scored position.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BLOCK_VALUES = 4_000_000
"""Numbers per block of an all-pairs form: 32 MB of float64, whatever the number of positions."""


def checked_pair(p_PC: ArrayLike, q_PC: ArrayLike) -> tuple[Array, Array]:
    """Return both arrays as float64 of shape [P, C].

    Raises:
        ValueError: if the shapes differ, are not [P, C], or a value is negative, nan or infinite. Rows should sum to
            one; this is not checked, since stored probabilities are rounded.
    """
    p, q = np.asarray(p_PC, dtype=np.float64), np.asarray(q_PC, dtype=np.float64)
    if p.ndim != 2 or p.shape != q.shape:
        raise ValueError(f"distances compare [positions, cells] arrays of one shape, found {p.shape} and {q.shape}")
    for values in (p, q):
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ValueError("probabilities must be finite and not negative")
    return p, q


def blocks(states_NPC: NDArray[np.floating], weights: ArrayLike) -> Iterator[tuple[Array, Array]]:
    """Cut states into blocks of positions: float64 arrays [N, some P, C] with their weights [some P].

    Raises:
        ValueError: if the shapes do not fit, a weight is negative, or a probability is negative, nan or infinite.
    """
    weights_P = np.asarray(weights, dtype=np.float64)
    if states_NPC.ndim != 3 or weights_P.shape != states_NPC.shape[1:2]:
        raise ValueError(f"states are [N, P, C] and weights [P], found {states_NPC.shape} and {weights_P.shape}")
    if not (weights_P >= 0).all():
        raise ValueError("weights must not be negative")
    n_states, n_positions, n_cells = states_NPC.shape
    size = max(1, BLOCK_VALUES // max(1, n_states * n_cells))
    for start in range(0, n_positions, size):
        block = states_NPC[:, start : start + size].astype(np.float64)
        if not (np.isfinite(block).all() and (block >= 0).all()):
            raise ValueError("probabilities must be finite and not negative")
        yield block, weights_P[start : start + size]
