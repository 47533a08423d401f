"""In which order rows are trained on: a pure function of how many there are, the batch size and a seed.

Design. Each epoch is a permutation of its own, drawn from a counter-based generator keyed by (seed, epoch). So step
10,000 is found without running the steps before it, a resumed stage sees what the uninterrupted one would have seen,
and a longer training begins with the batches of a shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


def steps_per_epoch(n_rows: int, batch_size: int) -> int:
    """Return how many optimizer steps see every row once: ceil(n_rows / batch_size); the last batch may be short.

    >>> steps_per_epoch(10, 4)
    3
    """
    if n_rows < 1 or batch_size < 1:
        raise ValueError(f"rows and batch size must be at least 1, found {n_rows} and {batch_size}")
    return -(-n_rows // batch_size)


def permutation(n_rows: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of the rows in one epoch, [n_rows], by numpy's Philox keyed with (seed, epoch).

    Args:
        n_rows: >= 1.
        seed: 0 <= seed < 2**64.
        epoch: 0-based.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)))
    return generator.permutation(n_rows)


@dataclass(slots=True)
class BatchOrder:
    """The batches of a training of any length; `order[step]` is the rows of that 0-based step."""

    n_rows: int
    batch_size: int
    seed: int
    _latest: tuple[int, npt.NDArray[np.int64]] | None = field(default=None, repr=False, compare=False)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see every row once."""
        return steps_per_epoch(self.n_rows, self.batch_size)

    def __getitem__(self, step: int) -> tuple[int, ...]:
        """Return the row numbers of `step`, at most `batch_size` of them; within an epoch each row comes once.

        Raises:
            IndexError: for a negative step. There is no upper end: epochs follow each other for ever.
        """
        if step < 0:
            raise IndexError(f"steps count from 0, found {step}")
        epoch, within = divmod(step, self.steps_per_epoch)
        # Only the epoch in use is kept: it saves a shuffle per step and changes no answer.
        if self._latest is None or self._latest[0] != epoch:
            self._latest = (epoch, permutation(self.n_rows, self.seed, epoch))
        rows = self._latest[1][within * self.batch_size : (within + 1) * self.batch_size]
        return tuple(int(row) for row in rows)


def batches(n_rows: int, batch_size: int, seed: int) -> BatchOrder:
    """Return the order in which `n_rows` rows are trained on.

    Raises:
        ValueError: if a number is below 1, or the seed outside [0, 2**64).

    >>> order = batches(n_rows=5, batch_size=2, seed=0)
    >>> sorted(order[0] + order[1] + order[2])
    [0, 1, 2, 3, 4]
    """
    steps_per_epoch(n_rows, batch_size)
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed is at least 0 and below 2**64, found {seed}")
    return BatchOrder(n_rows=n_rows, batch_size=batch_size, seed=seed)
